"""Tables for terminals."""

from collections.abc import Sequence

import numpy as np

from spicesim.apart import ConversionApart
from spicesim.audit import SEEN, Audit
from spicesim.behavioural.buffer import BufferMismatch
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.hold_mismatch import HoldMismatch
from spicesim.behavioural.integrator_mismatch import IntegratorMismatch
from spicesim.behavioural.mismatch import DacMismatch, LevelMismatch, SenseAmplifierMismatch
from spicesim.bound import share_text
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.mismatch_check import MismatchCheck
from spicesim.calibration.tile_check import TileCheck
from spicesim.experiment.budget import CONFIDENCE, Budget
from spicesim.experiment.footprint import Footprint, LayerFootprint
from spicesim.experiment.outcome import Experiment
from spicesim.experiment.run import Run
from spicesim.metrics import compare_codes, largest, rms
from spicesim.units import format_si

__all__ = [
    "format_apart",
    "format_aspects",
    "format_audit",
    "format_blocks",
    "format_budget",
    "format_checks",
    "format_footprint",
    "format_layers",
    "format_macros",
    "format_mismatch",
    "format_run",
    "format_table",
]


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table: the first column to the left, the others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.5f}"


def format_blocks(calibration: Calibration) -> str:
    """Format the held-out errors of all blocks."""
    rows = [[name, str(e.points), *map(_percent, (e.max, e.p99, e.rms))] for name, e in calibration.errors.items()]
    return format_table(["block, held out [% of full scale]", "points", "max", "p99", "rms"], rows)


def format_checks(checks: Sequence[TileCheck]) -> str:
    """Format the comparison of whole tiles with transistor level; codes are of 8 bits over the linear swing."""
    rows = []
    for check in checks:
        errors = np.abs(check.predicted - check.measured) / check.full_scale
        saturated = np.array(check.saturated)
        linear = errors[~saturated.any(axis=1)]
        same, one, worse = compare_codes(check.code_differences(8))
        rows.append(
            [
                check.name,
                str(len(check.pattern)),
                f"{100 * saturated.mean():.0f}",
                _percent(float(linear.max())) if linear.size else "-",
                _percent(float(errors.max())),
                _percent(float(np.sqrt(np.mean(errors**2)))),
                f"{100 * same:.2f}",
                f"{100 * one:.2f}",
                f"{100 * worse:.2f}",
            ]
        )
    head = ["tile, in %", "vectors", "saturated", "max linear", "max", "rms", "same code", "off by 1", "worse"]
    return format_table(head, rows)


def format_mismatch(checks: Sequence[MismatchCheck]) -> str:
    """Format the comparison of drawn chips with transistor level, one by one and as a distribution."""
    rows = []
    for check in checks:
        ratios = check.sigma_ratios
        rows.append(
            [
                check.name,
                str(len(check.measured)),
                _percent(float(np.abs(check.nominal - check.measured).max()) / check.full_scale),
                _percent(largest(check.errors)),
                _percent(rms(check.errors)),
                f"{ratios.mean():.3f}" if ratios.size else "-",
                f"{rms((ratios - 1) / check.sigma_errors):.2f}" if ratios.size else "-",
                f"{np.mean(check.p_values > 0.01):.3f}",
            ]
        )
    head = ["tile, in %", "chips", "nominal max", "max", "rms", "sigma ratio", "its error", "KS p > .01"]
    about = (
        "nominal: without mismatch. max, rms: of the model of the same seed, which has the same devices.\n"
        "sigma ratio: of many seeds of the model over ngspice, mean of all outputs that spread by more than .01 % of\n"
        "full scale; its error: RMS of its distance to 1, in standard errors. KS p: share of all outputs, to .01 %."
    )
    return f"{format_table(head, rows)}\n{about}"


_NOISES = {"sampling": "kT/C"}
"""Noise of a conversion in other words."""


