"""What every calibrated column converter is to a network: a range in place of the uniform quantiser.

A kind of converter is a model that fulfils :class:`ConverterModel`, and in ``spicesim.calibration`` a
:class:`~spicesim.calibration.converter.Converter`, which knows its circuit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from spicesim._cext import sar as kernel
from spicesim.arrays import Codes, Floats, Shorts
from spicesim.behavioural.arrays import Model
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.chip import Chip
from spicesim.coding import AdcRange, Polarity
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError

__all__ = ["BEYOND", "ConverterCheck", "ConverterModel", "ConverterRange", "Search", "StepTables"]

BEYOND = 1.1
"""Inputs so far beyond the middle, in halves of the span, end at the last code; the curve is not asked further."""


class Search(Protocol):
    """What a converter makes of one range of inputs: a curve of the input, and the steps that it is compared with."""

    @property
    def middle(self) -> float:
        """Middle of the range, relative to the reference [V]."""
        ...

    @property
    def curve(self) -> Floats:
        """Polynomial of the input, from its middle in halves of the span, lowest order first [V]."""
        ...

    @property
    def tables(self) -> "StepTables":
        """Its steps, as a table of one converter."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTables:
    """Converters beside each other, of one curve, ready to convert."""

    steps: Floats
    """Values of the curve up to which each keeps to code 0, 1, .., between -inf and inf twice, shape
    (converters, codes + 2) [V]."""
    lines: Floats
    """First step [V] and steps in a volt [1/V] of each, shape (converters, 2)."""
    which: Shorts
    """Converter of each column, shape (columns,)."""

    @classmethod
    def of(cls, steps: Floats, which: npt.ArrayLike = (0,)) -> Self:
        """Make the tables of steps (converters, codes - 1)."""
        span = steps[:, -1] - steps[:, 0]
        slope = np.divide(steps.shape[1] - 1, span, out=np.zeros_like(span), where=span > 0)
        beyond = np.full((len(steps), 1), np.inf)
        return cls(
            steps=np.concatenate([-beyond, steps, beyond, beyond], axis=1),
            lines=np.stack([steps[:, 0], slope], axis=1), which=np.array(which, dtype=np.int32),
        )  # fmt: skip

    def codes(self, volts: npt.ArrayLike, search: Search, half: float) -> Codes:
        """Convert outputs below the reference, shape (..., columns), or any shape if there is one converter [V].

        Parameters
        ----------
        volts : array_like
            The outputs.
        search : Search
            Whose steps these are, or were drawn from.
        half : float
            Of the span [V].
        """
        array = np.asarray(volts, dtype=float)
        if len(self.which) > 1 and array.shape[-1:] != self.which.shape:
            raise SpecError(f"{len(self.which)} columns have converters, got outputs of shape {array.shape}")
        codes = np.empty(array.shape, dtype=np.int64)
        kernel.convert(
            np.ascontiguousarray(array).reshape(-1), search.middle, half, BEYOND, search.curve, self.steps, self.lines,
            self.which, codes.reshape(-1),
        )  # fmt: skip
        return codes

    def places(self, volts: npt.ArrayLike, search: Search, half: float) -> Floats:
        """Return where outputs lie among the steps; as codes, but on straight lines from one step to the next.

        The step from code 0 to 1 lies at .5. Beyond the first and the last one lines go on for a step as wide as the
        mean one, and end.
        """
        array = np.asarray(volts, dtype=float)
        x = np.clip((-array - search.middle) / half, -BEYOND, BEYOND)
        top = np.polynomial.polynomial.polyval(x, search.curve)
        top = top.reshape(-1, len(self.which))
        found = np.empty_like(top)
        for column, which in enumerate(self.which):
            steps = self.steps[which, 1:-2]
            mean = (steps[-1] - steps[0]) / (len(steps) - 1)
            known = np.concatenate([steps[:1] - mean, steps, steps[-1:] + mean])
            found[:, column] = len(steps) - np.interp(top[:, column], known, np.arange(len(known)) - 0.5)
        return np.asarray(found.reshape(array.shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterRange(AdcRange):
    """A calibrated converter in the place of the uniform quantiser."""

    search: Search
    """Its search."""
    span: float
    """Range of inputs [V]."""
    drawn: StepTables | None = None
    """The converters of a tile of a drawn chip, which differ from it; None for nominal ones."""
    rising: bool = False
    """Whether inputs rise above the reference with outputs."""

    def codes(self, volts: npt.ArrayLike) -> Codes:
        """Convert outputs below the reference, of any shape, or (..., columns) if drawn [V]; codes rise with them."""
        tables, sampled = self.drawn or self.search.tables, np.asarray(volts, dtype=float)
        if self.rising:  # an input above the reference is a negative output of an amplifier
            return np.asarray(2**self.bits - 1 - tables.codes(-sampled, self.search, self.span / 2))
        return tables.codes(sampled, self.search, self.span / 2)

    def places(self, volts: npt.ArrayLike) -> Floats:
        """Return what :meth:`codes` would be without steps, by :meth:`StepTables.places`."""
        tables, sampled = self.drawn or self.search.tables, np.asarray(volts, dtype=float)
        if self.rising:
            return np.asarray(2**self.bits - 1 - tables.places(-sampled, self.search, self.span / 2))
        return tables.places(sampled, self.search, self.span / 2)


class ConverterCheck(Model):
    """Conversions at transistor level that took no part in the fit, against the model."""

    conversions: int
    """How many."""
    identical: float
    """Fraction of codes that are the same: counted, or expected by how far conversions are from steps of the model."""
    worst: int
    """Largest difference of a code."""
    in_turn: float | None = None
    """As `identical`, of conversions right after each other, whose arrays keep something of the one before; None where
    they keep nothing. The model's arrays held the reference before."""


class ConverterModel(Protocol):
    """Column converters of a chip, of any kind."""

    @property
    def bits(self) -> int:
        """Resolution."""
        ...

    @property
    def span(self) -> float:
        """Range of inputs [V]."""
        ...

    @property
    def checks(self) -> Mapping[Polarity, ConverterCheck]:
        """Conversions that were held out, by the coding of a tile's inputs."""
        ...

    @property
    def hand_over(self) -> HandOverModel | None:
        """What they receive of the outputs of amplifiers; None where ideal sources drive them."""
        ...

    @property
    def noises(self) -> Mapping[str, float]:
        """Noise of a conversion as a root mean square at the input, by what makes it and as far as it is known [V]."""
        ...

    @property
    def noise(self) -> float:
        """All of it [V].

        Raises
        ------
        CalibrationError
            If some is not known.
        """
        ...

    @property
    def spans(self) -> tuple[float, ...]:
        """Ranges of inputs that a layer can choose from, widest first [V]."""
        ...

    def over(self, span: float) -> Self:
        """Return the converters of one span [V].

        Raises
        ------
        CalibrationError
            If it is none of :attr:`spans`.
        """
        ...

    def require_chip(self, chip: Chip) -> None:
        """Refuse to be the converters of a chip whose converters are others, by a ValueError."""
        ...

    def range(self, polarity: Polarity) -> ConverterRange:
        """Return the converter as a layer uses it."""
        ...

    def reach(self, polarity: Polarity) -> float:
        """Return the largest output that it converts [V]."""
        ...

    def on_chip(
        self, mismatch: MismatchModel, chip: Chip, polarity: Polarity, which: npt.ArrayLike, draw: ChipDraw
    ) -> ConverterRange:
        """Return the converters of a tile of a drawn chip as a layer uses them.

        Parameters
        ----------
        mismatch : MismatchModel
            How they follow from their devices.
        chip : Chip
            The chip.
        polarity : {"unipolar", "bipolar"}
            Coding of the tile's inputs.
        which : array_like of int, shape (columns,)
            Converter of each column, ascending.
        draw : ChipDraw
            Numbers of the tile's devices.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        ...
