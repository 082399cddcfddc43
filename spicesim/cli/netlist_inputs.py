"""What netlists of tiles and of macros take alike: inputs, feedback, and of which chip and condition they are."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from spicesim.arrays import Array, Codes, Floats
from spicesim.chip import CORNERS, Chip
from spicesim.cli.numbers import read_numbers
from spicesim.cli.options import open_calibration, open_chip
from spicesim.coding import POLARITIES, Polarity, rest_code
from spicesim.errors import SpecError
from spicesim.netlist.step import CodeStep
from spicesim.units import parse_quantity

if TYPE_CHECKING:
    from spicesim.calibration.calibration import Calibration

__all__ = [
    "Quantity",
    "feedback_option",
    "find_feedback",
    "find_place",
    "first_guesses",
    "place_options",
    "polarity_option",
    "read_codes",
    "step_from_rest",
]


class Quantity(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer releases of click
    """A number with an optional SI prefix."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        return parse_quantity(value)


polarity_option = click.option("--polarity", type=click.Choice(POLARITIES), default="unipolar", help="Input coding.")
feedback_option = click.option(
    "--r-feedback", type=Quantity(), metavar="R", help="Feedback resistor [ohm].  [default: the chip's middle one]"
)


def place_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options on where a tile is: its condition, the devices of a drawn chip, what predicts first guesses."""
    options = [
        click.option(
            "--calibration", "calibration_path", metavar="CAL.json",
            help="Predict first guesses of the operating point; large tiles need them.",
        ),
        click.option("--corner", type=click.Choice(CORNERS), help="Corner of the process.  [default: the chip's]"),
        click.option("--temperature", metavar="C", type=float, help="Temperature [C].  [default: the chip's]"),
        click.option(
            "--mismatch", metavar="SEED", type=click.IntRange(0),
            help="Draw the devices of a chip: transistors as their foundry says, resistors by .5 %.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def find_place(
    chip_path: str | None, calibration_path: str | None, corner: str | None, temperature: float | None
) -> tuple[Chip, "Calibration | None"]:
    """Return the chip at its condition, and the calibration there, if one is given."""
    if calibration_path is None:
        return open_chip(chip_path).at(corner=corner, temperature_c=temperature), None
    moved = corner is not None or temperature is not None
    calibration = open_calibration(calibration_path, elsewhere=moved)
    if chip_path is not None:
        calibration.require_chip(open_chip(chip_path), calibration_path)
    if moved:
        calibration = calibration.at(corner=corner, temperature_c=temperature)
    return calibration.chip, calibration


def read_codes(words: str) -> Array:
    """Read codes (rows,), as integers where all are whole; netlists refuse others."""
    codes = read_numbers(words, "codes")
    return codes.astype(np.int64) if np.array_equal(codes, np.rint(codes)) else codes


def find_feedback(chip: Chip, wanted: float | None) -> float:
    """Return the feedback resistance that is wanted, or the chip's middle one [ohm].

    Raises
    ------
    SpecError
        If one is wanted of a read-out that has none.
    """
    choices = chip.settings
    if chip.sense_amplifier.kind != "tia" and wanted is not None:
        raise SpecError(
            f"a read-out of kind {chip.sense_amplifier.kind} has no feedback resistance; leave --r-feedback out"
        )
    return choices[len(choices) // 2] if wanted is None else wanted


def step_from_rest(chip: Chip, codes: Codes, polarity: Polarity, stop: float, skew: float | None = None) -> CodeStep:
    """Return the step from 0 V in all rows to codes, watched until a time after it [s]; bits may come over a time.

    Raises
    ------
    SpecError
        If a driver that takes one bit at a time shall spread its bits.
    """
    rest, bits = np.full_like(codes, rest_code(polarity, chip.dac.code_bits)), chip.dac.level_bits
    if skew is not None and bits < 2:
        raise SpecError(f"drivers of kind {chip.dac.kind} take one bit at a time, which has no skew; leave it out")
    delays = () if skew is None else tuple(np.linspace(0, skew, bits).tolist())
    return CodeStep(before=rest.tolist(), after=codes.tolist(), stop=stop, delays=delays)


def first_guesses(
    calibration: "Calibration", g: Floats, codes: Codes, polarity: Polarity, r_feedback: float
) -> dict[str, float]:
    """Return what a calibration says of nodes of a tile that begins at rest at codes (rows,) [V]."""
    from spicesim.calibration.tiles import floating_course, predicted_nodesets  # take long to import, rarely needed

    chip, tile = calibration.chip, calibration.tile(g, polarity, r_feedback)
    guesses = predicted_nodesets(tile.solve(codes[None, :]), 0, chip)
    # bits that are added as charge come one after the other, after 0 V in all rows
    adds = chip.sense_amplifier.kind == "voltage" and chip.hold.adds_planes
    return floating_course(chip, tile, codes, guesses)[1] if adds else guesses
