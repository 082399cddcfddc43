"""The explain command: which imperfection of a chip costs a network how much."""

import json
from pathlib import Path

import click

from spicesim.cli.infer import parse_time
from spicesim.cli.options import open_calibration
from spicesim.cli.tables import format_budget
from spicesim.device_presets import DEVICES, device_preset
from spicesim.errors import SpecError
from spicesim.experiment.budget import run_budget
from spicesim.files import write_text
from spicesim.network.dataset import load_dataset
from spicesim.network.ranges import AdcFit, InputScale

__all__ = ["explain"]


@click.command(
    epilog="example: spicesim explain model.onnx data.npz --calibration chip.cal.json --device typical --json out.json"
)
@click.argument("model", metavar="MODEL.onnx")
@click.argument("data", metavar="DATA.npz")
@click.option("--calibration", "calibration_path", metavar="CAL.json", default="chip.cal.json", help="Of the chip.")
@click.option("--engine", type=click.Choice(["fast", "exact"]), default="fast", help="What multiplies.")
@click.option("--gain/--no-gain", default=True, help="Give each chip digital gains of its own.")
@click.option("--input-scale", type=click.Choice(["static", "vector"]), default="static", help="As for infer.")
@click.option("--adc-range", type=click.Choice(["percentile", "mse"]), default="percentile", help="As for infer.")
@click.option("--device", metavar="NAME", help=f"Real devices: {', '.join(DEVICES)}.  [default: as programmed]")
@click.option("--time", "time_text", metavar="TIME", default="0s", help="From programming to use: 30s, 1h, 1d, 1y.")
@click.option("--mismatch", is_flag=True, help="Draw every block of each chip from the calibrated mismatch.")
@click.option("--noise", is_flag=True, help="Draw the calibrated noise of circuits for every sample.")
@click.option(
    "--seeds", metavar="N", type=click.IntRange(1), default=1,
    help="Chips to run, each with own devices, blocks and noise.",
)  # fmt: skip
@click.option("--images", metavar="N", type=click.IntRange(2), default=200, help="Take the first N inputs only.")
@click.option("--seed", metavar="S", type=int, default=0, help="Seed of the first chip and of the bootstrap.")
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
@click.option("--report", "report_path", metavar="OUT.html", help="Write a page to look at.")
def explain(
    model: str,
    data: str,
    calibration_path: str,
    engine: str,
    gain: bool,
    input_scale: InputScale,
    adc_range: AdcFit,
    device: str | None,
    time_text: str,
    mismatch: bool,
    noise: bool,
    seeds: int,
    images: int,
    seed: int,
    json_path: str | None,
    report_path: str | None,
) -> None:
    """Tell what each imperfection of a chip costs a network.

    The network runs on chips that have none of the imperfections, each alone, all but each, and all; errors are those
    of its first output against the digital one. What is random is drawn anew for each of --seeds chips, and intervals
    hold over inputs and chips; the parts add up to the whole chip, as correlation and interaction are shown, too.
    """
    time = parse_time(time_text)
    if device is None and time:
        raise SpecError(f"--time needs devices: add --device with one of {', '.join(DEVICES)}")
    if seeds > 1 and device is None and not (mismatch or noise):
        raise SpecError("--seeds needs something that differs from chip to chip: add --device, --mismatch or --noise")
    calibration = open_calibration(calibration_path)
    budget = run_budget(
        model, load_dataset(data).first(images), calibration, engine=engine, time=time,
        device=None if device is None else device_preset(device), seeds=range(seed, seed + seeds), gains=gain,
        mismatch=mismatch, noise=noise, progress=True, input_scale=input_scale, adc_range=adc_range,
    )  # fmt: skip
    click.echo(format_budget(budget))
    if json_path is not None:
        write_text(json_path, json.dumps(budget.document(), indent=1) + "\n")
    if report_path is not None:
        from spicesim.report import write_budget_report  # drawing takes a second to import

        write_budget_report(budget, calibration, Path(model).stem, report_path)
        click.echo(f"wrote {report_path}")
