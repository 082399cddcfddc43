"""Data sheet of the transimpedance amplifier, the sense amplifier of a bit line."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import crossing, phase_margin, settling_time, unity_frequency
from spicesim.chip import Chip
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.noise import build_noise
from spicesim.netlist.senseamp import build_senseamp, senseamp_blocks, senseamp_line, supplies
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["build_loop", "senseamp_bench"]

Floats = npt.NDArray[np.float64]

_EDGE = 0.1e-6
_BAND = 0.001
"""Settling band, relative to the step."""
_LINEAR = 0.01
"""The linear range ends where the gain's slope has changed by this part."""


def _column(chip: Chip) -> float:
    """Return the resistance of a whole column of cells at half their largest conductance [ohm]."""
    return 1 / (chip.array.rows * chip.cell.g_max / 2)


def _driven(chip: Chip, r_feedback: float, source: str, analysis: str, probes: list[str], c_line: float) -> Netlist:
    """Build the amplifier at the foot of a column whose cells are a resistor and a capacitor."""
    circuit = [
        "* a column of cells, and a current into the virtual ground",
        f"rcolumn sense vref {spice_number(_column(chip))}",
        f"ccolumn sense 0 {spice_number(c_line)}",
        f"iin 0 sense {source}",
        senseamp_line(chip, "senseamp", "sense", "out", r_feedback),
    ]
    return build_netlist(
        chip,
        f"transimpedance amplifier, {r_feedback:g} ohm, {analysis.split()[0]}",
        [*senseamp_blocks(chip), supplies(chip), "\n".join(circuit)],
        probes,
        notes=["A sense amplifier below a column of cells."],
        analyses=[analysis],
        nodesets={"sense": chip.sense_amplifier.v_reference, "out": chip.sense_amplifier.v_reference},
    )


def build_loop(chip: Chip, r_feedback: float, c_line: float = 0.5e-12) -> Netlist:
    """Build two amplifiers whose loops are opened by a voltage and by a current at the inverting input.

    Middlebrook's double injection: with the voltage source ``vx`` between ``y_v`` (feedback network) and ``x_v``
    (amplifier), and the current source into the joined node of the other, the loop gain follows from both without
    disturbing bias or impedances.
    """
    amplifier = chip.sense_amplifier
    bias = f"ibias={spice_number(amplifier.bias_current)} drive={spice_number(amplifier.drive)}"
    lines = []
    for kind in ("v", "i"):
        lines += [
            f"rf_{kind} out_{kind} y_{kind} {spice_number(r_feedback)}",
            f"cf_{kind} out_{kind} y_{kind} {spice_number(amplifier.c_feedback)}",
            f"rcolumn_{kind} y_{kind} vref {spice_number(_column(chip))}",
            f"ccolumn_{kind} y_{kind} 0 {spice_number(c_line)}",
            f"xa_{kind} vref x_{kind} out_{kind} vdd 0 opamp {bias}",
        ]
    lines += [
        "* a voltage between network and amplifier",
        "vx x_v y_v dc 0 ac 1",
        "* a current into their node; the two sources measure where it goes",
        "ix 0 join dc 0 ac 1",
        "vforward join x_i 0",
        "vback join y_i 0",
    ]
    reference = amplifier.v_reference
    return build_netlist(
        chip,
        f"loop gain of the transimpedance amplifier, {r_feedback:g} ohm",
        [senseamp_blocks(chip)[0], supplies(chip), "\n".join(lines)],
        ["frequency", "v(x_v)", "v(y_v)", "i(vforward)", "i(vback)"],
        notes=["Loop gain by double injection: T = (Tv Ti - 1)/(Tv + Ti + 2)."],
        analyses=[".ac dec 40 1k 10g"],
        nodesets={node: reference for kind in ("v", "i") for node in (f"x_{kind}", f"y_{kind}", f"out_{kind}")},
    )


def _loop_gain(results: Results) -> npt.NDArray[np.complex128]:
    found = results[0].vectors
    by_voltage = -found["v(y_v)"] / found["v(x_v)"]
    by_current = found["i(vback)"] / found["i(vforward)"]
    return np.asarray((by_voltage * by_current - 1) / (by_voltage + by_current + 2))


def _linear_range(i: Floats, v_out: Floats) -> tuple[float, float, float]:
    """Return the gain at rest [ohm], and the lowest and highest output of the linear range [V]."""
    slope = -np.gradient(v_out, i)
    middle = len(i) // 2
    off = np.abs(slope / slope[middle] - 1) > _LINEAR
    left, right = np.flatnonzero(off[:middle]), np.flatnonzero(off[middle:])
    if not (len(left) and len(right)) or left[-1] >= middle - 2 or right[0] <= 2:
        raise ValidityError("the sense amplifier has no linear range around zero current; check its sizes")
    return float(slope[middle]), float(v_out[middle + right[0] - 1]), float(v_out[left[-1] + 1])


