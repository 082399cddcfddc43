"""Calibrate the hold switch of a floating bit line: columns of the chip's own cells, all their rows at one voltage."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_shape
from spicesim.behavioural.hold import HoldModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.buffer import FOLLOWED, BufferPoints, fit_buffer, plan_buffer
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.plane_adder import JOINED, JoinPoints, fit_adder, plan_joins
from spicesim.chip import Chip
from spicesim.netlist.hold import build_holds, build_line_steps, held_after
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import PRECISE
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results

__all__ = ["HELD", "HoldPlan", "HoldPoints", "plan_hold", "read_held"]

HELD = "held line"
"""Name of its held-out errors."""
VOLTS, CONDUCTANCES = 5, 3
"""Orders of the polynomials, and points of the fit."""
LEFT = (0.1, 0.01)
"""Shares of a step between which a time constant is read."""
CAPACITANCE = 12.0
"""How long steps are watched: so many hold capacitors by the smallest conductance of a cell."""
BEYOND = 1.05
"""Calibrated voltages over the largest that inputs make."""


class HoldPoints(Model):
    """Columns to hold."""

    rows: tuple[int, ...]
    """Cells of each."""
    g: FloatArray
    """Conductance of each of its devices, (columns,) [S]."""
    v: FloatArray
    """Voltage of its word lines above the reference, (columns,) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("g", self.g, len(self.rows))
        require_shape("v", self.v, len(self.rows))
        return self

    def points(self) -> set[tuple[int, float, float]]:
        """Return the points as a set."""
        return set(zip(self.rows, self.g.tolist(), self.v.tolist(), strict=True))

    def netlist(self, chip: Chip, *, cut: bool = False) -> Netlist:
        """Build the simulation, of what is held of the columns or of the sum that is cut off from them."""
        return replace(build_holds(chip, self.g, self.rows, self.v, cut=cut), options=PRECISE)


class HoldPlan(BlockPlan):
    """Columns of some numbers of rows, on a grid of voltages and conductances."""

    settling: HoldPoints
    """Columns whose inputs step from -v to v."""
    fits: tuple[HoldPoints, ...] = Field(min_length=1)
    """One simulation for each number of rows, rising."""
    validation: HoldPoints
    """Decides nothing either: there is no finer plan."""
    test: HoldPoints
    """Decides nothing."""
    v_limit: float
    """Largest voltage of a line [V]."""
    joins: JoinPoints | None = None
    """Of a chip whose planes are added as charge: voltages to join. Its sums are cut off in the columns of the fits."""
    follows: BufferPoints | None = None
    """Of a chip with buffers: voltages that they hold."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitted = set().union(*(points.points() for points in self.fits))
        validation, test = self.validation.points(), self.test.points()
        if fitted & validation or fitted & test or validation & test:
            raise ValueError("the points of fit, validation and test must be disjoint")
        return self

    @property
    def name(self) -> str:
        """Name of the block."""
        return "hold switch"

    @property
    def design(self) -> str:
        """The design of the fitted points, in words."""
        counts = ", ".join(str(points.rows[0]) for points in self.fits)
        return f"{VOLTS} voltages x {CONDUCTANCES} conductances on lines of {counts} cells"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation."""
        adder = () if self.joins is None else (*(len(points.rows) for points in self.fits), self.joins.fitted)
        buffer = () if self.follows is None else (self.follows.fitted, 1)
        columns = [len(points.rows) for points in (self.settling, *self.fits, self.validation, self.test)]
        return (*columns[:-2], *adder, *buffer, *columns[-2:])

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations: those of the fit, of validation, of the test."""
        return [*self.fitted_netlists(chip), *(points.netlist(chip) for points in (self.validation, self.test))]

    def fitted_netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations of the fit: of settling, of what is held, of an adder if any."""
        steps, longest = self.settling, CAPACITANCE * chip.hold.capacitor / float(self.settling.g.min())
        settling = build_line_steps(chip, steps.g, steps.rows, steps.v, stop=longest)
        adder = []
        if self.joins is not None:
            cuts = [points.netlist(chip, cut=True) for points in self.fits]
            adder = [*cuts, replace(self.joins.netlist(chip), options=PRECISE)]
        buffer = [] if self.follows is None else self.follows.netlists(chip)
        return [
            replace(settling, options=PRECISE),
            *(points.netlist(chip) for points in self.fits),
            *adder,
            *buffer,
        ]

    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""
        few = slice(None, max(1, points))
        return HoldPoints(rows=self.test.rows[few], g=self.test.g[few], v=self.test.v[few]).netlist(chip)

    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""
        *fitted, validation, test = results
        model, others = self._fit(chip, fitted)

        def compare(points: HoldPoints, found: Results) -> dict[str, HeldOut]:
            each = zip(points.v, points.g, points.rows, strict=True)
            held_out = HeldOut(
                unit="V",
                full_scale=model.full_scale,
                coordinates={
                    "line [V]": points.v, "cell [S]": points.g, "cells": np.array(points.rows, dtype=float),
                },
                measured=read_held(chip, found, len(points.v)),
                predicted=np.array([float(model.held(v, g * rows, rows)) for v, g, rows in each]),
            )  # fmt: skip
            return {HELD: held_out}

        return Judged(
            model=model, validation=compare(self.validation, validation), test=compare(self.test, test) | others
        )

    def fit_model(self, chip: Chip, fitted: Sequence[Results]) -> HoldModel:
        """Fit the model to the results of its own netlists alone."""
        return self._fit(chip, fitted)[0]

    def _fit(self, chip: Chip, fitted: Sequence[Results]) -> tuple[HoldModel, dict[str, HeldOut]]:
        """Fit the model, and tell of its adder and its buffer how right these are."""
        settling, *columns = fitted
        c_hold, c_cell, delay = self._capacitances(chip, settling)
        held, cut = columns[: len(self.fits)], columns[len(self.fits) : 2 * len(self.fits)]
        adder, buffer, others = None, None, {}
        if self.follows is not None:
            *columns, rest, noise = columns
            buffer, others[FOLLOWED] = fit_buffer(chip, self.follows, rest, noise)
        if self.joins is not None:
            adder, others[JOINED] = fit_adder(chip, self.joins, columns[-1], self._pedestals(chip, cut))
        model = HoldModel(
            c_hold=c_hold, c_cell=c_cell, delay=delay, settle=chip.hold.settle, v_limit=self.v_limit,
            v_span=chip.dac.v_span, rows=tuple(points.rows[0] for points in self.fits), g_cell=chip.cell.g_max,
            pedestals=self._pedestals(chip, held), adder=adder, buffer=buffer,
        )  # fmt: skip
        return model, others

    def _pedestals(self, chip: Chip, results: Sequence[Results]) -> Floats:
        """Fit what opening a switch adds on the columns of the fits, (rows, VOLTS, CONDUCTANCES) [V]."""
        pedestals = []
        for points, found in zip(self.fits, results, strict=True):
            x, y = points.v / self.v_limit, points.g / chip.cell.g_max
            design = np.einsum("pa,pb->pab", _powers(x, VOLTS), _powers(y, CONDUCTANCES)).reshape(len(x), -1)
            solution = np.linalg.lstsq(design, read_held(chip, found, len(x)) - points.v, rcond=None)[0]
            pedestals.append(solution.reshape(VOLTS, CONDUCTANCES))
        return np.stack(pedestals)

    def _capacitances(self, chip: Chip, results: Results) -> tuple[float, float, float]:
        """Fit what makes the time constants: capacitance of a line, of each cell [F], delay of the switch [s]."""
        vectors, points = results[0].vectors, self.settling
        time = vectors["time"].real - STEP_TIME
        constants = []
        for k, v in enumerate(points.v):
            left = (vectors[f"v(out_{k})"].real - chip.sense_amplifier.v_reference - v) / (-2 * v)
            first, last = (float(np.interp(-share, -left, time)) for share in LEFT)
            constants.append((last - first) / np.log(LEFT[0] / LEFT[1]))
        total = points.g * np.array(points.rows)
        design = np.stack([1 / total, np.array(points.rows) / total, np.ones(len(total))], axis=1)
        weight = 1 / np.array(constants)  # errors relative to the time constant
        found = np.linalg.lstsq(design * weight[:, None], np.ones(len(total)), rcond=None)[0]
        return float(found[0]), float(found[1]), max(float(found[2]), 0.0)

    def refined(self, judged: Judged) -> None:
        """Return None: there is no finer plan."""
        return


