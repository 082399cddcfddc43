"""Data sheet of the transimpedance amplifier, the sense amplifier of a bit line."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Complexes, Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.steps import Step
from spicesim.characterise.waveform import crossing, overshoot, phase_margin, settling_time, unity_frequency
from spicesim.chip import Chip
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.noise import build_noise
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, build_sense_amplifier, supplies
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["Column", "build_loop", "find_columns", "sense_amplifier_bench"]

_EDGE = 0.1e-6
_BAND = 0.001
"""Settling band, relative to the step."""
_LINEAR = 0.01
"""The linear range ends where the gain's slope has changed by this part."""


_LINE = 0.5e-12
"""Capacitance of a bit line whose wires have none in the description [F]."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of cells, seen from its amplifier."""

    name: str
    """Which cells it has, in words."""
    resistance: float
    """To the reference [ohm]."""
    capacitance: float
    """Of its bit line [F]."""

    def __str__(self) -> str:
        return f"{self.name}, {format_si(self.resistance, 'ohm')} || {format_si(self.capacitance, 'F')}"


def find_columns(chip: Chip, c_line: float | None = None) -> dict[str, Column]:
    """Return the columns that a chip can have, from the lightest to the heaviest: the ends, and two between.

    `c_line` is the capacitance of the bit line [F], by default that of the chip's own wires.
    """
    cell, rows = chip.cell, chip.array.rows
    wires = rows * chip.array.c_bit_line or _LINE
    capacitance = wires if c_line is None else c_line
    conductances = {
        "lightest": (f"one row of {format_si(cell.g_min, 'S')}", cell.g_min),
        "low": (f"{rows} rows of {format_si(cell.g_min, 'S')}", rows * cell.g_min),
        "half": (f"{rows} rows of {format_si(cell.g_max / 2, 'S')}", rows * cell.g_max / 2),
        "full": (f"{rows} rows of {format_si(cell.g_max, 'S')}", rows * cell.g_max),
    }
    return {
        key: Column(name=name, resistance=1 / g, capacitance=capacitance) for key, (name, g) in conductances.items()
    }


def _driven(chip: Chip, r_feedback: float, source: str, analysis: str, probes: list[str], column: Column) -> Netlist:
    """Build the amplifier at the foot of a column whose cells are a resistor and a capacitor."""
    circuit = [
        f"* a column of cells ({column.name}), and a current into the virtual ground",
        f"rcolumn sense vref {spice_number(column.resistance)}",
        f"ccolumn sense 0 {spice_number(column.capacitance)}",
        f"iin 0 sense {source}",
        amplifier_line(chip, "senseamp", "sense", "out", r_feedback),
    ]
    return build_netlist(
        chip,
        f"transimpedance amplifier, {r_feedback:g} ohm, {analysis.split()[0]}",
        [*amplifier_blocks(chip), supplies(chip), "\n".join(circuit)],
        probes,
        notes=["A sense amplifier below a column of cells."],
        analyses=[analysis],
        nodesets={"sense": chip.sense_amplifier.v_reference, "out": chip.sense_amplifier.v_reference},
    )


def build_loop(chip: Chip, r_feedback: float, column: Column | None = None) -> Netlist:
    """Build two amplifiers whose loops are opened by a voltage and by a current at the inverting input.

    Middlebrook's double injection: with the voltage source ``vx`` between ``y_v`` (feedback network) and ``x_v``
    (amplifier), and the current source into the joined node of the other, the loop gain follows from both without
    disturbing bias or impedances.
    """
    column = column or find_columns(chip)["half"]
    amplifier = chip.sense_amplifier
    bias = f"ibias={spice_number(amplifier.bias_current)} drive={spice_number(amplifier.drive)}"
    lines = []
    for kind in ("v", "i"):
        lines += [
            f"rf_{kind} out_{kind} y_{kind} {spice_number(r_feedback)}",
            f"cf_{kind} out_{kind} y_{kind} {spice_number(amplifier.c_feedback)}",
            f"rcolumn_{kind} y_{kind} vref {spice_number(column.resistance)}",
            f"ccolumn_{kind} y_{kind} 0 {spice_number(column.capacitance)}",
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
        [amplifier_blocks(chip)[0], supplies(chip), "\n".join(lines)],
        ["frequency", "v(x_v)", "v(y_v)", "i(vforward)", "i(vback)"],
        notes=["Loop gain by double injection: T = (Tv Ti - 1)/(Tv + Ti + 2)."],
        analyses=[".ac dec 40 1k 10g"],
        nodesets={node: reference for kind in ("v", "i") for node in (f"x_{kind}", f"y_{kind}", f"out_{kind}")},
    )