def format_aspects(calibration: Calibration) -> str:
    """Format what was calibrated beyond operating points, with what it was held against; empty if nothing was."""
    parts = []
    if (converter := calibration.converter) is not None:
        rows = [
            [name, f"{span:g}", str(check.conversions), f"{100 * check.identical:.1f}", str(check.worst),
             "" if check.in_turn is None else f"{100 * check.in_turn:.1f}"]
            for span in converter.spans
            for name, check in converter.over(span).checks.items()
        ]  # fmt: skip
        head = ["conversions, held out", "span [V]", "count", "same code [%]", "worst [LSB]", "in turn [%]"]
        table = format_table(head, rows)
        if any(row[-1] for row in rows):
            table += (
                "\nin turn: right after each other, where arrays keep something of the one before; those of the model "
                "held the\nreference, as after a pause. Where that matters, give sar_adc.sample more time"
            )
        if (hand_over := converter.hand_over) is not None:
            table += f"\n\n{_format_hand_over(hand_over)}"
        noise = ", ".join(f"{_NOISES.get(what, what)} {1e6 * rms:.0f} uV" for what, rms in converter.noises.items())
        parts.append(f"{table}\nnoise of a conversion: {noise or 'not known'}")
    if calibration.settling is not None:
        rows = [
            [check.name, f"{1e9 * check.t_settle:.0f}"]
            + [f"{100 * x:.3f}" for x in (check.max_early, check.rms_early, check.max_late, check.max_settled)]
            for check in calibration.settling.checks
        ]
        head = ["change of codes, held out [%]", "t_settle [ns]", "max > 20 %", "rms > 20 %", "max > 75 %", "settled"]
        parts.append(format_table(head, rows))
    if calibration.senseamps and (calibration.noise is not None or calibration.energy is not None):
        parts.append(_format_amplifiers(calibration))
    if calibration.energy is not None and (adc := calibration.energy.adc) is not None:
        logic = "" if adc.logic is None else f", {1e12 * adc.logic:.3g} pJ of it in its logic"
        parts.append(f"ADC, {adc.bits} bit: {1e12 * adc.energy:.3g} pJ and {1e9 * adc.time:.3g} ns a conversion{logic}")
    if (climate := calibration.climate) is not None:
        names = [*(f"{celsius:g} C, in no fit" for celsius in climate.held_out_c), *climate.corner_errors]
        errors = [*climate.held_out_errors, *climate.corner_errors.values()]
        head = ["tile in another climate", "max [%]"]
        rows = [[name, _percent(error)] for name, error in zip(names, errors, strict=True)]
        if climate.hand_over_errors is not None:
            head.append("hand-overs, held out [mV]")
            rows = [[*row, f"{1e3 * e:.3f}"] for row, e in zip(rows, climate.hand_over_errors, strict=True)]
        parts.append(format_table(head, rows))
    if (mismatch := calibration.mismatch) is not None:
        rows = [["DAC, " + polarity, *_describe_mismatch(m)] for polarity, m in mismatch.dacs.items()]
        rows += [[f"TIA, {m.r_feedback / 1e3:g} kohm", *_describe_mismatch(m)] for m in mismatch.senseamps]
        if mismatch.hold is not None:
            rows.append(["hold switch", *_describe_mismatch(mismatch.hold)])
        if mismatch.buffer is not None:
            rows.append(["buffer", *_describe_mismatch(mismatch.buffer)])
        if mismatch.integrator is not None:
            rows.append(["integrator", *_describe_mismatch(mismatch.integrator)])
        if (handed := mismatch.hand_over) is not None:
            sizes = [str(len(own)) for own in (handed.devices, handed.directions)]
            rows.append(["hand-over", str(handed.simulated), *sizes, f"{1e6 * handed.residual:.1f}"])
        parts.append(format_table(["mismatch", "instances", "devices", "parameters", "residual, held out [uV]"], rows))
        if mismatch.converter is not None:
            spread = 1e3 * mismatch.converter.distribution.sigma[0]
            left = mismatch.converter_residual
            told = "" if left is None else f", told of held-out ones to {1e6 * left:.0f} uV"
            parts.append(f"ADC, comparator: sigma of its threshold {spread:.2f} mV{told}")
    return "\n\n".join(parts)


def _format_hand_over(model: HandOverModel) -> str:
    """Format how long arrays take to have an output, and what they lack at the end of sampling."""
    needed, lacking = model.needed.max(axis=0), model.largest_errors
    rows = [
        [
            f"{load:g}" if len(model.loads) > 1 else "any",
            f"{'> ' if time >= model.watched else ''}{1e9 * time:.0f}",
            f"{1e3 * volts:.3f}",
        ]
        for load, time, volts in zip(model.loads, needed, lacking, strict=True)
    ]
    head = ["hand-over, r_feedback x conductance", "1/4 step [ns]", f"error at {1e9 * model.sample:g} ns [mV]"]
    table = format_table(head, rows)
    if model.held_out is not None:
        table += (
            f"\n{len(model.held_out)} hand-overs, held out: within {1e3 * largest(model.held_out):.3f} mV, "
            f"rms {1e3 * rms(model.held_out):.3f} mV"
        )
    return table