def _powers(x: Floats, orders: int) -> Floats:
    return np.asarray(x[:, None] ** np.arange(orders))


def read_held(chip: Chip, results: Results, columns: int, after: float = 0.0) -> Floats:
    """Return what switches hold above the reference, of transients in which they open `after` a step [V]."""
    vectors = results[0].vectors
    time = vectors["time"].real
    at = STEP_TIME + after + held_after(chip)
    held = [float(np.interp(at, time, vectors[f"v(out_{k})"].real)) for k in range(columns)]
    return np.array(held) - chip.sense_amplifier.v_reference


def plan_hold(chip: Chip, *, quick: bool = False, seed: int = 0) -> HoldPlan:
    """Plan the columns of a chip: numbers of rows twice as large each time, up to those of its array."""
    v_limit = BEYOND * chip.dac.v_span
    counts = [1]
    while counts[-1] < chip.array.rows:
        counts.append(min(2 * counts[-1], chip.array.rows))
    volts = chebyshev_nodes(-v_limit, v_limit, VOLTS)
    siemens = chebyshev_nodes(chip.cell.g_min, chip.cell.g_max, CONDUCTANCES)
    rng = np.random.default_rng([seed, 31])

    def drawn(columns: int) -> HoldPoints:
        rows = np.rint(np.exp(rng.uniform(0, np.log(chip.array.rows), columns))).astype(int)
        return HoldPoints(
            rows=tuple(int(count) for count in rows),
            g=np.exp(rng.uniform(np.log(chip.cell.g_min), np.log(chip.cell.g_max), columns)),
            v=rng.uniform(-1, 1, columns) * chip.dac.v_span,
        )

    few, low, high = sorted({1, min(8, counts[-1]), min(64, counts[-1])}), chip.cell.g_min, chip.cell.g_max
    steps = [(rows, g, sign) for rows in few for g in (low, np.sqrt(low * high)) for sign in (1, -1)]
    grid = [(float(g), float(v)) for g in siemens for v in volts]
    return HoldPlan(
        settling=HoldPoints(
            rows=tuple(rows for rows, _, _ in steps),
            g=np.array([g for _, g, _ in steps]),
            v=np.array([sign * chip.dac.v_span for _, _, sign in steps]),
        ),
        fits=tuple(
            HoldPoints(rows=(count,) * len(grid), g=np.array([g for g, _ in grid]), v=np.array([v for _, v in grid]))
            for count in counts
        ),
        validation=drawn(16 if quick else 32),
        test=drawn(16 if quick else 32),
        v_limit=v_limit,
        joins=plan_joins(chip, quick=quick, seed=seed) if chip.hold.adds_planes else None,
        follows=plan_buffer(chip, quick=quick, seed=seed) if chip.hold.is_buffered else None,
    )
