"""Calibrate the sense amplifier: tables fine enough for its knees, and named parameters of its linear range."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import Model
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.errors import CalibrationError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sense_amplifier import build_sense_amplifier, has_opamp
from spicesim.ngspice.outcome import Results

__all__ = [
    "CurrentSweep",
    "SenseAmplifierPlan",
    "fit_sense_amplifier",
    "linear_range",
    "named_parameters",
    "plan_sense_amplifier",
]

_LINEAR = 1e-3
"""Departure from a straight line that ends the linear range, as a fraction of the swing."""
LEAST_POINTS = 3
"""Points of a linear range: fewer leave a line no residual."""
_LOWEST = 0.75
"""Resistors of a process over the wanted ones, at least: kits have 20 % less at a corner, and some 7 % less hot."""
_COLUMN = 1.3
"""Current of a column over that of cells of ``g_max`` at the drivers' span: devices miss what is wanted."""
STEP = 1e-3
"""Of the tables at the output [V]: it resolves the knees; 2 mV cost .01 % of full scale there, 16 mV .06 %."""


class CurrentSweep(Model):
    """Currents into one amplifier, evenly from -i_limit to i_limit."""

    i_limit: float
    """Largest current [A]."""
    points: int
    """Currents, odd."""

    def currents(self) -> Floats:
        """Return the currents [A]."""
        return np.linspace(-self.i_limit, self.i_limit, self.points)


