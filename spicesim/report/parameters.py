"""The section on named parameters: estimates with intervals, what is not determined, and whether the laws hold."""

from collections.abc import Mapping, Sequence

from spicesim.behavioural.parameter import Parameter
from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.fit import Fit
from spicesim.plots.figure import prefixed
from spicesim.plots.fits import plot_correlation, plot_quantiles
from spicesim.report.numbers import quantity, uncertain
from spicesim.report.page import Block, Column, Illustration, Section, Table

__all__ = ["interval_texts", "parameters_section"]

_TITLE = "Named parameters"
_EXPLAINED = {
    "r_access": "on-resistance of the access transistor",
    "body": "its loss of conductance a volt of the bit line",
    "bend": "its loss of conductance a volt across it",
    "kappa": "nonlinearity of the device",
    "g_scale": "factor of the conductances",
    "gain": "open-loop gain of the amplifier",
    "r_out": "output resistance",
    "offset": "offset",
    "r_feedback": "feedback resistance",
    "r_in": "input resistance",
    "rail_low": "output at the low rail",
    "rail_high": "output at the high rail",
    "r_rail_low": "resistance to the low rail",
    "r_rail_high": "resistance to the high rail",
}
_UNITS = {"ohm/A": "Ω/A", "ohm/A^2": "Ω/A²", "1": ""}
_LONG = 1e5
"""Numbers from here on are written with an exponent."""
_MINUS = "\N{MINUS SIGN}"


def parameters_section(calibration: Calibration) -> Section:
    """Show the data sheet of a calibration."""
    fits = {name.replace("ohm", "Ω"): fit for name, fit in (calibration.parameters or {}).items()}
    if not fits:
        there, where = possible_aspects(calibration.chip)
        why = (
            "; calibrate again with --aspects parameters"
            if "parameters" in there
            else f": where {where} there are none"
        )
        return Section(
            anchor="parameters", title=_TITLE, text=f"The named parameters of this chip were not fitted{why}."
        )
    single = {name: fit for name, fit in fits.items() if name in ("cell", "TIA core")}
    drivers = {name.removeprefix("DAC, "): fit for name, fit in fits.items() if name.startswith("DAC, ")}
    amplifiers = {name.removeprefix("TIA, "): fit for name, fit in fits.items() if name.startswith("TIA, ")}
    rails = {name.removeprefix("TIA rails, "): fit for name, fit in fits.items() if name.startswith("TIA rails, ")}
    blocks: list[Block] = [
        _single_table(single),
        _matrix(drivers, "Word-line drivers: volts = offset + weights of the bits that are on − r_out · load"),  # noqa: RUF001
        _matrix(amplifiers, "Sense amplifiers within half of their swing, by r_feedback: input = offset + r_in · i"),
        _matrix(rails, "The same at the rails, by r_feedback: output = rail − r_rail · i"),  # noqa: RUF001
    ]
    undetermined = tuple(
        (block, name, reason) for block, fit in fits.items() for name, reason in fit.unidentifiable.items()
    )
    if undetermined:
        blocks.append(
            Table(
                caption="What the data do not determine; no value is given.",
                columns=tuple(Column(title=title, text=True) for title in ("block", "parameter", "why")),
                rows=undetermined,
            )
        )
    blocks.append(_quality_table(fits))
    for title, group in (("cell", single), ("word-line drivers", drivers), ("sense amplifiers", amplifiers)):
        chosen = {"cell": group["cell"]} if title == "cell" and "cell" in group else group
        if not chosen:
            continue
        blocks.append(
            Illustration(
                title=f"Residuals of the {title} against a Gaussian",
                caption="Noise lies on the line. Simulations have no noise: a bend is the law's own misfit, "
                "in the unit of the table above.",
                figure=plot_quantiles(chosen),
            )
        )
        first = next(iter(chosen))
        if len(chosen[first].parameters) > 1:
            blocks.append(
                Illustration(
                    title=f"Correlation of the estimates, {first if first == title else f'{title}, {first}'}",
                    caption="Estimates near ±1 hang together: their sum or difference is better known than either.",
                    figure=plot_correlation(chosen[first]),
                )
            )
    return Section(
        anchor="parameters",
        title=_TITLE,
        text="What a data sheet says of the blocks: circuit laws of a few physical parameters, fitted to the "
        "simulations that the models above were made of. Products are computed by the models, which are closer to "
        "ngspice; the parameters are there to be compared, with other chips, corners and silicon. ± is half of the "
        "95 % interval.",
        blocks=tuple(blocks),
    )


