"""The successive-approximation ADC: a search, trial by trial, with the weights and the settling of its own capacitors.

Before each strobe the top plate lies at a curve of the input, less the weights of the bits that are set; what has not
settled by then adds a little to a trial, more if the bit before was rejected. The comparator's threshold, which the
input moves a little, is part of the curve.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_shape
from spicesim.coding import AdcRange, Polarity

__all__ = ["SarCheck", "SarModel", "SarRange", "SarSearch"]

BEYOND = 1.1
"""Inputs so far beyond the middle, in halves of the span, end at the last code; the curve is not asked further."""


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
    """What each bit takes from it, least significant first [V]."""
    trials: FloatArray
    """What a trial adds, least significant bit first [V]."""
    rejected: FloatArray
    """What it adds if the bit before was rejected [V]."""
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
    def steps(self) -> tuple[Floats, Codes]:
        """Where the code changes, rising, as values of the curve [V], and the codes between."""
        bits = len(self.weights)
        start = float(self.weights @ (self.sampled >> np.arange(bits) & 1))
        # of the curve, and the code, its weights and the last decision there
        pieces = [(-np.inf, np.inf, 0, 0.0, True)]
        for k in reversed(range(bits)):
            weight, late = float(self.weights[k]), float(self.trials[k])
            parts = []
            for low, high, code, taken, kept in pieces:
                # the bit is kept where the curve less all that is set, and what has not settled, is above the threshold
                limit = taken + weight - start - late - (0.0 if kept else float(self.rejected[k]))
                if limit > low:
                    parts.append((low, min(limit, high), code, taken, False))
                if limit < high:
                    parts.append((max(limit, low), high, code | 1 << k, taken + weight, True))
            pieces = parts
        return np.array([high for _, high, *_ in pieces[:-1]]), np.array([code for _, _, code, *_ in pieces])


class SarCheck(Model):
    """Conversions at transistor level that took no part in the fit, against the model."""

    conversions: int
    """How many."""
    identical: float
    """Fraction of codes that are the same."""
    worst: int
    """Largest difference of a code."""


class SarModel(Model):
    """Column converters of a chip."""

    bits: int
    """Resolution."""
    span: float
    """Range of inputs [V]."""
    searches: dict[Polarity, SarSearch]
    """By the coding of the tile's inputs: outputs of both signs, or below the reference only."""
    checks: dict[Polarity, SarCheck]
    """The same."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(span=self.span)
        if any(len(search.weights) != self.bits for search in self.searches.values()):
            raise ValueError(f"searches must have {self.bits} bits")
        return self

    def range(self, polarity: Polarity) -> "SarRange":
        """Return the converter as a layer uses it."""
        search = self.searches[polarity]
        return SarRange(low=search.low, high=search.high, bits=self.bits, search=search, span=self.span)

    def reach(self, polarity: Polarity) -> float:
        """Return the largest output that it converts [V]."""
        return self.span if polarity == "unipolar" else self.span / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SarRange(AdcRange):
    """A calibrated converter in the place of the uniform quantiser."""

    search: SarSearch
    """Its search."""
    span: float
    """Range of inputs [V]."""

    def codes(self, volts: npt.ArrayLike) -> Codes:
        """Convert outputs below the reference, of any shape [V]; codes rise with them."""
        found = self.search
        place = np.clip((-np.asarray(volts, dtype=float) - found.middle) / (self.span / 2), -BEYOND, BEYOND)
        limits, codes = found.steps
        top = np.polynomial.polynomial.polyval(place, found.curve)
        return np.asarray(2**self.bits - 1 - codes[np.searchsorted(limits, top)])
