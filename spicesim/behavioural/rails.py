"""What impedances between a tile's rails and their sources do: droops that its blocks share, and what follows.

Each droop is that of one rail, from what all blocks draw of it. Amplifiers meet their output rails where the supplies
are, so their tables are read at currents that go along with these; what is left is a polynomial of both supplies.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import RegularGridInterpolator

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.feedback import find_amplifier
from spicesim.chip import Rails
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError, ValidityError
from spicesim.units import format_si

__all__ = ["AmplifierRails", "DriverRails", "Droops", "RailsModel", "ReferenceBuffers", "TileRails", "powers"]

_RAILS = ("supply", "ground", "high", "low", "buffers")
"""Fields of :class:`Droops`."""
_ORDERS = ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1))


def powers(droop: Floats, rise: Floats) -> Floats:
    """Return the terms of polynomials of two supplies, (..., orders), for what they have moved over their reach."""
    return np.stack([droop**k * rise**m for k, m in _ORDERS], axis=-1)


class DriverRails(Model):
    """A word-line driver with one coding, on rails that have moved; polynomials are of :func:`powers`."""

    polarity: Polarity
    """Coding."""
    span: float
    """Of its two references [V]."""
    knots: tuple[int, ...]
    """Codes of the tables."""
    i_limit: float
    """The tables span -i_limit..i_limit evenly; positive out of the driver [A]."""
    shift_open: FloatArray
    """What its output rises by without load, (orders, codes) [V]; switches of single bits move it by their own."""
    shift: FloatArray
    """What it rises by beyond that under load, (orders, knots, currents) [V]."""
    supply: FloatArray
    """What it draws from the supply, (orders, knots, currents) [A]."""
    ladder: FloatArray
    """What goes from the upper reference to the lower one, a code [A]."""
    of_high: FloatArray
    """Rise of its output for one of the upper reference, a code."""
    of_low: FloatArray
    """The same for the lower one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(span=self.span, i_limit=self.i_limit)
        require_rising("knots", self.knots)
        if self.shift.ndim != 3 or self.shift.shape[:2] != (len(_ORDERS), len(self.knots)) or self.shift.shape[2] < 4:
            raise ValueError("shift must have shape (orders, knots, currents)")
        require_shape("supply", self.supply, *self.shift.shape)
        require_shape("ladder", self.ladder, None)
        require_shape("shift_open", self.shift_open, len(_ORDERS), len(self.ladder))
        require_shape("of_high", self.of_high, len(self.ladder))
        require_shape("of_low", self.of_low, len(self.ladder))
        return self

    @cached_property
    def _tables(self) -> RegularGridInterpolator:
        """Shift and supply against code and current, (.., 2, orders)."""
        grid = np.linspace(-self.i_limit, self.i_limit, self.shift.shape[2])
        both = np.moveaxis(np.stack([self.shift, self.supply]), (0, 1), (2, 3))
        method = "cubic" if len(self.knots) > 3 else "linear"
        return RegularGridInterpolator((np.array(self.knots, dtype=float), grid), both, method=method)

    def refined(self, bits: int) -> Self:
        """Return the same driver with more codes, as :meth:`DacModel.refined`."""
        if bits == 0:
            return self
        step, codes = 2**bits, np.arange(len(self.ladder))
        fine = np.arange(step * len(codes)) / step
        finer = {name: np.interp(fine, codes, getattr(self, name)) for name in ("ladder", "of_high", "of_low")}
        opened = np.stack([np.interp(fine, codes, table) for table in self.shift_open])
        knots = tuple(step * knot for knot in self.knots)
        return self.model_copy(update=finer | {"knots": knots, "shift_open": opened})

    def at(self, codes: Codes, currents: Floats, terms: Floats) -> tuple[Floats, Floats]:
        """Return what outputs rise by [V] and what the supply gives [A].

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            Codes.
        currents : ndarray of the same shape
            Load currents [A].
        terms : ndarray of shape (batch, orders)
            Of :func:`powers`.
        """
        inside = np.clip(currents, -self.i_limit, self.i_limit)  # the drivers' own tables refuse what is beyond
        known = np.clip(codes.astype(float), self.knots[0], self.knots[-1])
        found = self._tables(np.stack([known, inside], axis=-1))
        shift, supply = np.einsum("brkm,bm->kbr", found, terms)
        return shift + np.einsum("mbr,bm->br", self.shift_open[:, codes], terms), supply