def _describe_mismatch(
    model: DacMismatch | LevelMismatch | SenseAmplifierMismatch | HoldMismatch | IntegratorMismatch | BufferMismatch,
) -> list[str]:
    fitted = model.response
    return [str(fitted.simulated), str(len(fitted.devices)), str(len(fitted.names)), f"{1e6 * model.residual:.1f}"]


def _format_amplifiers(calibration: Calibration) -> str:
    """Format noise and power of the sense amplifiers at rest."""
    head, rows = ["sense amplifier"], [[f"{model.r_feedback / 1e3:g} kohm"] for model in calibration.senseamps]
    if calibration.noise is not None:
        cells = calibration.chip.array.rows * 0.25 * calibration.conductance_range[1]
        head += [f"noise [uV], column of {1e6 * cells:.4g} uS"]
        for row, model in zip(rows, calibration.senseamps, strict=True):
            row.append(f"{1e6 * float(calibration.noise.sigma(cells, model.r_feedback)):.1f}")
    if calibration.energy is not None:
        head += ["power at rest [mW]"]
        for row, model in zip(rows, calibration.senseamps, strict=True):
            row.append(f"{1e3 * float(calibration.energy.amplifier(model.r_feedback).at(np.zeros(1))[0]):.4f}")
    return format_table(head, rows)


def format_audit(audit: Audit, behavioural_seconds: float) -> str:
    """Format an audit."""
    same, one, worse = audit.codes
    bound, other, codes = audit.bound, audit.other_codes, audit.code_bound
    rows = [
        ["maximum error", f"{100 * audit.max_error:.5f} % of full scale", f"{audit.max_error_lsb:.4f} LSB"],
        ["RMS error", f"{100 * audit.rms_error:.5f} % of full scale", f"{audit.rms_error_lsb:.4f} LSB"],
        [
            f"codes, {audit.quantiser}",
            f"{100 * same:.2f} % identical",
            f"{100 * one:.2f} % off by one, {100 * worse:.2f} % worse",
        ],
        *_missed(audit),
        [
            f"all products, {bound.confidence:.0%} confidence",
            f"at most {share_text(bound.share)} % above {100 * bound.limit:.5f} %",
            f"at most {share_text(other[1])} % with another code",
        ],
        [
            "all codes, the same",
            f"at least {100 * codes.least_identical:.2f} % identical",
            f"at most {share_text(codes.share)} % of products off by more than {codes.largest} LSB",
        ],
        [
            "time a tile product",
            f"{1e3 * audit.ngspice_seconds:.0f} ms ngspice, {1e6 * behavioural_seconds:.0f} us spicesim",
            f"{audit.ngspice_seconds / behavioural_seconds:,.0f} times faster",
        ],
    ]
    table = format_table([f"audit: {audit.count} products again in ngspice", "", ""], rows)
    parts = [table, f"in ngspice, {audit.pieces};\nit sees {SEEN};\nit does not see {audit.unseen}"]
    if audit.products:
        parts.insert(1, _format_audited_layers(audit))
    return "\n".join(parts)


def _missed(audit: Audit) -> list[list[str]]:
    """Tell how near to a step outputs lie whose codes differ, if any does."""
    if not audit.code_differences.any():
        return []
    return [["outputs with another code", "from the step to it", f"at most {audit.code_misses.max():.3f} LSB"]]


def _format_audited_layers(audit: Audit) -> str:
    """Format what an audit found in each layer."""
    rows = [
        [
            name,
            f"{own.bound.count} of {own.products}",
            f"{100 * own.bound.limit:.5f}",
            share_text(own.bound.share),
            share_text(own.other_codes[1]),
            f"{own.codes.count}",
            f"{100 * own.codes.identical:.2f}",
            f"{100 * own.codes.least_identical:.2f}",
            f"{own.codes.largest}",
        ]
        for name, own in audit.by_layer.items()
    ]
    head = ["layer, in %", "products", "max error", "above it, at most", "with another code, at most"]
    head += ["codes", "identical", "at least", "largest [LSB]"]
    return format_table(head, rows)


