"""Data sheet of the memory cell: what its access transistor makes of the device."""

from collections.abc import Mapping

import numpy as np

from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Entry, Panel, entry
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.cell import build_cell
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["cell_bench"]


def cell_bench(chip: Chip) -> Bench:
    """Build the testbench of the memory cell: conductance, nonlinearity, on/off ratio, access transistor.

    Raises
    ------
    SpecError
        If the cell is of a kind that has a data sheet of its own.
    """
    cell = chip.cell
    if cell.kind in ("1s1r", "2t2r"):
        raise SpecError(f"the chip's cell has a data sheet of its own; run: spicesim characterise {cell.kind}")
    devices = {
        "min": cell.g_min,
        "mid": float(np.sqrt(cell.g_min * cell.g_max)),
        "max": cell.g_max,
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        entries: list[Entry] = []
        found = {}
        for name, g in devices.items():
            swept = waves(results[name])
            v = swept["v(wl)"] - swept["v(bl)"]
            i = swept["i(vsense_0)"]
            at = {u: float(np.interp(u, v, i)) for u in (cell.v_read, chip.dac.v_span, -chip.dac.v_span)}
            ratio = at[chip.dac.v_span] / chip.dac.v_span / (at[cell.v_read] / cell.v_read) - 1
            found[name] = (v, i, at[cell.v_read] / cell.v_read)
            text = f"device {format_si(g, 'S')}"
            entries += [
                entry(f"g_{name}", f"conductance, {text}", found[name][2], "S", f"at {cell.v_read:g} V"),
                entry(
                    f"nonlinearity_{name}",
                    f"nonlinearity, {text}",
                    100 * ratio,
                    "%",
                    f"{chip.dac.v_span:g} V against {cell.v_read:g} V",
                ),
                entry(
                    f"asymmetry_{name}",
                    f"asymmetry, {text}",
                    100 * (-at[-chip.dac.v_span] / at[chip.dac.v_span] - 1),
                    "%",
                    f"-+{chip.dac.v_span:g} V",
                ),
            ]
        series = 1 / found["max"][2] - 1 / (cell.g_max * _device_rise(chip))
        entries += [
            entry(
                "on_off",
                "on/off ratio",
                found["max"][2] / found["min"][2],
                "",
                f"devices {cell.g_max / cell.g_min:.4g}",
            ),
            entry("r_access", "resistance of the access transistor", series, "ohm", f"at {format_si(cell.g_max, 'S')}"),
        ]
        v = found["max"][0]
        away = np.abs(v) > 1e-3
        panels = (
            Panel(
                title="conductance over that of the device",
                x=v[away],
                x_label="voltage across the cell [V]",
                curves={format_si(g, "S"): found[name][1][away] / v[away] / g for name, g in devices.items()},
                y_label="ratio",
            ),
        )
        return Measurement(entries=tuple(entries), panels=panels)

    return Bench(
        block="cell",
        title=f"{cell.kind} cell, {format_si(cell.g_min, 'S')} to {format_si(cell.g_max, 'S')}",
        netlists={name: build_cell(chip, g) for name, g in devices.items()},
        measure=measure,
        varied=tuple(devices) if cell.kind == "1t1r" else (),
    )


def _device_rise(chip: Chip) -> float:
    """Return sinh(kappa v)/(kappa v) at the read voltage."""
    x = chip.cell.kappa * chip.cell.v_read
    return float(np.sinh(x) / x) if x else 1.0
