"""The successive-approximation ADC: a search, trial by trial, with the weights and the settling of its own capacitors.

Before each strobe the top plate lies at a curve of the input, less the weights of the bits that are set; what has not
settled by then adds a little to a trial, more if the bit before was rejected. The comparator's threshold, which the
input moves a little, is part of the curve, and what bits that are set move of it, of their weights.
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
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.draws import ChipDraw
from spicesim.errors import CalibrationError

__all__ = ["SarModel", "SarSearch", "SarSpan"]


class SarSearch(Model):
    """The search over one range of inputs."""

    sampled: int
    """Bits that are set while it samples."""
    middle: float
    """Middle of the range, relative to the reference [V]."""
    curve: FloatArray
    """Polynomial of the input, from its middle in halves of the span, lowest order first: the top plate with the
    sampled bits, above the threshold [V]."""
    weights: FloatArray
    """What each bit takes from it, and raises the threshold by, least significant first [V]."""
    trials: FloatArray
    """What a trial adds, least significant bit first [V]."""
    rejected: FloatArray
    """What it adds if the bit before was rejected [V]."""
    earlier: float = 0.0
    """What it adds if the bit two before was: the comparator remembers a little [V]."""
    low: float
    """Output below the reference of code 0, by a straight line through conversions of known voltages [V]."""
    high: float
    """The same of the last code [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("curve", self.curve, None)
        require_shape("weights", self.weights, None)
        bits = len(self.weights)
        require_shape("trials", self.trials, bits)
        require_shape("rejected", self.rejected, bits)
        if not 0 <= self.sampled < 2**bits:
            raise ValueError(f"sampled must be a code of {bits} bits, got {self.sampled}")
        if not self.low < self.high:
            raise ValueError(f"low must lie below high, got {self.low:g} and {self.high:g} V")
        return self

    @cached_property
    def tables(self) -> StepTables:
        """Its steps, as a table of one converter."""
        return StepTables.of(self._steps(self.weights[None]))

    def drawn(self, offsets: Floats, weights: Floats, which: npt.ArrayLike) -> StepTables:
        """Return the tables of converters that differ from this one.

        Parameters
        ----------
        offsets : ndarray of shape (converters,)
            Of the input of each comparator [V].
        weights : ndarray of shape (converters, bits)
            What each bit of each takes from its top plate [V].
        which : array_like of int, shape (columns,)
            Converter of each column.
        """
        return StepTables.of(self._steps(weights) + offsets[:, None], which)

    def _steps(self, weights: Floats) -> Floats:
        """Return below what value of its curve each converter keeps to codes up to 0, 1, ..: (converters, codes - 1).

        They do not fall; a code that no input has lies between two that are equal.
        """
        count, bits = weights.shape
        start = weights @ (self.sampled >> np.arange(bits) & 1)
        # pieces of the curve's values, in their order and that of codes, as they are halved by each decision; empty
        # ones end below their beginning
        low, high = np.full((count, 1), -np.inf), np.full((count, 1), np.inf)
        taken, rejected, earlier = np.zeros((count, 1)), np.zeros(1), np.zeros(1)
        for k in reversed(range(bits)):
            # the bit is kept where the curve less all that is set, and what has not settled, is above the threshold
            late = self.trials[k] + rejected * self.rejected[k] + earlier * self.earlier
            limit = taken + weights[:, k, None] - start[:, None] - late
            low = np.stack([low, np.maximum(limit, low)], axis=-1).reshape(count, -1)
            high = np.stack([np.minimum(limit, high), high], axis=-1).reshape(count, -1)
            taken = np.stack([taken, taken + weights[:, k, None]], axis=-1).reshape(count, -1)
            rejected, earlier = np.tile([1.0, 0.0], len(rejected)), np.repeat(rejected, 2)
        return np.maximum.accumulate(np.where(low < high, high, -np.inf), axis=1)[:, :-1]


class SarSpan(Model):
    """What a converter is with references that are closer to each other."""

    span: float
    """Range of inputs [V]."""
    searches: dict[Polarity, SarSearch]
    """As of :class:`SarModel`."""
    checks: dict[Polarity, ConverterCheck]
    """The same."""


class SarModel(Model):
    """Column converters of a chip."""

    bits: int
    """Resolution."""
    span: float
    """Range of inputs [V]."""
    rising: bool = False
    """Whether inputs rise above the reference with outputs, as floating lines do, instead of falling below it; all are
    then converted around it."""
    searches: dict[Polarity, SarSearch]
    """By the coding of the tile's inputs: outputs of both signs, or below the reference only."""
    checks: dict[Polarity, ConverterCheck]
    """The same."""
    sampling_noise: float
    """Root mean square of what sampling leaves on the array, kT/C [V]."""
    comparator_noise: float | None
    """The same of a decision, at the input [V]; None where the process's transistors do not tell theirs."""
    hand_over: HandOverModel | None = None
    """What arrays receive of the outputs of read-outs, at the chip's own condition whatever the converter's; None where
    ideal buffers stand between."""
    narrower: tuple[SarSpan, ...] = ()
    """With the references of its other spans, widest first."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(
            span=self.span, sampling_noise=self.sampling_noise, comparator_noise=self.comparator_noise or 1.0,
            narrowest=min(self.spans),
        )  # fmt: skip
        for searches in (self.searches, *(own.searches for own in self.narrower)):
            if any(len(search.weights) != self.bits for search in searches.values()):
                raise ValueError(f"searches must have {self.bits} bits")
            if searches.keys() != self.searches.keys():
                raise ValueError(f"every span must have searches for {' and '.join(sorted(self.searches))}")
        return self

    @property
    def spans(self) -> tuple[float, ...]:
        """Ranges of inputs that it can be switched to, widest first [V]."""
        return (self.span, *(own.span for own in self.narrower))

    def over(self, span: float) -> Self:
        """Return the converters with the references of one span [V].

        Raises
        ------
        CalibrationError
            If it is none of theirs.
        """
        whole = SarSpan(span=self.span, searches=self.searches, checks=self.checks)
        for own in (whole, *self.narrower):
            if abs(own.span - span) <= 1e-6 * span:
                alone = {"span": own.span, "searches": own.searches, "checks": own.checks, "narrower": ()}
                return self.model_copy(update=alone)
        raise CalibrationError(
            f"converters with a span of {span:g} V are not calibrated, only of "
            f"{', '.join(f'{own:g}' for own in self.spans)} V; add it to sar_adc.spans and calibrate again"
        )

    def unchecked(self) -> Self:
        """Return the same without checks, which are of one condition and do not mix with others."""
        narrower = tuple(own.model_copy(update={"checks": {}}) for own in self.narrower)
        return self.model_copy(update={"checks": {}, "narrower": narrower})

    def require_chip(self, chip: Chip) -> None:
        """Refuse a chip whose converters are others."""
        sizes, amplifier = chip.converter, chip.sense_amplifier
        if sizes is None:
            raise ValueError(f"converter must be of kind {chip.adc.kind!r}, as the chip's, not sar")
        if (self.bits, self.span) != (sizes.dac.bits, sizes.dac.span):
            raise ValueError("converter must have the chip's bits and span")
        if self.spans[1:] != sizes.spans:
            raise ValueError("converter must have the chip's spans, sar_adc.spans")
        codings = {amplifier.output_range(polarity) for polarity in chip.polarities}
        if set(self.searches) != codings or self.rising != (amplifier.kind == "voltage"):
            raise ValueError(f"converter must have searches for {' and '.join(sorted(codings))}, of such a read-out")
        own = self.hand_over
        if own is not None and (chip.has_ideal_buffers or abs(own.sample - sizes.sample) > 1e-9 * sizes.sample):
            raise ValueError(
                "converter.hand_over must be of amplifiers, integrators or buffers, and of the chip's sar_adc.sample"
            )

    def range(self, polarity: Polarity) -> ConverterRange:
        """Return the converter as a layer uses it."""
        search = self.search(polarity)
        low, high = (-search.high, -search.low) if self.rising else (search.low, search.high)
        return ConverterRange(low=low, high=high, bits=self.bits, search=search, span=self.span, rising=self.rising)

    def search(self, polarity: Polarity) -> SarSearch:
        """Return the search over the outputs that inputs of a coding make."""
        return self.searches["bipolar" if self.rising else polarity]

    @property
    def noises(self) -> dict[str, float]:
        """Noise of a conversion as a root mean square at the input, as far as it is known [V]."""
        known = {} if self.comparator_noise is None else {"comparator": self.comparator_noise}
        return {"sampling": self.sampling_noise} | known

    @property
    def noise(self) -> float:
        """Noise of a conversion as a root mean square at the input [V].

        Raises
        ------
        CalibrationError
            If that of the comparator is not known.
        """
        if self.comparator_noise is None:
            raise CalibrationError(
                "the noise of the converters' comparators is not known, as the process's transistors are not called as "
                "bare models; set process.call = 'M' and calibrate again, or run without noise"
            )
        return float(np.hypot(self.sampling_noise, self.comparator_noise))

    def drawn(self, polarity: Polarity, thresholds: Floats, errors: Floats, which: npt.ArrayLike) -> ConverterRange:
        """Return the converters of a tile of a drawn chip as a layer uses them.

        A capacitor that is larger takes more with its bit, and all others less, as it loads the top plate.

        Parameters
        ----------
        polarity : {"unipolar", "bipolar"}
            Coding of the tile's inputs.
        thresholds : ndarray of shape (converters, 1 + bits)
            What they have more, and what each bit adds to them if it is set, half of it up and half of it down [V].
        errors : ndarray of shape (converters, bits)
            Relative ones of their capacitors, least significant first [1].
        which : array_like of int, shape (columns,)
            Converter of each column.
        """
        search = self.search(polarity)
        weights = search.weights * (1 + errors) / (1 + errors @ search.weights / self.span)[:, None]
        levels = thresholds[:, 1:]
        sampled = (search.sampled >> np.arange(self.bits) & 1) - 0.5
        offsets = thresholds[:, 0] + levels @ sampled
        return replace(self.range(polarity), drawn=search.drawn(offsets, weights + levels, which))

    def on_chip(
        self, mismatch: MismatchModel, chip: Chip, polarity: Polarity, which: npt.ArrayLike, draw: ChipDraw
    ) -> ConverterRange:
        """Return the converters of a tile of a drawn chip as a layer uses them.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        assert chip.converter is not None
        count = int(np.max(which)) + 1
        thresholds, errors = mismatch.draw_converters(chip.converter.dac, count, seed=draw.seed, name=draw.tile)
        return self.drawn(polarity, thresholds, errors, which)

    def reach(self, polarity: Polarity) -> float:
        """Return the largest output that it converts [V]."""
        return self.span if polarity == "unipolar" and not self.rising else self.span / 2
