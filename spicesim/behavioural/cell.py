"""The calibrated memory cell: a polynomial in its voltages and its conductance, or a law of device and selector."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev
from numpy.polynomial.polynomial import polyval
from pydantic import Discriminator, Tag, model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.cells import BiasedPolynomial, KernelCell, Selected, voltage_terms
from spicesim.errors import MappingError

__all__ = ["ONSET", "AnyCell", "CellModel", "ProgrammableCell", "SelectorCellModel"]

ONSET = 1e-6
"""Current at which a selector's voltage is given [A]."""
_NO_LEAKAGE = np.zeros(1)
_NO_LEAKAGE.flags.writeable = False
FLATTEST = 200.0
"""Voltage of a selector at that current over that of a factor e, at most: its current at rest is e^-200 of it."""
SMALL_SIGNALS, _CHANGE = 33, 1e-3
"""Conductances at which that of small changes is found, a smooth curve, and the bit line's change either way [V]."""


class ProgrammableCell(Model):
    """What calibrated cells have in common; all follows from their law and their limits."""

    if TYPE_CHECKING:  # fields of each, in the order of its own
        coefficients: FloatArray
        g_limits: tuple[float, float]
        v_limits: tuple[float, float]
        u_limits: tuple[float, float]
        v_read: float
        leakage: FloatArray

    @property
    @abstractmethod
    def cell(self) -> KernelCell:
        """The cell as the crossbar's solver takes it."""

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current from word line to bit line, arguments broadcast [A]."""
        return np.asarray(self.cell.current(np.asarray(g, float), np.asarray(v, float), np.asarray(u, float)))

    def leaked(self, u: npt.ArrayLike = 0.0) -> Floats:
        """Return what a closed cell leaks into its amplifier with the bit line at `u`, whatever its device [A].

        Beyond the calibrated voltages it stays as it is at their ends, where a polynomial would leave what it follows.
        """
        return np.asarray(polyval(np.clip(np.asarray(u, dtype=float), *self.u_limits), self.leakage))

    def read_conductance(self, g: npt.ArrayLike) -> Floats:
        """Return the conductance of whole cells, as write-verify reads it, of device conductances `g` [S]."""
        return self.current(g, self.v_read) / self.v_read

    def chord(self, g: npt.ArrayLike) -> Floats:
        """Return the conductance of the resistors that stand for cells where these have to be linear [S]."""
        return self.read_conductance(g)

    def small_signal(self, g_cell: npt.ArrayLike, drive: float) -> Floats:
        """Return what open cells conduct of small changes of their bit lines, with `drive` across them either way [S].

        Parameters
        ----------
        g_cell : array_like
            Conductances of whole cells at the read voltage [S].
        drive : float
            Voltage across the cells [V].
        """
        device = np.geomspace(*self.g_limits, SMALL_SIGNALS)
        change = sum(
            self.current(device, v + _CHANGE, -_CHANGE) - self.current(device, v - _CHANGE, _CHANGE)
            for v in (-drive, drive)
        )
        g, read = np.asarray(g_cell, dtype=float), self.read_conductance(device)
        return np.asarray(g * np.interp(g, read, change / (4 * _CHANGE) / read))

    def _check_range(self) -> None:
        """Refuse a cell that cannot be programmed."""
        require_shape("leakage", self.leakage, None)
        require_positive(v_read=self.v_read, g_limits=self.g_limits[0])
        require_rising("g_limits", self.g_limits)
        low, high = self.conductance_range
        if not 0 < low < high:
            raise ValueError(f"the conductance of cells must rise with that of devices, got {low:g}..{high:g} S")

    @property
    def conductance_range(self) -> tuple[float, float]:
        """Conductances that a whole cell can take [S]."""
        low, high = self.read_conductance(self.g_limits)
        return float(low), float(high)

    def program(self, g_cell: npt.ArrayLike) -> Floats:
        """Return the device conductances that give cells of conductance `g_cell`: an exact write-verify.

        Parameters
        ----------
        g_cell : array_like
            Wanted conductances of whole cells at the read voltage [S].

        Returns
        -------
        ndarray of the same shape
            Device conductances [S].

        Raises
        ------
        MappingError
            If a conductance is outside :attr:`conductance_range`.
        """
        wanted = np.asarray(g_cell, dtype=float)
        low, high = self.conductance_range
        slack = 1e-9 * high
        if wanted.size and not (wanted.min() >= low - slack and wanted.max() <= high + slack):
            raise MappingError(
                f"cell conductances must lie in {low:.4g}..{high:.4g} S, got {wanted.min():.4g}..{wanted.max():.4g} S"
            )
        g_low, g_high = self.g_limits
        device = np.clip(wanted, g_low, g_high)
        for _ in range(60):  # the read conductance rises with g, a little slower: the secant below contracts
            error = self.read_conductance(device) - wanted
            if np.abs(error).max(initial=0.0) <= 1e-13 * high:
                break
            slope = (self.read_conductance(device * (1 + 1e-6)) - self.read_conductance(device)) / (device * 1e-6)
            device = np.clip(device - error / slope, 0.5 * g_low, 1.5 * g_high)
        return np.asarray(np.clip(device, g_low, g_high))

    def ideal(self) -> "CellModel":
        """Return a resistor with the cell's conductance at the read voltage."""
        return CellModel(
            coefficients=np.ones((1, 1, 1)), g_reference=float(self.g_limits[1]), g_limits=self.conductance_range,
            v_limits=self.v_limits, u_limits=self.u_limits, v_read=self.v_read,
        )  # fmt: skip


