"""The infer command: a network, its data, a chip."""

import io
import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np

from spicesim.calibration.calibration import Calibration
from spicesim.cli.engines import mix_engines
from spicesim.cli.findings import find_more, findings_options, format_findings
from spicesim.cli.mapping_options import mapping_options
from spicesim.cli.options import jobs_option, open_calibration, open_chip, timeout_option
from spicesim.cli.tables import format_audit, format_layers
from spicesim.device_presets import DEVICES, device_preset
from spicesim.devices import DeviceModel
from spicesim.engine import Engine, ExactEngine, IdealEngine, NoisyEngine, SampledEngine, build_engine
from spicesim.errors import SpecError
from spicesim.experiment.run import run_experiment
from spicesim.experiment.study import CONFIDENCE, Study, run_study
from spicesim.files import write_bytes, write_text
from spicesim.network import compile_network
from spicesim.network.dataset import load_dataset
from spicesim.network.uncalibrated import UncalibratedChip, calibrated
from spicesim.ngspice.batch import BatchSimulator
from spicesim.units import parse_quantity

__all__ = ["infer", "parse_time"]

_SECONDS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}


@click.command(
    epilog="example: spicesim infer model.onnx data.npz --calibration chip.cal.json --audit 16 --report out.html"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option(
    "--chip", "chip_path", metavar="CHIP.toml",
    help="Refuse a calibration of another chip than this; alone, it is enough for the engine ideal.",
)  # fmt: skip
@click.option("--calibration", "calibration_path", metavar="CAL.json", help="Of the chip.  [default: chip.cal.json]")
@click.option(
    "--engine", "engine_name", metavar="ENGINE", default="exact",
    help="ideal: converters around a dot product; exact: the calibrated circuit; fast: the same within "
    "--tolerance; ngspice: transistor level.",
)  # fmt: skip
@click.option(
    "--tolerance", metavar="T", type=click.FloatRange(0, min_open=True),
    help="Engine fast: largest error of an output, as a fraction of its ADC's range.  "
    "[default: a tenth of the ADC's step, at most 1e-3]",
)  # fmt: skip
@click.option(
    "--engine-for", metavar="LAYER[:TILE]=ENGINE", multiple=True,
    help="Another engine for a layer or a tile, such as layer3:tile2=exact, counted from 0 or by name; repeatable.",
)  # fmt: skip
@click.option(
    "--ngspice", "ngspice_for", metavar="LAYER[:TILE]", multiple=True, help="The same as LAYER[:TILE]=ngspice."
)
@click.option("--no-wires", is_flag=True, help="Leave out line resistance (engine exact only).")
@click.option(
    "--gain/--no-gain", default=None,
    help="Correct each output of a tile by a digital gain and offset.  [default: yes, but for the engine ideal]",
)  # fmt: skip
@mapping_options
@click.option("--device", metavar="NAME", help=f"Real devices: {', '.join(DEVICES)}.  [default: as programmed]")
@click.option(
    "--time", "time_text", metavar="TIME", default="0s", help="From programming to use: 30s, 5min, 1h, 1d, 1y."
)
@click.option(
    "--seeds", metavar="N", type=click.IntRange(1), default=1,
    help="Chips to run, each with its own devices, mismatch and noise, as far as asked for.",
)  # fmt: skip
@click.option("--no-drift-compensation", is_flag=True, help="Leave the mean drift of a tile as it is.")
@click.option(
    "--temperature", metavar="C", type=float, help="Another temperature than the chip's own, programming included [C]."
)
@click.option("--corner", metavar="NAME", help="Another corner of the process: tt, ff, ss, fs or sf.")
@click.option(
    "--mismatch", "mismatch_seed", metavar="S", type=click.IntRange(0),
    help="Draw every block of chip S from the calibrated mismatch, of S + 1 for the next of --seeds (engines exact "
    "and fast).",
)  # fmt: skip
@click.option("--noise", is_flag=True, help="Give every output the calibrated noise of circuits, drawn by --seed.")
@click.option(
    "--early", is_flag=True,
    help="Sample outputs --t-read after drivers leave 0 V, settled or not (engine exact; about 1 ms an output).",
)  # fmt: skip
@click.option("--images", metavar="N", type=click.IntRange(1), help="Take the first N inputs only.")
@click.option(
    "--audit", "audit_count", metavar="N", type=click.IntRange(0), default=0, help="Products to do in ngspice."
)
@click.option("--worst", "worst_path", metavar="WORST.cir", help="Write the audited product with the largest error.")
@findings_options
@click.option(
    "--seed", metavar="S", type=int, default=0, help="Seed of the audit's sample, of noise and of the first chip."
)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--output", metavar="OUT.npz", help="Write every output of the network.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@jobs_option
@timeout_option
def infer(
    model: str,
    data: str,
    chip_path: str | None,
    calibration_path: str | None,
    engine_name: str,
    tolerance: float | None,
    engine_for: tuple[str, ...],
    ngspice_for: tuple[str, ...],
    no_wires: bool,
    gain: bool | None,
    mapping: dict[str, Any],
    device: str | None,
    time_text: str,
    seeds: int,
    no_drift_compensation: bool,
    temperature: float | None,
    corner: str | None,
    mismatch_seed: int | None,
    noise: bool,
    early: bool,
    images: int | None,
    audit_count: int,
    worst_path: str | None,
    explain_count: int | None,
    energy: bool,
    t_read_text: str | None,
    columns_per_adc: int,
    seed: int,
    json_path: str | None,
    output: str | None,
    report_path: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Run a network on a calibrated chip.

    DATA.npz holds `x` (or one array for each graph input, by its name), `y` for accuracy, and `x_calibration` to fit
    the converters' ranges and the digital gains.
    """
    model_of_devices, time = _devices(device, time_text, seeds, drawn=noise or mismatch_seed is not None)
    if worst_path is not None and not audit_count:
        raise SpecError("--worst needs an audit: add --audit 16")
    if mismatch_seed is not None and audit_count:
        raise SpecError("an audit simulates blocks without mismatch; leave out --mismatch, or use: spicesim audit")
    elsewhere = temperature is not None or corner is not None
    if early and (t_read_text is None or engine_name != "exact"):
        raise SpecError("--early needs a time, such as --t-read 50ns, and the engine exact")
    if early and (audit_count or no_wires or elsewhere or mismatch_seed is not None):
        raise SpecError(
            "what is sampled early is the calibrated chip itself: leave out --audit, --no-wires, --temperature, "
            "--corner and --mismatch"
        )
    t_early = parse_quantity(t_read_text) if early and t_read_text is not None else None
    if elsewhere and (noise or energy or mismatch_seed is not None):
        raise SpecError(
            "noise, energy and mismatch are calibrated at the chip's own condition; leave out --temperature and "
            "--corner, or set them in CHIP.toml under process and calibrate again"
        )
    calibration: Calibration | UncalibratedChip
    if engine_name == "ideal" and chip_path is not None and calibration_path is None:
        calibration = UncalibratedChip(open_chip(chip_path))
        if audit_count or report_path is not None:
            calibrated(calibration)
    else:
        calibration_path = calibration_path or "chip.cal.json"
        calibration = open_calibration(calibration_path)
        if chip_path is not None:
            calibration.require_chip(open_chip(chip_path), calibration_path)
    own = calibration
    if elsewhere:
        calibration = calibrated(calibration).at(corner=corner, temperature_c=temperature)
        if calibration.verdict is not None and not calibration.verdict.is_met_elsewhere:
            click.echo(f"note: {calibration_path}: {calibration.verdict.format()}", err=True)
    simulator = BatchSimulator(timeout=timeout)
    dataset = load_dataset(data).first(images)
    network = compile_network(model, calibration, **mapping)

    asked = ({"wires": False} if no_wires else {}) | ({} if tolerance is None else {"tolerance": tolerance})
    corrected = engine_name != "ideal" if gain is None else gain

    def build_chip(chip_seed: int) -> tuple[Engine, Engine | None]:
        """Build what multiplies on the chip of a seed, and what its gains are fitted on."""
        drawn = None if mismatch_seed is None else mismatch_seed + chip_seed - seed

        def build(word: str, **settings: Any) -> Engine:
            if word == "ideal" and drawn is None and not settings:
                return IdealEngine(calibration.chip)
            settings = {"simulator": simulator, "jobs": jobs, "mismatch_seed": drawn, **settings}
            return build_engine(word, calibrated(calibration), **settings)

        engine = build(engine_name, **asked)
        if t_early is not None:
            engine = SampledEngine(calibrated(calibration), t_early)
        fitted = None
        if corrected:  # ngspice would take days: its model is the exact engine
            fitted = ExactEngine(calibrated(calibration)) if engine_name == "ngspice" else engine
        engine = mix_engines(network, engine, build, engine_for, ngspice_for)
        if noise:
            engine = NoisyEngine(engine, calibrated(calibration).require_noise(), seed=chip_seed)
        return engine, fitted

    options: dict[str, Any] = {
        "audit": audit_count, "simulator": simulator, "jobs": jobs, "progress": True,
        "worst_path": worst_path,
    }  # fmt: skip
    study = None
    if model_of_devices is None:
        engine, gains = build_chip(seed)
        experiment = run_experiment(network, dataset, calibration, engine, gains=gains, seed=seed, **options)
    else:
        study = run_study(
            network, dataset, calibration, build_chip, model_of_devices, seeds=range(seed, seed + seeds), time=time,
            compensate=not no_drift_compensation, seed=seed, **options,
        )  # fmt: skip
        experiment = study.experiments[0]
    findings = find_more(
        network, experiment, model, explain_count=explain_count, energy=energy, t_read_text=t_read_text,
        columns_per_adc=columns_per_adc,
        budget_options={
            "engine": "exact" if engine_name in ("exact", "ngspice") else "fast", "device": model_of_devices,
            "time": time, "seeds": range(seed, seed + seeds), "gains": corrected, "noise": noise,
            "mismatch": mismatch_seed is not None, **mapping,
        },
    )  # fmt: skip
    document = (experiment.document() if study is None else study.document()) | findings.document()
    if json_path is not None:
        write_text(json_path, json.dumps(document, indent=1) + "\n")
    if output is not None:
        write_bytes(output, _pack(experiment.result.outputs))
    click.echo(format_layers(experiment))
    click.echo()
    for key, name in (
        ("digital_accuracy", "digital"),
        ("accuracy", experiment.result.engine + ("" if study is None else ", first chip")),
    ):
        if document[key] is not None:
            click.echo(f"accuracy, {name}: {document[key]:.4f}")
    if study is not None:
        click.echo(_format_study(study))
    stats = experiment.result.stats
    click.echo(f"{stats.images} inputs in {experiment.seconds:.2f} s, {stats.mvms} tile products")
    for note in stats.notes:
        click.echo(f"note: {note}")
    if experiment.audit is not None:
        click.echo(f"\n{format_audit(experiment.audit, experiment.product_seconds)}")
    if more := format_findings(findings):
        click.echo(f"\n{more}")
    if report_path is not None:
        from spicesim.report import describe_run, write_network_report  # drawing takes a second to import

        run = describe_run(experiment, Path(model).stem, study=study, findings=findings)
        write_network_report(run, calibrated(own), report_path)
        click.echo(f"wrote {report_path}")


def _devices(name: str | None, time_text: str, seeds: int, *, drawn: bool) -> tuple[DeviceModel | None, float]:
    """Check what was asked of devices: a model, if any, and a time [s]; `drawn` if chips differ in other things."""
    time = parse_time(time_text)
    if name is not None:
        return device_preset(name), time
    if seeds > 1 and drawn and not time:
        return DeviceModel(name="perfect"), time
    if time or seeds > 1:
        raise SpecError(f"--time and --seeds need devices: add --device with one of {', '.join(DEVICES)}")
    return None, time


def parse_time(text: str) -> float:
    """Parse a time such as "30s", "5min", "1 h", "1d" or "1y" into seconds.

    Raises
    ------
    SpecError
        If it is none.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in _SECONDS:
        raise SpecError(f"expected a time such as 30s, 5min, 1h, 1d or 1y, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def _format_study(study: Study) -> str:
    """Say how the chips fared."""
    when = f"{study.model.name} devices {study.time:g} s after programming"
    if study.compensated:
        when += ", mean drift compensated"
    if (accuracies := study.accuracies) is None:
        return f"{len(study.seeds)} chips of {when}: logits off by {100 * study.logit_errors.mean():.1f} % RMS"
    chips = "chip" if len(study.seeds) == 1 else "chips"
    text = f"accuracy, {len(study.seeds)} {chips} of {when}: {accuracies.mean():.4f}"
    if (interval := study.interval) is not None:
        text += f" in the mean, {CONFIDENCE:.0%} confidence {interval[0]:.4f}..{interval[1]:.4f}"
    return text


def _pack(outputs: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **outputs)
    return buffer.getvalue()
