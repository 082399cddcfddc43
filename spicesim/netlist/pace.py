"""How fine the time steps of transients are: options of ngspice that microvolts ask for, and what can be saved there.

The library's own transistors, of level 1, do not conserve charge: longer steps move thresholds of their comparators by
.2 mV, so that nothing is saved with them. The option bypass would save a fifth to two fifths of the time, and is not
for use: most outputs of macros of pulses are 43 mV off, and an operating point at ss was off by 14 % of full scale.
"""

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc

__all__ = ["PRECISE", "converting", "pulsed"]

PRECISE = ".options klu reltol=1e-5 vntol=1e-7 abstol=1e-12"
"""Codes are the same only at the same tolerance; with those of data sheets some per cent of them are others. What a
hold switch leaves moves by 1 uV with ten times finer ones, which take twice as long."""

_CONVERTING = " trtol=14"
"""Longer time steps of converters, in three quarters of the time: thresholds stay within 2 uV and top plates within 1
uV of what ten times finer tolerances have, give and take 15 in single trials."""

_WIDE_STEP = 1.5e-3
"""A converter's step from which on that does not matter [V]: of .39 mV seven codes of eight were the model's then."""

_PULSED = " trtol=20"
"""The same of tiles of pulses, whose outputs stay within 16 uV, at corners, too. Sums of planes would be 80 uV off."""


def _saves(chip: Chip, saved: str) -> str:
    return "" if any(model.path.startswith("library:") for model in chip.process.models) else saved


def converting(chip: Chip, sizes: SarAdc) -> str:
    """Return the options with which converters find their codes, fine enough for the narrowest step they have."""
    least = min((sizes.dac.span, *sizes.spans)) / 2.0**sizes.dac.bits
    return PRECISE + (_saves(chip, _CONVERTING) if least >= _WIDE_STEP else "")


def pulsed(chip: Chip, options: str) -> str:
    """Return the options with which tiles integrate pulses that converters read, finer than which they may not be."""
    return options + _saves(chip, _PULSED)
