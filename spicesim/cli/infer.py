"""The infer command: options to a plan, the plan to a run, the run to tables and files."""

import io
from pathlib import Path
from typing import Any

import click
import numpy as np

from spicesim.calibration.calibration import Calibration
from spicesim.cli.options import jobs_option, keeping_options, open_calibration, open_chip, timeout_option
from spicesim.cli.plan_options import plan_options
from spicesim.cli.tables import format_run
from spicesim.errors import SpecError
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import Subject, run_subject
from spicesim.files import write_bytes, write_json
from spicesim.network.uncalibrated import UncalibratedChip, calibrated
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["infer"]


@click.command(
    epilog="example: spicesim infer model.onnx data.npz --calibration chip.cal.json --audit 16 --report out.html"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option(
    "--chip", "chip_path", metavar="CHIP.toml",
    help="Refuse a calibration of another chip than this; alone, it is enough for the engine ideal.",
)  # fmt: skip
@click.option(
    "--calibration", "calibration_path", metavar="CAL.json",
    help="Of the chip.  [default: CHIP.cal.json beside it, or chip.cal.json]",
)  # fmt: skip
@plan_options()
@click.option("--worst", "worst_path", metavar="WORST.cir", help="Write the audited product with the largest error.")
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers; spicesim replay runs them again.")
@click.option("--output", metavar="OUT.npz", help="Write every output of the network.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@jobs_option
@keeping_options
@timeout_option
def infer(
    model: str,
    data: str,
    chip_path: str | None,
    calibration_path: str | None,
    plan: RunPlan,
    worst_path: str | None,
    json_path: str | None,
    output: str | None,
    report_path: str | None,
    jobs: int | None,
    keeping: Keeping,
    timeout: float,
) -> None:
    """Run a network on a calibrated chip.

    DATA.npz holds `x` (or one array for each graph input, by its name), `y` for accuracy or for a metric of your own,
    such as --metric my_metrics:perplexity, and `x_calibration` (or one for each input, `h0_calibration`) to fit the
    converters' ranges and the digital gains.
    """
    if worst_path is not None and not plan.audit:
        raise SpecError("--worst needs an audit: add --audit 16")
    calibration, names = _open(chip_path, calibration_path, plan)
    if report_path is not None:
        calibrated(calibration)
    subject = Subject.of(model, data, calibration, names=names)
    found = run_subject(
        plan, subject, simulator=BatchSimulator(timeout=timeout), jobs=jobs, keeping=keeping, progress=True
    )
    if json_path is not None:
        write_json(json_path, found.document())
    if output is not None:
        write_bytes(output, _pack(found.first.result.outputs))
    if worst_path is not None and found.first.audit is not None:
        found.first.audit.worst.write(worst_path)
    click.echo(format_run(found))
    if report_path is not None:
        from spicesim.report import describe_run, write_network_report  # drawing takes a second to import

        write_network_report(describe_run(found, Path(model).stem), calibrated(calibration), report_path)
        click.echo(f"wrote {report_path}")


def _open(
    chip_path: str | None, calibration_path: str | None, plan: RunPlan
) -> tuple[Calibration | UncalibratedChip, dict[str, str]]:
    """Read the calibration, or for ideal runs the chip alone; return it and its path."""
    if plan.is_ideal and chip_path is not None and calibration_path is None:
        return UncalibratedChip(open_chip(chip_path)), {"calibration": chip_path}
    own = None if chip_path is None else Path(chip_path).with_suffix(".cal.json")
    path = calibration_path or (str(own) if own is not None and own.exists() else "chip.cal.json")
    calibration = open_calibration(path, elsewhere=plan.is_elsewhere)
    if chip_path is not None:
        calibration.require_chip(open_chip(chip_path), path)
    return calibration, {"calibration": path}


def _pack(outputs: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **outputs)
    return buffer.getvalue()