class AmplifierRails(Model):
    """A sense amplifier with one feedback resistor, on supplies that have moved; polynomials are of :func:`powers`."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    r_process: float | None = None
    """What the process's resistor makes of it [ohm]; None of an ideal one."""
    i_limit: float
    """The tables span -i_limit..i_limit evenly; positive into the virtual ground [A]."""
    knee: float
    """From this current on either side tables go along with the supply of that side [A]."""
    shift: FloatArray
    """What its input rises by besides at such currents, (orders, currents) [V]."""
    supply: FloatArray
    """What it draws from the supply at such currents, (orders, currents) [A]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(r_feedback=self.r_feedback, i_limit=self.i_limit, knee=self.knee)
        require_shape("shift", self.shift, len(_ORDERS), None)
        require_shape("supply", self.supply, *self.shift.shape)
        return self

    @property
    def feedback(self) -> float:
        """Resistance between input and output [ohm]."""
        return self.r_feedback if self.r_process is None else self.r_process

    @property
    def currents(self) -> Floats:
        """Currents of the tables [A]."""
        return np.linspace(-self.i_limit, self.i_limit, self.shift.shape[1])

    def framed(self, currents: Floats, droop: Floats | float, rise: Floats | float) -> Floats:
        """Return at which current an amplifier on full supplies is as far from its rail, for currents [A].

        Positive currents bring the output down to ground, negative ones up to the supply.
        """
        side = np.clip(0.5 + 0.5 * currents / self.knee, 0, 1)
        side = side * side * (3 - 2 * side)
        return np.asarray(currents + ((droop + rise) * side - droop) / self.feedback)

    def added(self, currents: Floats, terms: Floats) -> Floats:
        """Return what inputs rise by besides at framed currents (batch, columns), with terms (batch, orders) [V]."""
        found = np.stack([np.interp(currents, self.currents, table) for table in self.shift], axis=-1)
        return np.asarray(np.einsum("bcm,bm->bc", found, terms))

    def drawn(self, currents: Floats, droop: Floats, rise: Floats, terms: Floats) -> Floats:
        """Return what amplifiers draw from the supply at currents (batch, columns) [A]."""
        grid = self.currents
        at = np.clip(self.framed(currents, droop[:, None], rise[:, None]), grid[0], grid[-1])
        found = np.stack([np.interp(at, grid, table) for table in self.supply], axis=-1)
        return np.asarray(np.einsum("bcm,bm->bc", found, terms))


class ReferenceBuffers(Model):
    """Amplifiers that drive the two references of a tile's drivers, loaded by all ladders together."""

    i_limit: float
    """The tables span 0..i_limit evenly; from the upper reference to the lower one [A]."""
    fall: FloatArray
    """Of the upper reference, (currents,) [V]."""
    rise: FloatArray
    """Of the lower one, (currents,) [V]."""
    power: FloatArray
    """What both dissipate, (currents,) [W]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(i_limit=self.i_limit)
        require_shape("fall", self.fall, None)
        for name, table in (("rise", self.rise), ("power", self.power)):
            require_shape(name, table, len(self.fall))
        return self

    def at(self, currents: Floats) -> tuple[Floats, Floats, Floats]:
        """Return fall and rise of the references [V], and what the buffers dissipate [W], at currents (batch,) [A].

        Raises
        ------
        ValidityError
            If ladders take more than was calibrated.
        """
        if currents.max(initial=0.0) > self.i_limit:
            raise ValidityError(
                f"the ladders of a tile take {format_si(currents.max(), 'A')} of their references, beyond the "
                f"calibrated {format_si(self.i_limit, 'A')}; calibrate a chip with as many rows"
            )
        grid = np.linspace(0.0, self.i_limit, len(self.fall))
        fall, rise, power = (np.interp(currents, grid, table) for table in (self.fall, self.rise, self.power))
        return fall, rise, power


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Droops:
    """What the rails of a tile have moved by, (batch,) each [V]."""

    supply: Floats
    """Fall of the supply."""
    ground: Floats
    """Rise of the ground."""
    high: Floats
    """Fall of the upper reference of the drivers."""
    low: Floats
    """Rise of the lower one."""
    buffers: Floats
    """What buffers of the references dissipate [W]; 0 without."""

    def far(self, other: "Droops") -> float:
        """Return by how much another differs, where a volt of a supply counts as 10 mV of a reference [V]."""
        supplies = max(np.abs(self.supply - other.supply).max(), np.abs(self.ground - other.ground).max())
        references = max(np.abs(self.high - other.high).max(), np.abs(self.low - other.low).max())
        return float(max(0.01 * supplies, references))

    def groups(self, step: float) -> list[Integers]:
        """Return which vectors have their supplies within a step of each other [V]."""
        rounded = np.rint(np.stack([self.supply, self.ground], axis=1) / step)
        _, group = np.unique(rounded, axis=0, return_inverse=True)
        return [np.flatnonzero(group.ravel() == k) for k in range(int(group.max(initial=-1)) + 1)]

    def mean(self, chosen: Integers) -> "Droops":
        """Return the mean of some vectors, as one vector."""
        return Droops(**{name: getattr(self, name)[chosen].mean(keepdims=True) for name in _RAILS})

    def lost(self, rails: Rails) -> Floats:
        """Return what the impedances dissipate, (batch,) [W]."""
        pairs = [(self.supply, rails.r_supply), (self.ground, rails.r_ground)]
        pairs += [(volts, rails.r_reference) for volts in (self.high, self.low)]
        return np.asarray(sum((volts**2 / ohm for volts, ohm in pairs if ohm), start=np.zeros(len(self.supply))))


class RailsModel(Model):
    """The blocks of a chip on rails that have moved."""

    reach: tuple[float, float]
    """Largest fall of the supply and rise of the ground [V]."""
    drivers: dict[Polarity, DriverRails]
    """By polarity."""
    amplifiers: tuple[AmplifierRails, ...]
    """One a feedback resistance."""
    bias: float | None = None
    """What the bias generator of a tile draws from the supply [A]; None where it is ideal."""
    references: dict[Polarity, ReferenceBuffers] | None = None
    """Buffers of the drivers' references, by polarity; None where there are none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(fall=self.reach[0], rise=self.reach[1])
        return self

    def refined(self, bits: int) -> Self:
        """Return the same with drivers of more codes."""
        drivers = {polarity: driver.refined(bits) for polarity, driver in self.drivers.items()}
        return self.model_copy(update={"drivers": drivers})

    def of(self, rails: Rails, polarity: Polarity, r_feedback: float) -> "TileRails":
        """Return the rails of a tile with such drivers and amplifiers.

        Raises
        ------
        CalibrationError
            If the amplifiers, or buffers of the references, were not calibrated.
        """
        if rails.are_buffered and self.references is None:
            raise CalibrationError(
                "buffers of references were not calibrated; calibrate the chip anew, or set rails.references = ideal"
            )
        references = self.references[polarity] if rails.are_buffered and self.references is not None else None
        amplifier = find_amplifier(self.amplifiers, r_feedback, "sense amplifier on moved rails")
        return TileRails(
            rails=rails, reach=self.reach, driver=self.drivers[polarity], amplifier=amplifier, bias=self.bias or 0.0,
            references=references,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileRails:
    """The rails of one tile."""

    rails: Rails
    """The impedances."""
    reach: tuple[float, float]
    """As of :class:`RailsModel`."""
    driver: DriverRails
    """The drivers."""
    amplifier: AmplifierRails
    """The amplifiers."""
    bias: float = 0.0
    """What the bias generator draws from the supply [A]."""
    references: ReferenceBuffers | None = None
    """Buffers of the drivers' references, if there are."""

    def terms(self, droops: Droops) -> Floats:
        """Return the terms of the polynomials, (batch, orders)."""
        return powers(droops.supply / self.reach[0], droops.ground / self.reach[1])

    def at_rest(self, batch: int) -> Droops:
        """Return rails that have not moved."""
        return Droops(**{name: np.zeros(batch) for name in _RAILS})

    def raised(self, codes: Codes, row_currents: Floats, droops: Droops) -> Floats:
        """Return what drivers put out more, (batch, rows) [V]."""
        driver = self.driver
        shift, _ = driver.at(codes, row_currents, self.terms(droops))
        return np.asarray(
            shift - droops.high[:, None] * driver.of_high[codes] + droops.low[:, None] * driver.of_low[codes]
        )

    def droops(self, codes: Codes, row_currents: Floats, currents: Floats, before: Droops) -> Droops:
        """Return what the rails move by when blocks draw what they do on rails as they were before.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            Of the drivers.
        row_currents, currents : ndarray of shape (batch, rows), (batch, columns)
            Out of the drivers, and into the amplifiers [A].
        before : Droops
            Of the rails.

        Raises
        ------
        ValidityError
            If they move further than was calibrated.
        """
        terms, rails = self.terms(before), self.rails
        _, drivers = self.driver.at(codes, row_currents, terms)
        amplifiers = self.amplifier.drawn(currents, before.supply, before.ground, terms)
        drawn = drivers.sum(axis=1) + amplifiers.sum(axis=1) + self.bias
        grounded = drawn - row_currents.sum(axis=1) + currents.sum(axis=1)
        left = 1 - (before.high + before.low) / self.driver.span
        ladders = self.driver.ladder[codes].sum(axis=1) * left
        high = low = rails.r_reference * ladders
        buffers = np.zeros(len(ladders))
        if self.references is not None:
            high, low, buffers = self.references.at(ladders)
        droops = Droops(
            supply=rails.r_supply * drawn,
            ground=rails.r_ground * grounded,
            high=high,
            low=low,
            buffers=buffers,
        )
        for name, volts, reach in (("supply", droops.supply, self.reach[0]), ("ground", droops.ground, self.reach[1])):
            if volts.max(initial=0.0) > reach:
                raise ValidityError(
                    f"the {name} of a tile moves by {volts.max():.4g} V, beyond the calibrated {reach:.4g} V; lower "
                    f"rails.r_{name}, or calibrate again"
                )
        return droops
