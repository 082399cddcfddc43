"""A tile driven by pulses and read by integrators: what each bit line's charge makes of its output.

Drivers have two levels, so at any time a tile is at one of the operating points of a static tile, which amplifiers read
that hold the lines as an integrator does: by what its transistors need to take a current. A product's charge is the sum
of these operating points' currents times how long each lasts. Wires' capacitances only move charge in time. What
switches add to it, and what they take, goes with the sum of a line's conductances.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.dac import IDEAL_REACH, DacModel
from spicesim.behavioural.integrator_mismatch import IntegratorMismatch
from spicesim.behavioural.mismatch import TileInstance
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.coding import POLARITIES, Polarity, rest_code
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.pulses import Pulses, superpose

__all__ = ["ChargeLaw", "IntegratorModel", "PulseState", "PulseTile"]

MANY_ROWS, POINTS = 64, 16
"""Tiles of more rows are solved at so many of the operating points of a product."""
PORTION = 4096
"""Operating points at a time."""


class ChargeLaw(Model):
    """The output that a charge makes."""

    gain: float
    """Output over charge by the drawn capacitor."""
    window: float
    """Time in which the integrator runs [s]."""
    longer: float
    """What all pulses last more than their units [s]."""
    excess: float
    """What pulses last longer than they are told, as far as charge goes [s]."""
    pedestals: FloatArray
    """Output without charge: for each number of cells, powers of the mean conductance of a cell, (rows, orders) [V]."""

    def ideal(self) -> Self:
        """Return the law of the drawn capacitor alone."""
        return self.model_copy(update={"gain": 1.0, "excess": 0.0, "pedestals": np.zeros_like(self.pedestals)})


class IntegratorModel(Model):
    """An integrator: how it holds its line, and the output a charge makes."""

    port: SenseAmplifierModel
    """How it holds its line at a steady current; its output is that of an ideal capacitor after all of the window."""
    bits: int
    """Longest pulses have 2^bits - 1 units."""
    unit: float
    """Length of a pulse of one step [s]."""
    settle: float
    """From the reset to the pulses, from these to the end of the window, and from there to the read [s]."""
    lead: float
    """From the start of the window to the pulses [s]."""
    reset: float
    """Time of the reset [s]."""
    leak: float
    """How far the input follows the output, away from it: one by the amplifier's gain."""
    laws: dict[Polarity, ChargeLaw]
    """Outputs of charges, by the coding of inputs."""
    rows: tuple[int, ...]
    """Cells a line that were calibrated, rising."""
    g_cell: float
    """Unit of conductance, of one cell: the largest [S]."""
    swing: float
    """Largest calibrated output of either sign: of all rows on, with largest conductances [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(unit=self.unit, settle=self.settle, reset=self.reset, g_cell=self.g_cell, swing=self.swing)
        require_rising("rows", self.rows, least=1)
        if set(self.laws) != set(POLARITIES):
            raise ValueError(f"laws must be {' and '.join(POLARITIES)}")
        for law in self.laws.values():
            require_shape("pedestals", law.pedestals, len(self.rows), None)
        if not 1 <= self.bits <= 16:
            raise ValueError(f"bits must be 1..16, got {self.bits}")
        return self

    @property
    def r_feedback(self) -> float:
        """Output a unit of mean current, were the capacitor as drawn [ohm]."""
        return self.port.r_feedback

    @property
    def full_scale(self) -> float:
        """Largest output of either sign [V]."""
        return self.swing

    @property
    def linear_swing(self) -> float:
        """The same: outputs are linear in charge as far as they were calibrated."""
        return self.swing

    @property
    def length(self) -> float:
        """Time in which all pulses lie [s]."""
        return self.unit * 2.0**self.bits

    def product(self, polarity: Polarity) -> float:
        """Return the time of a product, from the reset to the read [s]."""
        return self.reset + self.settle + self.laws[polarity].window - self.lead + self.settle

    def pedestals(self, polarity: Polarity, cells: npt.ArrayLike, total: npt.ArrayLike) -> Floats:
        """Return the outputs of lines without charge [V].

        Parameters
        ----------
        polarity : {"unipolar", "bipolar"}
            Coding of the inputs.
        cells : array_like of int
            Cells of each line.
        total : array_like of the same shape
            Sum of the conductances of their devices [S].

        Raises
        ------
        ValidityError
            If a line has more cells than were calibrated.
        """
        count = np.asarray(cells, dtype=float)
        if count.size and count.max() > self.rows[-1]:
            raise ValidityError(
                f"integrators were calibrated on lines of up to {self.rows[-1]} cells, not {count.max():g}; calibrate "
                "a chip with an array of as many rows"
            )
        count = np.maximum(count, self.rows[0])
        law = self.laws[polarity].pedestals
        c = PchipInterpolator(np.log(self.rows), law, axis=0)(np.log(count)) if len(self.rows) > 1 else law[0]
        share = np.asarray(total, dtype=float) / (count * self.g_cell)
        return np.asarray((c * share[..., None] ** np.arange(law.shape[1])).sum(axis=-1))

    def require_known(self, volts: Floats) -> None:
        """Refuse outputs that were not calibrated.

        Raises
        ------
        ValidityError
            If one lies beyond those calibrated.
        """
        if volts.size and not np.abs(volts).max() <= BEYOND * self.swing:
            raise ValidityError(
                f"an integrator's output moves by {np.abs(volts).max():.4g} V, beyond the calibrated {self.swing:.4g} "
                "V; calibrate a chip with an array of as many rows"
            )

    def refined(self, bits: int) -> Self:
        """Return the same integrators for pulses as long, of so many bits."""
        return self.model_copy(update={"bits": bits, "unit": self.length * 2.0**-bits})

    def ideal(self) -> Self:
        """Return integrators that hold their lines, of the capacitor as drawn, without switches' charges."""
        return self.model_copy(
            update={
                "port": self.port.ideal(),
                "leak": 0.0,
                "laws": {polarity: law.ideal() for polarity, law in self.laws.items()},
                "swing": IDEAL_REACH * self.swing,
            }
        )


