"""The compare command."""

import json

import click

from spicesim.calibration.campaign import Campaign
from spicesim.cli.options import jobs_option, timeout_option
from spicesim.cli.tables import format_table
from spicesim.files import write_text
from spicesim.ngspice.batch import BatchSimulator
from spicesim.published.comparison import Comparison, Trend, compare_macros
from spicesim.published.macros import published_macros
from spicesim.published.own import KINDS, measure_macros

__all__ = ["compare"]


@click.command(epilog="example: spicesim compare --own gf180-voltage -o compare.html --json compare.json")
@click.option(
    "--own", "names", metavar="PRESET", multiple=True, type=click.Choice(list(KINDS)),
    help="Simulate this macro of ours at the bits of published ones; give it again for another.",
)  # fmt: skip
@click.option("--size", metavar="N", type=click.IntRange(2), default=128, help="Rows, and columns, of ours.")
@jobs_option
@timeout_option
@click.option("-o", "--output", metavar="OUT.html", help="Write a page, too.")
@click.option("--json", "json_path", metavar="OUT.json", help="Write all numbers, too.")
def compare(
    names: tuple[str, ...], size: int, jobs: int | None, timeout: float, output: str | None, json_path: str | None
) -> None:
    """Tell published macros of analog in-memory computing, and set ours beside those of their kind.

    Without --own nothing is simulated. Simulations are kept: the same command, run again, takes seconds.
    """
    campaign = Campaign(quick=True, simulator=BatchSimulator(timeout=timeout), jobs=jobs, progress=True)
    own = measure_macros(names, campaign, size=size) if names else ()
    comparison = compare_macros(published_macros(), own)
    click.echo(format_comparison(comparison))
    if json_path is not None:
        write_text(json_path, json.dumps(comparison.document(), indent=1) + "\n")
    if output is not None:
        from spicesim.report.published import write_comparison_report  # drawing takes a second to import

        write_comparison_report(comparison, output)
        click.echo(f"wrote {output}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def format_comparison(comparison: Comparison) -> str:
    """Format what was published, and ours beside it."""
    rows = [
        [
            f"{macro.name}, {point.mode}".removesuffix(", "), "-" if macro.node is None else f"{1e9 * macro.node:g}",
            f"{macro.rows}x{macro.columns}" if macro.rows else "-",
            f"{point.input_bits:g}", _number(macro.weight_bits), f"{point.output_bits:g}",
            *map(_number, (point.tops, point.tops_per_watt, macro.density(point))), macro.held,
        ]
        for macro in comparison.macros
        for point in macro.points
    ]  # fmt: skip
    head = ["published", "nm", "array", "in", "weight", "out", "TOPS", "TOPS/W", "TOPS/mm2", "held"]
    parts = [format_table(head, rows)]
    if empty := [macro for macro in comparison.macros if not macro.points]:
        parts.append("without numbers of efficiency: " + ", ".join(f"{macro.name} ({macro.made})" for macro in empty))
    if comparison.pairs:
        head = ["side by side", "ours", "in, out", "TOPS/W", "ours", "ratio", "at 180 nm, 3.3 V", "ours spends in"]
        parts.append(
            format_table(
                head,
                [
                    [
                        f"{pair.macro.name}, {pair.point.mode}".removesuffix(", "), pair.own.mode,
                        f"{pair.point.input_bits:g}, {pair.point.output_bits:g}",
                        *map(_number, (pair.point.tops_per_watt, pair.own.tops_per_watt, pair.ratio)),
                        _number(pair.scaled_ratio), _most(pair.own.energy),
                    ]
                    for pair in comparison.pairs
                ],
            )
        )  # fmt: skip
        parts += [_format_trend(trend) for trend in comparison.trends]
        parts.append("ours are simulated; logic, control, clocks and regulators are not counted, and are in theirs")
    return "\n\n".join(parts)


def _format_trend(trend: Trend) -> str:
    first, (theirs, ours) = trend.pairs[0], trend.falls
    return (
        f"over {len(trend.pairs)} pairs of bits {first.macro.name} {first.point.mode}".rstrip()
        + f" falls {theirs:.3g} times, ours, {first.own.mode}, {ours:.3g}; within a factor of {trend.largest:.3g} "
        f"ours is {trend.common:.3g} of it"
    )


_WORDS = {"dac": "drivers", "array": "array", "amplifier": "read-out", "adc": "converters", "logic": "logic"}


def _most(energy: dict[str, float]) -> str:
    """Name the block that takes most, and its share."""
    name = max(energy, key=lambda each: energy[each])
    return f"{_WORDS[name]} {100 * energy[name] / sum(energy.values()):.0f} %"