def senseamp_bench(chip: Chip, r_feedback: float | None = None, c_line: float = 0.5e-12) -> Bench:
    """Build the testbench of the transimpedance amplifier: gain, swing, bandwidth, phase margin, noise, settling.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float, optional
        Feedback resistance [ohm]; by default the middle one of the chip's.
    c_line : float
        Capacitance of the bit line [F].
    """
    choices = sorted(chip.sense_amplifier.r_feedback)
    rf = choices[len(choices) // 2] if r_feedback is None else r_feedback
    if not rf > 0:
        raise SpecError(f"the feedback resistance must be positive, got {rf:g} ohm")
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    limit = 0.6 * supply / rf
    step = 0.2 / rf
    window = 5e-6 * max(1.0, (1 + rf / _column(chip)) / 100)  # bandwidth falls with the noise gain
    ac = _driven(chip, rf, "dc 0 ac 1", ".ac dec 40 1k 10g", ["frequency", "v(out)", "v(sense)"], c_line)
    netlists = {
        "sweep": build_senseamp(chip, rf, limit, points=401),
        "ac": ac,
        "loop": build_loop(chip, rf, c_line),
        "step": _driven(
            chip,
            rf,
            f"dc 0 pwl(0 0 {_EDGE} 0 {_EDGE + 0.2e-9} {spice_number(step)})",
            f".tran 2n {_EDGE + window:.4g}",
            ["time", "v(out)", "v(sense)"],
            c_line,
        ),
        "noise": build_noise(dataclasses.replace(ac, title=f"noise of the amplifier, {rf:g} ohm"), "out", "iin"),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        swept = waves(results["sweep"])
        i = np.linspace(-limit, limit, len(swept["v(out)"]))
        middle = len(i) // 2
        gain, low, high = _linear_range(i, swept["v(out)"])
        r_in = float(np.gradient(swept["v(sense)"], i)[middle])
        response = results["ac"][0].vectors
        frequency = waves(results["ac"])["frequency"]
        size = np.abs(response["v(out)"])
        bandwidth = crossing(frequency, size, float(size[0] / np.sqrt(2)), rising=False)
        loop = _loop_gain(results["loop"])
        wave = waves(results["step"])
        settle = settling_time(wave["time"], wave["v(out)"], _EDGE, _BAND * 0.2, "the sense amplifier")
        noise = waves(results["noise"])
        bins = noise["frequency"]
        output_noise = float(np.sqrt(np.trapezoid(noise["onoise_spectrum"] ** 2, bins)))
        density = float(np.interp(1e6, bins, noise["inoise_spectrum"]))
        load = f"column {format_si(_column(chip), 'ohm')} || {format_si(c_line, 'F')}"
        entries = (
            entry("gain", "transimpedance", gain, "ohm", f"drawn {format_si(rf, 'ohm')}"),
            entry("offset", "offset of the virtual ground", float(swept["v(sense)"][middle] - reference), "V"),
            entry("swing_low", "linear swing, lower end", low, "V", "slope within 1 %"),
            entry("swing_high", "linear swing, upper end", high, "V", "slope within 1 %"),
            entry("r_in", "input resistance", r_in, "ohm"),
            entry("bandwidth", "bandwidth, -3 dB", bandwidth, "Hz", load),
            entry("loop_gain", "loop gain at 1 kHz", float(np.abs(loop[0])), "", load),
            entry("crossover", "loop gain crosses one at", unity_frequency(frequency, loop), "Hz", load),
            entry("phase_margin", "phase margin", phase_margin(frequency, loop), "deg", load),
            entry("noise_density", "input noise at 1 MHz", density, "A/sqrt(Hz)", load),
            entry("noise_input", "input noise, rms", output_noise / gain, "A", "1 kHz to 10 GHz"),
            entry("noise_output", "output noise, rms", output_noise, "V", "1 kHz to 10 GHz"),
            entry("t_settle", "settling", settle, "s", f"0.1 % of a 0.2 V step, {load}"),
            entry("power", "power at rest", float(-supply * swept["i(vdd)"][middle]), "W"),
        )
        panels = (
            Panel(
                title="transfer",
                x=i,
                x_label="input current [A]",
                curves={"output": swept["v(out)"]},
                y_label="output [V]",
            ),
            Panel(
                title="response",
                x=frequency,
                x_label="frequency [Hz]",
                logarithmic=True,
                y_label="size [dB]",
                curves={"gain / r_feedback": 20 * np.log10(size / rf), "loop gain": 20 * np.log10(np.abs(loop))},
            ),
            Panel(
                title="step",
                x=wave["time"],
                x_label="time [s]",
                curves={"output": wave["v(out)"]},
                y_label="output [V]",
            ),
        )
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="senseamp",
        title=f"transimpedance amplifier, {format_si(rf, 'ohm')}",
        netlists=netlists,
        measure=measure,
        varied=("sweep",),
    )
