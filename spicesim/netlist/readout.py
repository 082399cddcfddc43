"""What stands at the feet of a tile's bit lines, and how a product goes in time: the text of each kind of read-out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.drawing import ADDING_TILE, FLOATING_TILE, GATED_TILE, PULSE_TILE, TILE
from spicesim.netlist.hold import hold_blocks, hold_line, track_source
from spicesim.netlist.integrator import converter_load, integrator_blocks, integrator_line
from spicesim.netlist.plane_adder import PlaneSteps
from spicesim.netlist.pulses import PulseProduct, PulseSchedule
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line
from spicesim.netlist.step import CodeStep

__all__ = ["Course", "Readout", "build_readout", "in_time"]

Course = CodeStep | PlaneSteps | PulseProduct
"""How inputs go in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """What stands at the feet of a tile's bit lines, as text."""

    words: str
    """For the title."""
    blocks: Sequence[str]
    """Subcircuits."""
    section: str
    """Instances, one a bit line, and their controls."""
    notes: Sequence[str]
    """For the head."""


def in_time(chip: Chip, codes: npt.ArrayLike | CodeStep | PlaneSteps, polarity: Polarity) -> Course | None:
    """Return what a transient of a tile follows; None for an operating point.

    Raises
    ------
    SpecError
        If the chip's drivers or read-outs have no such course.
    """
    if isinstance(codes, PlaneSteps):
        if not chip.hold.adds_planes:
            raise SpecError("a chip adds planes of codes only with hold.planes = charge; set it, or drive codes")
        return codes
    if isinstance(codes, CodeStep):
        if chip.hold.adds_planes:
            raise SpecError(
                "bits that are added as charge have no one step of codes; drive whole codes, or set hold.planes = "
                "digital"
            )
        if chip.dac.kind == "pulse":
            raise SpecError("pulses have no steps from code to code; give codes alone, for a product from the reset on")
        return codes
    if chip.hold.adds_planes:
        return PlaneSteps.of(chip, codes, 0)
    if chip.dac.kind == "pulse":
        whole = [int(code) for code in np.asarray(codes)]
        return PulseProduct(codes=whole, schedule=PulseSchedule.of_chip(chip, polarity))
    return None


def build_readout(chip: Chip, columns: int, setting: float, step: Course | None) -> Readout:
    """Build the read-outs of a tile.

    Parameters
    ----------
    chip : Chip
        The chip.
    columns : int
        Bit lines.
    setting : float
        Feedback resistance of amplifiers [ohm]; of no matter to others.
    step : CodeStep, PlaneSteps or PulseProduct, optional
        How inputs go in time.
    """
    if isinstance(step, PlaneSteps):
        lines = [hold_line(chip, f"hold_{j}", f"sense_{j}", f"out_{j}") for j in range(columns)]
        return Readout(
            words=f"floating bit lines, {step.bits} bits added as charge",
            blocks=hold_blocks(chip),
            section="\n".join([step.controls(chip.process.supply), *lines]),
            notes=[
                "A tile at transistor level: a driver a word line, a cell at every crossing, an adder a bit line.",
                *ADDING_TILE,
            ],
        )
    if chip.sense_amplifier.kind == "voltage":
        falls = (
            None
            if not isinstance(step, CodeStep)
            else step.start + (chip.hold.settle if step.hold is None else step.hold)
        )
        lines = [hold_line(chip, f"hold_{j}", f"sense_{j}", f"out_{j}") for j in range(columns)]
        return Readout(
            words="floating bit lines",
            blocks=hold_blocks(chip),
            section="\n".join([track_source(chip, falls), *lines]),
            notes=[
                "A tile at transistor level: a driver a word line, a cell at every crossing, a hold switch a bit line.",
                *FLOATING_TILE,
            ],
        )
    if chip.sense_amplifier.kind == "integrator":
        lines = [integrator_line(chip, f"integrator_{j}", f"sense_{j}", f"out_{j}") for j in range(columns)]
        loads = [line for j in range(columns) for line in converter_load(chip, f"load_{j}", f"out_{j}")]
        return Readout(
            words="pulses and integrators",
            blocks=integrator_blocks(chip),
            section="\n".join(
                ["* integrators", *lines, *(["* converters' sampling switches", *loads] if loads else [])]
            ),
            notes=[
                "A tile at transistor level: a driver a word line, a cell at every crossing, an integrator a bit line.",
                *PULSE_TILE,
            ],
        )
    lines = [amplifier_line(chip, f"senseamp_{j}", f"sense_{j}", f"out_{j}", setting) for j in range(columns)]
    return Readout(
        words=f"{setting:g} ohm feedback",
        blocks=amplifier_blocks(chip),
        section="\n".join(["* sense amplifiers", *lines]),
        notes=[
            f"A tile at transistor level: a {'DAC' if chip.dac.is_dac else 'driver'} a "
            f"{'row of gates' if chip.cell.is_gated else 'word line'}, a cell at every crossing, an amplifier a bit "
            "line.",
            *(GATED_TILE if chip.cell.is_gated else TILE),
        ],
    )