BEYOND = 1.1
"""Outputs over those calibrated: lines hold what conductances of devices they have within a few per cent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PulseState:
    """What products give, one a code vector."""

    v_out: Floats
    """Outputs, positive for positive products: below the reference; shape (batch, columns) [V]."""


class Currents(Protocol):
    """Solves operating points of two levels, (points, rows), for currents (points, columns) [A]."""

    def __call__(self, on: Integers, threads: int, tolerance: float | None = None) -> Floats: ...


class PulseTile:
    """One tile of calibrated blocks, driven by pulses and read by integrators.

    Parameters
    ----------
    static : BehaviouralTile
        The tile at rest, its drivers at one of two levels, read by the integrators' ports.
    readout : IntegratorModel
        The integrators.
    instance : TileInstance, optional
        What each block of this tile is beyond the calibrated one; `static` has it, too.
    """

    def __init__(
        self, static: BehaviouralTile, readout: IntegratorModel, *, instance: TileInstance | None = None
    ) -> None:
        self.static, self.readout = static, readout
        self.g = static.g
        self._law = readout.laws[static.dac.polarity]
        total, cells = self.g.sum(axis=0), (self.g != 0).sum(axis=0)
        self._pedestals = readout.pedestals(static.dac.polarity, cells, total)
        self._gains: Floats | float = 1.0
        self._offsets: Floats | float = 0.0  # outputs by offsets alone, which a drawn one has beyond its swing
        if instance is not None and isinstance(instance.amplifiers, IntegratorMismatch):
            drawn, law = instance.amplifier_parameters, self._law
            self._gains, added = drawn[:, 0], instance.amplifiers.added(drawn, cells, total)
            self._pedestals = self._pedestals + added
            held = total / (1 + readout.port.parameters["r_in"].value * total)
            ohm = readout.r_feedback * law.window / readout.length
            self._offsets = added - ohm * held * instance.amplifiers.offsets(drawn)
        steps = readout.unit * readout.r_feedback / readout.length  # of the output by its own leak, a unit of time
        self._leaks = readout.leak * steps * total / (1 + readout.port.parameters["r_in"].value * total)

    @property
    def dac(self) -> DacModel:
        """The drivers, of two levels."""
        return self.static.dac

    @property
    def setting(self) -> float:
        """Output a unit of mean current [ohm]."""
        return self.readout.r_feedback

    @property
    def rest_code(self) -> int:
        """Code of an input of 0."""
        return rest_code(self.dac.polarity, self.readout.bits)

    def checked(self, codes: Codes) -> Integers:
        """Return codes (batch, rows).

        Raises
        ------
        SpecError
            If their shape is another, or one is no length of a pulse.
        """
        index, top = np.ascontiguousarray(codes, dtype=np.int64), 2**self.readout.bits - 1
        if index.ndim != 2 or index.shape[1] != self.g.shape[0]:
            raise SpecError(f"codes must have shape (batch, {self.g.shape[0]}), got {index.shape}")
        if index.size and (index.min() < 0 or index.max() > top):
            raise SpecError(f"codes of pulses must lie in 0..{top}, got {index.min()}..{index.max()}")
        return index

    @cached_property
    def alone(self) -> Floats:
        """Currents with all rows at the lower level, then with each row alone at the higher, (1 + rows, columns)."""
        rows = self.g.shape[0]
        return self._currents(np.concatenate([np.zeros((1, rows)), np.eye(rows)]).astype(np.int64), 1)

    @cached_property
    def together(self) -> Floats:
        """Currents with all rows at the higher level, (columns,)."""
        return np.asarray(self._currents(np.ones((1, self.g.shape[0]), dtype=np.int64), 1)[0])

    def solve(
        self, codes: Codes, *, points: int | None = None, tolerance: float | None = None, threads: int = 1
    ) -> PulseState:
        """Multiply.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            Lengths of the pulses in units.
        points : int, optional
            Operating points that are solved of a product, at most; by default all, up to 64 rows, and then 16.
        tolerance : float, optional
            As of :meth:`spicesim.crossbar.Crossbar.solve`.
        threads : int
            Threads to spread operating points over.

        Raises
        ------
        ValidityError
            If a solved current or voltage lies outside the calibrated box of a block.
        ConvergenceError
            If the solver does not reach its tolerance.
        """
        index = self.checked(codes)
        portion = max(1, PORTION // (points or min(self.g.shape[0], MANY_ROWS)))
        parts = [
            self.charge(part, self.pulses(part, points), self._currents, threads, tolerance)
            for part in (index[k : k + portion] for k in range(0, max(1, len(index)), portion))
        ]
        return PulseState(v_out=self.outputs(np.concatenate(parts)))

    def lengths(self, codes: Integers) -> Floats:
        """Return how long pulses last [units]."""
        return np.asarray(codes + self._law.longer / self.readout.unit)

    def pulses(self, codes: Integers, points: int | None = None) -> Pulses:
        """Choose the operating points of products that are solved; see :meth:`solve`."""
        rows = self.g.shape[0]
        return superpose(self.lengths(codes), points or (rows if rows <= MANY_ROWS else POINTS))

    def charge(
        self, codes: Integers, pulses: Pulses, currents: Currents, threads: int, tolerance: float | None = None
    ) -> Floats:
        """Return the charges of products by the time of one unit, (batch, columns) [A].

        Superposed rows give nearly all of it; what lines and integrators make of several rows at a time is known at
        some operating points of each product.
        """
        model, law, rest = self.readout, self._law, self.alone[0]
        # all rows on are the same operating point in every product, and what does not last is no matter
        whole = pulses.on.all(axis=2)
        wanted = ~whole & (pulses.weights != 0)
        seen = np.broadcast_to(rest, (*whole.shape, len(rest))).copy()
        seen[whole] = self.together
        seen[wanted] = currents(pulses.on[wanted], threads, tolerance)
        beyond = np.einsum("bp,bpc->bc", pulses.weights, seen - rest)
        lengths = self.lengths(codes)
        driven = lengths + (law.excess / model.unit) * (lengths > 0)
        linear = driven - np.einsum("bp,bpr->br", pulses.weights, pulses.on)
        change, lasts = self.alone[1:] - rest, law.window / model.unit
        # the integral of the charge over time, from the start of the window to its end
        moments = rest * (lasts**2 / 2) + (lengths * (lasts - model.lead / model.unit - lengths / 2)) @ change
        return np.asarray(rest * lasts + linear @ change + beyond - self._leaks * moments)

    def outputs(self, steps: Floats) -> Floats:
        """Return the outputs of charges by the time of one unit (batch, columns) [V]."""
        ohm = self._law.gain * self.readout.r_feedback * 2.0**-self.readout.bits
        volts = steps * (ohm * self._gains) + self._pedestals
        self.readout.require_known(volts - self._offsets)
        return np.asarray(volts)

    def _currents(self, on: Integers, threads: int, tolerance: float | None = None) -> Floats:
        state = self.static.solve(on, tolerance=tolerance, threads=threads)
        return np.asarray(state.solution.currents + self.static.leaked(state.v_in))
