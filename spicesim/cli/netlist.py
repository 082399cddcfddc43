"""The netlist command: one sub-command a circuit."""

from collections.abc import Callable
from typing import Any

import click
import numpy as np

from spicesim.behavioural.converter import POLARITIES, Polarity
from spicesim.chip import Chip
from spicesim.cli.options import chip_option, load_array, open_chip
from spicesim.errors import SpecError
from spicesim.netlist import (
    Netlist,
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_senseamp,
    build_tile,
)
from spicesim.units import parse_quantity

__all__ = ["netlist"]


class Quantity(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer releases of click
    """A number with an optional SI prefix."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        return parse_quantity(value)


output_option = click.option(
    "-o", "--output", metavar="FILE.cir", help="Where to write the netlist.  [default: print it]"
)
polarity_option = click.option("--polarity", type=click.Choice(POLARITIES), default="unipolar", help="Input coding.")
feedback_option = click.option(
    "--r-feedback", type=Quantity(), metavar="R", help="Feedback resistor [ohm].  [default: the chip's middle one]"
)
conductance_option = click.option(
    "--conductance", metavar="G.npy", required=True, help="Device conductances, (rows, columns) [S]; .npy or .csv."
)


@click.group(epilog="example: spicesim netlist dac --chip gf180-1t1r --polarity bipolar -o dac.cir")
def netlist() -> None:
    """Write a complete netlist that ngspice runs as it stands."""


def _finish(result: Netlist, output: str | None) -> None:
    if output is None:
        click.echo(result.format(), nl=False)
        return
    result.write(output)
    click.echo(f"wrote {output}; run: ngspice -b -r out.raw {output}")


def _feedback(chip: Chip, wanted: float | None) -> float:
    choices = sorted(chip.sense_amplifier.r_feedback)
    return choices[len(choices) // 2] if wanted is None else wanted


def _common(function: Callable[..., None]) -> Callable[..., None]:
    return chip_option(output_option(function))


@netlist.command(epilog="example: spicesim netlist cell --conductance 20u -o cell.cir")
@_common
@click.option("--conductance", "g", type=Quantity(), metavar="G", help="Of the device [S].  [default: g_max]")
def cell(chip_path: str | None, output: str | None, g: float | None) -> None:
    """Write one memory cell, its voltage swept."""
    chip = open_chip(chip_path)
    _finish(build_cell(chip, chip.cell.g_max if g is None else g), output)


@netlist.command(epilog="example: spicesim netlist senseamp --r-feedback 10k -o senseamp.cir")
@_common
@feedback_option
def senseamp(chip_path: str | None, output: str | None, r_feedback: float | None) -> None:
    """Write one transimpedance amplifier, its current swept from rail to rail."""
    chip = open_chip(chip_path)
    resistance = _feedback(chip, r_feedback)
    if not resistance > 0:
        raise SpecError(f"--r-feedback must be positive, got {resistance:g} ohm")
    _finish(build_senseamp(chip, resistance, 0.6 * chip.process.supply / resistance), output)


@netlist.command(epilog="example: spicesim netlist dac --load 1m -o dac.cir")
@_common
@polarity_option
@click.option("--load", type=Quantity(), metavar="I", help="Sweep the load between -I and I within each code [A].")
def dac(chip_path: str | None, output: str | None, polarity: Polarity, load: float | None) -> None:
    """Write one R-2R DAC with its buffer, its code swept."""
    chip = open_chip(chip_path)
    if load is None:
        _finish(build_dac(chip, polarity), output)
    else:
        step = 2**chip.dac.bits // 8
        _finish(build_dac(chip, polarity, i_limit=load, load_points=41, code_step=step), output)


@netlist.command(epilog="example: spicesim netlist column --conductance g.npy --voltages v.npy -o column.cir")
@_common
@conductance_option
@click.option("--voltages", metavar="V.npy", required=True, help="Word-line voltages, (rows,) [V].")
@feedback_option
def column(
    chip_path: str | None, output: str | None, conductance: str, voltages: str, r_feedback: float | None
) -> None:
    """Write one bit line with its cells and its sense amplifier."""
    chip = open_chip(chip_path)
    g = load_array(conductance, "conductances")
    _finish(build_column(chip, g, load_array(voltages, "voltages"), _feedback(chip, r_feedback)), output)


@netlist.command(epilog="example: spicesim netlist crossbar --conductance g.npy --voltages v.npy -o xbar.cir")
@_common
@conductance_option
@click.option("--voltages", metavar="V.npy", required=True, help="Word-line voltages above the reference, (rows,) [V].")
def crossbar(chip_path: str | None, output: str | None, conductance: str, voltages: str) -> None:
    """Write an array of cells with its wires, between ideal sources and virtual grounds."""
    chip = open_chip(chip_path)
    _finish(build_crossbar(chip, load_array(conductance, "conductances"), load_array(voltages, "voltages")), output)


@netlist.command(epilog="example: spicesim netlist tile --conductance g.npy --codes codes.npy -o tile.cir")
@_common
@conductance_option
@click.option("--codes", metavar="CODES.npy", required=True, help="DAC codes, (rows,).")
@polarity_option
@feedback_option
@click.option(
    "--calibration", "calibration_path", metavar="CAL.json",
    help="Predict first guesses of the operating point; large tiles need them.",
)  # fmt: skip
def tile(
    chip_path: str | None,
    output: str | None,
    conductance: str,
    codes: str,
    polarity: Polarity,
    r_feedback: float | None,
    calibration_path: str | None,
) -> None:
    """Write a whole tile at transistor level: DACs, wires, cells, sense amplifiers."""
    g = load_array(conductance, "conductances")
    vector = load_array(codes, "codes")
    vector = vector.astype(np.int64) if np.array_equal(vector, np.rint(vector)) else vector
    if calibration_path is None:
        chip = open_chip(chip_path)
        _finish(build_tile(chip, g, vector, polarity=polarity, r_feedback=_feedback(chip, r_feedback)), output)
        return
    from spicesim.calibration.calibration import load_calibration
    from spicesim.calibration.tiles import tile_netlist

    calibration = load_calibration(calibration_path)
    if chip_path is not None:
        calibration.require_chip(open_chip(chip_path), calibration_path)
    model = calibration.tile(g, polarity, _feedback(calibration.chip, r_feedback))
    state = model.solve(vector[None, :])
    _finish(tile_netlist(calibration.chip, model, vector, state, 0), output)
