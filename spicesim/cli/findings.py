"""What infer tells of a run beyond accuracy and layers: options, work and tables."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from spicesim.cli.tables import format_budget, format_footprint
from spicesim.engine import ExactEngine
from spicesim.experiment.budget import run_budget
from spicesim.experiment.findings import Findings, gather_findings
from spicesim.experiment.footprint import estimate_footprint
from spicesim.experiment.run import Experiment
from spicesim.network import Network
from spicesim.network.uncalibrated import calibrated
from spicesim.units import parse_quantity

__all__ = ["find_more", "findings_options", "format_findings"]

Command = TypeVar("Command", bound=Callable[..., Any])

TYPICAL = 16
"""Inputs whose products stand for all in energies."""

_OPTIONS = (
    click.option(
        "--explain", "explain_count", metavar="N", type=click.IntRange(2),
        help="Tell on the first N inputs what each imperfection costs, as spicesim explain does.",
    ),
    click.option("--energy", is_flag=True, help="Tell energy, time and area; needs a calibration of energies."),
    click.option(
        "--t-read", "t_read_text", metavar="TIME",
        help="From a change of codes to the sample, such as 200ns.  [default: until outputs have settled]",
    ),
    click.option(
        "--columns-per-adc", metavar="N", type=click.IntRange(1), default=1, help="Columns that share a converter."
    ),
)  # fmt: skip


def findings_options(command: Command) -> Command:
    """Add the options of this module to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def find_more(
    network: Network,
    experiment: Experiment,
    model: str,
    *,
    explain_count: int | None,
    energy: bool,
    t_read_text: str | None,
    columns_per_adc: int,
    budget_options: dict[str, Any],
) -> Findings:
    """Find what the options of :func:`findings_options` ask for.

    Parameters
    ----------
    network : Network
        The network that ran, with ranges fitted.
    experiment : Experiment
        The run.
    model : str
        Path of the network.
    explain_count, energy, t_read_text, columns_per_adc
        Of the options.
    budget_options : dict
        As for :func:`spicesim.experiment.budget.run_budget`.
    """
    budget = footprint = None
    if explain_count is not None:
        few = experiment.dataset.first(explain_count)
        budget = run_budget(model, few, calibrated(experiment.calibration), progress=True, **budget_options)
    if energy:
        calibration = calibrated(experiment.calibration)
        footprint = estimate_footprint(
            network, experiment.dataset.first(TYPICAL).inputs, calibration, ExactEngine(calibration),
            t_read=None if t_read_text is None else parse_quantity(t_read_text), columns_per_adc=columns_per_adc,
        )  # fmt: skip
    return gather_findings(network, experiment, budget=budget, footprint=footprint)


def format_findings(findings: Findings) -> str:
    """Format what was asked for; empty if nothing was."""
    parts = []
    if findings.budget is not None:
        parts.append(format_budget(findings.budget))
    if findings.footprint is not None:
        parts.append(format_footprint(findings.footprint))
    return "\n\n".join(parts)
