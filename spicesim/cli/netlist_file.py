"""What all netlist commands share: where to write, and for which simulator."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import click

from spicesim.calibration.realism import format_realism
from spicesim.chip import Chip
from spicesim.cli.options import chip_option
from spicesim.errors import SpecError
from spicesim.files import STANDARD_OUTPUT, write_text
from spicesim.mapping import MappedTile
from spicesim.netlist import DIALECTS, Arrangement, Embedded, Netlist, format_netlist, run_command, write_trace
from spicesim.netlist.dialects import find_dialect
from spicesim.netlist.measured import MEASURE_COMMAND, MeasuredNetlist

__all__ = ["Form", "dialect_option", "file_options", "finish", "form_options", "output_option", "with_realism"]

Form = Literal["testbench", "subckt"]
"""How a circuit is written."""


def _dialect(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value != "ngspice":
        find_dialect(value)
    return value


dialect_option = click.option(
    "--dialect", metavar=f"[{'|'.join(DIALECTS)}]", default="ngspice", show_default=True, callback=_dialect,
    help="Simulator to write for, or package.module:Name.",
)  # fmt: skip
output_option = click.option(
    "-o", "--output", metavar="FILE.cir", help="Where to write the netlist.  [default: print it]"
)


def form_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of circuits that may be subcircuits."""
    form = click.option(
        "--as", "form", type=click.Choice(get_args(Form)), default="testbench", show_default=True,
        help="A subcircuit with ports comes with a testbench that calls it and an xschem symbol.",
    )  # fmt: skip
    name = click.option("--name", metavar="NAME", help="Of the subcircuit.  [default: such as tile_16x16]")
    return form(name(function))


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all circuits of a chip have."""
    return chip_option(dialect_option(output_option(function)))


def with_realism(result: Netlist, chip: Chip) -> Netlist:
    """Return the netlist of a tile with a table in its head: what is real of each piece, here and in the model."""
    head = "\n".join(f"* {line}" for line in format_realism(chip))
    return replace(result, body=f"{head}\n*\n{result.body}")


def finish(
    result: Netlist,
    output: str | None,
    dialect: str,
    *,
    cells: bool = False,
    layer: str = "",
    mapped: Arrangement | MappedTile | None = None,
    embedded: Embedded | None = None,
) -> None:
    """Write or print a netlist.

    Parameters
    ----------
    result : Netlist
        The netlist.
    output : str or None
        File; None to print.
    dialect : str
        Simulator.
    cells : bool
        Whether a table of its cells goes beside the file.
    layer, mapped
        For the table, as for :func:`spicesim.netlist.write_trace`.
    embedded : Embedded, optional
        The same as a subcircuit, to be written in its place. In ngspice's language its testbench is a file beside it,
        in others the same file.
    """
    apart = embedded is not None and dialect == "ngspice"
    if apart and output is not None and re.fullmatch(r"[^'\"]*(?<!\.sym)", output) is None:
        raise SpecError(f"a subcircuit's file takes a name without quotes that does not end in .sym, got {output}")
    if embedded is None:
        text = format_netlist(result, dialect)
    else:
        text = embedded.format() if apart else format_netlist(embedded.bench, dialect)
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    if output == STANDARD_OUTPUT:
        return
    if cells:
        click.echo(f"wrote {write_trace(output, result, layer=layer, mapped=mapped)}: every cell and its conductance")
    if embedded is not None and apart:
        path = Path(output)
        bench, symbol = path.with_suffix(".tb.cir"), path.with_suffix(".sym")
        write_text(bench, embedded.format_bench(output))
        write_text(symbol, embedded.symbol(output))
        click.echo(
            f"wrote {output}: subcircuit {embedded.name}, {len(embedded.ports)} ports; {symbol}: its symbol for xschem"
        )
        output = str(bench)
    command = MEASURE_COMMAND if isinstance(result, MeasuredNetlist) else run_command(dialect)
    click.echo(f"wrote {output}; run: {command.replace('THIS_FILE', output)}")
