"""How drivers and amplifiers settle: shapes of a driver's step, and the sense amplifier as two stages with four states.

A one-pole amplifier is wrong as soon as an output touches a rail: the inner nodes wind up, and the output waits before
it slews. So the inner nodes are states: p and n, the gates of the output stage, beside the input and the output. The
currents into them are tables from sweeps of the held nodes, the capacitances tables from small signals.
"""

from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator, RectBivariateSpline

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_rising, require_shape

__all__ = ["AmplifierStages", "DriverShapes", "FineTable", "SettlingCheck", "SettlingModel"]

_NOTHING = np.empty(0)
"""Of a check that kept no courses."""

FINE = 10e-3
"""Grid to which tables of inner nodes are refined; between its points they are linear [V]."""
FARTHEST = 20.0
"""Voltage beyond all that circuits of this kind have: bounds the tables [V]."""
FINE_INPUT = 2e-3
"""The same of the input [V]."""


class FineTable:
    """Functions of two voltages, on one fine grid, linear between its points and constant beyond it.

    Parameters
    ----------
    first, second : (float, float, int)
        Start, step and points of the two axes [V].
    values : ndarray of shape (first, second, functions)
        At the grid.
    """

    def __init__(self, first: tuple[float, float, int], second: tuple[float, float, int], values: Floats) -> None:
        self._first, self._second = first, second
        self._values = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Return values, shape (points, functions), and the derivatives of the first function, shape (points,)."""
        k, s = _locate(x, self._first)
        m, t = _locate(y, self._second)
        count = self._second[2]
        index = k * count + m
        s, t = s[:, None], t[:, None]
        low, right = self._values[index], self._values[index + count]
        up, far = self._values[index + 1], self._values[index + count + 1]
        bottom, top = low + s * (right - low), up + s * (far - up)
        slope = (right - low) + t * ((far - up) - (right - low))
        return bottom + t * (top - bottom), slope[:, 0] / self._first[1], (top - bottom)[:, 0] / self._second[1]


def _locate(x: Floats, axis: tuple[float, float, int]) -> tuple[np.ndarray, Floats]:
    start, step, count = axis
    place = np.clip((x - start) / step, 0.0, count - 1 - 1e-9)
    index = place.astype(np.int64)
    return index, place - index


class AmplifierStages(Model):
    """The operational amplifier of the sense amplifiers, by what flows into its nodes; voltages are absolute."""

    v_reference: float
    """Of the other input [V]."""
    inputs: FloatArray
    """Voltages of the input, even [V]."""
    nodes: FloatArray
    """Voltages of the inner nodes and of the output, even [V]."""
    input_p: FloatArray
    """Current into node p beyond that with the input at the reference, shape (inputs, nodes of p) [A]."""
    mesh_p: FloatArray
    """Current into node p with the input at the reference, shape (nodes of p, of n) [A]."""
    mesh_n: FloatArray
    """Current into node n, shape (nodes of p, of n) [A]."""
    upper: FloatArray
    """Current into the output from the transistor at the supply, shape (nodes of p, of the output) [A]."""
    lower: FloatArray
    """Current into the output from the transistor at ground, shape (nodes of n, of the output) [A]."""
    c_nodes: FloatArray
    """Voltages at which capacitances were taken, even [V]."""
    upper_c: FloatArray
    """Charge at p for volts at p, at p for the output, at the output for p and for the output, shape
    (c_nodes of p, c_nodes of the output, 4) [F]."""
    lower_c: FloatArray
    """The same of node n [F]; what upper and lower side have in common at the output is in the upper one."""
    input_c: FloatArray
    """Charge at the input, and at p, for volts at the input, shape (inputs taken, 2) [F]."""
    c_inputs: FloatArray
    """Voltages of the input at which they were taken [V]."""
    compensation: float
    """Part of the capacitance between the output and p, and n, that has a resistor in series [F]."""
    lead: float
    """Time constant of the two [s]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("inputs", "nodes", "c_nodes", "c_inputs"):
            require_rising(name, getattr(self, name))
            low, high = getattr(self, name)[[0, -1]]
            if max(-low, high) > FARTHEST:
                raise ValueError(f"{name} must lie within {FARTHEST:g} V, got {low:g}..{high:g} V")
        count, capacitances = len(self.nodes), len(self.c_nodes)
        for name in ("mesh_p", "mesh_n", "upper", "lower"):
            require_shape(name, getattr(self, name), count, count)
        require_shape("input_p", self.input_p, len(self.inputs), count)
        for name in ("upper_c", "lower_c"):
            require_shape(name, getattr(self, name), capacitances, capacitances, 4)
        require_shape("input_c", self.input_c, len(self.c_inputs), 2)
        return self

    @property
    def _axis(self) -> tuple[float, float, int]:
        count = round(float(self.nodes[-1] - self.nodes[0]) / FINE) + 1
        return float(self.nodes[0]), FINE, count

    def _refined(self, x: Floats, y: Floats, values: Floats, at_x: Floats, at_y: Floats) -> Floats:
        inside_x, inside_y = np.clip(at_x, x[0], x[-1]), np.clip(at_y, y[0], y[-1])
        order = min(3, len(x) - 1), min(3, len(y) - 1)
        return np.asarray(RectBivariateSpline(x, y, values, kx=order[0], ky=order[1])(inside_x, inside_y))

    @cached_property
    def first_stage(self) -> FineTable:
        """Current into p by the input: function of the input and p."""
        start, count = float(self.inputs[0]), round(float(self.inputs[-1] - self.inputs[0]) / FINE_INPUT) + 1
        fine_in, fine = _points((start, FINE_INPUT, count)), _points(self._axis)
        current = self._refined(self.inputs, self.nodes, self.input_p, fine_in, fine)
        charges = PchipInterpolator(self.c_inputs, self.input_c, axis=0)(
            np.clip(fine_in, self.c_inputs[0], self.c_inputs[-1])
        )
        channels = [current, *(np.repeat(charges[:, k, None], len(fine), axis=1) for k in range(2))]
        return FineTable((start, FINE_INPUT, count), self._axis, np.stack(channels, axis=-1))

    @cached_property
    def mesh(self) -> tuple[FineTable, FineTable]:
        """Currents into p and n: functions of both."""
        fine = _points(self._axis)
        p, n = (self._refined(self.nodes, self.nodes, table, fine, fine) for table in (self.mesh_p, self.mesh_n))
        return FineTable(self._axis, self._axis, p[..., None]), FineTable(self._axis, self._axis, n[..., None])

    @cached_property
    def output(self) -> tuple[FineTable, FineTable]:
        """Current into the output and four capacitances, of either side: functions of p or n, and the output."""
        fine = _points(self._axis)
        tables = []
        for current, charges in ((self.upper, self.upper_c), (self.lower, self.lower_c)):
            channels = [self._refined(self.nodes, self.nodes, current, fine, fine)]
            for k in range(4):
                # piecewise linear: capacitances have kinks where a transistor turns on, and a spline would ring
                inside = np.clip(fine, self.c_nodes[0], self.c_nodes[-1])
                along = np.array([np.interp(inside, self.c_nodes, row) for row in charges[:, :, k]])
                channels.append(np.array([np.interp(inside, self.c_nodes, column) for column in along.T]).T)
            tables.append(FineTable(self._axis, self._axis, np.stack(channels, axis=-1)))
        return tables[0], tables[1]


