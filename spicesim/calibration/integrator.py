"""Calibrate the integrators that read a chip of pulses: how they hold their lines, and what they make of charge.

Columns of the chip's own cells are driven by its own pulses. What they carry while all rows are on, and while none is,
is read off after the switches' charges are gone; its product with time is their charge, to which outputs are compared.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field, model_validator
from scipy.interpolate import CubicSpline, PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_shape
from spicesim.behavioural.integration import ChargeLaw, IntegratorModel
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.sense_amplifier import CurrentSweep
from spicesim.chip import Chip
from spicesim.coding import POLARITIES, Polarity
from spicesim.netlist.integrator import Window, build_integrators
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.parasitics import Parasitics
from spicesim.netlist.pulses import LEAD, LONGEST, WATCHED, PulseSchedule, product_options
from spicesim.netlist.tile import build_tile
from spicesim.netlist.together import row_groups, with_logic_together, with_rows_together
from spicesim.ngspice.outcome import Results

__all__ = [
    "AT",
    "CHARGE",
    "INPUT",
    "IntegratorPlan",
    "PulsedColumns",
    "plan_integrator",
    "read_integrated",
    "steady_window",
]

CHARGE, INPUT = "integrated charge", "integrator input"
"""Names of its held-out errors."""
GROWTH = {True: 4, False: 2}
"""Cells of a fitted column over those of the one before, by whether a calibration is quick."""
CONDUCTANCES = 3
"""Orders of the pedestals, and points of the fit."""
CURRENTS = {True: 13, False: 25}
"""Points of the table of the input: with 13 it is 1 uV off at its ends, and a fourth of that within half of them."""
TABLE = 401
"""Points of the table of the input, a smooth function of the current."""
BEARS = 1.8
"""Largest calibrated current over the bias of an amplifier, whose pair has twice that."""
BEYOND = 1.2
"""Calibrated currents over those of all rows on with largest conductances, of lines held as the chip says."""
SHORTEST = 80e-9
"""In which lines take a steady current [s]."""
AT = 0.7
"""When inputs are read, as a share of the window."""
LATER = 0.95
"""When they are read again, to see how they follow their outputs."""
SIDE_BY_SIDE = 8
"""Columns in one simulation: of 24 each transistor takes half as long again, as they exceed a processor's cache."""
QUIET = 10e-9
"""From an edge until a line's current is steady [s]."""


