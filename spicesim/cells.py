"""Cells: the current through a memory cell, for the array solver, for numpy and for ngspice.

Every cell here has the same three faces. ``current`` and ``slope`` evaluate it in numpy; ``kernel`` hands the
solver its arrays; ``element`` writes it as one line of a netlist. V is the voltage across the cell, word line
minus bit line, and u the voltage of its bit-line node above the reference, both in volt; g is in siemens.

A cell of your own needs only ``current`` and ``slope``, as :class:`Cell` says: such arrays are solved by nodal
analysis, which is slower. With a method ``element``, as :class:`NetlistCell` says, they have a netlist, too. The
current must rise with V, and be 0 at g = 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.errors import SpecError
from spicesim.units import spice_number

__all__ = [
    "BiasedPolynomial", "Cell", "CellKernel", "KernelCell", "Linear", "NetlistCell", "Polynomial", "Selected", "Sinh",
    "bias_slope", "conductance_slope", "voltage_terms",
]  # fmt: skip

UNBOUNDED = (-math.inf, math.inf)
NEWTON_LIMIT = 200
"""Steps to a current through two elements in series: from far above its root an exponential falls e-fold a step."""
STEEPEST = 1e6
"""Largest kappa [1/V]: a current that grows e-fold within a microvolt; thermal voltage makes some 40 [1/V] at best."""
FAR = 100.0
"""Bound of voltages in a netlist where a cell has none [V]."""


class CellKernel(NamedTuple):
    """What the solver sees of an array of cells."""

    coefficients: Floats
    """k of I = sum k[a, b] V^(a+1) u^b, shape (rows, columns, A, B); for a sinh cell and for one with a selector g
    itself, A = B = 1. The last `folds` of the A rows stand for |V| V, |V| V^2, .. in place of further powers."""
    kappa: float
    """Steepness of a sinh cell [1/V]; 0 for a polynomial."""
    v_limits: tuple[float, float]
    """Voltages across the cell for which it holds [V]."""
    u_limits: tuple[float, float]
    """Bit-line voltages for which it holds [V]."""
    folds: int = 0
    """Rows of the coefficients that carry |V|."""
    selector: tuple[float, float] = (0.0, 0.0)
    """Scales of the current [A] and of the voltage [V] of a selector in series; zeros if there is none."""

    @property
    def has_selector(self) -> bool:
        """Whether a selector lies in series."""
        return self.selector[0] > 0


@runtime_checkable
class Cell(Protocol):
    """A cell law, all that nodal analysis needs.

    A method ``bias_slope`` of the same arguments, dI/du [S], speeds the solution up and is needed for gradients
    if the current depends on u.
    """

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]; g, v, u broadcast."""
        ...

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S] at constant u; g, v, u broadcast."""
        ...


@runtime_checkable
class NetlistCell(Protocol):
    """A cell law that can be written as an element of a netlist."""

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist line of one cell whose kernel coefficients are `k` (A, B); without a kernel [[g]].

        `plus` and `minus` are its nodes, `bias` the expression of the bit-line voltage above the reference.
        """
        ...


@runtime_checkable
class KernelCell(Cell, NetlistCell, Protocol):
    """A cell law that the compiled solvers know."""

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        ...


