"""The netlist command: one sub-command a circuit."""

import io
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from spicesim.arrays import Array
from spicesim.chip import Chip
from spicesim.chip.library import library_names, library_path, library_text
from spicesim.cli.netlist_blocks import BlockGroup, block_commands
from spicesim.cli.netlist_deck import deck
from spicesim.cli.netlist_file import Form, file_options, finish, form_options, with_realism
from spicesim.cli.netlist_inputs import (
    Quantity,
    feedback_option,
    find_feedback,
    find_place,
    first_guesses,
    place_options,
    polarity_option,
    read_codes,
    step_from_rest,
)
from spicesim.cli.netlist_macro import macro
from spicesim.cli.netlist_network import network
from spicesim.cli.numbers import read_numbers
from spicesim.cli.options import open_chip
from spicesim.coding import Polarity, rest_code
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.files import write_bytes
from spicesim.netlist import (
    ARRANGEMENTS,
    Arrangement,
    Embedded,
    Netlist,
    Parasitics,
    arrange_weights,
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_sense_amplifier,
    build_tile,
    embed,
    read_conductances,
    read_parasitics,
)
from spicesim.netlist.arrangement import Kind
from spicesim.netlist.noise import build_tile_noise

__all__ = ["netlist"]


def _print_list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what can be written, and what the library holds."""
    if not wanted or context.resilient_parsing:
        return
    benches = {str(command.name) for command in _BENCHES}
    groups = {
        "circuits, written by: spicesim netlist NAME": netlist.commands.keys() - benches - {"conductances"},
        "testbenches, written by: spicesim netlist NAME, run and measured by: spicesim characterise NAME": benches,
    }
    files = [(name.removesuffix(".cir"), library_text(name).splitlines()[0]) for name in library_names()]
    width = max(len(name) for name in [*netlist.commands, *dict(files)])
    for title, names in groups.items():
        click.echo(title)
        for name, command in netlist.commands.items():
            if name in names:
                text = command.get_short_help_str(120).removeprefix("Write ").removeprefix("a testbench of the ")
                click.echo(f"  {name:{width}}  {text.rstrip('.')}")
        click.echo()
    click.echo("the way back, from an edited netlist: spicesim netlist conductances FILE.cir\n")
    click.echo(f"subcircuits and model cards of the library, in {library_path(library_names()[0]).parent}")
    for name, text in files:
        click.echo(f"  {name:{width}}  {text.removeprefix(f'* {name}: ')}")
    context.exit()


parasitics_option = click.option(
    "--parasitics",
    metavar="WIRES.csv",
    help="Extracted wires: segment, resistance, capacitance.  [default: the chip's]",
)
both_ends_option = click.option("--both-ends", is_flag=True, help="Drive the word lines from both ends.")
conductance_option = click.option(
    "--conductance", metavar="G", help="Device conductances, (rows, columns) [S]: a file, or 10u,20u;30u,5u."
)
gates_option = click.option(
    "--gates", metavar="V", help="Gate voltages, (rows,) [V]; a gate-driven array.  [default: all at the supply]"
)


def _weights_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that arrange weights instead of taking conductances."""
    options = [
        click.option("--weights", metavar="W", help="Signed weights, (outputs, rows), instead of conductances."),
        click.option(
            "--columns", "arrangement", type=click.Choice(ARRANGEMENTS), default="differential", show_default=True,
            help="How columns carry the sign of weights.",
        ),
        click.option("--slices", metavar="N", type=click.IntRange(1), default=1, help="Columns a weight takes."),
        click.option("--cell-bits", metavar="N", type=click.IntRange(1), help="Bits of a cell.  [default: analog]"),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _load_cells(
    chip: Chip, conductance: str | None, weights: str | None, arrangement: Kind, slices: int, cell_bits: int | None
) -> Any:
    """Read conductances, or weights and arrange them."""
    if (conductance is None) == (weights is None):
        raise SpecError("give the cells once: --conductance G or --weights W")
    if weights is None:
        return read_numbers(str(conductance), "conductances")
    span = (chip.cell.g_min, chip.cell.g_max)
    return arrange_weights(read_numbers(weights, "weights"), arrangement, span, slices=slices, bits=cell_bits)


def _load_gates(path: str | None) -> Array | None:
    return None if path is None else read_numbers(path, "gate voltages")


@click.group(cls=BlockGroup, epilog="example: spicesim netlist dac --chip gf180-1t1r --polarity bipolar -o dac.cir")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_list,
    help="Show what there is, and exit.",
)
def netlist() -> None:
    """Write a complete netlist that the simulator runs as it stands."""


def _wires(chip: Chip, path: str | None, cells: Any, both_ends: bool) -> Parasitics | None:
    """Return the wires of a file, which says what it drives, or of the chip; None for cells that are no array."""
    g = cells.g if isinstance(cells, Arrangement) else cells
    if g.ndim != 2:
        return None
    return Parasitics.of_chip(chip, *g.shape, both_ends=both_ends) if path is None else read_parasitics(path, *g.shape)


