"""Calibrate the sense amplifier: tables fine enough for its knees, and named parameters of its linear range."""

import math
from dataclasses import dataclass

import numpy as np

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.senseamp import build_senseamp
from spicesim.ngspice.outcome import Results

__all__ = ["SenseAmplifierPlan", "fit_senseamp", "linear_range", "plan_senseamp"]

_LINEAR = 1e-3
"""Departure from a straight line that ends the linear range, as a fraction of the swing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenseAmplifierPlan:
    """Sweeps of one amplifier with one feedback resistor."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    i_limit: float
    """Largest current [A]."""
    points: int
    """Currents of the tables, odd."""
    held_out_points: int
    """Currents of the held-out sweep."""

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the two simulations."""
        return [
            build_senseamp(chip, self.r_feedback, self.i_limit, self.points),
            build_senseamp(chip, self.r_feedback, 0.993 * self.i_limit, self.held_out_points),
        ]


def plan_senseamp(chip: Chip, r_feedback: float, *, quick: bool = False) -> SenseAmplifierPlan:
    """Plan the sweeps of one amplifier.

    Current reaches what a saturated output lets through when the word lines pull the input by the DAC's span. Steps of
    1 mV at the output resolve the knees; 16 mV would cost .06 % of full scale there.
    """
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    swing = max(reference, supply - reference) + 1.5 * chip.dac.v_span
    step = 2e-3 if quick else 1e-3
    half = math.ceil(swing / step)
    return SenseAmplifierPlan(
        r_feedback=r_feedback,
        i_limit=half * step / r_feedback,
        points=2 * half + 1,
        held_out_points=2 * (half // 7) + 1,
    )


def fit_senseamp(
    chip: Chip, plan: SenseAmplifierPlan, results: list[Results]
) -> tuple[SenseAmplifierModel, dict[str, HeldOut]]:
    """Build the amplifier's tables and fit its named parameters.

    Returns
    -------
    model : SenseAmplifierModel
        Tables and parameters.
    held_out : dict of HeldOut
        Errors of "input" and "output" at other currents; full scale is the swing to the nearer rail.
    """
    reference = chip.sense_amplifier.v_reference
    i, v_in, v_out = _sweep(plan.i_limit, plan.points, results[0], reference)
    parameters, limits = _parameters(i, v_in, v_out, plan.r_feedback)
    model = SenseAmplifierModel(
        r_feedback=plan.r_feedback, i_limit=plan.i_limit, v_in=v_in, v_out=v_out, parameters=parameters,
        linear_limits=limits,
    )  # fmt: skip
    i_held, in_held, out_held = _sweep(0.993 * plan.i_limit, plan.held_out_points, results[1], reference)

    def compare(measured: Floats, predicted: Floats) -> HeldOut:
        return HeldOut(
            unit="V",
            full_scale=model.full_scale,
            coordinates={"current [A]": i_held},
            measured=measured,
            predicted=predicted,
        )

    return model, {
        "input": compare(in_held, model.ports().evaluate(i_held)[0]),
        "output": compare(out_held, model.output(i_held)),
    }


def _sweep(i_limit: float, points: int, results: Results, reference: float) -> tuple[Floats, Floats, Floats]:
    vectors = results[0].vectors
    v_in = np.asarray(vectors["v(sense)"].real - reference)
    v_out = np.asarray(reference - vectors["v(out)"].real)
    return np.linspace(-i_limit, i_limit, points), v_in, v_out


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
    """
    swing = min(-float(v_out.min()), float(v_out.max()))
    inner = np.abs(v_out) < 0.5 * swing
    offset, slope, _, _ = _line(i[inner], v_out[inner])
    straight = np.abs(v_out - offset - slope * i) < _LINEAR * swing
    middle = int(np.argmin(np.abs(i)))
    before, behind = ~straight[middle::-1], ~straight[middle:]
    first = middle - int(np.argmax(before)) + 1 if before.any() else 0
    last = middle + int(np.argmax(behind)) - 1 if behind.any() else len(i) - 1
    return slice(first, last + 1)


def _parameters(
    i: Floats, v_in: Floats, v_out: Floats, r_feedback: float
) -> tuple[dict[str, Parameter], tuple[float, float]]:
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
