"""Tables of what a calibration will do, and lines on what went wrong in it."""

from spicesim.calibration.calibration import Calibration
from spicesim.calibration.estimate import Estimate
from spicesim.calibration.plan import Plan, summarise
from spicesim.cli.tables import format_table

__all__ = ["format_estimate", "format_plan", "format_troubles"]


def format_plan(plan: Plan) -> str:
    """Format the designs of all blocks; their three sets of points share none."""
    rows = [
        [name, *(f"{block.points[kind]:,}" for kind in ("fit", "validation", "test")), block.design]
        for name, block in summarise(plan.chip, plan.blocks).items()
    ]
    table = format_table(["block", "fit", "validation", "test", "design of the fit"], rows)
    return (
        f"{table}\n\nrefined until the validation error is below {plan.asked:g} of full scale, "
        f"with at most {plan.budget} simulations of blocks"
    )


def format_estimate(estimate: Estimate) -> str:
    """Format what a plan costs."""
    rows = [
        [step.name, str(step.simulations), str(step.kept), f"{step.seconds:.1f}", step.basis] for step in estimate.steps
    ]
    total, kept = (sum(getattr(step, word) for step in estimate.steps) for word in ("simulations", "kept"))
    lines = [
        format_table(["step", "simulations", "kept", "s", "estimated from"], rows),
        "",
        f"{total} simulations, {kept} of them kept; about {estimate.seconds:.0f} s with {estimate.jobs} at a time",
    ]
    if estimate.unknown:
        lines.append(f"not counted, as never measured on this machine: {', '.join(estimate.unknown)}")
    return "\n".join(lines)


def format_troubles(calibration: Calibration) -> str:
    """Format aids, failures and missed errors, a line each; empty if there were none."""
    lines = [f"{count} simulations converged by {aid}" for aid, count in calibration.aids.items()]
    lines += [f"left out, as it failed: {failure}" for failure in calibration.failures]
    if calibration.plan is not None:
        lines += [
            f"{name} misses the error asked for: {error:.2g} of full scale, wanted {calibration.plan.error:.2g}"
            for name, error in calibration.plan.missed.items()
        ]
    return "\n".join(lines)