def _as_subcircuit(chip: Chip, built: Netlist, form: Form, name: str | None, usual: str) -> Embedded | None:
    """Return a circuit as a subcircuit, if it is wanted as one."""
    if form == "subckt":
        return embed(chip, built, name or usual)
    if name is not None:
        raise SpecError("--name is that of a subcircuit; add --as subckt, or leave it out")
    return None


def _sized(kind: str, g: Any) -> str:
    """Return the usual name of the subcircuit of an array."""
    rows, *columns = np.shape(g.g if isinstance(g, Arrangement) else g)
    return f"{kind}_{rows}x{columns[0] if columns else 1}"


@netlist.command(epilog="example: spicesim netlist cell --conductance 20u -o cell.cir")
@file_options
@click.option("--conductance", "g", type=Quantity(), metavar="G", help="Of the device [S].  [default: g_max]")
def cell(chip_path: str | None, output: str | None, dialect: str, g: float | None) -> None:
    """Write one memory cell, its voltage swept."""
    chip = open_chip(chip_path)
    finish(build_cell(chip, chip.cell.g_max if g is None else g), output, dialect)


@netlist.command(
    "sense_amplifier", epilog="example: spicesim netlist sense_amplifier --r-feedback 10k -o amplifier.cir"
)
@file_options
@feedback_option
def sense_amplifier(chip_path: str | None, output: str | None, dialect: str, r_feedback: float | None) -> None:
    """Write one transimpedance amplifier, its current swept from rail to rail."""
    chip = open_chip(chip_path)
    resistance = find_feedback(chip, r_feedback)
    if not resistance > 0:
        raise SpecError(f"--r-feedback must be positive, got {resistance:g} ohm")
    finish(build_sense_amplifier(chip, resistance, 0.6 * chip.process.supply / resistance), output, dialect)


