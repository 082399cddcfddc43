"""Data sheet of the word-line driver."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.waveform import crossing, integral
from spicesim.chip import Chip
from spicesim.chip.blocks import WordLineDriver
from spicesim.netlist.word_line_driver import build_word_line_driver, build_word_line_driver_load
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["word_line_driver_bench"]

_WIDTH, _EDGE, _CAPACITANCE = 100e-9, 50.05e-9, 1e-12


def word_line_driver_bench(chip: Chip, sizes: WordLineDriver | None = None) -> Bench:
    """Build the testbench of the word-line driver."""
    row = 1 / (chip.array.columns * chip.cell.g_max / 2)
    netlists = {
        "load": build_word_line_driver_load(chip, sizes=sizes),
        "pulse": build_word_line_driver(chip, sizes=sizes, r_load=row, c_load=_CAPACITANCE, width=_WIDTH),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        def resistance(node: str) -> float:
            loaded = waves(results["load"])
            return float(-np.gradient(loaded[node], loaded["v(load)"])[len(loaded["v(load)"]) // 2])

        @cache
        def pulse() -> dict[str, Floats]:
            return waves(results["pulse"])

        @cache
        def ends() -> tuple[float, float]:
            rest, top = np.interp([40e-9, _EDGE + 0.9 * _WIDTH], pulse()["time"], pulse()["v(out)"])
            return float(rest), float(top)

        def reaches(part: float, rising: bool) -> float:
            rest, top = ends()
            after = _EDGE - 1e-9 + (0.0 if rising else _WIDTH)
            return crossing(pulse()["time"], pulse()["v(out)"], rest + part * (top - rest), after=after, rising=rising)

        def energy(source: str, volts: float) -> float:
            time = pulse()["time"]
            return integral(time, -volts * pulse()[source], 45e-9, time[-1])

        load = f"{format_si(row, 'ohm')} || {format_si(_CAPACITANCE, 'F')}"
        entries = (
            entry("r_high", "output resistance, high level", partial(resistance, "v(high)"), "ohm"),
            entry("r_low", "output resistance, low level", partial(resistance, "v(low)"), "ohm"),
            entry("droop", "loss of the pulse's height", lambda: chip.dac.v_span - (ends()[1] - ends()[0]), "V", load),
            entry("delay", "delay, rising", lambda: reaches(0.5, True) - _EDGE, "s", load),
            entry("delay_fall", "delay, falling", lambda: reaches(0.5, False) - _EDGE - _WIDTH - 0.1e-9, "s", load),
            entry("t_rise", "rise, 10 to 90 %", lambda: reaches(0.9, True) - reaches(0.1, True), "s", load),
            entry("t_fall", "fall, 90 to 10 %", lambda: reaches(0.1, False) - reaches(0.9, False), "s", load),
            entry("energy", "energy a pulse, gates", partial(energy, "i(vdd)", chip.process.supply), "J", "from vdd"),
            entry(
                "energy_row",
                "energy a pulse, row",
                partial(energy, "i(vhi)", chip.dac.v_span),
                "J",
                f"from vhi, {format_si(_WIDTH, 's')}, {load}",
            ),
        )

        def curve() -> Panel:
            return Panel(
                title="pulse", x=pulse()["time"], x_label="time [s]", curves={"output": pulse()["v(out)"]},
                y_label="output [V]",
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(curve))

    return Bench(
        block="word_line_driver",
        title="word-line driver, a switch between two voltages",
        netlists=netlists,
        measure=measure,
        varied=("load",),
    )
