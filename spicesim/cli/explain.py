"""The explain command: which imperfection of a chip costs a network how much."""

from pathlib import Path

import click

from spicesim.cli.options import jobs_option, keeping_options, open_calibration
from spicesim.cli.plan_options import plan_options
from spicesim.cli.tables import format_budget
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.files import write_json

__all__ = ["explain"]


@click.command(
    epilog="example: spicesim explain model.onnx data.npz --calibration chip.cal.json --device typical --json out.json"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option("--calibration", "calibration_path", metavar="CAL.json", default="chip.cal.json", help="Of the chip.")
@plan_options(without=("explain", "audit", "macros", "energy"), engine="fast", images=200)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
@jobs_option
@keeping_options
def explain(
    model: str,
    data: str,
    calibration_path: str,
    plan: RunPlan,
    json_path: str | None,
    report_path: str | None,
    jobs: int | None,
    keeping: Keeping,
) -> None:
    """Tell what each imperfection of a chip costs a network: on --images 200 inputs, by the engine fast, if not told.

    The network runs on chips that have none of the imperfections, each alone, all but each, and all; errors are those
    of its first output against the digital one. What is random is drawn anew for each of --seeds chips, and intervals
    hold over inputs and chips; the parts add up to the whole chip, as correlation and interaction are shown, too.
    """
    calibration = open_calibration(calibration_path, elsewhere=plan.is_elsewhere)
    found = run(
        plan.changed(explain=plan.images),
        model,
        data,
        calibration,
        jobs=jobs,
        keeping=keeping,
        progress=True,
    )
    budget = found.findings.budget
    assert budget is not None
    click.echo(format_budget(budget))
    if json_path is not None:
        write_json(json_path, {"plan": found.plan.document(), **budget.document()})
    if report_path is not None:
        from spicesim.report import write_budget_report  # drawing takes a second to import

        write_budget_report(budget, calibration, Path(model).stem, report_path)
        click.echo(f"wrote {report_path}")
