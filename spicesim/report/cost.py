"""The section on what a calibration took: simulations, time, aids to convergence, failures."""

from spicesim.calibration.calibration import Calibration
from spicesim.calibration.plan import PlanSummary
from spicesim.report.numbers import parts_per_million
from spicesim.report.page import Block, Column, Section, Table

__all__ = ["cost_section"]


def cost_section(calibration: Calibration) -> Section:
    """Account for a calibration's simulations."""
    helped, failed = sum(calibration.aids.values()), len(calibration.failures)
    text = f"{calibration.simulations} simulations, {calibration.seconds:.1f} s in all. " + (
        f"{helped} of them converged only with an aid" if helped else "All of them converged without an aid"
    )
    text += f"; {failed} failed and are behind no number on this page." if failed else "; none failed."
    blocks: list[Block] = []
    if calibration.plan is not None:
        blocks.append(_plan_table(calibration.plan))
    if calibration.costs:
        columns = (Column(title="step", text=True), Column(title="simulations"), Column(title="time", unit="s"))
        blocks.append(
            Table(
                caption="Processor time of the simulations; those found in the cache count as when they were made.",
                columns=columns,
                rows=tuple((n, f"{c.simulations}", f"{c.seconds:.1f}") for n, c in calibration.costs.items()),
                wide=False,
            )
        )
    if calibration.aids:
        blocks.append(
            Table(
                caption="Simulations that converged with an aid only.",
                columns=(Column(title="aid", text=True), Column(title="simulations")),
                rows=tuple((name, f"{count}") for name, count in calibration.aids.items()),
                wide=False,
            )
        )
    if calibration.failures:
        blocks.append(
            Table(
                caption="Simulations that failed, each with the command that runs it again.",
                columns=(Column(title="failure", text=True),),
                rows=tuple((failure,) for failure in calibration.failures),
            )
        )
    return Section(anchor="cost", title="What it took", text=text, blocks=tuple(blocks))


def _plan_table(plan: PlanSummary) -> Table:
    rows = tuple(
        (block, design.design, *(f"{design.points.get(part, 0)}" for part in ("fit", "validation", "test")),
         f"{design.simulations}", parts_per_million(plan.validation[block]) if block in plan.validation else "")
        for block, design in plan.designs.items()
    )  # fmt: skip
    asked = "" if plan.error is None else f" Asked for: {parts_per_million(plan.error)} ppm."
    refined = f"{len(plan.rounds)} refinements where the error was largest" if plan.rounds else "no refinement"
    return Table(
        caption=f"What was planned for the blocks, and {refined}.{asked} Errors elsewhere on this page are those of "
        "the test points, which decided nothing.",
        columns=(
            Column(title="block", text=True), Column(title="design", text=True), Column(title="fitted points"),
            Column(title="validation"), Column(title="test"), Column(title="simulations"),
            Column(title="largest validation error", unit="ppm FS"),
        ),
        rows=rows,
    )  # fmt: skip
