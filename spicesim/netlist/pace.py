"""How fine the time steps of transients are: options of ngspice that microvolts ask for, and what can be saved there.

The library's own transistors, of level 1, do not conserve charge: longer steps move thresholds of their comparators by
.2 mV, so that nothing is saved with them.
"""

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc

__all__ = ["PRECISE", "converting", "of_tiles"]

PRECISE = ".options klu reltol=1e-5 vntol=1e-7 abstol=1e-12"
"""Codes are the same only at the same tolerance; with those of data sheets some per cent of them are others. What a
hold switch leaves moves by 1 uV with ten times finer ones, which take twice as long."""

_UNCHANGED = " bypass=1"
"""Transistors whose voltages stand still, as most of an array's, are not looked at again: a fifth to two fifths of the
time, and thresholds and top plates of converters stay within 1 uV. Plane adders would be 60 uV off."""

_LONGER, _OF_TILES = " trtol=14", " trtol=20"
"""Longer time steps of converters and of tiles, in three quarters of the time: thresholds stay within 2 uV and top
plates within 1 uV of what ten times finer tolerances have, outputs of tiles within 7 uV."""

_WIDE_STEP = 0.7e-3
"""A converter's step from which on that does not matter [V]."""


def _conserves_charge(chip: Chip) -> bool:
    return not any(model.path.startswith("library:") for model in chip.process.models)


def converting(chip: Chip, sizes: SarAdc) -> str:
    """Return the options with which converters find their codes, fine enough for the narrowest step they have."""
    if not _conserves_charge(chip):
        return PRECISE
    least = min((sizes.dac.span, *sizes.spans)) / 2.0**sizes.dac.bits
    return PRECISE + _UNCHANGED + (_LONGER if least >= _WIDE_STEP else "")


def of_tiles(chip: Chip, options: str = PRECISE) -> str:
    """Return the options with which whole tiles are read by converters, with longer time steps where these do."""
    return options + (_OF_TILES if _conserves_charge(chip) else "")