def _loop_gain(results: Results) -> Complexes:
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
    first = left[-1] + 1 if len(left) else 0
    last = middle + right[0] - 1 if len(right) else len(i) - 1
    if first >= middle - 1 or last <= middle + 1:
        raise ValidityError("the sense amplifier has no linear range around zero current; check its sizes")
    return float(slope[middle]), float(v_out[last]), float(v_out[first])


def sense_amplifier_bench(chip: Chip, r_feedback: float | None = None, c_line: float | None = None) -> Bench:
    """Build the testbench of the transimpedance amplifier.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float, optional
        Feedback resistance [ohm]; by default the middle one of the chip's.
    c_line : float, optional
        Capacitance of the bit line [F]; by default that of the chip's wires, or .5 pF if they have none.
    """
    choices = sorted(chip.sense_amplifier.r_feedback)
    rf = choices[len(choices) // 2] if r_feedback is None else r_feedback
    if not rf > 0:
        raise SpecError(f"the feedback resistance must be positive, got {rf:g} ohm")
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    limit = 1.2 * max(reference, supply - reference) / rf  # beyond both rails
    step = 0.2 / rf
    columns = find_columns(chip, c_line)
    half = columns["half"]
    ac = _driven(chip, rf, "dc 0 ac 1", ".ac dec 40 1k 10g", ["frequency", "v(out)", "v(sense)"], half)
    netlists = {
        "sweep": build_sense_amplifier(chip, rf, limit, points=401),
        "ac": ac,
        "loop": build_loop(chip, rf, half),
        "noise": build_noise(dataclasses.replace(ac, title=f"noise of the amplifier, {rf:g} ohm"), "out", "iin"),
    }
    steps = {}
    for key, column in columns.items():
        window = 5e-6 * max(1.0, (1 + rf / column.resistance) / 100)  # bandwidth falls with the noise gain
        steps[f"step_{key}"] = Step(probe="v(out)", start=_EDGE, band=_BAND * 0.2)
        netlists[f"step_{key}"] = _driven(
            chip,
            rf,
            f"dc 0 pwl(0 0 {_EDGE} 0 {_EDGE + 0.2e-9} {spice_number(step)})",
            f".tran 2n {_EDGE + window:.4g}",
            ["time", "v(out)", "v(sense)"],
            column,
        )
        netlists[f"loop_{key}"] = build_loop(chip, rf, column)
    del netlists["loop_half"]  # it is "loop"

    def measure(results: Mapping[str, Results]) -> Measurement:
        i = np.linspace(-limit, limit, 401)
        middle = len(i) // 2
        load = f"column of {half}"

        @cache
        def swept() -> dict[str, Floats]:
            return waves(results["sweep"])

        @cache
        def linear() -> tuple[float, float, float]:
            return _linear_range(i, swept()["v(out)"])

        @cache
        def response() -> tuple[Floats, Floats]:
            return waves(results["ac"])["frequency"], np.abs(results["ac"][0].vectors["v(out)"])

        def bandwidth() -> float:
            frequency, size = response()
            return crossing(frequency, size, float(size[0] / np.sqrt(2)), rising=False)

        @cache
        def loop(key: str = "half") -> tuple[Floats, Complexes]:
            found = results["loop" if key == "half" else f"loop_{key}"]
            return found[0].vectors["frequency"].real, _loop_gain(found)

        def noise_output() -> float:
            noise = waves(results["noise"])
            return float(np.sqrt(np.trapezoid(noise["onoise_spectrum"] ** 2, noise["frequency"])))

        def noise_density() -> float:
            noise = waves(results["noise"])
            return float(np.interp(1e6, noise["frequency"], noise["inoise_spectrum"]))

        @cache
        def margin(key: str) -> float:
            """Phase margin; a loop whose gain stays below one cannot ring."""
            frequency, gain = loop(key)
            return phase_margin(frequency, gain) if np.abs(gain).max() > 1 else float("inf")

        @cache
        def settle(key: str) -> float:
            wave = waves(results[f"step_{key}"])
            what = f"the sense amplifier below {columns[key].name}"
            return settling_time(wave["time"], wave["v(out)"], _EDGE, _BAND * 0.2, what)

        @cache
        def beyond(key: str) -> float:
            settle(key)  # of what has not settled nobody knows the final value
            wave = waves(results[f"step_{key}"])
            return overshoot(wave["time"], wave["v(out)"], _EDGE)

        def worst(measured: Callable[[str], float], sign: int) -> str:
            return max(columns, key=lambda key: sign * measured(key))

        entries = (
            entry("gain", "transimpedance", lambda: linear()[0], "ohm", f"drawn {format_si(rf, 'ohm')}"),
            entry("offset", "offset of the virtual ground", lambda: swept()["v(sense)"][middle] - reference, "V"),
            entry("swing_low", "linear swing, lower end", lambda: linear()[1], "V", "slope within 1 %"),
            entry("swing_high", "linear swing, upper end", lambda: linear()[2], "V", "slope within 1 %"),
            entry("r_in", "input resistance", lambda: np.gradient(swept()["v(sense)"], i)[middle], "ohm"),
            entry("bandwidth", "bandwidth, -3 dB", bandwidth, "Hz", load),
            entry("loop_gain", "loop gain at 1 kHz", lambda: np.abs(loop()[1][0]), "", load),
            entry("crossover", "loop gain crosses one at", lambda: unity_frequency(*loop()), "Hz", load),
            entry("phase_margin", "phase margin", lambda: phase_margin(*loop()), "deg", load),
            entry(
                "phase_margin_worst",
                "phase margin, worst column",
                lambda: margin(worst(margin, -1)),
                "deg",
                lambda: f"{columns[worst(margin, -1)]}",
            ),
            entry(
                "overshoot_worst",
                "overshoot, worst column",
                lambda: 100 * beyond(worst(beyond, 1)),
                "%",
                lambda: f"0.2 V step, {columns[worst(beyond, 1)]}",
            ),
            entry("noise_density", "input noise at 1 MHz", noise_density, "A/sqrt(Hz)", load),
            entry("noise_input", "input noise, rms", lambda: noise_output() / linear()[0], "A", "1 kHz to 10 GHz"),
            entry("noise_output", "output noise, rms", noise_output, "V", "1 kHz to 10 GHz"),
            entry("t_settle", "settling", lambda: settle("half"), "s", f"0.1 % of a 0.2 V step, {load}"),
            entry(
                "t_settle_worst",
                "settling, worst column",
                lambda: settle(worst(settle, 1)),
                "s",
                lambda: f"0.1 % of a 0.2 V step, {columns[worst(settle, 1)]}",
            ),
            entry("power", "power at rest", lambda: -supply * swept()["i(vdd)"][middle], "W"),
        )

        def transfer() -> Panel:
            return Panel(
                title="transfer",
                x=i,
                x_label="input current [A]",
                curves={"output": swept()["v(out)"]},
                y_label="output [V]",
            )

        def responses() -> Panel:
            frequency, size = response()
            return Panel(
                title="response",
                x=frequency,
                x_label="frequency [Hz]",
                logarithmic=True,
                y_label="size [dB]",
                curves={"gain / r_feedback": 20 * np.log10(size / rf), "loop gain": 20 * np.log10(np.abs(loop()[1]))},
            )

        def answer(key: str) -> Panel:
            wave = waves(results[f"step_{key}"])
            return Panel(
                title=f"step, column of {columns[key].name}",
                x=wave["time"],
                x_label="time [s]",
                curves={"output": wave["v(out)"]},
                y_label="output [V]",
            )

        panels = draw_panels(transfer, responses, partial(answer, "half"), partial(answer, "lightest"))
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="sense_amplifier",
        title=f"transimpedance amplifier, {format_si(rf, 'ohm')}",
        netlists=netlists,
        measure=measure,
        varied=("sweep",),
        steps=steps,
    )
