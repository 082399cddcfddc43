"""Data sheets of the library's amplifiers by themselves: the operational and the transconductance amplifier."""

import dataclasses
import re
from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Complexes, Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.waveform import crossing, integral, phase_margin, settling_time, unity_frequency
from spicesim.chip import Chip
from spicesim.draws import ChipDraw
from spicesim.errors import ValidityError
from spicesim.netlist.mismatch import with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.noise import build_noise
from spicesim.netlist.opamp import (
    Amplifier,
    build_follower,
    build_inverting,
    build_open_loop,
    build_response,
    build_slewing,
)
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["opamp_bench", "ota_bench"]

LOADS = (0.1e-12, 1e-12, 10e-12)
"""Loads of the phase margin; all else is measured with the middle one [F]."""
SWING, HALF = 0.5, 2e-6
"""Height of steps [V], and how long each is watched [s]."""
SLEWING = (0.2, 0.8)
"""Between these parts of a step its slope is taken; at its beginning the input comes through."""
BAND = (1e3, 1e9)
"""Frequencies over which the noise of a follower is summed [Hz]."""
LINEAR = 0.01
"""A range ends where a slope has changed by this part."""
POINTS = 1321
"""Of a sweep from rail to rail; the knee at a rail is a few steps wide."""
SHOWN = 8
"""One in so many points is drawn, of sweeps and of steps."""


def opamp_bench(chip: Chip) -> Bench:
    """Build the testbench of the operational amplifier, biased as those of bit lines."""
    own = chip.sense_amplifier
    parameters = f"ibias={spice_number(own.bias_current)} drive={spice_number(own.drive)}"
    return _bench(chip, Amplifier(name="opamp", parameters=parameters), "operational amplifier")


def ota_bench(chip: Chip) -> Bench:
    """Build the testbench of the transconductance amplifier, biased as those of integrators."""
    parameters = f"ibias={spice_number(chip.integrator.bias_current)}"
    return _bench(chip, Amplifier(name="ota", parameters=parameters), "transconductance amplifier")


def _ends(x: Floats, y: Floats, slope: float, what: str) -> tuple[float, float]:
    """Return where the slope of a curve leaves a wanted one, on both sides of the middle of its longest good part."""
    off = np.abs(np.gradient(y, x) / slope - 1)
    good = off <= LINEAR
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    if not len(edges):
        raise ValidityError(f"{what} follows its input nowhere; check its sizes and the reference")
    starts, ends = edges[::2], edges[1::2]
    k = int(np.argmax(ends - starts))

    def end(inside: int, outside: int) -> float:
        """Interpolate between the last good point and the first bad one, where there is one."""
        if not 0 <= outside < len(x):
            return float(x[inside])
        share = (LINEAR - off[inside]) / (off[outside] - off[inside])
        return float(x[inside] + share * (x[outside] - x[inside]))

    return end(int(starts[k]), int(starts[k]) - 1), end(int(ends[k]) - 1, int(ends[k]))


