"""The hold switch of a floating bit line: what it keeps of the line's voltage when it opens.

By then the line is on its way from what the inputs before made of it, with one time constant: all its capacitance by
the sum of its conductances, and a little for the switch. The charge of the switch's gates goes into the hold capacitor
and into the line, as their capacitances share it at once: the line has the more of them the more cells it has. What
goes into the line the cells take back, a little of it while the switch still conducts: the more the larger the sum of
their conductances.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.buffer import BufferModel
from spicesim.behavioural.hold_mismatch import DrawnHolds
from spicesim.behavioural.plane_adder import PlaneAdder
from spicesim.behavioural.plane_sums import PlaneSums
from spicesim.errors import ValidityError

__all__ = ["HoldModel"]

BOLTZMANN = 1.380649e-23
"""CODATA 2018, exact [J/K]."""
FOR_EVER = 1.0
"""By then every line has settled [s]."""


class HoldModel(Model):
    """What hold switches add to the voltages of their lines: a polynomial in the voltage and in the conductance."""

    c_hold: float
    """Capacitance of a line without cells, the hold capacitor included [F]."""
    c_cell: float
    """What each cell adds [F]."""
    delay: float
    """What the switch adds to the time constant [s]."""
    settle: float
    """From a change of inputs until the switches open [s]."""
    v_limit: float
    """Calibrated line voltages reach so far on either side of the reference [V]."""
    v_span: float
    """Full scale of errors: the largest voltage that inputs can make of a line [V]."""
    rows: tuple[int, ...]
    """Cells a line that were calibrated, rising."""
    g_cell: float
    """Unit of conductance, of one cell: the largest [S]."""
    pedestals: FloatArray
    """Coefficients for each of `rows`, powers of the voltage in v_limit, powers of the conductance in rows g_cell,
    (rows, orders, orders) [V]."""
    adder: PlaneAdder | None = None
    """What adds the planes of an input as charge; None if they are added digitally."""
    buffer: BufferModel | None = None
    """What puts out the voltage that is held, of a line or of the sum; None if it is ideal."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(
            c_hold=self.c_hold, c_cell=self.c_cell, settle=self.settle, v_limit=self.v_limit, v_span=self.v_span,
            g_cell=self.g_cell,
        )  # fmt: skip
        if not self.delay >= 0:
            raise ValueError(f"delay must be >= 0, got {self.delay:g}")
        require_rising("rows", self.rows, least=1)
        if self.rows[0] < 1:
            raise ValueError(f"a line has one cell or more, got rows = {self.rows[0]}")
        require_shape("pedestals", self.pedestals, len(self.rows), None, None)
        if self.adder is not None and self.adder.resets.shape != self.pedestals.shape:
            raise ValueError(f"adder.resets must have the shape of pedestals, {self.pedestals.shape}")
        return self

    @property
    def full_scale(self) -> float:
        """The largest voltage that inputs can make of a line, of either sign [V]."""
        return self.v_span

    @property
    def linear_swing(self) -> float:
        """The same: no line leaves the inputs' range."""
        return self.v_span

    def time_constants(self, total: npt.ArrayLike, rows: int) -> Floats:
        """Return the time constants of lines by the sums of their conductances, (columns,) [s]."""
        siemens = np.asarray(total, dtype=float)
        line = np.divide(
            self.c_hold + rows * self.c_cell, siemens, out=np.full(siemens.shape, np.inf), where=siemens > 0
        )
        return np.asarray(line + self.delay)

    def unsettled(self, total: npt.ArrayLike, rows: int) -> Floats:
        """Return how much of the way from before is left as the switches open, (columns,)."""
        return np.asarray(np.exp(-self.settle / self.time_constants(total, rows)))

    def held(self, feet: npt.ArrayLike, total: npt.ArrayLike, rows: int) -> Floats:
        """Return what is held of the voltages of feet above the reference [V].

        Parameters
        ----------
        feet : array_like of shape (..., columns)
            Voltages of the lines' feet [V].
        total : array_like of shape (columns,)
            Sum of the conductances of each line's devices [S].
        rows : int
            Cells of a line.

        Raises
        ------
        ValidityError
            If lines have more cells than were calibrated, or a voltage is beyond the calibrated ones.
        """
        volts = np.asarray(feet, dtype=float)
        return np.asarray(volts + self._added(self._law(self.pedestals, total, rows), volts))

    def _law(self, pedestals: Floats, total: npt.ArrayLike, rows: int) -> Floats:
        """Return the polynomial in the voltage of what each line's switch adds, (orders, columns); see :meth:`held`."""
        if not self.rows[0] <= rows <= self.rows[-1]:
            raise ValidityError(
                f"hold switches were calibrated on lines of {self.rows[0]}..{self.rows[-1]} cells, not {rows}; "
                "calibrate a chip with an array of as many rows"
            )
        # (orders of voltage, orders of conductance)
        c = pedestals[0] if len(self.rows) == 1 else PchipInterpolator(np.log(self.rows), pedestals)(np.log(rows))
        share = np.asarray(total, dtype=float) / (rows * self.g_cell)
        return np.asarray(np.polynomial.polynomial.polyval(share, c.T))

    def _added(self, law: Floats, volts: Floats) -> Floats:
        """Return what switches of such laws add to voltages of their lines [V]."""
        if volts.size and not np.abs(volts).max() <= self.v_limit:
            raise ValidityError(
                f"a line is {np.abs(volts).max():.4g} V off the reference, beyond the calibrated {self.v_limit:.4g} V "
                "of its hold switch"
            )
        return np.asarray(np.polynomial.polynomial.polyval(volts / self.v_limit, law, tensor=False))

    def sums(self, rest: float, total: npt.ArrayLike, rows: int, drawn: DrawnHolds | None = None) -> PlaneSums:
        """Return what adds planes as charge on lines of a tile.

        Parameters
        ----------
        rest : float
            Voltage of all lines before the first plane, above the reference [V].
        total, rows
            As of :meth:`held`.
        drawn : DrawnHolds, optional
            The switches, if they differ. That they cut off the sum at rest with charges of their own is left out: of
            that 2^-planes is in the last sum.

        Raises
        ------
        ValidityError
            As :meth:`held`.
        """
        assert self.adder is not None
        siemens = np.atleast_1d(np.asarray(total, dtype=float))
        mine = self.adder.c_plane / (self.c_hold + rows * self.c_cell)
        law, joins = self._law(self.pedestals, siemens, rows), self.adder.joins[..., None]
        if drawn is not None:
            law = _added_up(law, drawn.law(siemens, rows, self.v_limit))
            joins = _added_up(joins, drawn.joins(self.adder.v_limit))
        start = np.full(len(siemens), rest)
        added = self._added(self._law(self.adder.resets, siemens, rows), start)
        return PlaneSums(
            left=self.unsettled(siemens, rows),
            alone=np.exp(-self.adder.share / ((1 - mine) * self.time_constants(siemens, rows))),
            mine=mine,
            v_line=self.v_limit,
            v_sum=self.adder.v_limit,
            law=np.ascontiguousarray(law),
            joins=np.ascontiguousarray(np.broadcast_to(joins, (*joins.shape[:2], len(siemens)))),
            stored=start + added,
            before=start + added,
        )

    @staticmethod
    def noise(capacitor: float, temperature_c: float) -> float:
        """Return sigma of what a hold capacitor [F] keeps, of the noise of switch, cells and drivers together [V].

        Of a capacitor on resistances in equilibrium, whatever these are, it is sqrt(kT/C): B. Razavi, Design of Analog
        CMOS Integrated Circuits, 2nd ed., section 7.2. C is of the node that is cut off, not of the line before it,
        though the noise of cells alone would be that of both. Planes that are added as charge have the same: joining
        two such capacitors leaves a quarter of both their variances, kT/2C, and adds kT/2C of the switch that parts
        them.
        """
        return float(np.sqrt(BOLTZMANN * (temperature_c + 273.15) / capacitor))

    def output_noise(self, capacitor: float, temperature_c: float) -> float:
        """Return sigma of an output, of what is held and of the buffer, arguments as of :meth:`noise` [V]."""
        buffer = 0.0 if self.buffer is None else self.buffer.noise
        return float(np.hypot(self.noise(capacitor, temperature_c), buffer))

    def ideal(self) -> Self:
        """Return switches without charge, on lines that settle at once."""
        parts = {name: own and own.ideal() for name, own in (("adder", self.adder), ("buffer", self.buffer))}
        return self.model_copy(update={"pedestals": np.zeros_like(self.pedestals), "settle": FOR_EVER, **parts})

    def output(self, held: Floats, drawn: Floats | None = None) -> Floats:
        """Return what is put out of held voltages; arguments as of :meth:`BufferModel.output`."""
        return held if self.buffer is None else self.buffer.output(held, drawn)

    @property
    def duration(self) -> float:
        """From the first change of inputs until the last switch has opened [s]."""
        if self.adder is None:
            return self.settle
        return self.adder.bits * (self.settle + self.adder.share)


def _added_up(a: Floats, b: Floats) -> Floats:
    """Return the sum of polynomials (orders.., columns) of different orders."""
    orders = np.maximum(a.shape[:-1], b.shape[:-1])
    wide = [np.pad(c, [*((0, n - m) for m, n in zip(c.shape, orders, strict=False)), (0, 0)]) for c in (a, b)]
    return np.asarray(wide[0] + wide[1])
