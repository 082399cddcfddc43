"""The calibrate command."""

import click

from spicesim.calibration.calibrate import calibrate as run_calibration
from spicesim.cli.options import jobs_option, open_chip, timeout_option
from spicesim.cli.tables import format_blocks, format_checks

__all__ = ["calibrate"]


@click.command(epilog="example: spicesim calibrate chip.toml --quick -o chip.cal.json")
@click.argument("chip_path", metavar="CHIP.toml")
@click.option("-o", "--output", metavar="CAL.json", default="chip.cal.json", help="Where to write the calibration.")
@click.option(
    "--aspects", metavar="LIST", help="What to calibrate beyond operating points, such as mismatch,noise; default all."
)
@click.option("--quick", is_flag=True, help="Fewer points and smaller tiles; the errors are stated all the same.")
@click.option("--seed", metavar="S", type=int, default=0, help="Seed of held-out points and checks.")
@jobs_option
@timeout_option
def calibrate(
    chip_path: str, output: str, aspects: str | None, quick: bool, seed: int, jobs: int | None, timeout: float
) -> None:
    """Calibrate the behavioural model of a chip against ngspice, and check whole tiles.

    Simulations are kept: the same command, run again or after an interruption, goes on where it was.
    """
    chip = open_chip(chip_path)
    calibration = run_calibration(
        chip,
        aspects=None if aspects is None else [name.strip() for name in aspects.split(",") if name.strip()],
        quick=quick,
        seed=seed,
        jobs=jobs,
        timeout=timeout,
        progress=True,
    )
    calibration.save(output)
    click.echo(format_blocks(calibration))
    click.echo()
    click.echo(format_checks(calibration.checks))
    click.echo(
        f"\nwrote {output}: {calibration.simulations} simulations in {calibration.seconds:.1f} s; "
        f"look at it with: spicesim report {output}"
    )
