"""The deck command of netlists: anybody's deck as it is simulated, at a corner, of a drawn chip."""

import click

from spicesim.characterise import deck_bench, sample_draw, settings
from spicesim.chip import CORNERS
from spicesim.cli.netlist_blocks import drawn_options
from spicesim.cli.netlist_file import finish, output_option
from spicesim.cli.options import chip_option, open_chip
from spicesim.cli.supplies import named_volts
from spicesim.errors import SpecError
from spicesim.netlist import read_deck

__all__ = ["deck"]


@click.command(epilog="example: spicesim netlist deck mine.cir --mismatch 1 --sample 7 -o worst.cir")
@click.argument("path", metavar="MINE.cir")
@chip_option
@output_option
@click.option("--analysis", metavar="KIND", help="Which of its analyses: ac, dc or tran.  [default: the first]")
@click.option("--corner", type=click.Choice(CORNERS), help="Corner of the process.  [default: the deck's]")
@click.option("--temperature", metavar="C", type=float, help="Temperature [C].  [default: the deck's]")
@click.option("--supply", "supplies", metavar="NAME=V", multiple=True, help="A .param of the deck.")
@drawn_options
def deck(
    path: str,
    chip_path: str | None,
    output: str | None,
    analysis: str | None,
    corner: str | None,
    temperature: float | None,
    supplies: tuple[str, ...],
    mismatch: int | None,
    sample: int,
    resistors: float,
) -> None:
    """Write one analysis of a deck with .measure lines as it is simulated."""
    chip = open_chip(chip_path)
    choices = settings(
        () if corner is None else (corner,), () if temperature is None else (temperature,), named_volts(supplies)
    )
    if len(choices) > 1:
        raise SpecError("a netlist has one value of each supply; give --supply NAME=V once a name")
    bench = deck_bench(read_deck(path), chip, choices[0])
    name = bench.varied[0] if analysis is None else analysis
    if name not in bench.varied:
        raise SpecError(f"{path} measures no {name!r}; it measures: {', '.join(bench.varied)}")
    built = bench.netlists[name]
    if mismatch is not None:
        built = bench.drawn(name, chip, sample_draw(mismatch, sample), resistors)
    finish(built, output, "ngspice")
