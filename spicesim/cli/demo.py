"""The demo command: the main job from end to end, on the digits that ship with the package."""

import time
from pathlib import Path

import click
import numpy as np

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tiles import tile_netlist
from spicesim.chip import Chip, load_chip, preset, save_chip
from spicesim.cli.options import jobs_option, open_calibration
from spicesim.cli.tables import format_audit, format_checks, format_table
from spicesim.errors import CalibrationError
from spicesim.experiment.outcome import Experiment
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import Run, Subject, run_subject
from spicesim.files import exists, write_json
from spicesim.netlist import build_cell, build_column, build_crossbar, build_dac, build_sense_amplifier
from spicesim.netlist.hold import build_hold_cycle
from spicesim.netlist.integrator import build_integrators
from spicesim.network import Network, compile_network, digits_network, load_digits
from spicesim.network.dataset import Dataset
from spicesim.network.uncalibrated import calibrated

__all__ = ["demo"]


AUDITED = {True: 4, False: 24}
"""Products to do in ngspice, by whether their outputs are converted by transistors, too, which takes far longer."""


@click.command(epilog="example: spicesim demo --preset generic-1t1r --output demo")
@click.option("--output", metavar="FOLDER", default="demo", help="Where the files go.")
@click.option("--preset", "preset_name", metavar="NAME", default="gf180-voltage", help="Chip, cut to 32x32 cells.")
@click.option("--network", "kind", type=click.Choice(["cnn", "mlp"]), default="cnn", help="Network to run.")
@click.option(
    "--audit", "audit_count", metavar="N", type=click.IntRange(1),
    help="Products to do in ngspice.  [default: 4, or 24 if the ADC is an ideal quantiser]",
)  # fmt: skip
@click.option("--seed", metavar="S", type=int, default=0, help="Seed of the audit's sample.")
@jobs_option
def demo(output: str, preset_name: str, kind: str, audit_count: int | None, seed: int, jobs: int | None) -> None:
    """Describe a chip, write its netlists, calibrate it, run a trained network on it, audit that, report.

    FOLDER/chip.toml is kept if it is there: change it and run the demo again to see what the change does. Converters of
    transistors are calibrated as by "spicesim calibrate --quick".
    """
    start = time.monotonic()
    folder = Path(output)
    chip = _describe(folder / "chip.toml", preset_name)
    calibration = _calibrate(chip, folder / "chip.cal.json", jobs)
    model = digits_network("cnn" if kind == "cnn" else "mlp")
    network = compile_network(model, calibration)
    digits = load_digits()
    dataset = Dataset(inputs={"x": digits.x}, labels=digits.y, calibration_inputs=digits.x_calibration)
    network.fit_ranges(digits.x_calibration)
    _write_netlists(calibration, network, folder / "netlists")
    click.echo(f"network    {kind.upper()} on {len(digits.y)} handwritten digits it was not trained on")
    plan = RunPlan(audit=audit_count or AUDITED[chip.adc.is_real], seed=seed)
    plans = {"ideal": RunPlan(engine="ideal"), "no_wires": RunPlan(wires=False), "circuit": plan}
    subject = Subject.of(model, dataset, calibration, names={"calibration": str(folder / "chip.cal.json")})
    runs = {name: run_subject(one, subject, jobs=jobs, progress=True) for name, one in plans.items()}
    _write_results(folder, kind, runs)
    ideal, no_wires, circuit = (one.first for one in runs.values())
    click.echo(f"\n{_accuracy_table(ideal, no_wires, circuit)}\n")
    assert circuit.audit is not None
    click.echo(format_audit(circuit.audit, circuit.product_seconds))
    click.echo(f"\nopen {folder / 'report.html'}   ({time.monotonic() - start:.0f} s in all)")


def _describe(path: Path, preset_name: str) -> Chip:
    if exists(path):
        chip = load_chip(path)
        click.echo(f"chip       {path}, kept as it was")
        return chip
    chip = preset(preset_name).changed(name=f"{preset_name}-32", array={"rows": 32, "columns": 32})
    save_chip(chip, path)
    click.echo(f"chip       {path}: {chip.process.name}, {chip.array.rows}x{chip.array.columns} {chip.cell.kind} cells")
    return chip


