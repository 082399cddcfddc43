"""Converters whose code is how many thresholds lie below the input: single-slope, flash, and ones of one's own.

Thresholds are those of a nominal converter, measured. One comparator moves all of them on drawn chips, or one each.
"""

from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_shape
from spicesim.behavioural.converter import ConverterCheck, ConverterRange, StepTables
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.draws import CAPACITOR, CONVERTER, ChipDraw
from spicesim.errors import CalibrationError
from spicesim.own_code import is_own

__all__ = ["StepModel", "StepSearch"]


class StepSearch(Model):
    """The thresholds of one range of inputs."""

    middle: float
    """Middle of the range, relative to the reference [V]."""
    curve: FloatArray
    """Polynomial of the input, from its middle in halves of the span, lowest order first: what is compared [V]."""
    steps: FloatArray
    """Values of it at which codes change, rising, shape (codes - 1,) [V]; the first is that of the last code, as codes
    rise with outputs, which are below the reference."""
    low: float
    """Output below the reference of code 0, by a straight line through conversions of known voltages [V]."""
    high: float
    """The same of the last code [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("curve", self.curve, None)
        require_shape("steps", self.steps, None)
        if (np.diff(self.steps) < 0).any():
            raise ValueError("steps must not fall")
        if not self.low < self.high:
            raise ValueError(f"low must lie below high, got {self.low:g} and {self.high:g} V")
        return self

    @cached_property
    def tables(self) -> StepTables:
        """Its steps, as a table of one converter."""
        return StepTables.of(self.steps[None])


class StepModel(Model):
    """Column converters of a chip, by their thresholds."""

    kind: str
    """As the chip's ``adc.kind``."""
    bits: int
    """Resolution."""
    span: float
    """Range of inputs [V]."""
    rising: bool = False
    """Whether inputs rise above the reference with outputs, as floating lines do, instead of falling below it; all are
    then converted around it."""
    searches: dict[Polarity, StepSearch]
    """By the coding of the tile's inputs: outputs of both signs, or below the reference only."""
    checks: dict[Polarity, ConverterCheck]
    """The same."""
    noises: dict[str, float]
    """Noise of a conversion as a root mean square at the input, by what makes it [V]."""
    unknown_noise: str | None = None
    """What noise is not known, and what to do about it; None if all is."""
    attenuation: float = 1.0
    """What the capacitor of a column leaves of a staircase, by whose rise steps are given [1]; 1 without one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(span=self.span, attenuation=self.attenuation)
        for search in self.searches.values():
            require_shape("steps", search.steps, 2**self.bits - 1)
        if any(value < 0 for value in self.noises.values()):
            raise ValueError("noises must not be negative")
        return self

    @property
    def spans(self) -> tuple[float, ...]:
        """Its only range of inputs [V]."""
        return (self.span,)

    def over(self, span: float) -> Self:
        """Return itself, as no range can be chosen."""
        return self

    def unchecked(self) -> Self:
        """Return the same without checks, which are of one condition and do not mix with others."""
        return self.model_copy(update={"checks": {}})

    @property
    def hand_over(self) -> None:
        """Return None: an ideal source drives them."""
        return None

    def require_chip(self, chip: Chip) -> None:
        """Refuse a chip whose converters are others."""
        amplifier = chip.sense_amplifier
        if (self.kind, self.bits) != (chip.adc.kind, chip.adc.bits):
            raise ValueError(f"converter must be of kind {chip.adc.kind!r} and of {chip.adc.bits} bits, as the chip's")
        codings = {amplifier.output_range(polarity) for polarity in chip.polarities}
        if set(self.searches) != codings or self.rising != (amplifier.kind == "voltage"):
            raise ValueError(f"converter must have searches for {' and '.join(sorted(codings))}, of such a read-out")

    def search(self, polarity: Polarity) -> StepSearch:
        """Return the search over the outputs that inputs of a coding make."""
        return self.searches["bipolar" if self.rising else polarity]

    def range(self, polarity: Polarity) -> ConverterRange:
        """Return the converter as a layer uses it."""
        search = self.search(polarity)
        low, high = (-search.high, -search.low) if self.rising else (search.low, search.high)
        return ConverterRange(low=low, high=high, bits=self.bits, search=search, span=self.span, rising=self.rising)

    def reach(self, polarity: Polarity) -> float:
        """Return the largest output that it converts [V]."""
        return self.span if polarity == "unipolar" and not self.rising else self.span / 2

    @property
    def noise(self) -> float:
        """Noise of a conversion as a root mean square at the input [V].

        Raises
        ------
        CalibrationError
            If some is not known.
        """
        if self.unknown_noise is not None:
            raise CalibrationError(f"the noise of the converters is not known: {self.unknown_noise}; run without noise")
        return float(np.sqrt(sum(value**2 for value in self.noises.values())))

    def drawn(self, polarity: Polarity, offsets: Floats, errors: Floats, which: npt.ArrayLike) -> ConverterRange:
        """Return the converters of a tile of a drawn chip as a layer uses them.

        A sampling capacitor that is larger takes more of the staircase.

        Parameters
        ----------
        polarity : {"unipolar", "bipolar"}
            Coding of the tile's inputs.
        offsets : ndarray of shape (converters,) or (converters, codes - 1)
            Of the threshold of the one comparator, or of those of all, that of the first code first, at its input [V].
        errors : ndarray of shape (converters,)
            Relative ones of their sampling capacitors [1].
        which : array_like of int, shape (columns,)
            Converter of each column.
        """
        search = self.search(polarity)
        moved = np.asarray(offsets, dtype=float)
        moved = moved[:, None] if moved.ndim == 1 else moved[:, ::-1]
        share = 1 + (1 - self.attenuation) * np.asarray(errors)[:, None]
        steps = search.steps * share + moved / self.attenuation
        # of two comparators that have changed places the counter sees how many say so
        return replace(self.range(polarity), drawn=StepTables.of(np.sort(steps, axis=1), which))

    def on_chip(
        self, mismatch: MismatchModel, chip: Chip, polarity: Polarity, which: npt.ArrayLike, draw: ChipDraw
    ) -> ConverterRange:
        """Return the converters of a tile of a drawn chip as a layer uses them.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        if mismatch.converter is None and is_own(self.kind):
            raise CalibrationError(
                f"converters of kind {self.kind!r} do not say how they differ on drawn chips; give their class a "
                "method comparator and calibrate again, or run without mismatch"
            )
        response = mismatch.require_converter()
        count, comparators = int(np.max(which)) + 1, len(response.names)
        spread = chip.capacitor_spread(chip.ramp_adc.capacitor, chip.ramp_adc.mismatch)
        errors = draw.numbers(CONVERTER, f"{CAPACITOR}hold", count)[:, 0] * spread
        found = response.draw(draw, count)
        return self.drawn(polarity, found[:, 0] if comparators == 1 else found, errors, which)