class SenseAmplifierPlan(BlockPlan):
    """Sweeps of one amplifier with one feedback resistor."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    table: CurrentSweep
    """Of the fit."""
    validation: CurrentSweep
    """Decides on refinements."""
    test: CurrentSweep
    """Decides nothing."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        # all sweeps go through zero, where any table of an odd number of currents has a point
        fitted, validation, test = (
            set(sweep.currents().tolist()) - {0.0} for sweep in (self.table, self.validation, self.test)
        )
        if fitted & validation or fitted & test or validation & test:
            raise ValueError("the points of fit, validation and test must be disjoint")
        return self

    @property
    def name(self) -> str:
        """Name of the block."""
        return f"TIA, {self.r_feedback / 1e3:g} kohm"

    @property
    def design(self) -> str:
        """The design of the fitted points, in words."""
        step = 2 * self.table.i_limit / (self.table.points - 1)
        return f"currents every {step * self.r_feedback * 1e3:.3g} mV / r_feedback"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation."""
        return self.table.points, self.validation.points, self.test.points

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations: of the tables, of validation, of the test."""
        sweeps = (self.table, self.validation, self.test)
        return [build_sense_amplifier(chip, self.r_feedback, sweep.i_limit, sweep.points) for sweep in sweeps]

    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""
        return build_sense_amplifier(chip, self.r_feedback, self.table.i_limit, 2 * (points // 2) + 1)

    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""
        return fit_sense_amplifier(chip, self, results)

    def refined(self, judged: Judged) -> Self:
        """Halve the steps of the tables, which are uniform because a solver must find its place in them at once."""
        table = self.table.model_copy(update={"points": 2 * self.table.points - 1})
        return self.model_copy(update={"table": table})


def plan_sense_amplifier(chip: Chip, r_feedback: float) -> SenseAmplifierPlan:
    """Plan the sweeps of one amplifier.

    Current reaches what a saturated output lets through when the word lines pull the input by the DAC's span. A circuit
    of one's own may go on holding its line: currents are those of a whole column. A process's resistors let more
    through at a corner where they are low, and the same currents are swept there.
    """
    process, reference = chip.process, chip.sense_amplifier.v_reference
    swing = max(reference, process.supply - reference) + 1.5 * chip.dac.v_span
    if process.resistor is not None:
        swing /= min(_LOWEST, process.resistor.at(process.temperature_c))
    if not has_opamp(chip):
        swing = max(swing, r_feedback * _COLUMN * chip.array.rows * chip.cell.g_max * chip.dac.v_span)
    # irrational shares of the range for the others: whatever the range, no point of one sweep is in another
    half = math.ceil(swing / STEP)
    i_limit = half * STEP / r_feedback
    return SenseAmplifierPlan(
        r_feedback=r_feedback,
        table=CurrentSweep(i_limit=i_limit, points=2 * half + 1),
        validation=CurrentSweep(i_limit=math.sqrt(0.975) * i_limit, points=2 * (half // 8) + 1),
        test=CurrentSweep(i_limit=math.sqrt(0.986) * i_limit, points=2 * (half // 7) + 1),
    )


def fit_sense_amplifier(chip: Chip, plan: SenseAmplifierPlan, results: Sequence[Results]) -> Judged:
    """Build the amplifier's tables and fit its named parameters.

    Returns
    -------
    Judged
        Tables and parameters; errors of input and output at other currents, full scale is the swing to the nearer
        rail.
    """
    reference = chip.sense_amplifier.v_reference
    i, v_in, v_out = _sweep(plan.table, results[0], reference)
    parameters, limits = named_parameters(i, v_in, v_out, plan.r_feedback)
    model = SenseAmplifierModel(
        r_feedback=plan.r_feedback, i_limit=plan.table.i_limit, v_in=v_in, v_out=v_out, parameters=parameters,
        linear_limits=limits,
    )  # fmt: skip

    def compare(sweep: CurrentSweep, found: Results) -> dict[str, HeldOut]:
        current, measured_in, measured_out = _sweep(sweep, found, reference)
        sides = {
            "input": (measured_in, model.ports.evaluate(current)[0]),
            "output": (measured_out, model.output(current)),
        }
        return {
            f"TIA {side}, {plan.r_feedback / 1e3:g} kohm": HeldOut(
                unit="V",
                full_scale=model.full_scale,
                coordinates={"current [A]": current},
                measured=measured,
                predicted=predicted,
            )
            for side, (measured, predicted) in sides.items()
        }

    return Judged(model=model, validation=compare(plan.validation, results[1]), test=compare(plan.test, results[2]))


def _sweep(sweep: CurrentSweep, results: Results, reference: float) -> tuple[Floats, Floats, Floats]:
    vectors = results[0].vectors
    v_in = np.asarray(vectors["v(sense)"].real - reference)
    v_out = np.asarray(reference - vectors["v(out)"].real)
    return sweep.currents(), v_in, v_out


def _line(x: Floats, y: Floats) -> tuple[float, float, float, float]:
    """Fit y = a + b x; return a, b and their standard errors."""
    design = np.stack([np.ones_like(x), x / np.abs(x).max()], axis=1)
    solution, residual, _, _ = np.linalg.lstsq(design, y, rcond=None)
    variance = float(residual[0]) / max(1, len(x) - 2) if len(residual) else 0.0
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
    scale = float(np.abs(x).max())
    return float(solution[0]), float(solution[1]) / scale, float(errors[0]), float(errors[1]) / scale


def linear_range(i: Floats, v_out: Floats) -> slice:
    """Find the points of a sweep around zero current where the output follows a straight line.

    Parameters
    ----------
    i : ndarray of shape (points,)
        Currents, ascending [A].
    v_out : ndarray of shape (points,)
        Outputs below the reference [V].

    Raises
    ------
    CalibrationError
        If there are fewer than three.
    """
    none = CalibrationError("the sense amplifier has no linear range around zero current; check its sizes")
    swing = min(-float(v_out.min()), float(v_out.max()))
    middle, share = int(np.argmin(np.abs(i))), 0.5
    straight = np.zeros(len(i), dtype=bool)
    while not straight[middle]:  # a line through less of a curve follows it around zero
        inner = np.abs(v_out) < share * swing
        if np.count_nonzero(inner) < LEAST_POINTS:
            raise none
        offset, slope, _, _ = _line(i[inner], v_out[inner])
        straight = np.abs(v_out - offset - slope * i) < _LINEAR * swing
        share /= 2
    before, behind = ~straight[middle::-1], ~straight[middle:]
    first = middle - int(np.argmax(before)) + 1 if before.any() else 0
    last = middle + int(np.argmax(behind)) - 1 if behind.any() else len(i) - 1
    if last + 1 - first < LEAST_POINTS:
        raise none
    return slice(first, last + 1)


def named_parameters(
    i: Floats, v_in: Floats, v_out: Floats, r_feedback: float
) -> tuple[dict[str, Parameter], tuple[float, float]]:
    """Fit the named parameters to tables, and find the outputs that end the linear range [V]."""
    linear = linear_range(i, v_out)
    first, last = linear.start, linear.stop - 1
    offset, slope, offset_error, slope_error = _line(i[linear], v_out[linear])
    v_zero, r_in, v_zero_error, r_in_error = _line(i[linear], v_in[linear])
    # a rail is read where the output hardly moves any more; its scatter there is its uncertainty
    ends = {"rail_high": v_out[: max(3, first // 4)], "rail_low": v_out[-max(3, (len(i) - last) // 4) :]}
    parameters = {
        "gain": Parameter(value=slope / r_feedback, standard_error=slope_error / r_feedback, unit="1"),
        "offset_in": Parameter(value=v_zero, standard_error=v_zero_error, unit="V"),
        "offset_out": Parameter(value=offset, standard_error=offset_error, unit="V"),
        "r_in": Parameter(value=r_in, standard_error=r_in_error, unit="ohm"),
    }
    for name, end in ends.items():
        parameters[name] = Parameter(value=float(end.mean()), standard_error=float(end.std(ddof=1)), unit="V")
    return parameters, (float(v_out[first]), float(v_out[last]))