def format_macros(audits: Sequence[Audit], seeds: Sequence[int | None]) -> str:
    """Format audits of whole macros, one a drawn chip."""

    def row(name: str, chips: Sequence[Audit]) -> list[str]:
        differences = np.concatenate([chip.code_differences for chip in chips])
        error = max(chip.max_error for chip in chips)
        same, one, worse = compare_codes(differences)
        shares = [f"{100 * share:.2f}" for share in (same, one, worse)]
        missed = max(chip.code_misses.max() for chip in chips)
        counts = [str(sum(chip.count for chip in chips)), str(len(differences))]
        return [name, *counts, *shares, f"{missed:.3f}", f"{100 * error:.5f}"]

    head = ["macros, drawn", "products", "codes", "identical [%]", "off by 1", "worse", "from step [LSB]"]
    head.append("outputs, max [%]")
    rows = [row(f"chip {seed}", [chip]) for seed, chip in zip(seeds, audits, strict=True)]
    return f"{format_table(head, [*rows, row('all', audits)])}\nin ngspice, {audits[0].pieces}"


def format_apart(found: Sequence[ConversionApart], seeds: Sequence[int | None]) -> str:
    """Format conversions of whole macros beside those behind ideal sources, each with the seed of its chip."""
    rows = [
        [
            "nominal" if seed is None else f"chip {seed}", one.sample.tile.polarity, f"{one.load:.3g}",
            str(one.column), f"{one.measured:.4f}", f"{one.place:.3f}", str(one.model), str(one.of_source),
            str(one.code), f"{1e3 * one.hand_over:.3f}", f"{one.hand_over / one.sample.adc.lsb:.4f}",
        ]
        for one, seed in zip(found, seeds, strict=True)
    ]  # fmt: skip
    head = ["macros", "inputs", "load", "column", "output [V]", "model", "code", "of source", "of macro"]
    head += ["hand-over off [mV]", "[LSB]"]
    offs = 1e3 * np.array([one.hand_over for one in found if one.is_within])
    others = sum(one.code != one.model for one in found), sum(one.of_source != one.model for one in found)
    about = (
        f"{len(found)} conversions: {others[0]} codes of macros are not the model's, and {others[1]} of the same "
        "converters behind\nsources at what the model says that arrays receive. "
        f"Hand-overs of the {len(offs)} within the range are off by "
        f"{rms(offs):.3f} mV\nrms, {largest(offs):.3f} at most. "
        "load: feedback resistance times conductance of the column"
    )
    return f"{format_table(head, rows)}\n{about}"


def format_layers(experiment: Experiment) -> str:
    """Format the layers of a run."""
    floats = experiment.calibration.chip.sense_amplifier.kind == "voltage"  # without feedback
    layers = experiment.result.stats.layers
    formed = any(s.promised_error is not None for s in layers)  # by an engine that promises errors
    rows = [
        [
            s.name,
            s.op,
            str(s.tiles) if s.array == s.name else f"({s.tiles})",
            f"{s.rows}x{s.columns}",
            s.polarity,
            "-" if floats else f"{s.r_feedback:g}",
            str(s.mvms),
            f"{1e6 * s.seconds / max(s.mvms, 1):.3g}",
            f"{s.held / 1e6:.3g}",
            *([str(s.exact_tiles), "-" if not s.promised_error else f"{100 * s.promised_error:.2g}"] if formed else []),
            f"{s.snr_db:.1f}",
        ]
        for s in layers
    ]
    head = ["layer", "op", "tiles", "rows x columns", "inputs", "r_feedback", "products", "us each", "MB"]
    return format_table([*head, *(["exact", "error [%]"] if formed else []), "SNR [dB]"], rows)


