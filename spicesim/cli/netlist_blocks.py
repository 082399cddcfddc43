"""Netlists of the blocks outside the tile and of single devices: the testbenches of their data sheets."""

import click

from spicesim.cli.netlist_file import file_options, finish
from spicesim.cli.options import open_chip
from spicesim.errors import SpecError

__all__ = ["BLOCK_COMMANDS"]

_BLOCKS = {
    "comparator": "StrongARM comparator: delay, kickback, energy",
    "integrator": "switched integrator: charge, and its amplifier",
    "mirror": "current-mirror readout: transfer, output, step",
    "wldriver": "word-line driver: pulse, load",
    "chargedac": "charge-redistribution DAC: all codes",
    "currentdac": "current-steering DAC: codes, output, steps",
    "adc": "successive-approximation ADC: a sine in two halves",
    "1s1r": "1S1R cell, swept",
    "2t2r": "2T2R cells, swept",
    "pcm": "phase-change device, swept after some times",
    "pcm_state": "phase-change device with state, written by pulses",
    "ecram": "electrochemical device with state, written by pulses",
    "rram_gap": "filamentary device with state, written by pulses",
}
"""What each command writes a testbench of, and the testbenches there are."""


def _command(block: str, text: str) -> click.Command:
    @click.command(
        block,
        help=f"Write a testbench of the {text}.",
        epilog=f"example: spicesim netlist {block} --chip generic-1t1r -o {block}.cir",
    )
    @file_options
    @click.option("--bench", metavar="NAME", help="Which testbench of its data sheet.  [default: the first]")
    def write(chip_path: str | None, output: str | None, dialect: str, bench: str | None) -> None:
        from spicesim.characterise import BLOCKS

        benches = BLOCKS[block](open_chip(chip_path)).netlists
        name = next(iter(benches)) if bench is None else bench
        if name not in benches:
            raise SpecError(f"{block} has no testbench {name!r}; there are: {', '.join(benches)}")
        finish(benches[name], output, dialect)

    return write


BLOCK_COMMANDS = [_command(block, text) for block, text in _BLOCKS.items()]
"""A command for each block that has no command of its own."""