def _points(axis: tuple[float, float, int]) -> Floats:
    return np.asarray(axis[0] + axis[1] * np.arange(axis[2]))


class DriverShapes(Model):
    """How a driver's output goes from one voltage to another: a share of the way, by time, step and load."""

    times: FloatArray
    """After the change of code [s]."""
    steps: FloatArray
    """Ascending signed steps of the output [V]."""
    loads: FloatArray
    """Ascending conductances from the output to the reference [S]."""
    shares: FloatArray
    """Share of the way, shape (loads, steps, times)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shares.shape != (len(self.loads), len(self.steps), len(self.times)):
            raise ValueError("shares must have shape (loads, steps, times)")
        for name in ("times", "steps", "loads"):
            require_rising(name, getattr(self, name))
        return self

    def share(self, steps: Floats, loads: Floats) -> Floats:
        """Return the share of the way at :attr:`times`.

        Parameters
        ----------
        steps : ndarray of shape (batch, rows)
            Steps of the outputs [V].
        loads : ndarray of shape (rows,)
            Conductance of each row [S].

        Returns
        -------
        ndarray of shape (times, batch, rows)
        """
        k, s = _between(steps, self.steps)
        m, t = _between(np.broadcast_to(loads, steps.shape), self.loads)
        weights = (((m, k), (1 - t) * (1 - s)), ((m, k + 1), (1 - t) * s), ((m + 1, k), t * (1 - s)),
                   ((m + 1, k + 1), t * s))  # fmt: skip
        return np.asarray(np.moveaxis(sum(self.shares[place] * w[..., None] for place, w in weights), -1, 0))


def _between(x: Floats, grid: Floats) -> tuple[np.ndarray, Floats]:
    index = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, len(grid) - 2)
    return index, np.clip((x - grid[index]) / (grid[index + 1] - grid[index]), 0.0, 1.0)


class SettlingCheck(Model):
    """A whole tile in ngspice's ``.tran`` against the model; errors are fractions of full scale."""

    name: str
    """What was run, such as "16x16 unipolar saturating, ramp down after ramp up"."""
    t_settle: float
    """From here on all outputs stay within 0.2 % of full scale of where they end [s]."""
    max_early: float
    """Largest error from 20 % of `t_settle` on."""
    rms_early: float
    """Root mean square of the same."""
    max_late: float
    """Largest error from 75 % of `t_settle` on."""
    max_settled: float
    """Largest error from `t_settle` on."""
    times: FloatArray = _NOTHING
    """Times after the change [s]."""
    columns: tuple[int, ...] = ()
    """Columns whose courses are kept: that with the largest early error, and those that go farthest up and down."""
    measured: FloatArray = _NOTHING
    """Their outputs below the reference in ngspice, shape (times, columns) [V]."""
    predicted: FloatArray = _NOTHING
    """The same of the model."""
    full_scale: float | None = None
    """Swing of an output to the nearer rail [V]."""
    energy: float | None = None
    """What all supplies delivered from the change to the last of `times` [J]."""
    energy_error: float | None = None
    """Relative error of the energy model's sum over blocks; None if energies are not calibrated."""


class SettlingModel(Model):
    """What it takes to follow a tile from one code vector to another."""

    amplifier: AmplifierStages
    """Of all sense amplifiers; their feedback is a resistor and a capacitor."""
    c_feedback: float
    """Feedback capacitor [F]."""
    c_resistor: float | None = None
    """From either end of a feedback resistor of the process to ground, by its wanted resistance [F/ohm]; None: none."""
    driver: DriverShapes
    """Word-line drivers, lines and cells included as a load."""
    c_word_line: float
    """Capacitance of a word line for each of its cells, the cell included [F]."""
    c_bit_line: float
    """The same of a bit line [F]."""
    checks: tuple[SettlingCheck, ...] = ()
    """Whole tiles that took no part in the calibration."""
