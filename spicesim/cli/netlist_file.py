"""What all netlist commands share: where to write, and for which simulator."""

from collections.abc import Callable

import click

from spicesim.cli.options import chip_option
from spicesim.files import STANDARD_OUTPUT, write_text
from spicesim.mapping import MappedTile
from spicesim.netlist import DIALECTS, Arrangement, Netlist, format_netlist, run_command, write_trace
from spicesim.netlist.dialects import find_dialect

__all__ = ["dialect_option", "file_options", "finish", "output_option"]


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


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all circuits of a chip have."""
    return chip_option(dialect_option(output_option(function)))


def finish(
    result: Netlist,
    output: str | None,
    dialect: str,
    *,
    cells: bool = False,
    layer: str = "",
    mapped: Arrangement | MappedTile | None = None,
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
    """
    text = format_netlist(result, dialect)
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    if output == STANDARD_OUTPUT:
        return
    if cells:
        click.echo(f"wrote {write_trace(output, result, layer=layer, mapped=mapped)}: every cell and its conductance")
    click.echo(f"wrote {output}; run: {run_command(dialect).replace('THIS_FILE', output)}")
