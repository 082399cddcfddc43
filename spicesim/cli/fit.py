"""The fit command: parameters from measurements on silicon."""

import math

import click

from spicesim.behavioural.parameter import Parameter
from spicesim.calibration.fit import Fit
from spicesim.calibration.silicon import SiliconFit, fit_measurements, read_measurements
from spicesim.calibration.wires import WIRES
from spicesim.cells import Cell, Sinh
from spicesim.cli.options import open_calibration
from spicesim.cli.tables import format_table
from spicesim.files import write_text
from spicesim.files.arrays import read_array
from spicesim.units import parse_quantity

__all__ = ["fit", "format_fits"]


@click.command(
    epilog="example: spicesim fit array.csv --conductance g.npy --find r_word_line,r_bit_line,r_driver -o fit.json"
)
@click.argument("table", metavar="TABLE.csv")
@click.option("--conductance", metavar="G", help="Of an array's devices, (rows, columns) [S], .npy or .csv.")
@click.option("--calibration", metavar="CAL.json", help="Take the law of an array's cells from there.")
@click.option("--kappa", metavar="K", type=float, help="Or let them follow g sinh(K v)/K [1/V].  [default: linear]")
@click.option("--find", metavar="LIST", default="r_word_line,r_bit_line", help=f"Of an array: {', '.join(WIRES)}.")
@click.option(
    "--conductance-error",
    metavar="E",
    help="Standard deviation of the conductances, such as 3%, each cell its own.  [default: found in the data]",
)
@click.option("--given", metavar="LIST", default="", help="Known ones, such as r_driver=50,r_sense=1.2k; others are 0.")
@click.option(
    "--loss",
    type=click.Choice(["linear", "soft_l1", "huber"]),
    default="linear",
    help="What to minimise; all but linear forgive outliers.",
)
@click.option("-o", "--output", metavar="FIT.json", help="Write everything, with residuals and covariance.")
def fit(
    table: str,
    conductance: str | None,
    calibration: str | None,
    kappa: float | None,
    find: str,
    conductance_error: str | None,
    given: str,
    loss: str,
    output: str | None,
) -> None:
    """Fit circuit parameters, with 95 % intervals, to a table of measurements in place of ngspice.

    The first line of TABLE.csv names the columns, each with its unit (V, A, S or ohm, with a prefix if you like); they
    tell what was measured:

    \b
    array     v_0_V, v_1_V .. one a row; i_0_A, i_1_A .. one a column; a line is a vector.
              Voltages of the sources above the virtual ground, currents into it; a current may be empty.
    senseamp  current_A, v_out_V, v_reference_V, optionally v_in_V; voltages to ground.
    dac       code, v_out_V, v_reference_V, optionally load_A, drawn from the output.
    cell      g_S, v_V, current_A, with an access transistor also u_V, the bit line above the reference.

    Empty lines and lines that start with # are skipped. What the data do not determine is named, with the reason.

    Currents of an array share errors: conductances are known to some per cent, columns are read with offsets. How large
    these are is found in the residuals and told; the intervals allow for it. Units, signs and orders that are evidently
    mistaken are refused.
    """  # noqa: D301  # click wants the control character
    if calibration is not None and kappa is not None:
        raise click.UsageError("--calibration and --kappa both give the cells' law; choose one")
    cell: Cell | None = None
    if calibration is not None:
        cell = open_calibration(calibration).cell.cell
    elif kappa is not None:
        cell = Sinh(kappa)
    fits = fit_measurements(
        read_measurements(table),
        conductances=None if conductance is None else read_array(conductance, "conductances"),
        cell=cell,
        wanted=[name.strip() for name in find.split(",") if name.strip()],
        known=_parse_given(given),
        g_error=None if conductance_error is None else _parse_share(conductance_error),
        loss=loss,  # type: ignore[arg-type]  # one of click's choices
    )
    click.echo(format_fits(fits))
    if output is not None:
        write_text(output, SiliconFit.of(table, fits).model_dump_json(indent=1) + "\n")
        click.echo(f"\nwrote {output}")


def _parse_share(text: str) -> float:
    """Read 3% or 0.03."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise click.BadParameter(f"wanted a share such as 3% or 0.03, got {text!r}", param_hint="--conductance-error")
    return value


def _parse_given(text: str) -> dict[str, float]:
    known = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise click.BadParameter(f"wanted name=value, got {part!r}", param_hint="--given")
        known[name.strip()] = parse_quantity(value)
    return known


def _error_text(error: Parameter) -> str:
    if error.unit == "1":
        return f"{100 * error.value:.2g} % (+- {100 * error.standard_error:.1g} %)"
    return f"{error.value:.3g} {error.unit} (+- {error.standard_error:.1g})"


def format_fits(fits: dict[str, Fit]) -> str:
    """Format parameters with their intervals, what is not determined, and warnings."""
    rows, notes = [], []
    for block, found in fits.items():
        for name, p in found.parameters.items():
            low, high = p.interval or (p.value, p.value)
            unit = "" if p.unit == "1" else p.unit
            rows.append([f"{block}: {name}", f"{p.value:.8g}", f"{p.standard_error:.2g}", f"{low:.8g}", f"{high:.8g}"])
            rows[-1].append(unit)
        notes += [f"{block}: error found: {name} {_error_text(p)}" for name, p in found.errors.items()]
        notes += [f"{block}: {name} is not determined: {reason}" for name, reason in found.unidentifiable.items()]
        notes += [f"{block}: {warning}" for warning in found.warnings]
        form = f", {found.form}" if found.form else ""
        notes.append(
            f"{block}{form}: {len(found.residuals)} data, RMS residual {found.rms:.3g} {found.unit}, loss {found.loss}"
        )
    head = ["parameter", "value", "standard error", "95 % from", "to", "unit"]
    return "\n".join([format_table(head, rows), "", *notes])