def format_run(found: Run) -> str:
    """Format all that is told of a run."""
    first, stats = found.first, found.first.result.stats
    lines = [format_layers(first), ""]
    several = len(found.experiments) > 1
    for accuracy, name in (
        (first.digital_accuracy, "digital"),
        (first.accuracy, found.plan.title + (", first chip" if several else "")),
    ):
        if accuracy is not None:
            low, high = first.interval(accuracy)
            lines.append(f"accuracy, {name}: {accuracy:.4f}, {CONFIDENCE:.0%} confidence {low:.4f}..{high:.4f}")
    if (verdict := first.verdict) is not None:
        which = found.plan.title + (", first chip" if several else "")
        for what, estimate in (("digital", verdict.digital), (which, verdict.analog), ("change", verdict.difference)):
            lines.append(f"{verdict.name}, {what}: {estimate.format()}")
    if several or found.device is not None:
        lines.append(_format_chips(found))
    lines.append(f"{stats.images} inputs in {first.seconds:.2f} s, {stats.mvms} tile products")
    lines += [f"note: {note}" for note in stats.notes]
    parts = ["\n".join(lines)]
    if first.audit is not None:
        parts.append(format_audit(first.audit, first.product_seconds))
    if found.findings.budget is not None:
        parts.append(format_budget(found.findings.budget))
    if found.findings.footprint is not None:
        parts.append(format_footprint(found.findings.footprint))
    return "\n\n".join(parts)


def _format_chips(found: Run) -> str:
    """Say how the chips fared."""
    count, kinds = len(found.experiments), []
    if found.device is not None:
        kinds.append(f"{found.device.name} devices {found.plan.time:g} s after programming")
        if found.plan.drift_compensation and found.device.drift is not None:
            kinds.append("mean drift compensated")
    chips = f"{count} chip{'' if count == 1 else 's'}" + (f" of {', '.join(kinds)}" if kinds else "")
    if (accuracies := found.accuracies) is None:
        return f"{chips}: logits off by {100 * found.logit_errors.mean():.1f} % RMS"
    text = f"accuracy, {chips}: {accuracies.mean():.4f}"
    if (interval := found.interval) is not None:
        text += f" in the mean, {CONFIDENCE:.0%} confidence {interval[0]:.4f}..{interval[1]:.4f}"
    return text


def format_budget(budget: Budget) -> str:
    """Format an error budget."""
    estimates, has_metric = budget.estimates(), budget.whole.metric is not None

    def row(name: str, key: str) -> list[str]:
        found = estimates[key]
        lost = estimates.get(key.replace("alone", "without")) if key.startswith("alone") else None
        variant = {"floor": budget.none, "total": budget.whole}.get(key, budget.alone.get(name))
        return [
            name,
            f"{100 * found.value:.4f}",
            f"{100 * found.low:.4f}..{100 * found.high:.4f}",
            "-" if lost is None else f"{100 * lost.value:.4f}",
            "-" if variant is None else f"{variant.cosine:.5f}",
            "-" if variant is None or variant.accuracy is None else f"{variant.accuracy:.4f}",
            *(
                []
                if not has_metric
                else ["-" if variant is None or variant.metric is None else f"{variant.metric:.6g}"]
            ),
            "-" if variant is None else " ".join(f"{snr:.1f}" for snr in variant.snr_db),
        ]

    rows = [row("clipping", "floor"), *(row(name, f"alone {name}") for name in budget.sources)]
    rows += [row("correlation", "correlation"), row("interaction", "interaction"), row("whole chip", "total")]
    head = ["error power [% of the output's]", "alone", f"{CONFIDENCE:.0%} interval", "lost without it", "cosine"]
    return format_table([*head, "accuracy", *(["metric"] if has_metric else []), "SNR a layer [dB]"], rows)


def format_footprint(found: Footprint) -> str:
    """Format energy, time and area of a network."""

    def row(name: str, part: LayerFootprint | Footprint) -> list[str]:
        energies = [format_si(part.energy[block], "J", 3) for block in found.blocks]
        per_mac = format_si(part.total_energy / part.macs, "J", 3)
        area = f"{1e6 * sum(part.area.values()):.3g} mm2"
        return [name, *energies, format_si(part.total_energy, "J", 3), per_mac, format_si(part.latency, "s", 3), area]

    head = ["energy, time, area an inference", *found.blocks.values(), "sum", "a MAC", "latency", "area"]
    table = format_table(head, [*(row(layer.name, layer) for layer in found.layers), row("network", found)])
    return (
        f"{table}\n{found.tops_per_watt:.3g} TOPS/W, {format_si(found.energy_per_mac, 'J', 3)} a MAC; sampled "
        f"{format_si(found.t_read, 's', 3)} after the change of codes\n"
        f"{format_si(found.latency, 's', 3)} an inference layer after layer, {format_si(found.interval, 's', 3)} "
        f"between inferences pipelined: {found.tops:.3g} TOPS"
    )