class CellModel(ProgrammableCell):
    """Current of one cell, I(V, u, g) = g sum_abc c[a-1, b, c] V^a u^b T_c(x), x = 2 g/(g + g_reference) - 1.

    V is the voltage across the cell, u the bit line's voltage above the reference, g the conductance of the device.
    The variable x makes a cell with a resistor in series, g/(1 + g/g_reference), linear in T. The last `folds` orders
    of V carry |V|: the access transistor changes source and drain at V = 0, where its curvature jumps.
    """

    coefficients: FloatArray
    """c, shape (orders of V, orders of u, orders of x), in powers of volts."""
    g_reference: float
    """Scale of g in x, about the conductance of the access transistor [S]."""
    g_limits: tuple[float, float]
    """Calibrated device conductances [S]."""
    v_limits: tuple[float, float]
    """Calibrated voltages across the cell [V]."""
    u_limits: tuple[float, float]
    """Calibrated bit-line voltages above the reference [V]."""
    v_read: float
    """Voltage at which write-verify reads the cell [V]."""
    folds: int = 0
    """Orders of V that carry |V|, the last ones of the coefficients."""
    leakage: FloatArray = _NO_LEAKAGE
    """Current of a closed cell into its amplifier, in powers of the bit line's volts above the reference; of leakage to
    the substrate the first is negative, as that takes it out [A]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coefficients.ndim != 3:
            raise ValueError(f"coefficients must have three axes, got {self.coefficients.ndim}")
        if not 0 <= self.folds < len(self.coefficients):
            raise ValueError(f"folds must lie in 0..{len(self.coefficients) - 1}, got {self.folds}")
        _ = self.cell  # which has its own demands on shape, scale and limits
        self._check_range()
        return self

    @property
    def cell(self) -> BiasedPolynomial:
        """The cell as the crossbar's solver takes it."""
        return BiasedPolynomial(
            self.coefficients,
            g_reference=self.g_reference, v_limits=self.v_limits, u_limits=self.u_limits, folds=self.folds,
        )  # fmt: skip

    def read_conductance(self, g: npt.ArrayLike) -> Floats:
        """Return the conductance of whole cells, as write-verify reads it, of device conductances `g` [S]."""
        device = np.asarray(g, dtype=float)
        terms = voltage_terms(self.v_read, len(self.coefficients), self.folds)[0] / self.v_read
        series = terms @ self.coefficients[:, 0]  # of the current over g and V, at u = 0
        return np.asarray(device * chebyshev.chebval(2 * device / (device + self.g_reference) - 1, series))

    def chord(self, g: npt.ArrayLike) -> Floats:
        """Return the conductance of the resistors that stand for cells where these have to be linear [S]."""
        return self.current(g, 0.05) / 0.05

    def ideal(self) -> Self:
        """Return a resistor with the cell's conductance at the read voltage."""
        return self.model_copy(
            update={
                "coefficients": np.ones((1, 1, 1)),
                "folds": 0,
                "leakage": _NO_LEAKAGE,
                "g_limits": self.conductance_range,
            }
        )


class SelectorCellModel(ProgrammableCell):
    """Current of a device in series with a selector, which closes by orders of magnitude: no polynomial follows that.

    V = asinh(kappa I / g') / kappa + v_selector asinh(I / i0), with g' = g_scale g; i0 is the scale with which the
    selector's voltage at 1 uA is v_on.
    """

    names: ClassVar[tuple[str, ...]] = ("g_scale [1]", "kappa [1/V]", "v_on [V]", "v_selector [V]")

    coefficients: FloatArray
    """g_scale, kappa, v_on and v_selector."""
    g_limits: tuple[float, float]
    """Calibrated device conductances [S]."""
    v_limits: tuple[float, float]
    """Calibrated voltages across the cell [V]."""
    u_limits: tuple[float, float]
    """Calibrated bit-line voltages above the reference [V]."""
    v_read: float
    """Voltage at which write-verify reads the cell [V]."""
    leakage: FloatArray = _NO_LEAKAGE
    """Current of a closed cell into its amplifier, in powers of the bit line's volts above the reference [A]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("coefficients", self.coefficients, len(self.names))
        g_scale, _, v_on, v_selector = self.coefficients
        require_positive(g_scale=g_scale, v_on=v_on, v_selector=v_selector)
        if not v_on <= FLATTEST * v_selector:
            raise ValueError(f"v_on must be at most {FLATTEST:g} times v_selector, got {v_on:g} and {v_selector:g} V")
        _ = self.cell  # which has its own demands on scales and limits
        self._check_range()
        return self

    @property
    def cell(self) -> Selected:
        """The cell as the crossbar's solver takes it."""
        g_scale, kappa, v_on, v_selector = (float(x) for x in self.coefficients)
        return Selected(
            i0=ONSET / float(np.sinh(v_on / v_selector)), v0=v_selector, kappa=max(kappa, 0.0), gain=g_scale,
            v_limits=self.v_limits, u_limits=self.u_limits,
        )  # fmt: skip


def _kind(value: Any) -> str:
    """Tell which model a cell in a file is meant to be, so that one error is told and not those of both."""
    if isinstance(value, dict):
        return "polynomial" if {"g_reference", "folds"} & value.keys() else "selector"
    return "selector" if isinstance(value, SelectorCellModel) else "polynomial"


AnyCell = Annotated[
    Annotated[CellModel, Tag("polynomial")] | Annotated[SelectorCellModel, Tag("selector")], Discriminator(_kind)
]
"""Either model, as a field."""
