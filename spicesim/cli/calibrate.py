"""The calibrate command."""

import click

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.calibrate import run_plan, wanted_aspects
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.carried import plan_carried
from spicesim.calibration.estimate import estimate
from spicesim.calibration.plan import Plan, load_plan, plan_calibration
from spicesim.chip import Chip
from spicesim.cli.options import jobs_option, open_chip, scheduler_option, timeout_option
from spicesim.cli.plan_tables import format_estimate, format_plan, format_troubles
from spicesim.cli.tables import format_aspects, format_blocks, format_checks
from spicesim.errors import SpecError
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import use_scheduler

__all__ = ["calibrate"]


@click.command(epilog="example: spicesim calibrate chip.toml --quick -o chip.cal.json")
@click.argument("chip_path", metavar="[CHIP.toml]", required=False)
@click.option("-o", "--output", metavar="CAL.json", default="chip.cal.json", help="Where to write the calibration.")
@click.option(
    "--aspects",
    metavar="LIST",
    help="What to calibrate beyond operating points, such as mismatch,noise, or all.  [default: all; with --quick all "
    "but climate]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Fewer points and smaller tiles, and the chip's own corner and temperature alone; the errors are stated all "
    "the same.",
)
@click.option("--seed", metavar="S", type=int, default=0, help="Seed of held-out points and checks.")
@click.option(
    "--error",
    metavar="E",
    type=click.FloatRange(0, min_open=True),
    help="Wanted largest error of an output, as a fraction of full scale: blocks are refined until their validation "
    "errors are below it, and whole tiles that miss it are refused.  [default: 1e-4, 2e-4 with --quick; 5e-4 of "
    "floating lines, 1e-3 of pulses]",
)
@click.option("--accept", metavar="WHY", help="Keep a calibration that misses the wanted error, and say why.")
@click.option(
    "--budget",
    metavar="N",
    type=click.IntRange(1),
    default=500,
    help="Simulations of blocks, refinements included, at most.",
)
@click.option(
    "--design",
    type=click.Choice(["dense faces", "sobol", "latin hypercube"]),
    default="dense faces",
    help="Where the cell is fitted.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan and what it will cost, and run no more than probes.")
@click.option("--plan", "plan_path", metavar="PLAN.json", help="Run this plan; with --dry-run, write it.")
@click.option(
    "--base",
    "base_path",
    metavar="CAL.json",
    help="Take the blocks of this calibration, of a chip with other adc.bits, adc.percentile or wires, or with more "
    "rows or columns; whole tiles are checked by fewer vectors.",
)
@jobs_option
@timeout_option
@scheduler_option
def calibrate(
    chip_path: str | None,
    output: str,
    aspects: str | None,
    quick: bool,
    seed: int,
    error: float | None,
    accept: str | None,
    budget: int,
    design: str,
    dry_run: bool,
    plan_path: str | None,
    base_path: str | None,
    jobs: int | None,
    timeout: float,
    scheduler: str | None,
) -> None:
    """Calibrate the behavioural model of a chip against ngspice, and check whole tiles.

    Simulations are kept: the same command, run again or after an interruption, goes on where it was. So are blocks,
    checks and aspects: of a chip with some keys changed only what depends on them is made anew.
    """  # fmt: skip
    if chip_path is not None and plan_path is not None and not dry_run:
        raise SpecError(f"the plan settles {chip_path} already; leave it out, or make another plan with --dry-run")
    base = None if base_path is None else load_calibration(base_path)
    if base is not None:
        if chip_path is None or plan_path is not None:
            raise SpecError("--base takes a chip and no plan; give CHIP.toml, and leave --plan out")
        _refuse_other_options(f"the base {base_path}", ("quick", "seed", "budget", "design"))
        chip = open_chip(chip_path)
        plan = plan_carried(base, chip, aspects=_names(aspects, chip), error=error)
    elif chip_path is not None:
        chip = open_chip(chip_path)
        plan = plan_calibration(
            chip,
            aspects=_names(aspects, chip),
            quick=quick,
            seed=seed,
            error=error,
            budget=budget,
            filling=None if design == "dense faces" else design,  # type: ignore[arg-type]  # one of the choices
        )
    elif plan_path is not None:
        _refuse_other_options("the plan", ("aspects", "quick", "seed", "error", "budget", "design"))
        plan = load_plan(plan_path)
    else:
        raise SpecError("nothing to calibrate; give CHIP.toml, or --plan PLAN.json")
    wanted_aspects(plan)
    with use_scheduler(scheduler):
        if dry_run:
            _show(plan, Campaign(simulator=BatchSimulator(timeout=timeout), jobs=jobs, progress=True))
            if chip_path is not None and plan_path is not None:
                plan.save(plan_path)
                click.echo(f"wrote {plan_path}; run it with: spicesim calibrate --plan {plan_path} -o {output}")
            return
        calibration = run_plan(plan, jobs=jobs, timeout=timeout, progress=True, accept=accept, base=base)
    click.echo(format_blocks(calibration))
    click.echo()
    click.echo(format_checks(calibration.checks))
    if found := format_aspects(calibration):
        click.echo(f"\n{found}")
    if troubles := format_troubles(calibration):
        click.echo(f"\n{troubles}")
    if calibration.verdict:
        click.echo(f"\n{calibration.verdict.format()}")
    if calibration.reuse:
        click.echo(f"\n{calibration.reuse.format()}")
    calibration.require_verdict()
    calibration.save(output)
    click.echo(
        f"\nwrote {output}: {calibration.simulations} simulations in {calibration.seconds:.1f} s; "
        f"look at it with: spicesim report {output}"
    )


def _names(text: str | None, chip: Chip) -> list[str] | None:
    """Read a list of aspects."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    return list(possible_aspects(chip)[0]) if names == ["all"] else names


def _refuse_other_options(what: str, names: tuple[str, ...]) -> None:
    """Refuse what a plan or a base has settled already."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise SpecError(f"{what} settles --{name} already; leave it out, or leave {what} out")


def _show(plan: Plan, campaign: Campaign) -> None:
    cost = estimate(plan, campaign)
    click.echo(format_plan(plan))
    click.echo()
    click.echo(format_estimate(cost))
