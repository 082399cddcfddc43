"""Data sheet of the switched integrator: effective capacitor, pedestal, linearity, droop, and its amplifier."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from spicesim.arrays import Complexes, Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.waveform import phase_margin, settling_time, unity_frequency
from spicesim.chip import Chip
from spicesim.chip.blocks import Integrator
from spicesim.netlist.integrator import Window, build_integrators, build_ota_response
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["integrator_bench"]

_SWING = 0.9 / 1.65
"""Largest change of the output, of what the reference leaves to the nearer rail."""


def integrator_bench(chip: Chip, sizes: Integrator | None = None, window: Window | None = None) -> Bench:
    """Build the testbench of the switched integrator."""
    sizes, window = sizes or chip.integrator, window or Window()
    reference = chip.sense_amplifier.v_reference
    swing = _SWING * min(reference, chip.process.supply - reference)
    currents = np.linspace(-1, 1, 9) * swing * sizes.capacitor / window.length
    charges = currents * window.length
    netlists = {
        "charge": build_integrators(chip, currents, sizes=sizes, window=window),
        "ota": build_ota_response(chip, sizes.capacitor, sizes.bias_current),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def found() -> dict[str, Floats]:
            return waves(results["charge"])

        def outputs() -> list[Floats]:
            return [found()[f"v(out_{k})"] for k in range(len(currents))]

        @cache
        def read() -> Floats:
            # the output has settled 100 ns after the window
            return np.array([np.interp(window.end + 100e-9, found()["time"], output) for output in outputs()])

        @cache
        def line() -> tuple[float, float]:
            slope, pedestal = np.polyfit(charges, read(), 1)
            return float(slope), float(pedestal)

        def residue() -> float:
            slope, pedestal = line()
            return float(np.abs(read() - (slope * charges + pedestal)).max())

        def droop() -> float:
            moved = np.array([output[-1] for output in outputs()]) - read()
            return float(moved[np.argmax(np.abs(moved))] / (window.hold - 100e-9))

        def held() -> float:
            return float(np.interp(window.reset - window.edge, found()["time"], outputs()[len(currents) // 2]))

        def settle() -> float:
            after = found()["time"] >= window.end
            time = found()["time"][after]
            return max(settling_time(time, out[after], window.end, 1e-3 * swing, "the integrator") for out in outputs())

        @cache
        def response() -> tuple[Floats, Complexes]:
            return waves(results["ota"])["frequency"], results["ota"][0].vectors["v(out)"].astype(complex)

        def power() -> float:
            drawn = np.interp(window.reset / 2, found()["time"], found()["i(vdd)"])
            return float(-chip.process.supply * drawn / len(currents))

        load = f"into {format_si(sizes.capacitor, 'F')}"
        entries = (
            entry(
                "c_effective",
                "effective capacitor",
                lambda: -1 / line()[0],
                "F",
                f"drawn {format_si(sizes.capacitor, 'F')}",
            ),
            entry("reset_level", "reset level, error", lambda: held() - reference, "V"),
            entry("pedestal", "pedestal", lambda: line()[1] - held(), "V", "of both switches, no current"),
            entry("nonlinearity", "nonlinearity", lambda: 100 * residue() / (2 * swing), "%", f"of +-{swing:.3g} V"),
            entry("droop", "droop, largest", droop, "V/s", f"held for {format_si(window.hold, 's')}"),
            entry("t_settle", "settling after the window", settle, "s", "0.1 % of full scale"),
            entry("gain", "gain of the amplifier", lambda: np.abs(response()[1][0]), "", "1 Hz"),
            entry("gbw", "unity-gain frequency", lambda: unity_frequency(*response()), "Hz", load),
            entry("phase_margin", "phase margin at unity gain", lambda: phase_margin(*response()), "deg", load),
            entry("power", "power at rest", power, "W"),
        )
        panels = draw_panels(
            lambda: Panel(
                title="output", x=found()["time"], x_label="time [s]", y_label="output [V]",
                curves={format_si(i, "A"): v for i, v in zip(currents[::2], outputs()[::2], strict=True)},
            ),
            lambda: Panel(
                title="gain", x=response()[0], x_label="frequency [Hz]", logarithmic=True, y_label="size [dB]",
                curves={"amplifier": 20 * np.log10(np.abs(response()[1]))},
            ),
        )  # fmt: skip
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="integrator",
        title=f"switched integrator, {format_si(sizes.capacitor, 'F')}",
        netlists=netlists,
        measure=measure,
        varied=("charge",),
        one_device=True,
    )