class PulsedColumns(Model):
    """Columns whose rows all have one code."""

    polarity: Polarity
    """Coding of the inputs."""
    code: int
    """Of all rows."""
    rows: tuple[int, ...]
    """Cells of each column."""
    g: FloatArray
    """Conductance of each of its devices, (columns,) [S]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("g", self.g, len(self.rows))
        return self

    def points(self) -> set[tuple[str, int, int, float]]:
        """Return the points as a set."""
        return {(self.polarity, self.code, n, g) for n, g in zip(self.rows, self.g.tolist(), strict=True)}

    @property
    def parts(self) -> list[Self]:
        """The same columns, some at a time."""
        groups = np.array_split(np.arange(len(self.rows)), math.ceil(len(self.rows) / SIDE_BY_SIDE))
        parts = [slice(int(group[0]), int(group[-1]) + 1) for group in groups]
        return [self.model_copy(update={"rows": self.rows[part], "g": self.g[part]}) for part in parts]

    def netlist(self, chip: Chip, *, together: bool = False) -> Netlist:
        """Build the simulation: a tile whose columns have cells next to their feet.

        As rows are all alike, those far from the feet can be put `together`, as one row that is there many times.
        """
        counts = row_groups(self.rows) if together else np.ones(max(self.rows), dtype=int)
        beyond = np.cumsum(counts[::-1])[::-1]  # rows from there to the feet
        cells = np.where(beyond[:, None] <= np.array(self.rows), self.g, 0.0)
        wires = Parasitics.of_chip(chip, *cells.shape).grouped(counts) if together else None
        netlist = build_tile(
            chip, cells, np.full(len(counts), self.code), polarity=self.polarity, r_feedback=chip.settings[0],
            parasitics=wires,
        )  # fmt: skip
        # currents after edges are read off, and not only what has become of them
        return with_logic_together(with_rows_together(netlist, counts).paced(1 / LONGEST))

    def read(self, chip: Chip, results: Results) -> tuple[Floats, Floats, Floats]:
        """Return currents with all rows at the higher level and at the lower [A], and outputs [V], each (columns,).

        Without a time in which rows are at the higher level the first are those at the lower.
        """
        schedule, vectors = PulseSchedule.of_chip(chip, self.polarity), results[0].vectors
        time, columns = vectors["time"].real, range(len(self.rows))
        last = schedule.window.end - schedule.settle

        def mean(first: float, last: float) -> Floats:
            at = np.linspace(first, last, 200)
            waves = (PchipInterpolator(time, vectors[f"i(vsense_{j})"].real) for j in columns)
            return np.array([wave(at).mean() for wave in waves])

        off = mean(last + QUIET, schedule.window.end - QUIET / 5)
        ends = schedule.start + QUIET, schedule.start + schedule.lasts(self.code) - QUIET / 5
        on = mean(*ends) if ends[1] > ends[0] else off
        return on, off, read_integrated(chip, results, len(self.rows))


class IntegratorPlan(BlockPlan):
    """Steady currents into integrators, and columns of some numbers of cells and of some conductances, with pulses."""

    currents: CurrentSweep
    """Of the table of the input."""
    currents_validation: CurrentSweep
    """Decides nothing: there is no finer plan."""
    currents_test: CurrentSweep
    """Decides nothing."""
    fits: tuple[PulsedColumns, ...] = Field(min_length=1)
    """The same columns with each polarity and some codes: 0, few, and all units."""
    validation: tuple[PulsedColumns, ...]
    """One a polarity."""
    test: tuple[PulsedColumns, ...]
    """One a polarity."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitted, validation, test = (
            set().union(*(columns.points() for columns in group)) for group in (self.fits, self.validation, self.test)
        )
        if fitted & validation or fitted & test or validation & test:
            raise ValueError("the points of fit, validation and test must be disjoint")
        return self

    @property
    def name(self) -> str:
        """Name of the block."""
        return "integrator"

    @property
    def design(self) -> str:
        """The design of the fitted points, in words."""
        counts = ", ".join(str(n) for n in dict.fromkeys(self.fits[0].rows))
        codes = ", ".join(str(code) for code in dict.fromkeys(columns.code for columns in self.fits))
        return f"{self.currents.points} currents; lines of {counts} cells x {CONDUCTANCES} conductances, codes {codes}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation, but that validation and test are of several."""
        sweeps = (self.currents, self.currents_validation, self.currents_test)
        groups = (*(part for columns in self.fits for part in columns.parts), *self.validation, *self.test)
        return (*(sweep.points for sweep in sweeps), *(len(columns.rows) for columns in groups))

    def points(self) -> dict[str, int]:
        """Count the points of "fit", "validation" and "test"."""
        parts = {"fit": self.fits, "validation": self.validation, "test": self.test}
        sweeps = (self.currents, self.currents_validation, self.currents_test)
        return {
            name: sweep.points + sum(len(columns.rows) for columns in group)
            for (name, group), sweep in zip(parts.items(), sweeps, strict=True)
        }

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations: of steady currents, of the fit, of validation, of the test."""
        sweeps = (self.currents, self.currents_validation, self.currents_test)
        return [
            *(_steady(chip, sweep, self.currents.i_limit) for sweep in sweeps),
            *self._columns(chip),
            *(columns.netlist(chip) for columns in (*self.validation, *self.test)),
        ]

    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""
        few = self.fits[-1]
        return few.model_copy(update={"rows": few.rows[:1], "g": few.g[:1]}).netlist(chip)

    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""
        steady, held_out = results[:3], 3 + sum(len(columns.parts) for columns in self.fits)
        model, pulsed = self.fit_model(chip, [steady[0], *results[3:held_out]]), iter(results[held_out:])
        leak = model.leak

        def compare(sweep: CurrentSweep, flat: Results, group: Sequence[PulsedColumns]) -> dict[str, HeldOut]:
            found = [(columns, columns.read(chip, next(pulsed))) for columns in group]
            charges = HeldOut(
                unit="V",
                full_scale=model.full_scale,
                coordinates={
                    "cells": np.concatenate([np.array(columns.rows, dtype=float) for columns in group]),
                    "cell [S]": np.concatenate([columns.g for columns in group]),
                },
                measured=np.concatenate([out for _, (_, _, out) in found]),
                predicted=np.concatenate([_predict(chip, model, columns, on, off) for columns, (on, off, _) in found]),
            )
            held = HeldOut(
                unit="V",
                full_scale=chip.dac.v_span,
                coordinates={"current [A]": sweep.currents()},
                measured=_inputs(chip, sweep, flat, self.currents.i_limit, leak),
                predicted=model.port.ports.evaluate(sweep.currents())[0],
            )
            return {CHARGE: charges, INPUT: held}

        validation = compare(self.currents_validation, steady[1], self.validation)
        return Judged(model=model, validation=validation, test=compare(self.currents_test, steady[2], self.test))

    def fitted_netlists(self, chip: Chip) -> list[Netlist]:
        """Build those simulations that the model follows from, and no others."""
        return [_steady(chip, self.currents, self.currents.i_limit), *self._columns(chip)]

    def _columns(self, chip: Chip) -> list[Netlist]:
        return [part.netlist(chip, together=True) for columns in self.fits for part in columns.parts]

    def fit_model(self, chip: Chip, results: Sequence[Results]) -> IntegratorModel:
        """Fit the model to the results of :meth:`fitted_netlists`."""
        leak, found = _leak(chip, self.currents, results[0]), iter(results[1:])
        fitted = []
        for columns in self.fits:
            seen = [part.read(chip, next(found)) for part in columns.parts]
            on, off, out = (np.concatenate(each) for each in zip(*seen, strict=True))
            fitted.append((columns, (on, off, out)))
        rows = tuple(dict.fromkeys(self.fits[0].rows))
        largest = max(float(np.abs([on, off]).max()) for _, (on, off, _) in fitted)
        return IntegratorModel(
            port=self._port(chip, results[0], leak, min(BEYOND * largest, self.currents.i_limit)),
            bits=chip.dac.bits, unit=chip.dac.unit, settle=chip.integrator.settle,
            lead=LEAD * chip.integrator.settle, reset=chip.integrator.reset, rows=rows, g_cell=chip.cell.g_max,
            leak=leak,
            laws={p: _law(chip, rows, [found for found in fitted if found[0].polarity == p]) for p in POLARITIES},
            swing=max(float(np.abs(out).max()) for _, (_, _, out) in fitted),
        )  # fmt: skip

    def _port(self, chip: Chip, steady: Results, leak: float, largest: float) -> SenseAmplifierModel:
        """Make the table of the input; the output is that of the drawn capacitor, linear to the largest current."""
        limit, ohm = self.currents.i_limit, chip.settings[0]
        volts = _inputs(chip, self.currents, steady, limit, leak)
        grid = np.linspace(-limit, limit, TABLE)
        table = CubicSpline(self.currents.currents(), volts)
        rail = Parameter(value=ohm * largest, standard_error=0.0, unit="V")
        return SenseAmplifierModel(
            r_feedback=ohm, i_limit=limit, v_in=table(grid), v_out=ohm * grid,
            parameters={
                "r_in": Parameter(value=float(table(0.0, 1)), standard_error=0.0, unit="ohm"),
                "rail_low": rail, "rail_high": rail.model_copy(update={"value": -rail.value}),
            },
            linear_limits=(-ohm * largest, ohm * largest),
        )  # fmt: skip

    def refined(self, judged: Judged) -> None:
        """Return None: there is no finer plan."""
        return


def _steady(chip: Chip, sweep: CurrentSweep, i_limit: float) -> Netlist:
    netlist = build_integrators(chip, sweep.currents(), window=steady_window(chip, i_limit))
    return replace(netlist, options=product_options(chip))


def steady_window(chip: Chip, i_limit: float) -> Window:
    """Return a window in which the largest current moves the output by half a volt, or a longer one if it must."""
    length = max(SHORTEST, min(0.5 * chip.integrator.capacitor / i_limit, chip.dac.window))
    return Window(reset=20e-9, start=40e-9, length=length, hold=QUIET, edge=0.1e-9)


def _inputs(chip: Chip, sweep: CurrentSweep, results: Results, i_limit: float, leak: float) -> Floats:
    """Return how far inputs are above the reference while they take currents, with outputs at the reference [V]."""
    v_in, v_out = _at(chip, sweep, results, steady_window(chip, i_limit), AT)
    return v_in + leak * v_out


def _at(chip: Chip, sweep: CurrentSweep, results: Results, window: Window, share: float) -> tuple[Floats, Floats]:
    """Return inputs and outputs above the reference at a share of the window, each (currents,) [V]."""
    at, vectors = window.start + share * window.length, results[0].vectors
    nodes = ((float(np.interp(at, vectors["time"].real, vectors[f"v({node}_{k})"].real)) for k in range(sweep.points))
             for node in ("in", "out"))  # fmt: skip
    v_in, v_out = (np.fromiter(volts, dtype=float) - chip.sense_amplifier.v_reference for volts in nodes)
    return v_in, v_out


def _leak(chip: Chip, sweep: CurrentSweep, results: Results) -> float:
    """Return how far inputs fall as outputs rise, at small currents: one by the amplifier's gain."""
    window = steady_window(chip, sweep.i_limit)
    (v_in, v_out), (later_in, later_out) = (_at(chip, sweep, results, window, share) for share in (AT, LATER))
    small = np.abs(sweep.currents()) < 0.5 * sweep.i_limit
    moved, fell = (later_out - v_out)[small], (v_in - later_in)[small]
    return max(float(fell @ moved / (moved @ moved)), 0.0)


