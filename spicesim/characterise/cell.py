"""Data sheet of the memory cell: what its access transistor makes of the device."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Entry, Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.cell import build_cell
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["cell_bench"]


def cell_bench(chip: Chip) -> Bench:
    """Build the testbench of the memory cell.

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
        @cache
        def swept(name: str) -> tuple[Floats, Floats]:
            found = waves(results[name])
            return found["v(wl)"] - found["v(bl)"], found["i(vsense_0)"]

        def conductance(name: str, volts: float = cell.v_read) -> float:
            return float(np.interp(volts, *swept(name)) / volts)

        def change(name: str, volts: float, against: float) -> float:
            return 100 * (conductance(name, volts) / conductance(name, against) - 1)

        span = chip.dac.v_span
        entries: list[Entry] = []
        for name, g in devices.items():
            text = f"device {format_si(g, 'S')}"
            entries += [
                entry(f"g_{name}", f"conductance, {text}", partial(conductance, name), "S", f"at {cell.v_read:g} V"),
                entry(
                    f"nonlinearity_{name}",
                    f"nonlinearity, {text}",
                    partial(change, name, span, cell.v_read),
                    "%",
                    f"{chip.dac.v_span:g} V against {cell.v_read:g} V",
                ),
                entry(
                    f"asymmetry_{name}",
                    f"asymmetry, {text}",
                    partial(change, name, -span, span),
                    "%",
                    f"-+{chip.dac.v_span:g} V",
                ),
            ]
        entries += [
            entry(
                "on_off",
                "on/off ratio",
                lambda: conductance("max") / conductance("min"),
                "",
                f"devices {cell.g_max / cell.g_min:.4g}",
            ),
            entry(
                "r_access",
                "resistance of the access transistor",
                lambda: 1 / conductance("max") - 1 / (cell.g_max * _device_rise(chip)),
                "ohm",
                f"at {format_si(cell.g_max, 'S')}",
            ),
        ]

        def ratios() -> Panel:
            v = swept("max")[0]
            away = np.abs(v) > 1e-3
            return Panel(
                title="conductance over that of the device",
                x=v[away],
                x_label="voltage across the cell [V]",
                curves={format_si(g, "S"): swept(name)[1][away] / v[away] / g for name, g in devices.items()},
                y_label="ratio",
            )

        return Measurement(entries=tuple(entries), panels=draw_panels(ratios))

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
