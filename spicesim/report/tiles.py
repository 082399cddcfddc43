"""The section on whole tiles: the behavioural tile against transistor level."""

from collections.abc import Iterable

import numpy as np

from spicesim.arrays import Bools, Floats
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tile_check import TileCheck
from spicesim.coding import AdcRange
from spicesim.metrics import compare_codes
from spicesim.plots import plot_error_by_vector, plot_parity
from spicesim.report.numbers import percent, quantity
from spicesim.report.page import Column, Illustration, Section, Table

__all__ = ["code_agreement", "parity_illustration", "tile_section", "worst_check"]


def code_agreement(check: TileCheck, bits: int) -> tuple[float, float, float]:
    """Return the fractions of ADC codes identical, off by one and worse, for a range that is the whole swing."""
    low = 0.0 if check.polarity == "unipolar" else -check.full_scale
    adc = AdcRange(low=low, high=check.full_scale, bits=bits)
    return compare_codes(adc.codes(check.predicted) - adc.codes(check.measured))


def worst_check(checks: Iterable[TileCheck], *, linear: bool) -> float | None:
    """Return the largest error of all checks, or of their linear columns, as a fraction of full scale."""
    found = [np.abs(_errors(check, linear=linear)).max(initial=0.0) for check in checks]
    return float(max(found)) if found else None


def _verdict(calibration: Calibration) -> str:
    """Say what the calibration claims, and what that is held against."""
    verdict = calibration.verdict
    if verdict is None:
        return "What it claims was never judged."
    missed = "" if verdict.is_met else f" It MISSES what was asked for: {verdict.missed}."
    accepted = f" It was accepted all the same: {verdict.accepted}." if verdict.accepted and not verdict.is_met else ""
    return (
        f"The calibration claims outputs within {percent(verdict.claim)} % of full scale: twice the largest error "
        f"found here, or what the cells of a column can add up to ({percent(verdict.cells.error)} %, "
        f"{verdict.cells.where}), whichever is more; {percent(verdict.asked)} % was asked for.{missed}{accepted}"
    )


FULL_SCALES = {
    "tia": "the swing of an amplifier to its nearer rail",
    "voltage": "the span of the inputs",
    "integrator": "the largest output that was calibrated, of all rows on with the highest conductances",
}
"""What errors are fractions of, by the kind of read-out."""


def _errors(check: TileCheck, *, linear: bool) -> Floats:
    errors = (check.predicted - check.measured) / check.full_scale
    return np.asarray(errors[~np.array(check.saturated)] if linear else errors.ravel())


def tile_section(calibration: Calibration) -> Section:
    """Compare whole tiles with the behavioural tile."""
    checks, bits = calibration.checks, calibration.chip.adc.bits
    text = (
        "Whole tiles, every transistor of them, in ngspice beside the behavioural tile, on conductances and code "
        f"vectors that no fit has seen; full scale is {FULL_SCALES[calibration.chip.sense_amplifier.kind]}."
    )
    if not checks:
        return Section(
            anchor="tiles", title="Whole tiles", text="This calibration was not checked on whole tiles in ngspice."
        )
    errors = np.concatenate([_errors(check, linear=False) for check in checks])
    return Section(
        anchor="tiles",
        title="Whole tiles",
        text=f"{text} {_verdict(calibration)}",
        blocks=(
            Table(
                caption=f"Errors of the outputs in % of full scale, and ADC codes of {bits} bit over the "
                "whole swing: from 0 (unipolar) or from its negative (bipolar) to full scale.",
                columns=(
                    Column(title="tile", text=True),
                    Column(title="columns", text=True),
                    Column(title="inputs", text=True),
                    Column(title="r_feedback"),
                    Column(title="vectors"),
                    Column(title="saturated outputs"),
                    Column(title="linear: max", unit="% FS"),
                    Column(title="RMS", unit="% FS"),
                    Column(title="all: max", unit="% FS"),
                    Column(title="RMS", unit="% FS"),
                    Column(title="codes identical", unit="%"),
                    Column(title="codes ±1", unit="%"),
                    Column(title="codes worse", unit="%"),
                ),
                rows=tuple(_check_row(check, bits, calibration) for check in checks),
            ),
            parity_illustration(
                np.concatenate([check.measured.ravel() for check in checks]),
                np.concatenate([check.predicted.ravel() for check in checks]),
                np.concatenate([np.full(check.measured.size, check.full_scale) for check in checks]),
                np.concatenate([np.array(check.saturated).ravel() for check in checks]),
                caption=f"{errors.size} outputs of all tiles above; the largest error is "
                f"{percent(float(np.abs(errors).max()))} % of full scale.",
            ),
            _vector_illustration(checks),
        ),
    )


def _vector_illustration(checks: Iterable[TileCheck]) -> Illustration:
    names, sizes, saturating = [], [], []
    for check in checks:
        worst = np.abs(check.predicted - check.measured).max(axis=1) / check.full_scale
        names += [name.rstrip("0123456789 ") for name in check.pattern]
        sizes += worst.tolist()
        saturating += [any(flags) for flags in check.saturated]
    return Illustration(
        title="Errors by kind of input vector",
        caption="One point a simulated vector of the tiles above; structured inputs stand beside random ones.",
        figure=plot_error_by_vector(names, sizes, saturating),
    )


def _check_row(check: TileCheck, bits: int, calibration: Calibration) -> tuple[str, ...]:
    told = {f"{check.rows}x{check.columns}", check.polarity}  # by the other columns of the table
    linear, every = _errors(check, linear=True), _errors(check, linear=False)
    sizes = [
        (percent(float(np.abs(e).max())), percent(float(np.sqrt(np.mean(e**2))))) if e.size else ("none", "none")
        for e in (linear, every)
    ]
    return (
        f"{check.rows} × {check.columns}",  # noqa: RUF001
        " ".join(word for word in check.name.split() if word not in told) or check.name,
        check.polarity,
        quantity(check.r_feedback, "ohm") if calibration.hold is None else "none",
        f"{len(check.pattern)}",
        f"{int(np.sum(check.saturated))} of {every.size}",
        *sizes[0],
        *sizes[1],
        *(f"{100 * share:.2f}" for share in code_agreement(check, bits)),
    )


def parity_illustration(
    measured: Floats,
    predicted: Floats,
    full_scale: Floats,
    saturated: Bools | None = None,
    *,
    caption: str,
) -> Illustration:
    """Show predicted against measured outputs [V] with their residuals."""
    return Illustration(
        title="Model against ngspice",
        caption=caption,
        figure=plot_parity(measured, predicted, full_scale, saturated),
    )
