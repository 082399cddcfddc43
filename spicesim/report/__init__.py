"""Reports: one self-contained page of HTML for a calibration or for the run of a network."""

from pathlib import Path

from spicesim.calibration.calibration import Calibration
from spicesim.experiment.budget import Budget
from spicesim.report.budget import budget_section
from spicesim.report.calibration import calibration_sections
from spicesim.report.chip import chip_section
from spicesim.report.network import AccuracyRow, NetworkReport, network_sections
from spicesim.report.numbers import parts_per_million
from spicesim.report.page import Facts, Page, write_page
from spicesim.report.provenance import calibration_facts, provenance_section
from spicesim.report.run import describe_run
from spicesim.report.tiles import code_agreement, worst_check

__all__ = [
    "AccuracyRow",
    "NetworkReport",
    "describe_run",
    "write_budget_report",
    "write_calibration_report",
    "write_network_report",
]


def write_calibration_report(calibration: Calibration, path: str | Path) -> None:
    """Write the page of a calibration.

    Parameters
    ----------
    calibration : Calibration
        The calibration.
    path : str or Path
        Where to write the page.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    facts = [("ngspice runs", f"{calibration.simulations}"), ("time", f"{calibration.seconds:.1f} s")]
    if calibration.checks:
        for name, linear in (("max error, linear outputs", True), ("max error, all outputs", False)):
            worst = worst_check(calibration.checks, linear=linear)
            facts.append((name, "none" if worst is None else f"{parts_per_million(worst)} ppm FS"))
        bits = calibration.chip.adc.bits
        least = min(code_agreement(check, bits)[0] for check in calibration.checks)
        facts.append(("identical codes, worst tile", f"{100 * least:.2f} %"))
    page = Page(
        title=calibration.chip.name,
        kind="Calibration against ngspice",
        text="How the behavioural model of this chip was made from ngspice simulations, how far it is from them, "
        "and where it holds."
        + (" This is a quick calibration: fewer points, smaller tiles." if calibration.quick else ""),
        facts=(Facts(items=tuple(facts), large=True), calibration_facts(calibration)),
        sections=(
            *calibration_sections(calibration),
            chip_section(calibration.chip),
            provenance_section(calibration.versions),
        ),
    )
    write_page(page, path)


def write_network_report(report: NetworkReport, calibration: Calibration, path: str | Path) -> None:
    """Write the page of a network's run on a calibrated chip, with the chip's calibration below.

    Parameters
    ----------
    report : NetworkReport
        The run; :func:`describe_run` makes it of an experiment.
    calibration : Calibration
        Of the chip it ran on.
    path : str or Path
        Where to write the page.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    page = Page(
        title=report.model,
        kind="A network on an analog chip",
        text=f"{report.images} inputs through {report.model} on {calibration.chip.name}: what analog circuits make "
        "of the network, layer by layer, and how far the model that says so is from ngspice.",
        facts=(Facts(items=report.highlights, large=True), calibration_facts(calibration)),
        sections=(
            *network_sections(report),
            *calibration_sections(calibration),
            chip_section(calibration.chip),
            provenance_section(calibration.versions, report.provenance),
        ),
    )
    write_page(page, path)


def write_budget_report(budget: Budget, calibration: Calibration, model: str, path: str | Path) -> None:
    """Write the page of an error budget.

    Parameters
    ----------
    budget : Budget
        The budget.
    calibration : Calibration
        Of the chip.
    model : str
        Name of the network.
    path : str or Path
        Where to write the page.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    page = Page(
        title=model,
        kind="Error budget of a network on an analog chip",
        text=f"{len(budget.digital)} inputs through {model} on {calibration.chip.name}.",
        facts=(calibration_facts(calibration),),
        sections=(budget_section(budget), chip_section(calibration.chip), provenance_section(calibration.versions)),
    )
    write_page(page, path)
