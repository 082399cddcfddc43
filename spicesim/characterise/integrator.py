"""Data sheet of the switched integrator: effective capacitor, pedestal, linearity, droop, and its amplifier."""

from collections.abc import Mapping

import numpy as np

from spicesim.blocks import Integrator
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import phase_margin, settling_time, unity_frequency
from spicesim.chip import Chip
from spicesim.netlist.integrator import Window, build_integrators, build_ota_response
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["integrator_bench"]

_SWING = 0.9
"""Largest change of the output [V]."""


def integrator_bench(chip: Chip, sizes: Integrator | None = None, window: Window | None = None) -> Bench:
    """Build the testbench of the switched integrator: capacitor, pedestal, linearity, droop, gain, power."""
    sizes, window = sizes or chip.integrator, window or Window()
    currents = np.linspace(-1, 1, 9) * _SWING * sizes.capacitor / window.length
    netlists = {
        "charge": build_integrators(chip, currents, sizes=sizes, window=window),
        "ota": build_ota_response(chip, sizes.capacitor, sizes.bias_current),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["charge"])
        time = found["time"]
        outputs = [found[f"v(out_{k})"] for k in range(len(currents))]
        # the output has settled 100 ns after the window
        read = np.array([np.interp(window.end + 100e-9, time, output) for output in outputs])
        late = np.array([output[-1] for output in outputs])
        charges = currents * window.length
        slope, pedestal = np.polyfit(charges, read, 1)
        reference = chip.sense_amplifier.v_reference
        residue = read - (slope * charges + pedestal)
        droop = (late - read)[np.argmax(np.abs(late - read))] / (window.hold - 100e-9)
        held = np.interp(window.reset - window.edge, time, outputs[len(outputs) // 2])
        after = time >= window.end
        settle = max(
            settling_time(time[after], output[after], window.end, 1e-3 * _SWING, "the integrator") for output in outputs
        )
        response = results["ota"][0].vectors
        frequency = waves(results["ota"])["frequency"]
        gain = response["v(out)"].astype(complex)
        power = -chip.process.supply * np.interp(window.reset / 2, time, found["i(vdd)"]) / len(currents)
        load = f"into {format_si(sizes.capacitor, 'F')}"
        entries = (
            entry("c_effective", "effective capacitor", -1 / slope, "F", f"drawn {format_si(sizes.capacitor, 'F')}"),
            entry("reset_level", "reset level, error", held - reference, "V"),
            entry("pedestal", "pedestal", pedestal - held, "V", "of both switches, no current"),
            entry(
                "nonlinearity", "nonlinearity", 100 * np.abs(residue).max() / (2 * _SWING), "%", f"of +-{_SWING:g} V"
            ),
            entry("droop", "droop, largest", droop, "V/s", f"held for {format_si(window.hold, 's')}"),
            entry("t_settle", "settling after the window", settle, "s", "0.1 % of full scale"),
            entry("gain", "gain of the amplifier", np.abs(gain[0]), "", "1 Hz"),
            entry("gbw", "unity-gain frequency", unity_frequency(frequency, gain), "Hz", load),
            entry("phase_margin", "phase margin at unity gain", phase_margin(frequency, gain), "deg", load),
            entry("power", "power at rest", power, "W"),
        )
        panels = (
            Panel(
                title="output", x=time, x_label="time [s]", y_label="output [V]",
                curves={format_si(i, "A"): v for i, v in zip(currents[::2], outputs[::2], strict=True)},
            ),
            Panel(
                title="gain", x=frequency, x_label="frequency [Hz]", logarithmic=True, y_label="size [dB]",
                curves={"amplifier": 20 * np.log10(np.abs(gain))},
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
