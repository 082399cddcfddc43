"""The infer command: a network, its data, a chip."""

import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from spicesim.calibration.calibration import load_calibration
from spicesim.cli.options import jobs_option, open_chip, timeout_option
from spicesim.cli.tables import format_audit, format_layers
from spicesim.engine import build_engine
from spicesim.experiment import run_experiment
from spicesim.files import write_bytes, write_text
from spicesim.network import compile_network
from spicesim.network.dataset import load_dataset
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["infer"]


@click.command(
    epilog="example: spicesim infer model.onnx data.npz --calibration chip.cal.json --audit 16 --report out.html"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option("--chip", "chip_path", metavar="CHIP.toml", help="Refuse a calibration of another chip than this.")
@click.option("--calibration", "calibration_path", metavar="CAL.json", default="chip.cal.json", help="Of the chip.")
@click.option(
    "--engine", "engine_name", metavar="ENGINE", default="exact",
    help="ideal: converters around a dot product; exact: the calibrated circuit; ngspice: transistor level.",
)  # fmt: skip
@click.option("--no-wires", is_flag=True, help="Leave out line resistance (engine exact only).")
@click.option("--images", metavar="N", type=click.IntRange(1), help="Take the first N inputs only.")
@click.option(
    "--audit", "audit_count", metavar="N", type=click.IntRange(0), default=0, help="Products to do in ngspice."
)
@click.option("--seed", metavar="S", type=int, default=0, help="Seed of the audit's sample.")
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--output", metavar="OUT.npz", help="Write every output of the network.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@jobs_option
@timeout_option
def infer(
    model: str,
    data: str,
    chip_path: str | None,
    calibration_path: str,
    engine_name: str,
    no_wires: bool,
    images: int | None,
    audit_count: int,
    seed: int,
    json_path: str | None,
    output: str | None,
    report_path: str | None,
    jobs: int | None,
    timeout: float,
) -> None:
    """Run a network on a calibrated chip.

    DATA.npz holds `x` (or one array for each graph input, by its name), `y` for accuracy, and `x_calibration` to fit
    the converters' ranges.
    """
    calibration = load_calibration(calibration_path)
    if chip_path is not None:
        calibration.require_chip(open_chip(chip_path), calibration_path)
    simulator = BatchSimulator(timeout=timeout)
    engine = build_engine(engine_name, calibration, wires=not no_wires, simulator=simulator, jobs=jobs)
    dataset = load_dataset(data).first(images)
    network = compile_network(model, calibration)
    experiment = run_experiment(
        network,
        dataset,
        calibration,
        engine,
        audit=audit_count,
        seed=seed,
        simulator=simulator,
        jobs=jobs,
        progress=True,
    )
    document = experiment.document()
    if json_path is not None:
        write_text(json_path, json.dumps(document, indent=1) + "\n")
    if output is not None:
        write_bytes(output, _pack(experiment.result.outputs))
    click.echo(format_layers(experiment))
    click.echo()
    for key, name in (("digital_accuracy", "digital"), ("accuracy", engine.name)):
        if document[key] is not None:
            click.echo(f"accuracy, {name}: {document[key]:.4f}")
    stats = experiment.result.stats
    click.echo(f"{stats.images} inputs in {experiment.seconds:.2f} s, {stats.mvms} tile products")
    for note in stats.notes:
        click.echo(f"note: {note}")
    if experiment.audit is not None:
        click.echo(f"\n{format_audit(experiment.audit, experiment.product_seconds)}")
    if report_path is not None:
        from spicesim.report import describe_run, write_network_report  # drawing takes a second to import

        write_network_report(describe_run(experiment, Path(model).stem), calibration, report_path)
        click.echo(f"wrote {report_path}")


def _pack(outputs: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **outputs)
    return buffer.getvalue()