@netlist.command(epilog="example: spicesim netlist dac --load 1m -o dac.cir")
@file_options
@polarity_option
@click.option("--load", type=Quantity(), metavar="I", help="Sweep the load between -I and I within each code [A].")
def dac(chip_path: str | None, output: str | None, dialect: str, polarity: Polarity, load: float | None) -> None:
    """Write one word-line driver, a DAC or a switch, its code swept."""
    chip = open_chip(chip_path)
    if load is None:
        finish(build_dac(chip, polarity), output, dialect)
    else:
        step = max(1, 2**chip.dac.level_bits // 8)
        finish(build_dac(chip, polarity, i_limit=load, load_points=41, code_step=step), output, dialect)


@netlist.command(epilog="example: spicesim netlist column --conductance g.npy --voltages v.npy -o column.cir")
@file_options
@click.option("--conductance", metavar="G", required=True, help="Device conductances, (rows,) [S]: a file, or 10u,20u.")
@click.option("--voltages", metavar="V", required=True, help="Word-line voltages, (rows,) [V]: a file, or .1,.2.")
@feedback_option
@form_options
def column(
    chip_path: str | None,
    output: str | None,
    dialect: str,
    conductance: str,
    voltages: str,
    r_feedback: float | None,
    form: Form,
    name: str | None,
) -> None:
    """Write one bit line with its cells and its sense amplifier."""
    chip = open_chip(chip_path)
    g = read_numbers(conductance, "conductances")
    built = build_column(chip, g, read_numbers(voltages, "voltages"), find_feedback(chip, r_feedback))
    finish(built, output, dialect, cells=True, embedded=_as_subcircuit(chip, built, form, name, _sized("column", g)))


@netlist.command(epilog="example: spicesim netlist crossbar --conductance g.npy --voltages v.npy -o xbar.cir")
@file_options
@conductance_option
@click.option("--voltages", metavar="V", required=True, help="Word-line voltages above the reference, (rows,) [V].")
@_weights_options
@gates_option
@parasitics_option
@both_ends_option
@form_options
def crossbar(
    chip_path: str | None,
    output: str | None,
    dialect: str,
    conductance: str | None,
    weights: str | None,
    arrangement: Kind,
    slices: int,
    cell_bits: int | None,
    voltages: str,
    gates: str | None,
    parasitics: str | None,
    both_ends: bool,
    form: Form,
    name: str | None,
) -> None:
    """Write an array of cells with its wires, between ideal sources and virtual grounds."""
    chip = open_chip(chip_path)
    g = _load_cells(chip, conductance, weights, arrangement, slices, cell_bits)
    built = build_crossbar(
        chip, g, read_numbers(voltages, "voltages"), parasitics=_wires(chip, parasitics, g, both_ends),
        gates=_load_gates(gates),
    )  # fmt: skip
    finish(
        built, output, dialect, cells=True, mapped=g if isinstance(g, Arrangement) else None,
        embedded=_as_subcircuit(chip, built, form, name, _sized("crossbar", g)),
    )  # fmt: skip


@netlist.command(epilog="example: spicesim netlist tile --conductance '10u,20u;30u,5u' --codes 200,30 -o tile.cir")
@file_options
@conductance_option
@click.option("--codes", metavar="CODES", required=True, help="DAC codes, (rows,): a file, or 200,30.")
@polarity_option
@feedback_option
@_weights_options
@gates_option
@parasitics_option
@both_ends_option
@place_options
@click.option(
    "--t-read", type=Quantity(), metavar="TIME", help="A transient from 0 V in all rows to this time after it."
)
@click.option(
    "--bit-skew", type=Quantity(), metavar="TIME",
    help="Bits of a code come one after the other over this time, the least first; with --t-read.",
)  # fmt: skip
@click.option("--noise", metavar="J", type=click.IntRange(0), help="The noise of output J, 1 kHz to 10 GHz.")
@click.option("--supply-resistance", type=Quantity(), metavar="R", help="Of the supply [ohm].  [default: the chip's]")
@click.option(
    "--ground-resistance", type=Quantity(), metavar="R", help="Of the blocks' ground [ohm].  [default: the chip's]"
)
@click.option(
    "--reference-resistance", type=Quantity(), metavar="R", help="Of each reference [ohm].  [default: the chip's]"
)
@form_options
def tile(
    chip_path: str | None,
    output: str | None,
    dialect: str,
    conductance: str | None,
    weights: str | None,
    arrangement: Kind,
    slices: int,
    cell_bits: int | None,
    codes: str,
    polarity: Polarity,
    r_feedback: float | None,
    gates: str | None,
    parasitics: str | None,
    both_ends: bool,
    calibration_path: str | None,
    corner: str | None,
    temperature: float | None,
    t_read: float | None,
    mismatch: int | None,
    bit_skew: float | None,
    noise: int | None,
    supply_resistance: float | None,
    ground_resistance: float | None,
    reference_resistance: float | None,
    form: Form,
    name: str | None,
) -> None:
    """Write a whole tile at transistor level: DACs, wires, cells, sense amplifiers.

    Beside the netlist goes FILE.cells.csv, which lists all cells: name, row, column, conductance. What --mismatch draws
    are parameters of calls, in standard deviations, to be edited.
    """
    vector = read_codes(codes)
    if calibration_path is not None and (gates is not None or both_ends or parasitics is not None):
        raise SpecError("a calibration predicts tiles as the chip has them; leave --calibration or the other wires")
    chip, calibration = find_place(chip_path, calibration_path, corner, temperature)
    if bit_skew is not None and t_read is None:
        raise SpecError("--bit-skew spreads the bits of a step in time; give --t-read, too")
    if noise is not None and (t_read is not None or form == "subckt"):
        raise SpecError("--noise is that of a tile at rest by itself; leave --t-read and --as subckt out")
    ohms = {"r_supply": supply_resistance, "r_ground": ground_resistance, "r_reference": reference_resistance}
    given = {name: ohm for name, ohm in ohms.items() if ohm is not None}
    if given:
        chip = chip.changed(rails=chip.rails.model_dump() | given)
    g = _load_cells(chip, conductance, weights, arrangement, slices, cell_bits)
    feedback, nodesets = find_feedback(chip, r_feedback), None
    if calibration is not None:
        devices = g.g if isinstance(g, Arrangement) else g
        before = vector if t_read is None else np.full_like(vector, rest_code(polarity, chip.dac.code_bits))
        nodesets = first_guesses(calibration, devices, before, polarity, feedback)
    built = build_tile(
        chip, g, vector if t_read is None else step_from_rest(chip, vector, polarity, t_read, bit_skew),
        polarity=polarity, r_feedback=feedback, nodesets=nodesets,
        parasitics=_wires(chip, parasitics, g, both_ends), gates=_load_gates(gates),
    )  # fmt: skip
    if mismatch is not None:
        from spicesim.calibration.mismatch_bench import draw_chip  # takes long to import, and is rarely asked for

        built = draw_chip(built, chip, ChipDraw(mismatch))
    if noise is not None:
        built = build_tile_noise(built, noise)
    finish(
        with_realism(built, chip), output, dialect, cells=True, mapped=g if isinstance(g, Arrangement) else None,
        embedded=_as_subcircuit(chip, built, form, name, _sized("tile", g)),
    )  # fmt: skip


@netlist.command(epilog="example: spicesim netlist conductances tile.cir -o g.npy")
@click.argument("path", metavar="FILE.cir")
@click.option("-o", "--output", metavar="G.npy", help="Where to write them, .npy or .csv.  [default: print them]")
def conductances(path: str, output: str | None) -> None:
    """Read the conductances of an edited column, crossbar or tile."""
    g = read_conductances(path)
    if output is None:
        for row in g:
            click.echo(",".join(repr(float(value)) for value in row))
        return
    buffer = io.BytesIO()
    if output.endswith(".npy"):
        np.save(buffer, g)
    else:
        np.savetxt(buffer, g, fmt="%.17g", delimiter=",")
    write_bytes(output, buffer.getvalue())
    click.echo(f"wrote {output}: {g.shape[0]} x {g.shape[1]} conductances")


_BENCHES = block_commands(apart=netlist.commands)
for command in (deck, macro, network, *_BENCHES):
    netlist.add_command(command)