def _charges(chip: Chip, columns: PulsedColumns, on: Floats, off: Floats) -> Floats:
    """Return the outputs that a capacitor as drawn makes of charges [V]."""
    schedule = PulseSchedule.of_chip(chip, columns.polarity)
    lasts = schedule.lasts(columns.code)
    return np.asarray((on * lasts + off * (schedule.window.length - lasts)) / chip.integrator.capacitor)


def _law(
    chip: Chip, rows: Sequence[int], fitted: Sequence[tuple[PulsedColumns, tuple[Floats, Floats, Floats]]]
) -> ChargeLaw:
    """Fit gain and excess of all columns, and a pedestal of each.

    Where pulses of all codes last some time the excess is the same for all of them, and part of the pedestals.
    """
    first, schedule = fitted[0][0], PulseSchedule.of_chip(chip, fitted[0][0].polarity)
    places = {point: k for k, point in enumerate(zip(first.rows, first.g.tolist(), strict=True))}
    each = [[places[point] for point in zip(own.rows, own.g.tolist(), strict=True)] for own, _ in fitted]
    charges = np.concatenate([_charges(chip, columns, on, off) for columns, (on, off, _) in fitted])
    late = np.concatenate([(on - off) * chip.dac.window / chip.integrator.capacitor for _, (on, off, _) in fitted])
    outputs = np.concatenate([out for _, (_, _, out) in fitted])
    parts = [np.eye(len(places))[np.concatenate(each)], charges, *([] if schedule.longer else [late])]
    found = np.linalg.lstsq(np.column_stack(parts), outputs, rcond=None)[0]
    pedestals, (gain, *excess) = found[: len(places)], found[len(places) :]

    def powers(cells: int) -> Floats:
        own = np.array(first.rows) == cells
        shares = first.g[own] / chip.cell.g_max
        fit = np.polynomial.polynomial.polyfit(shares, pedestals[own], len(shares) - 1)
        return np.pad(fit, (0, CONDUCTANCES - len(fit)))

    return ChargeLaw(
        gain=float(gain),
        window=schedule.window.length,
        longer=schedule.longer,
        excess=float(excess[0] / gain) * chip.dac.window if excess else 0.0,
        pedestals=np.stack([powers(cells) for cells in rows]),
    )