def _bench(chip: Chip, amplifier: Amplifier, title: str) -> Bench:
    load = LOADS[1]
    opened = {f"open_{k}": build_open_loop(chip, amplifier, c_load) for k, c_load in enumerate(LOADS)}
    noisy = dataclasses.replace(opened["open_1"], title=f"{amplifier.name}, noise", analyses=(".ac dec 20 10 100meg",))
    response = build_response(chip, amplifier, load)
    netlists: dict[str, Netlist] = {
        **opened,
        "follower": build_follower(chip, amplifier, POINTS),
        "inverting": build_inverting(chip, amplifier, POINTS),
        "response": response,
        "steps": build_slewing(chip, amplifier, load, SWING, HALF),
        "noise": build_noise(noisy, "out_d", "vin_d"),
        "noise_follower": build_noise(response, "out", "vin"),
    }
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    up, down = 0.1 * HALF, 1.1 * HALF

    def draw(name: str, numbers: ChipDraw, resistors: float) -> Netlist:
        """Draw one and the same amplifier wherever it stands."""
        return with_mismatch(
            netlists[name], chip.process, lambda path: numbers(re.sub(r"^xdut_[dcs](?=\.)", "xdut", path)),
            resistors=resistors,
        )  # fmt: skip

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def loop(k: int = 1) -> tuple[Floats, Complexes]:
            vectors = results[f"open_{k}"][0].vectors
            return vectors["frequency"].real, np.asarray(vectors["v(out_d)"])

        def margin(k: int) -> float:
            return phase_margin(*loop(k))

        def gain_bandwidth() -> float:
            frequency, gain = loop()
            return float(abs(gain[0])) * unity_frequency(frequency, gain / abs(gain[0]) * 2**0.5)

        def rejection(node: str) -> float:
            vectors = results["open_1"][0].vectors
            return float(20 * np.log10(np.abs(vectors["v(out_d)"][0] / vectors[node][0])))

        @cache
        def followed() -> tuple[Floats, Floats, Floats]:
            found = waves(results["follower"])
            return found["v(in)"], found["v(out)"], -found["i(vdd)"]

        def at_reference(values: Floats) -> float:
            return float(np.interp(reference, followed()[0], values))

        @cache
        def input_range() -> tuple[float, float]:
            v_in, v_out, _ = followed()
            return _ends(v_in, v_out, 1.0, f"the {title}")

        @cache
        def swing() -> tuple[float, float]:
            found = waves(results["inverting"])
            gain = float(np.interp(reference, found["v(in)"], np.gradient(found["v(out)"], found["v(in)"])))
            low, high = _ends(found["v(in)"], found["v(out)"], gain, f"the {title}")
            at = np.interp([low, high], found["v(in)"], found["v(out)"])
            return float(at.min()), float(at.max())

        @cache
        def stepped() -> dict[str, Floats]:
            return waves(results["steps"])

        def slew(start: float) -> float:
            """Return the slope between the ends of the middle of a step."""
            time, v = stepped()["time"], stepped()["v(out)"]
            part = (time >= start) & (time <= start + 0.9 * HALF)
            time, v = time[part], (v[part] - v[part][0]) / (v[part][-1] - v[part][0])
            height = float(abs(stepped()["v(out)"][part][-1] - stepped()["v(out)"][part][0]))
            begin, end = (crossing(time, v, share, rising=True) for share in SLEWING)
            return height * (SLEWING[1] - SLEWING[0]) / (end - begin)

        def settle() -> float:
            time, v = stepped()["time"], stepped()["v(out)"]
            part = time < down
            return settling_time(time[part], v[part], up, 0.001 * SWING, f"the {title}")

        def density(frequency: float) -> float:
            noise = waves(results["noise"])
            frequencies, densities = np.log(noise["frequency"]), np.log(noise["inoise_spectrum"])
            return float(np.exp(np.interp(np.log(frequency), frequencies, densities)))

        def total() -> float:
            noise = waves(results["noise_follower"])
            return float(np.sqrt(integral(noise["frequency"], noise["onoise_spectrum"] ** 2, *BAND)))

        words, inverting = [format_si(c, "F") for c in LOADS], "inverting, 1 Mohm, slope within 1 %"
        alone = "{} in all, at the inverting input".format
        steep = f"20 to 80 % of a {SWING:g} V step, {words[1]}"
        entries = (
            entry("gain", "gain", lambda: 20 * np.log10(np.abs(loop()[1][0])), "dB", "10 Hz"),
            entry("gbw", "gain crosses one at", lambda: unity_frequency(*loop()), "Hz", words[1]),
            entry("gain_bandwidth", "gain times bandwidth", gain_bandwidth, "Hz", f"-3 dB, {words[1]}"),
            *(
                entry(f"phase_margin_{k}", "phase margin, unity gain", partial(margin, k), "deg", alone(words[k]))
                for k in range(len(LOADS))
            ),
            entry("cmrr", "common-mode rejection", lambda: rejection("v(out_c)"), "dB", "10 Hz"),
            entry("psrr", "supply rejection", lambda: rejection("v(out_s)"), "dB", "10 Hz"),
            entry("offset", "offset", lambda: at_reference(followed()[1]) - reference, "V", "follower"),
            entry("input_low", "input range, lower end", lambda: input_range()[0], "V", "follower, slope within 1 %"),
            entry("input_high", "input range, upper end", lambda: input_range()[1], "V", "follower, slope within 1 %"),
            entry("swing_low", "output swing, lower end", lambda: swing()[0], "V", inverting),
            entry("swing_high", "output swing, upper end", lambda: swing()[1], "V", inverting),
            entry("slew_up", "slew rate up", lambda: slew(up), "V/s", steep),
            entry("slew_down", "slew rate down", lambda: slew(down), "V/s", steep),
            entry("t_settle", "settling", settle, "s", f"0.1 % of a {SWING:g} V step, {words[1]}"),
            entry("noise_1k", "input noise at 1 kHz", lambda: density(1e3), "V/sqrt(Hz)"),
            entry("noise_100k", "input noise at 100 kHz", lambda: density(1e5), "V/sqrt(Hz)"),
            entry("noise_1m", "input noise at 1 MHz", lambda: density(1e6), "V/sqrt(Hz)"),
            entry("noise_rms", "output noise, effective", total, "V", f"follower, {words[1]}, 1 kHz to 1 GHz"),
            entry("power", "power at rest", lambda: supply * at_reference(followed()[2]), "W"),
        )  # fmt: skip

        def responses() -> Panel:
            return Panel(
                title="open loop", x=loop()[0], x_label="frequency [Hz]", logarithmic=True, y_label="gain [dB]",
                curves={word: 20 * np.log10(np.abs(loop(k)[1])) for k, word in enumerate(words)},
            )  # fmt: skip

        def phases() -> Panel:
            return Panel(
                title="phase", x=loop()[0], x_label="frequency [Hz]", logarithmic=True, y_label="phase [deg]",
                curves={word: np.degrees(np.unwrap(np.angle(loop(k)[1]))) for k, word in enumerate(words)},
            )  # fmt: skip

        def follows() -> Panel:
            v_in, v_out, _ = followed()
            return Panel(
                title="follower", x=v_in[::SHOWN], x_label="input [V]", y_label="output [V]",
                curves={"output": v_out[::SHOWN]},
            )  # fmt: skip

        def steps() -> Panel:
            return Panel(
                title="steps", x=stepped()["time"][::SHOWN], x_label="time [s]", y_label="output [V]",
                curves={"output": stepped()["v(out)"][::SHOWN], "input": stepped()["v(in)"][::SHOWN]},
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(responses, phases, follows, steps))

    return Bench(
        block=amplifier.name, title=f"{title}, {format_si(load, 'F')}", netlists=netlists, measure=measure,
        varied=tuple(netlists), draw=draw,
    )  # fmt: skip
