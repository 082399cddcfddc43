"""Data sheet of the bias generator and its mirrors."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.steps import Step
from spicesim.characterise.waveform import crossing, settling_time
from spicesim.chip import Chip
from spicesim.errors import ValidityError
from spicesim.netlist.bias_benches import (
    LOAD,
    START,
    WANTED,
    build_bias,
    build_bias_response,
    build_bias_transient,
)
from spicesim.netlist.noise import build_noise
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["bias_bench"]

_TEMPERATURES = (-40.0, 125.0, 34)
"""First, last, points [degree Celsius]: one is 25."""
_POINTS = 221
_TIME = {"start": 40e-6, "knock": 10e-6}
"""To watch [s]."""


def bias_bench(chip: Chip) -> Bench:
    """Build the testbench of the bias generator, with as many mirrors as a tile of the chip has amplifiers."""
    supply = chip.process.supply
    mirrors = chip.array.columns + (chip.array.rows if chip.dac.is_dac else 0)
    response = build_bias_response(chip)
    netlists = {
        "supply": build_bias(chip, "vdd", supply / 4, 1.1 * supply, _POINTS),  # outputs are held there
        "temperature": build_bias(chip, "temp", *_TEMPERATURES),
        "output": build_bias(chip, "vout_0", 0.0, supply, _POINTS),
        "start": build_bias_transient(chip, mirrors, _TIME["start"], starting=True),
        "knock": build_bias_transient(chip, mirrors, _TIME["knock"], starting=False),
        "response": response,
        "noise": build_noise(response, "out_0", "vdd"),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def swept() -> dict[str, Floats]:
            return {"v": np.linspace(supply / 4, 1.1 * supply, _POINTS), **waves(results["supply"])}

        def at(volts: float, probe: str = "i(vout_0)") -> float:
            return float(np.interp(volts, swept()["v"], swept()[probe]))

        def least() -> float:
            return crossing(swept()["v"], swept()["i(vout_0)"], 0.99 * at(supply), rising=True)

        @cache
        def heated() -> tuple[Floats, Floats]:
            return np.linspace(*_TEMPERATURES), waves(results["temperature"])["i(vout_0)"]

        def coefficient() -> float:
            t, amperes = heated()
            return float(100 * (amperes[-1] - amperes[0]) / (t[-1] - t[0]) / np.interp(27.0, t, amperes))

        @cache
        def output() -> tuple[Floats, Floats]:
            return np.linspace(0, supply, _POINTS), waves(results["output"])["i(vout_0)"]

        def r_out() -> float:
            v, amperes = output()
            return float(-1 / np.interp(supply / 4, v, np.gradient(amperes, v)))

        def compliance() -> float:
            v, amperes = output()
            line = np.interp(supply / 4, v, amperes) - (v - supply / 4) / r_out()
            return supply - crossing(v, amperes / line, 0.99, after=supply / 4, rising=False)

        def settled(name: str, start: float, band: float) -> float:
            found = waves(results[name])
            amperes = found["i(vout_0)"]
            wanted = at(supply) if name == "start" else amperes[0]
            if abs(amperes[-1] / wanted - 1) > band:
                raise ValidityError(
                    f"the bias generator gives {format_si(amperes[-1], 'A')} in {format_si(found['time'][-1], 's')}, "
                    f"at rest {format_si(wanted, 'A')}; mend its start-up"
                )
            return settling_time(found["time"], amperes, start, band * WANTED, "the bias generator")

        def started() -> dict[str, Floats]:
            """Return what comes once the supply is above where outputs are held."""
            found = waves(results["start"])
            return {name: wave[found["time"] > 1.5 * START] for name, wave in found.items()}

        def beyond() -> float:
            return float(100 * (started()["i(vout_0)"].max() / at(supply) - 1))

        def shaken(frequency: float) -> float:
            vectors = results["response"][0].vectors
            amperes = LOAD * np.abs(vectors["v(out_0)"])
            return float(100 * np.interp(frequency, vectors["frequency"].real, amperes) / WANTED)

        def density(frequency: float) -> float:
            noise = waves(results["noise"])
            return float(LOAD * np.interp(frequency, noise["frequency"], noise["onoise_spectrum"]))

        def power() -> float:
            return supply * (-at(supply, "i(vdd)") - at(supply) - at(supply, "i(vout_1)"))

        load = f"{mirrors} mirrors"
        entries = (
            entry("current", "current of a mirror", lambda: at(supply), "A", "as wide as the generator's"),
            entry("error", "over what is wanted", lambda: 100 * (at(supply) / WANTED - 1), "%"),
            entry("pair", "one mirror over another", lambda: 100 * (at(supply) / at(supply, "i(vout_1)") - 1), "%"),
            entry("line_regulation", "change with the supply", lambda: 100 * (at(1.1 * supply) / at(0.9 * supply) - 1),
                  "%", "from 90 to 110 %"),
            entry("supply_least", "least supply", least, "V", "current within 1 %"),
            entry("temperature_coefficient", "change with temperature", coefficient, "%", "a kelvin, -40 to 125 C"),
            entry("r_out", "output resistance of a mirror", r_out, "ohm", "at a quarter of the supply"),
            entry("headroom", "voltage across a mirror, least", compliance, "V", "current within 1 %"),
            entry("start", "start", lambda: settled("start", START, 0.01), "s",
                  f"supply up in 1 us, to 1 %, {load}"),
            entry("start_overshoot", "beyond the final current", beyond, "%", f"at the start, {load}"),
            entry("recovery", "recovery", lambda: settled("knock", 2 * START, 0.001), "s",
                  f"from 1 uA into the line, to .1 %, {load}"),
            entry("supply_10", "current for a volt at the supply", lambda: shaken(10.0), "%", "10 Hz"),
            entry("supply_1meg", "the same", lambda: shaken(1e6), "%", "1 MHz"),
            entry("noise_1k", "noise of a mirror", lambda: density(1e3), "A/sqrt(Hz)", "1 kHz"),
            entry("noise_1meg", "noise of a mirror", lambda: density(1e6), "A/sqrt(Hz)", "1 MHz"),
            entry("power", "power of the generator", power, "W", "its mirrors not counted"),
        )  # fmt: skip
        panels = draw_panels(
            lambda: Panel(
                title="supply", x=swept()["v"], x_label="supply [V]", y_label="current [A]",
                curves={"mirror": swept()["i(vout_0)"]},
            ),
            lambda: Panel(
                title="temperature", x=heated()[0], x_label="temperature [C]", y_label="current [A]",
                curves={"mirror": heated()[1]},
            ),
            lambda: Panel(
                title="output", x=output()[0], x_label="output voltage [V]", y_label="current [A]",
                curves={"mirror": output()[1]},
            ),
            lambda: Panel(
                title="start", x=started()["time"], x_label="time [s]", y_label="current [A]",
                curves={"mirror": started()["i(vout_0)"]},
            ),
        )  # fmt: skip
        return Measurement(entries=entries, panels=panels)

    step = {"start": Step(probe="i(vout_0)", start=START, band=0.01 * WANTED)}
    return Bench(
        block="bias",
        title="bias generator and its mirrors",
        netlists=netlists,
        measure=measure,
        varied=("supply", "temperature", "output", "start"),
        steps=step | {"knock": Step(probe="i(vout_0)", start=2 * START, band=0.001 * WANTED)},
    )
