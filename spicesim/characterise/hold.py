"""Data sheet of the hold switch of a floating bit line."""

from collections.abc import Mapping

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.waveform import crossing, integral
from spicesim.chip import Chip
from spicesim.netlist.hold import HELD_AFTER, build_hold_cycle, build_holds, build_line_steps
from spicesim.netlist.step import STEP_TIME
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["hold_bench"]

BOLTZMANN = 1.380649e-23
"""CODATA 2018, exact [J/K]."""


def hold_bench(chip: Chip) -> Bench:
    """Build the testbench of the hold switch, on a column of the array with cells in the middle of their range."""
    rows, g, span = min(chip.array.rows, 64), float(np.sqrt(chip.cell.g_min * chip.cell.g_max)), chip.dac.v_span
    levels = np.array([-span, 0.0, span])
    netlists = {
        "held": build_holds(chip, np.full(3, g), [rows] * 3, levels),
        "step": build_line_steps(chip, [g], [rows], [span], stop=20 * chip.hold.capacitor / (rows * g)),
        "cycle": build_hold_cycle(chip),
    }
    column = f"{rows} cells of {format_si(g, 'S')}"

    def measure(results: Mapping[str, Results]) -> Measurement:
        def added() -> Floats:
            found = waves(results["held"])
            at = STEP_TIME + HELD_AFTER
            held = np.array([np.interp(at, found["time"], found[f"v(out_{k})"]) for k in range(3)])
            return np.asarray(held - chip.sense_amplifier.v_reference - levels)

        def time_constant() -> float:
            found = waves(results["step"])
            left = (found["v(out_0)"] - chip.sense_amplifier.v_reference - span) / (-2 * span)
            first, last = (crossing(found["time"], left, share, after=STEP_TIME, rising=False) for share in (0.1, 0.01))
            return float((last - first) / np.log(10))

        def energy() -> float:
            found = waves(results["cycle"])
            power = np.zeros_like(found["time"])
            for name, volts in {"vdd": chip.process.supply, "vref": chip.sense_amplifier.v_reference}.items():
                power -= volts * found[f"i({name})"]
            for control in ("track", "share") if chip.hold.adds_planes else ("track",):
                power -= found[f"v({control})"] * found[f"i(v{control})"]
            return integral(found["time"], power - power[0], 0.0, float(found["time"][-1]))

        noise = np.sqrt(BOLTZMANN * (chip.process.temperature_c + 273.15) / chip.hold.capacitor)
        entries = (
            entry("pedestal", "what opening adds, line at the reference", lambda: added()[1], "V", column),
            entry("pedestal_slope", "its slope over the line", lambda: (added()[2] - added()[0]) / (2 * span), "V/V"),
            entry("time_constant", "time constant of a line", time_constant, "s", column),
            entry(
                "settled", "of the way left as it opens", lambda: 100 * np.exp(-chip.hold.settle / time_constant()),
                "%", f"after {format_si(chip.hold.settle, 's')}",
            ),
            entry("noise", "noise of what is held, kT/C", float(noise), "V"),
            entry("energy", "energy, opened and closed once", energy, "J", "vdd and control"),
        )  # fmt: skip

        def curve() -> Panel:
            found = waves(results["step"])
            return Panel(
                title="a line whose inputs step", x=found["time"], x_label="time [s]",
                curves={"hold capacitor": found["v(out_0)"]}, y_label="voltage [V]",
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(curve))

    return Bench(
        block="hold",
        title=f"hold switch of a floating bit line, {format_si(chip.hold.capacitor, 'F')}",
        netlists=netlists,
        measure=measure,
        varied=("held",),
    )
