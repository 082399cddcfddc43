"""The report command."""

import click

from spicesim.cli.options import open_calibration

__all__ = ["report"]


@click.command(epilog="example: spicesim report chip.cal.json -o chip.html")
@click.argument("calibration_path", metavar="CAL.json")
@click.option("-o", "--output", metavar="OUT.html", help="Where to write the page.  [default: beside CAL.json]")
def report(calibration_path: str, output: str | None) -> None:
    """Write a page with the fits of a calibration, their residuals and its whole-tile checks."""
    from spicesim.report import write_calibration_report  # drawing takes a second to import

    calibration = open_calibration(calibration_path)
    path = output or f"{calibration_path.removesuffix('.json')}.html"
    write_calibration_report(calibration, path)
    click.echo(f"wrote {path}")
