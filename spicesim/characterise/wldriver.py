"""Data sheet of the word-line driver for pulses."""

from collections.abc import Mapping

import numpy as np

from spicesim.blocks import WordLineDriver
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import crossing, integral
from spicesim.chip import Chip
from spicesim.netlist.wldriver import build_wldriver, build_wldriver_load
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["wldriver_bench"]

_WIDTH, _EDGE, _CAPACITANCE = 100e-9, 50.05e-9, 1e-12


def wldriver_bench(chip: Chip, sizes: WordLineDriver | None = None) -> Bench:
    """Build the testbench of the word-line driver: resistance at both levels, delay, edges, energy a pulse."""
    row = 1 / (chip.array.columns * chip.cell.g_max / 2)
    netlists = {
        "load": build_wldriver_load(chip, sizes=sizes),
        "pulse": build_wldriver(chip, sizes=sizes, r_load=row, c_load=_CAPACITANCE, width=_WIDTH),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        loaded = waves(results["load"])
        middle = len(loaded["v(load)"]) // 2
        r_high, r_low = (-np.gradient(loaded[node], loaded["v(load)"])[middle] for node in ("v(high)", "v(low)"))
        pulse = waves(results["pulse"])
        time, out = pulse["time"], pulse["v(out)"]
        rest, top = np.interp([40e-9, _EDGE + 0.9 * _WIDTH], time, out)
        levels = [rest + part * (top - rest) for part in (0.1, 0.5, 0.9)]
        up = [crossing(time, out, level, after=_EDGE - 1e-9, rising=True) for level in levels]
        down = [crossing(time, out, level, after=_EDGE + _WIDTH - 1e-9, rising=False) for level in levels]
        begin, end = 45e-9, time[-1]
        energy = integral(time, -chip.process.supply * pulse["i(vdd)"], begin, end)
        row_energy = integral(time, -chip.dac.v_span * pulse["i(vhi)"], begin, end)
        load = f"{format_si(row, 'ohm')} || {format_si(_CAPACITANCE, 'F')}"
        entries = (
            entry("r_high", "output resistance, high level", r_high, "ohm"),
            entry("r_low", "output resistance, low level", r_low, "ohm"),
            entry("droop", "loss of the pulse's height", chip.dac.v_span - (top - rest), "V", load),
            entry("delay", "delay, rising", up[1] - _EDGE, "s", load),
            entry("delay_fall", "delay, falling", down[1] - _EDGE - _WIDTH - 0.1e-9, "s", load),
            entry("t_rise", "rise, 10 to 90 %", up[2] - up[0], "s", load),
            entry("t_fall", "fall, 90 to 10 %", down[0] - down[2], "s", load),
            entry("energy", "energy a pulse, gates", energy, "J", "from vdd"),
            entry("energy_row", "energy a pulse, row", row_energy, "J", f"from vhi, {format_si(_WIDTH, 's')}, {load}"),
        )
        panel = Panel(title="pulse", x=time, x_label="time [s]", curves={"output": out}, y_label="output [V]")
        return Measurement(entries=entries, panels=(panel,))

    return Bench(
        block="wldriver", title="word-line driver for pulses", netlists=netlists, measure=measure, varied=("load",)
    )
