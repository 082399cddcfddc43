"""The layout command: arrays drawn, checked against rules and netlist, their wires measured."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from spicesim.chip import Chip
from spicesim.chip.description import save_chip
from spicesim.cli.options import chip_option, open_chip
from spicesim.cli.tables import format_table
from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.units import format_si, parse_quantity

if TYPE_CHECKING:
    from spicesim.layout import LineWires, WireTable

__all__ = ["layout"]

MOST_SHOWN = 20
"""Differences that are printed."""


@click.group(epilog="example: spicesim layout array --chip gf180-1t1r --rows 16 --columns 16 -o array.gds")
def layout() -> None:
    """Draw arrays of 1T1R cells on GF180MCU layers, and check layouts of them.

    Needs klayout: pip install 'spicesim[layout]'. The public kit has no memory element: a square on layer 250/0 between
    metal 2 and 3 stands for it. Checked are the rules that these shapes touch, not all of the foundry's.
    """


def _wires_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on where measured wires go."""
    options = [
        click.option("--chip-out", metavar="NEW.toml", help="Write the chip with these wires: array.r_word_line, .."),
        click.option(
            "--parasitics", "parasitics_path", metavar="WIRES.csv",
            help="Write every segment, for: spicesim netlist crossbar --parasitics WIRES.csv",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@layout.command(epilog="example: spicesim layout array --rows 16 --columns 16 -o array.gds --chip-out wired.toml")
@chip_option
@click.option("--rows", metavar="R", type=click.IntRange(1), help="Word lines.  [default: the chip's]")
@click.option("--columns", metavar="C", type=click.IntRange(1), help="Bit lines.  [default: the chip's]")
@click.option("-o", "--output", metavar="ARRAY.gds", required=True, help="GDSII, or OASIS if it ends in .oas.")
@click.option(
    "--fingers", metavar="N", type=click.IntRange(1), help="Fold the transistor.  [default: as the smallest cell wants]"
)
@click.option("--pitch", metavar="X,Y", help="Of the cells, such as 2.5u,3u.  [default: the smallest]")
@click.option("--word-line", metavar="W", help="Width of word lines, metal 3.  [default: the least]")
@click.option("--bit-line", metavar="W", help="Width of bit lines, metal 2.  [default: the least]")
@click.option("--device", metavar="W", help="Side of the memory element.  [default: that of a via]")
@click.option("--plot", metavar="PICTURE.png", help="Write a picture.")
@_wires_options
def array(
    chip_path: str | None,
    rows: int | None,
    columns: int | None,
    output: str,
    fingers: int | None,
    pitch: str | None,
    word_line: str | None,
    bit_line: str | None,
    device: str | None,
    plot: str | None,
    chip_out: str | None,
    parasitics_path: str | None,
) -> None:
    """Draw an array, and measure its wires.

    Word lines on metal 3 come from the left, bit lines on metal 2 end below, gates in poly come out at the left. The
    layout is written if it breaks no rule.
    """
    from spicesim.layout import GF180MCU, CellWishes, check_rules, draw_array, measure_wires, plan_cell, write_layout
    from spicesim.layout.rules import format_violations

    chip = open_chip(chip_path)
    wishes = CellWishes(
        fingers=fingers, pitch=_pair(pitch), word_line=_length(word_line), bit_line=_length(bit_line),
        device=_length(device),
    )  # fmt: skip
    plan = plan_cell(chip, GF180MCU, wishes)
    drawn = draw_array(chip, plan, rows or chip.array.rows, columns or chip.array.columns)
    if broken := check_rules(drawn.layout, GF180MCU):
        raise SpecError(
            f"these sizes break {len(broken)} rules, nothing was written: {format_violations(broken)}; widen --pitch"
        )
    write_layout(drawn.layout, output)
    box = drawn.layout.top_cell().dbbox()
    click.echo(
        f"wrote {output}: {drawn.rows} x {drawn.columns} cells, {box.width():.2f} x {box.height():.2f} um; "
        f"rules of {GF180MCU.name} that it touches: clean"
    )
    click.echo(
        f"cell: {plan.pitch[0] / 1e3:g} x {plan.pitch[1] / 1e3:g} um, {plan.area * 1e12:.3f} um^2; transistor "
        f"{plan.width / 1e3:g} / {plan.length / 1e3:g} um in {plan.fingers} finger{'s' * (plan.fingers > 1)}"
    )
    if plot is not None:
        from spicesim.layout.picture import write_picture

        write_picture(drawn.layout, GF180MCU, plot)
        click.echo(f"wrote {plot}")
    _show_wires(chip, measure_wires(drawn.layout, GF180MCU), chip_out, parasitics_path)


@layout.command(epilog="example: spicesim layout wires edited.gds --chip chip.toml --chip-out wired.toml")
@click.argument("path", metavar="ARRAY.gds")
@chip_option
@_wires_options
def wires(path: str, chip_path: str | None, chip_out: str | None, parasitics_path: str | None) -> None:
    """Measure the wires of a layout, whoever edited it since it was drawn."""
    from spicesim.layout import GF180MCU, measure_wires, read_layout

    _show_wires(open_chip(chip_path), measure_wires(read_layout(path), GF180MCU), chip_out, parasitics_path)


@layout.command(epilog="example: spicesim layout drc array.gds")
@click.argument("path", metavar="ARRAY.gds")
def drc(path: str) -> int:
    """Check the design rules that an array touches; exit status 1 if any is broken."""
    from spicesim.layout import GF180MCU, check_rules, read_layout
    from spicesim.layout.rules import format_violations

    broken = check_rules(read_layout(path), GF180MCU)
    click.echo(format_violations(broken) if broken else f"{path}: clean")
    return 1 if broken else 0


@layout.command(epilog="example: spicesim layout lvs array.gds xbar.cir --chip gf180-1t1r")
@click.argument("path", metavar="ARRAY.gds")
@click.argument("netlist_path", metavar="XBAR.cir")
@chip_option
@click.option("--report", metavar="OUT.lvsdb", help="Write what klayout found, for its netlist browser.")
def lvs(path: str, netlist_path: str, chip_path: str | None, report: str | None) -> int:
    """Hold a layout against the netlist of a crossbar; exit status 1 if they differ.

    XBAR.cir is what spicesim netlist crossbar wrote for an array of this size. Wires are one net each, and conductances
    are programmed, not drawn. A cell that is open in the netlist is one too many in the layout.
    """
    from spicesim.layout import GF180MCU, compare_layout, read_layout

    found = compare_layout(read_layout(path), netlist_path, open_chip(chip_path), GF180MCU, report)
    if found.is_same:
        click.echo(
            f"{path} is {netlist_path}: {found.transistors} transistors, {found.elements} memory elements, "
            f"{found.nets} nets"
        )
        return 0
    click.echo(f"{path} is not {netlist_path}: {len(found.differences)} differences")
    for line in found.differences[:MOST_SHOWN]:
        click.echo(f"  {line}")
    if len(found.differences) > MOST_SHOWN:
        click.echo(f"  .. and {len(found.differences) - MOST_SHOWN} more; --report OUT.lvsdb has all")
    return 1


def _length(text: str | None) -> float | None:
    return None if text is None else parse_quantity(text)


def _pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    values = [parse_quantity(part) for part in text.split(",")]
    if len(values) != 2:
        raise SpecError(f"--pitch takes a width and a height, such as 2.5u,3u; got {text!r}")
    return values[0], values[1]


def _show_wires(chip: Chip, found: "WireTable", chip_out: str | None, parasitics_path: str | None) -> None:
    """Print a table of wires, and write them where they are wanted."""
    from spicesim.layout import GF180MCU
    from spicesim.layout.wires import format_parasitics

    click.echo(format_table(["a cell", "word line", "bit line"], _rows(found.word, found.bit)))
    if math.isfinite(found.r_gate):  # of one column there is nothing to measure it on
        click.echo(f"gates of a row: {format_si(found.r_gate, 'ohm')} a cell, in no netlist")
    click.echo("from: " + "; ".join(f"{what}: {source}" for what, source in GF180MCU.sources.items()))
    whole = found.parasitics(paired=chip.cell.is_paired)
    if parasitics_path is not None:
        write_text(parasitics_path, format_parasitics(whole))
        click.echo(f"wrote {parasitics_path}")
    if chip_out is not None:
        if 1 in found.word.resistance.shape:
            raise SpecError("--chip-out takes wires between cells; draw two rows and two columns at least")
        steps = 2 if chip.cell.is_paired else 1
        values = {
            "r_word_line": found.word.r_cell * steps, "c_word_line": found.word.c_cell * steps,
            "r_bit_line": found.bit.r_cell, "c_bit_line": found.bit.c_cell,
        }  # fmt: skip
        save_chip(chip.changed(array={name: float(f"{value:.6g}") for name, value in values.items()}), chip_out)
        click.echo(f"wrote {chip_out}")


def _rows(word: "LineWires", bit: "LineWires") -> list[list[str]]:
    """Return the rows of the table of wires."""
    both = (word, bit)
    return [
        ["from cell to cell", *(format_si(one.length, "m") for one in both)],
        ["width of the wire", *(format_si(one.width, "m") for one in both)],
        ["squares", *(f"{one.squares:.2f}" for one in both)],
        ["resistance", *(format_si(one.r_cell, "ohm") for one in both)],
        ["capacitance", *(format_si(one.c_cell, "F") for one in both)],
        *([f"  of {name}", *(format_si(one.parts[name], "F") for one in both)] for name in word.parts),
    ]