def _predict(chip: Chip, model: IntegratorModel, columns: PulsedColumns, on: Floats, off: Floats) -> Floats:
    law, cells = model.laws[columns.polarity], np.array(columns.rows)
    late = (on - off) * law.excess / chip.integrator.capacitor
    charge = law.gain * (_charges(chip, columns, on, off) + late)
    return np.asarray(charge + model.pedestals(columns.polarity, cells, cells * columns.g))


def read_integrated(chip: Chip, results: Results, columns: int) -> Floats:
    """Return the outputs of a product by pulses below the reference, (columns,) [V]."""
    vectors = results[0].vectors
    time = vectors["time"].real
    at = time[-1] - WATCHED * chip.integrator.settle
    return chip.sense_amplifier.volts([float(np.interp(at, time, vectors[f"v(out_{j})"].real)) for j in range(columns)])


def plan_integrator(
    chip: Chip, *, quick: bool = False, seed: int = 0, counts: Sequence[int] | None = None
) -> IntegratorPlan:
    """Plan the columns of a chip.

    Those of the fit have so many cells; by default more by :data:`GROWTH` each time, up to the rows of its array. In a
    quick plan the code in the middle has columns of the most cells alone, which tell what it is for, and what one cell
    alone adds is taken for linear in its conductance.
    """
    if counts is None:
        counts = [1]
        while counts[-1] < chip.array.rows:
            counts.append(min(GROWTH[quick] * counts[-1], chip.array.rows))
    siemens = chebyshev_nodes(chip.cell.g_min, chip.cell.g_max, CONDUCTANCES)
    line = chip.array.rows * chip.cell.g_max
    # as little as that, for larger ones leave less time until outputs have moved too far, and inputs settle late
    most = line * chip.dac.v_span / (1 + chip.integrator.r_input * line)
    limit = min(BEYOND * most, BEARS * chip.integrator.bias_current)
    top, rng = 2**chip.dac.bits - 1, np.random.default_rng([seed, 37])
    least = math.ceil(1.5 * QUIET / chip.dac.unit)

    def drawn(polarity: Polarity) -> PulsedColumns:
        columns = 6 if quick else 12
        rows = np.rint(np.exp(rng.uniform(0, np.log(chip.array.rows), columns))).astype(int)
        return PulsedColumns(
            polarity=polarity,
            code=int(rng.integers(max(least, top // 3), top)),
            rows=tuple(int(count) for count in rows),
            g=np.exp(rng.uniform(np.log(chip.cell.g_min), np.log(chip.cell.g_max), columns)),
        )

    points = [(n, float(g)) for n in counts for g in (siemens[::2] if quick and n == 1 else siemens)]
    middle = [point for point in points if point[0] == counts[-1]] if quick else points
    return IntegratorPlan(
        currents=CurrentSweep(i_limit=limit, points=CURRENTS[quick]),
        currents_validation=CurrentSweep(i_limit=np.sqrt(0.975) * limit, points=8),
        currents_test=CurrentSweep(i_limit=np.sqrt(0.986) * limit, points=12),
        fits=tuple(
            PulsedColumns(polarity=polarity, code=code, rows=tuple(n for n, _ in own), g=np.array([g for _, g in own]))
            for polarity in POLARITIES
            for code, own in ((0, points), (max(least, top // 8), middle), (top, points))
            # with the other coding the shortest and the longest pulses are enough: the excess takes a third
            if not (quick and polarity == "bipolar" and own is middle)
        ),
        validation=tuple(drawn(polarity) for polarity in POLARITIES),
        test=tuple(drawn(polarity) for polarity in POLARITIES),
    )