def interval_texts(parameters: Sequence[Parameter | None]) -> tuple[str, list[str]]:
    """Format like estimates with half of their 95 % intervals, or the interval where it is cut at a bound.

    Returns
    -------
    unit : str
        Of all, with an SI prefix.
    texts : list of str
        Without unit; empty where there is no estimate.
    """
    found = [p for p in parameters if p is not None]
    unit = found[0].unit
    if unit == "V":
        factor, shown = 1e3, "mV"  # rails in volts have too many places for a table of six
    elif unit == "ohm":
        factor, shown = prefixed([p.value for p in found], unit)
    else:
        factor, shown = 1.0, _UNITS.get(unit, unit)
    return shown, ["" if p is None else _interval_text(p, factor) for p in parameters]


def _interval_text(parameter: Parameter, factor: float) -> str:
    value = factor * parameter.value
    low, high = (factor * end for end in parameter.interval or (parameter.value, parameter.value))
    above, below = high - value, value - low
    if abs(above - below) > 1e-6 * max(above, below):
        return f"{low:.4g} .. {high:.4g}".replace("-", _MINUS)
    if max(abs(value), above) >= _LONG:
        return f"{_short(value)} ± {_short(above)}"
    return uncertain(value, above, "1")


def _short(value: float) -> str:
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits}e{int(power)}".replace("-", _MINUS)


def _single_table(fits: Mapping[str, Fit]) -> Table:
    rows = []
    for block, fit in fits.items():
        for name, parameter in fit.parameters.items():
            unit, (text,) = interval_texts([parameter])
            rows.append((block, name, _EXPLAINED.get(name, name), f"{text} {unit}".rstrip()))
    columns = [Column(title=title, text=True) for title in ("block", "parameter", "meaning")]
    return Table(
        caption="The cell, and the operational amplifier inside the sense amplifiers, from all feedback resistors.",
        columns=(*columns, Column(title="estimate")),
        rows=tuple(rows),
    )


def _matrix(fits: Mapping[str, Fit], caption: str) -> Table:
    """Set parameters of like blocks beside each other."""
    names = list(dict.fromkeys(name for fit in fits.values() for name in fit.parameters))
    names.sort(key=lambda name: not name.startswith("weight_"))
    rows = []
    for name in names:
        unit, texts = interval_texts([fit.parameters.get(name) for fit in fits.values()])
        rows.append((f"{name} [{unit}]" if unit else name, *texts))
    return Table(
        caption=f"{caption}. An empty place: the simpler law suffices, or the data do not determine it.",
        columns=(Column(title="parameter", text=True), *(Column(title=name) for name in fits)),
        rows=tuple(rows),
    )


def _quality_table(fits: Mapping[str, Fit]) -> Table:
    rows = tuple(
        (
            block,
            fit.form,
            f"{len(fit.residuals)}",
            quantity(fit.rms, fit.unit, 3),
            ", ".join(f"{name} {quantity(s.rms, fit.unit, 3)}" for name, s in fit.forms.items() if name != fit.form),
            f"{fit.serial_correlation:.2f}" if fit.serial_correlation else "none",
        )
        for block, fit in fits.items()
    )
    return Table(
        caption="How far the laws are from ngspice. The simplest form that suffices is taken. Where neighbouring "
        "residuals of a sweep are correlated, the misfit is systematic, and the intervals are widened accordingly.",
        columns=(
            Column(title="fit", text=True),
            Column(title="form", text=True),
            Column(title="data"),
            Column(title="RMS residual"),
            Column(title="other forms, RMS", text=True),
            Column(title="serial correlation"),
        ),
        rows=rows,
    )
