"""Netlists of all blocks of the catalogue: the testbenches of their data sheets."""

from collections.abc import Callable, Collection

import click

from spicesim.characterise import BLOCKS, WORDS, Block, Place, sample_draw
from spicesim.chip import CORNERS
from spicesim.cli.netlist_file import file_options, finish
from spicesim.cli.options import open_chip

__all__ = ["BlockGroup", "block_commands", "drawn_options"]


class BlockGroup(click.Group):
    """A group with a command a block, which also takes the other words for blocks."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command."""
        return super().get_command(ctx, WORDS.get(cmd_name, cmd_name))


def drawn_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of one sample of the mismatch, as a data sheet draws them."""
    options = [
        click.option("--mismatch", metavar="SEED", type=click.IntRange(0), help="Draw the devices of a chip."),
        click.option("--sample", metavar="K", type=click.IntRange(0), default=0, help="Which sample of characterise."),
        click.option(
            "--resistors", metavar="R", type=click.FloatRange(0, 0.2, max_open=True), default=0.0,
            help="Relative spread of resistors, drawn with the transistors.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _command(block: Block) -> click.Command:
    @click.command(
        block.name,
        help=f"Write a testbench of the {block.title}.",
        epilog=f"example: spicesim netlist {block.name} --chip generic-1t1r -o {block.name}.cir",
    )
    @file_options
    @click.option("--bench", metavar="NAME", help="Which testbench of its data sheet.  [default: the first]")
    @click.option("--corner", type=click.Choice(CORNERS), help="Corner of the process.  [default: the chip's]")
    @click.option("--temperature", metavar="C", type=float, help="Temperature [C].  [default: the chip's]")
    @click.option("--supply", metavar="V", type=click.FloatRange(0, 100, min_open=True), help="Supply [V].")
    @drawn_options
    def write(
        chip_path: str | None, output: str | None, dialect: str, bench: str | None, corner: str | None,
        temperature: float | None, supply: float | None, mismatch: int | None, sample: int, resistors: float,
    ) -> None:  # fmt: skip
        chip = Place(corner=corner, temperature_c=temperature, supply=supply).chip(open_chip(chip_path))
        built = block.netlist(chip, bench)
        if mismatch is not None:
            own = block.bench(chip)
            name = next(iter(own.netlists)) if bench is None else bench
            built = own.drawn(name, chip, sample_draw(mismatch, sample), resistors)
        finish(built, output, dialect)

    return write


def block_commands(apart: Collection[str]) -> tuple[click.Command, ...]:
    """Make a command for each block, but for those that have commands of their own."""
    return tuple(_command(block) for block in BLOCKS.values() if block.name not in apart)
