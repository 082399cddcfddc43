"""The bench command."""

import json

import click

from spicesim.bench.measurement import Measurement
from spicesim.bench.run import Benchmark, run_benchmark
from spicesim.calibration.calibrate import calibrate
from spicesim.cli.options import open_calibration, open_chip
from spicesim.cli.tables import format_table
from spicesim.files import write_text

__all__ = ["bench", "format_benchmark"]


@click.command(epilog="example: spicesim bench --quick --json bench.json")
@click.option("--sizes", metavar="N,N,..", default="32,64,128", help="Rows, and columns, of the arrays; 1 to 1024.")
@click.option("--quick", is_flag=True, help="Size 32, three repeats, no network.")
@click.option("--no-peers", is_flag=True, help="Leave out ngspice, scipy, CHOLMOD and badcrossbar.")
@click.option("--repeats", metavar="N", type=click.IntRange(1), default=5, help="Least repeats; the median counts.")
@click.option(
    "--calibration", metavar="CAL.json", help="Gives the nonlinear cell.  [default: a quick one of gf180-1t1r]"
)
@click.option("--json", "json_path", metavar="OUT.json", help="Write all numbers, too.")
def bench(
    sizes: str, quick: bool, no_peers: bool, repeats: int, calibration: str | None, json_path: str | None
) -> None:
    """Time the solvers of this package and others' on this machine, with their errors.

    All run on one thread but for the rows that say two. ngspice and badcrossbar run up to 128x128, scipy and CHOLMOD
    up to 256x256, nonlinear cells up to 512x512; the table ends with what it leaves out.
    """
    try:
        chosen = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise click.BadParameter(f"wanted numbers such as 32,64,128, got {sizes}", param_hint="--sizes") from None
    if not chosen or min(chosen) < 1 or max(chosen) > 1024:
        raise click.BadParameter(f"sizes must lie in 1..1024, got {sizes}", param_hint="--sizes")
    if calibration is None:
        model = calibrate(open_chip(None), aspects=(), quick=True, progress=True)
    else:
        model = open_calibration(calibration)
    result = run_benchmark(
        [32] if quick else chosen,
        model.cell.cell,
        repeats=3 if quick else repeats,
        peers=not no_peers,
        network=not quick,
        progress=True,
    )
    click.echo(format_benchmark(result))
    if json_path is not None:
        write_text(json_path, json.dumps(result.as_dict(), indent=1) + "\n")


def format_benchmark(result: Benchmark) -> str:
    """Format the table; GEMM is numpy's float32 product of a (1000, rows) with a (rows, columns) matrix."""
    lines = [
        f"{result.cpu}, one thread unless a row says two, {result.created}; medians; "
        "GEMM: numpy float32, batch 1000, a vector"
    ]
    for cells in ("linear", "nonlinear"):
        rows = [_row(m) for m in result.measurements if m.cells == cells]
        if rows:
            head = [
                f"{cells} cells", "size", "inputs", "prepare", "a vector", "/ GEMM", "max error", "rms error",
                "peak MB", "note",
            ]  # fmt: skip
            lines += ["", format_table(head, rows)]
    if (network := result.network) is not None:
        lines += [
            "",
            f"784-256-10 on {network.tiles} tiles of up to 128x128 linear cells, 1000 inputs: "
            f"prepared in {_seconds(network.prepare_seconds)}, run in {_seconds(network.run_seconds)}, "
            f"{network.run_seconds / network.ideal_seconds:.2f} times numpy without wires; "
            f"error against exact {network.max_error:.1e}",
        ]
    if result.left_out:
        lines += ["", *(f"left out: {reason}" for reason in result.left_out)]
    return "\n".join(lines)


def _row(m: Measurement) -> list[str]:
    return [
        m.name,
        f"{m.rows}x{m.columns}",
        m.inputs,
        _seconds(m.prepare_seconds),
        _seconds(m.vector_seconds),
        "-" if m.vector_seconds is None else f"{m.vector_seconds / m.gemm_seconds:,.3g}",
        "-" if m.max_error is None else f"{m.max_error:.1e}",
        "-" if m.rms_error is None else f"{m.rms_error:.1e}",
        "-" if m.memory is None else f"{m.memory / 1e6:.0f}",
        m.note or "-",
    ]


def _seconds(value: float | None) -> str:
    """Format a time with its unit."""
    if value is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