def _calibrate(chip: Chip, path: Path, jobs: int | None) -> Calibration:
    """Take a calibration that is there and fits, or make one."""
    if exists(path):
        try:
            calibration = open_calibration(path)
            calibration.require_chip(chip, str(path))
        except CalibrationError:
            pass  # of an earlier chip or version: made anew
        else:
            click.echo(f"calibrate  {path} is of this chip, kept")
            return calibration
    click.echo("calibrate  blocks against ngspice, then whole tiles:\n")
    real = chip.adc.is_real
    calibration = calibrate(chip, aspects=("converter",) if real else (), quick=real, jobs=jobs, progress=True)
    calibration.save(path)
    click.echo(
        f"{format_checks(calibration.checks)}\n\n{calibration.simulations} simulations in {calibration.seconds:.0f} s"
    )
    if calibration.verdict:
        click.echo(calibration.verdict.format())
    return calibration


def _write_netlists(calibration: Calibration, network: Network, folder: Path) -> None:
    """Write one netlist of each kind, of the network's first tile."""
    chip = calibration.chip
    tile = network.tiles()[0][0]
    g = calibration.cell.program(tile.g)
    codes = np.linspace(0, 2**chip.code_bits - 1, g.shape[0]).astype(np.int64)
    v = chip.inputs.volts(codes, tile.polarity)
    model = calibration.tile(g, tile.polarity, tile.r_feedback)
    netlists = {
        "cell": build_cell(chip, chip.cell.g_max),
        "column": build_column(chip, g[:, 0], v, tile.r_feedback),
        "crossbar": build_crossbar(chip, g, v),
        "dac": build_dac(chip),
        "tile": tile_netlist(chip, model, codes, model.solve(codes[None, :]), 0),
    }
    if chip.sense_amplifier.kind == "voltage":
        netlists["hold"] = build_hold_cycle(chip)
    elif chip.sense_amplifier.kind == "integrator":
        netlists["integrator"] = build_integrators(chip, [1e-6, -1e-6])
    else:
        limit = 0.6 * chip.process.supply / tile.r_feedback
        netlists["sense_amplifier"] = build_sense_amplifier(chip, tile.r_feedback, limit)
    for name, netlist in netlists.items():
        netlist.write(folder / f"{name}.cir")
    click.echo(f"netlists   {folder}/: {', '.join(netlists)}")


def _accuracy_table(ideal: Experiment, no_wires: Experiment, circuit: Experiment) -> str:
    rows = [
        ["digital, float32", f"{ideal.digital_accuracy:.4f}", ""],
        ["quantised, ideal circuit", f"{ideal.accuracy:.4f}", _snr(ideal)],
        ["circuit, wires ignored", f"{no_wires.accuracy:.4f}", _snr(no_wires)],
        ["circuit fidelity", f"{circuit.accuracy:.4f}", _snr(circuit)],
    ]
    return format_table(["network on the chip", "accuracy", "SNR a layer [dB]"], rows)


def _snr(experiment: Experiment) -> str:
    return " ".join(f"{layer.snr_db:.1f}" for layer in experiment.result.stats.layers)


def _write_results(folder: Path, kind: str, runs: dict[str, Run]) -> None:
    from spicesim.report import describe_run, write_network_report  # drawing takes a second to import

    circuit = runs["circuit"]
    document = circuit.document()
    document["network"] = kind
    document["variants"] = {name: one.document() for name, one in runs.items()}
    assert circuit.first.audit is not None
    circuit.first.audit.worst.write(folder / "netlists" / "audit_worst.cir")
    write_json(folder / "result.json", document)
    others = {"ideal circuit": runs["ideal"], "wires ignored": runs["no_wires"]}
    report = describe_run(circuit, f"{kind.upper()} on handwritten digits", others)
    write_network_report(report, calibrated(circuit.subject.calibration), folder / "report.html")
