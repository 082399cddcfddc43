"""What can be calibrated of a chip beyond operating points: not every macro has all of it yet."""

from spicesim.chip import Chip
from spicesim.errors import CalibrationError
from spicesim.netlist.sense_amplifier import has_opamp
from spicesim.own_code import is_own

__all__ = ["ASPECT_NAMES", "NOT_QUICK", "lacks", "possible_aspects"]

ASPECT_NAMES = ("parameters", "converter", "energy", "settling", "noise", "mismatch", "climate")
"""All there are, in the order in which they are calibrated."""
NOT_QUICK = ("climate",)
"""Left out of a quick calibration unless asked for: all other aspects again at a dozen corners and temperatures."""
_BY_READOUT = {
    "tia": ASPECT_NAMES,
    "voltage": ("converter", "energy", "mismatch", "climate"),
    "integrator": ("converter", "energy", "mismatch", "climate"),
}
"""Of each kind of read-out. What is held has noise in closed form, and hold knows how lines settle."""
_OF_LIBRARY = {"parameters", "settling", "mismatch"}
"""What is known of the library's ladders and operational amplifiers alone."""


def possible_aspects(chip: Chip) -> tuple[tuple[str, ...], str]:
    """Return the aspects that a chip's calibration can have, and where that is so, in words."""
    kind = chip.sense_amplifier.kind
    if not chip.rails.are_ideal:
        return ("parameters", "energy"), "rails have impedances"
    if chip.cell.is_gated:
        return ("parameters", "converter", "energy", "mismatch", "climate"), "inputs drive gates"
    if kind == "voltage" and chip.dac.is_dac:  # whose mismatch is found with that of amplifiers
        return ("converter", "energy", "climate"), "bit lines float below R-2R drivers"
    there = _BY_READOUT[kind]
    general = tuple(name for name in there if name not in _OF_LIBRARY)
    if is_own(chip.dac.kind):
        return general, "drivers are your own"
    if kind == "tia" and not has_opamp(chip):
        return general, "tia.cir of your own has no opamp"
    return there, f"a read-out is of kind {kind}"


def lacks(chip: Chip, aspect: str, words: str | None = None) -> CalibrationError:
    """Return the error of a calibration that lacks an aspect, called by its name or by other words."""
    there, where = possible_aspects(chip)
    if aspect in there:
        remedy = f"; run: spicesim calibrate CHIP.toml -o chip.cal.json --aspects {aspect}"
    else:
        remedy = f", and where {where} there is no aspect {aspect!r} yet; run without it"
    return CalibrationError(f"the calibration has no {words or aspect}{remedy}")