def bias_slope(cell: Cell, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> Floats:
    """Return dI/du [S] at constant V, 0 for a cell that does not say; g, v, u broadcast."""
    law = getattr(cell, "bias_slope", None)
    return np.zeros(np.broadcast_shapes(*map(np.shape, (g, v, u)))) if law is None else np.asarray(law(g, v, u))


def conductance_slope(cell: Cell, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> Floats:
    """Return dI/dg [V]; g, v, u broadcast. Differences of fourth order, so good to some 1e-11 of the current / g."""
    conductance = np.asarray(g, dtype=float)
    if isinstance(cell, Linear | Sinh):
        return np.asarray(cell.current(np.ones_like(conductance), v, u))
    h = 1e-3 * np.where(conductance > 0, conductance, np.abs(conductance).max(initial=0.0) or 1e-6)
    near = cell.current(conductance + h, v, u) - cell.current(conductance - h, v, u)
    far = cell.current(conductance + 2 * h, v, u) - cell.current(conductance - 2 * h, v, u)
    return np.asarray((8 * near - far) / (12 * h))


def _floats(g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Broadcast against each other."""
    grid, across, bias = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (g, v, u)))
    return grid, across, bias


def _voltage(plus: str, minus: str) -> str:
    """Write the voltage between two nodes; ground is no node to ask for."""
    if plus == minus:
        return "0"
    if minus == "0":
        return f"v({plus})"
    return f"-v({minus})" if plus == "0" else f"v({plus},{minus})"


def _bounded(expression: str, low: float, high: float) -> str:
    """Bound an expression, because an overflow during ngspice's iteration ends the run."""
    low, high = max(low, -FAR), min(high, FAR)
    return f"max({spice_number(low)}, min({spice_number(high)}, {expression}))"


def _require_limits(v_limits: tuple[float, float], u_limits: tuple[float, float]) -> None:
    for word, (low, high) in {"v_limits": v_limits, "u_limits": u_limits}.items():
        if not low <= 0 <= high:
            raise SpecError(f"{word} must contain 0 V, got {low}..{high}")


@dataclass(frozen=True, slots=True)
class Linear:
    """A conductance: I = g V."""

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]; g, v, u broadcast."""
        conductance, across, _ = _floats(g, v, u)
        return conductance * across

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]; g, v, u broadcast."""
        return _floats(g, v, u)[0]

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        return CellKernel(g[:, :, None, None], 0.0, UNBOUNDED, UNBOUNDED)

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist line of one cell."""
        return f"r{name} {plus} {minus} {spice_number(1.0 / k[0, 0])}"


@dataclass(frozen=True, slots=True)
class Sinh:
    """A tunnelling cell: I = g sinh(kappa V) / kappa.

    Raises
    ------
    SpecError
        If `kappa` is not > 0, or beyond any cell.
    """

    kappa: float
    """Steepness [1/V]."""

    def __post_init__(self) -> None:
        if not 0 < self.kappa <= STEEPEST:
            raise SpecError(
                f"kappa of a sinh cell must be > 0 and at most {STEEPEST:g} per volt, got {self.kappa}; "
                "use Linear() for 0"
            )

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A]; g, v, u broadcast."""
        conductance, across, _ = _floats(g, v, u)
        with np.errstate(over="ignore"):  # an infinite current is an answer; that of an open cell is none
            bend = np.sinh(np.where(conductance == 0, 0.0, self.kappa * across))
            return np.asarray(conductance * bend / self.kappa)

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]; g, v, u broadcast."""
        conductance, across, _ = _floats(g, v, u)
        with np.errstate(over="ignore"):
            return np.asarray(conductance * np.cosh(np.where(conductance == 0, 0.0, self.kappa * across)))

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        return CellKernel(g[:, :, None, None], float(self.kappa), UNBOUNDED, UNBOUNDED)

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist line of one cell."""
        argument = _bounded(f"{spice_number(self.kappa)}*{_voltage(plus, minus)}", -40.0, 40.0)
        return f"b{name} {plus} {minus} i={spice_number(k[0, 0] / self.kappa)}*sinh({argument})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A device in series with a selector: V = asinh(kappa I / g) / kappa + v0 asinh(I / i0), g being gain times g.

    Raises
    ------
    SpecError
        If a number or a limit makes no sense.
    """

    i0: float
    """Scale of the selector's current, I = i0 sinh(v/v0) [A]."""
    v0: float
    """Scale of its voltage [V]."""
    kappa: float = 0.0
    """Steepness of the device; 0 for a linear one [1/V]."""
    gain: float = 1.0
    """Conductance of the device over that asked for [1]."""
    v_limits: tuple[float, float] = UNBOUNDED
    """Voltages across the cell for which it holds [V]."""
    u_limits: tuple[float, float] = UNBOUNDED
    """Bit-line voltages for which it holds [V]."""

    def __post_init__(self) -> None:
        for word, value in {"i0": self.i0, "v0": self.v0, "gain": self.gain}.items():
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"{word} of a cell with a selector must be finite and > 0, got {value}")
        if not 0 <= self.kappa <= STEEPEST:
            raise SpecError(
                f"kappa of a cell with a selector must lie in 0..{STEEPEST:g} per volt, got {self.kappa}; "
                "0 is a linear device"
            )
        _require_limits(self.v_limits, self.u_limits)

    def _solved(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return current [A] and slope [S]: Newton's method on t, the selector's voltage over v0."""
        conductance, across, _ = _floats(g, v, u)
        closed = conductance != 0
        device = self.gain * np.where(closed, conductance, 1.0)
        scale, wanted = self.i0 / device, np.abs(across)
        with np.errstate(over="ignore"):
            high = np.minimum(wanted / self.v0, np.arcsinh(self._device(wanted) / scale))
        t = high
        for _ in range(NEWTON_LIMIT):  # from above the root, where the sum of both voltages is convex
            y, more = scale * np.sinh(t), scale * np.cosh(t)
            h = self.v0 * t + self._device_voltage(y) - wanted
            after = np.clip(t - h / (self.v0 + more / np.hypot(1.0, self.kappa * y)), 0.0, high)
            change, t = np.abs(after - t).max(initial=0.0), after
            if change <= 1e-12:
                break
        current = self.i0 * np.sinh(t)
        resistance = self.v0 / (self.i0 * np.cosh(t)) + 1 / (device * np.hypot(1.0, self.kappa * current / device))
        return np.where(closed, np.sign(across) * current, 0.0), np.where(closed, 1 / resistance, 0.0)

    def _device(self, v: Floats) -> Floats:
        """Return the current of a device over its conductance [V]."""
        return np.asarray(np.sinh(self.kappa * v) / self.kappa if self.kappa else v)

    def _device_voltage(self, y: Floats) -> Floats:
        """Return the voltage across a device for a current over its conductance [V]."""
        return np.asarray(np.arcsinh(self.kappa * y) / self.kappa if self.kappa else y)

    def voltage(self, g: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
        """Return the voltage across the cell [V] for a current [A]; g, not 0, and the current broadcast."""
        i = np.asarray(current, dtype=float)
        return self._device_voltage(i / (self.gain * np.asarray(g, dtype=float))) + self.v0 * np.arcsinh(i / self.i0)

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A], not bounded to the limits; g, v, u broadcast."""
        return self._solved(g, v, u)[0]

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S]; g, v, u broadcast."""
        return self._solved(g, v, u)[1]

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        coefficients = (self.gain * g)[:, :, None, None]
        return CellKernel(coefficients, float(self.kappa), self.v_limits, self.u_limits, selector=(self.i0, self.v0))

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist lines of one cell: device, then selector."""
        middle = f"{name}_m"
        device: Linear | Sinh = Sinh(self.kappa) if self.kappa else Linear()
        selector = Sinh(1 / self.v0)
        return "\n".join([
            device.element(name, plus, middle, k, bias),
            selector.element(f"{name}_s", middle, minus, np.array([[self.i0 / self.v0]]), bias),
        ])  # fmt: skip


class _PolynomialCell:
    """What polynomial cells share: all follows from their kernel arrays and limits."""

    __slots__ = ()
    kernel: Callable[[Floats], CellKernel]

    @property
    def v_limits(self) -> tuple[float, float]:
        """Voltages across the cell for which it holds [V]."""
        return UNBOUNDED

    @property
    def u_limits(self) -> tuple[float, float]:
        """Bit-line voltages for which it holds [V]."""
        return UNBOUNDED

    @property
    def folds(self) -> int:
        """Rows of the kernel's coefficients that carry |V|."""
        return 0

    def _arrays(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
        """Return coefficients (..., A, B), what they multiply (..., A) with its slopes, and powers of u (..., B)."""
        grid, across, bias = (np.asarray(x, dtype=float) for x in (g, v, u))
        kernel = self.kernel(grid if grid.ndim == 2 else grid.reshape(1, -1))
        k = kernel.coefficients.reshape(*grid.shape, *kernel.coefficients.shape[-2:])
        terms, slopes = voltage_terms(across, k.shape[-2], kernel.folds)
        return k, terms, slopes, bias[..., None] ** np.arange(k.shape[-1])

    def current(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return the current [A], not bounded to the limits; g, v, u broadcast."""
        k, terms, _, u_powers = self._arrays(g, v, u)
        return np.asarray(np.einsum("...ab,...a,...b", k, terms, u_powers))

    def slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/dV [S] at constant u; g, v, u broadcast."""
        k, _, slopes, u_powers = self._arrays(g, v, u)
        return np.asarray(np.einsum("...ab,...a,...b", k, slopes, u_powers))

    def bias_slope(self, g: npt.ArrayLike, v: npt.ArrayLike, u: npt.ArrayLike = 0.0) -> Floats:
        """Return dI/du [S] at constant V; g, v, u broadcast."""
        k, terms, _, u_powers = self._arrays(g, v, u)
        order = np.arange(1, k.shape[-1])
        return np.asarray(np.einsum("...ab,b,...a,...b", k[..., 1:], order, terms, u_powers[..., :-1]))

    def element(self, name: str, plus: str, minus: str, k: Floats, bias: str) -> str:
        """Return the netlist line of one cell: Horner's scheme in u and V, both bounded."""
        v = _bounded(_voltage(plus, minus), *self.v_limits)
        u = _bounded(bias, *self.u_limits)
        rows = [_horner([spice_number(c) for c in row], u) for row in k]
        smooth = len(rows) - self.folds
        law = _horner(rows[:smooth], v)
        if self.folds:
            law += f"+abs({v})*({_horner(rows[smooth:], v)})"
        return f"b{name} {plus} {minus} i={v}*({law})"


def voltage_terms(v: npt.ArrayLike, terms: int, folds: int = 0) -> tuple[Floats, Floats]:
    """Return what the rows of a polynomial cell's coefficients multiply, and its slope.

    Parameters
    ----------
    v : array_like
        Voltages across the cell [V].
    terms : int
        Rows of the coefficients, A.
    folds : int
        How many of them, the last ones, carry |V|.

    Returns
    -------
    values, slopes : ndarray of shape (..., A)
        V, V^2, .., then |V| V, |V| V^2, ..; and their derivatives.
    """
    across = np.asarray(v, dtype=float)[..., None]
    order = np.concatenate([np.arange(1, terms - folds + 1), np.arange(1, folds + 1)])
    fold = np.where(np.arange(terms) < terms - folds, 1.0, np.abs(across))
    power = across ** (order - 1)
    values = across * power * fold
    slopes = power * (order * fold + np.where(np.arange(terms) < terms - folds, 0.0, np.abs(across)))
    return values, slopes


def _horner(terms: list[str], x: str) -> str:
    """Write a polynomial in the expression x, lowest term first."""
    text = terms[-1]
    for term in reversed(terms[:-1]):
        text = f"{term}+{x}*({text})"
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial(_PolynomialCell):
    """A polynomial cell: I = g * sum_{a=1..A} k_a V^a.

    Raises
    ------
    SpecError
        If `coefficients` is neither (A,) nor (rows, columns, A), or holds a number that is not finite.
    """

    coefficients: npt.ArrayLike
    """k_1, k_2, ..: shape (A,) or one set a cell, (rows, columns, A); k_a in V^(1-a)."""

    def __post_init__(self) -> None:
        array = np.array(self.coefficients, dtype=float)
        if array.ndim not in (1, 3) or array.shape[-1] < 1 or not np.isfinite(array).all():
            raise SpecError(
                f"polynomial coefficients must be finite, (A,) or (rows, columns, A), got shape {array.shape}"
            )
        object.__setattr__(self, "coefficients", array)

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        k = np.asarray(self.coefficients, dtype=float)
        if k.ndim == 3 and k.shape[:2] != g.shape:
            raise SpecError(f"polynomial coefficients are for an array {k.shape[:2]}, the conductances for {g.shape}")
        return CellKernel((g[:, :, None] * k)[..., None], 0.0, self.v_limits, self.u_limits)


@dataclass(frozen=True, slots=True, eq=False)
class BiasedPolynomial(_PolynomialCell):
    """A calibrated cell: I = g * sum c[a-1, b, c] V^a u^b T_c(x), with x = 2 g / (g + g_reference) - 1.

    a runs from 1 to A, b from 0 to B-1, c from 0 to C-1; T_c is a Chebyshev polynomial. The last `folds` of the A rows
    stand for |V| V, |V| V^2, ..: a transistor whose source and drain change places has a bend at V = 0.

    Raises
    ------
    SpecError
        If shapes, limits or `g_reference` make no sense.
    """

    coefficients: npt.ArrayLike
    """c, shape (A, B, C), in V^(1-a-b)."""
    g_reference: float
    """Conductance at which x = 0 [S]."""
    v_limits: tuple[float, float]
    """Least and greatest voltage across the cell in the calibration [V]."""
    u_limits: tuple[float, float]
    """Least and greatest bit-line voltage in the calibration [V]."""
    folds: int = 0
    """Rows of the coefficients that carry |V|; less than A."""

    def __post_init__(self) -> None:
        array = np.array(self.coefficients, dtype=float)
        if array.ndim == 3 and not 0 <= self.folds < array.shape[0]:
            raise SpecError(f"folds of a biased cell must lie in 0..{array.shape[0] - 1}, got {self.folds}")
        if array.ndim != 3 or 0 in array.shape or not np.isfinite(array).all():
            raise SpecError(f"coefficients of a biased cell must be finite, of shape (A, B, C), got {array.shape}")
        if not (math.isfinite(self.g_reference) and self.g_reference > 0):
            raise SpecError(f"g_reference must be > 0 S, got {self.g_reference}")
        if not np.isfinite([*self.v_limits, *self.u_limits]).all():
            raise SpecError(f"limits of a biased cell must be finite, got {self.v_limits} and {self.u_limits}")
        _require_limits(self.v_limits, self.u_limits)
        object.__setattr__(self, "coefficients", array)

    def kernel(self, g: Floats) -> CellKernel:
        """Return the solver's arrays for conductances of shape (rows, columns)."""
        c = np.asarray(self.coefficients, dtype=float)
        basis = np.polynomial.chebyshev.chebvander(2 * g / (g + self.g_reference) - 1, c.shape[2] - 1)
        k = np.einsum("ijc,abc->ijab", g[:, :, None] * basis, c)
        return CellKernel(k, 0.0, self.v_limits, self.u_limits, self.folds)
