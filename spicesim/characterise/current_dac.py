"""Data sheet of the current-steering DAC."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import Linearity, linearity_panel, measure_linearity
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.steps import Step
from spicesim.characterise.waveform import crossing, excursion, settling_time
from spicesim.chip import Chip
from spicesim.chip.blocks import CurrentDac
from spicesim.netlist.current_dac import build_current_dac, build_current_dac_step
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["current_dac_bench"]

_EDGE = 10e-9
_LOAD = 1e3
"""At each output [ohm]."""
_SKEW = 100e-12
"""How much later than the others the most significant bit comes where the area of a glitch is measured [s]."""


def current_dac_bench(chip: Chip, sizes: CurrentDac | None = None) -> Bench:
    """Build the testbench of the current-steering DAC."""
    sizes = sizes or chip.current_dac
    last, half = 2**sizes.bits - 1, 2 ** (sizes.bits - 1)
    netlists = {
        "codes": build_current_dac(chip, sizes),
        "output": build_current_dac(chip, sizes, output=True),
        "full_step": build_current_dac_step(chip, 0, last, sizes),
        "half_step": build_current_dac_step(chip, half // 2, half // 2 + half, sizes),
        "up": build_current_dac_step(chip, half - 1, half, sizes),
        "down": build_current_dac_step(chip, half, half - 1, sizes),
        "carry": build_current_dac_step(chip, half - 1, half, sizes, late=_SKEW),
    }
    step_to = Step(probe="v(outp)", start=_EDGE, band=sizes.unit / 2 * _LOAD)

    def measure(results: Mapping[str, Results]) -> Measurement:
        reference = chip.sense_amplifier.v_reference
        load = "1 kohm || 0.1 pF"

        @cache
        def codes() -> tuple[Floats, Floats]:
            found = waves(results["codes"])
            # voutn hangs on outp, so voutp carries both outputs' currents
            negative = -found["i(voutn)"]
            return -found["i(voutp)"] - negative, negative

        @cache
        def line() -> Linearity:
            return measure_linearity(codes()[0], 0.0, sizes.unit)

        @cache
        def output() -> tuple[Floats, Floats]:
            swept = waves(results["output"])
            return swept["v(outp)"], -swept["i(voutp)"] + swept["i(voutn)"]

        def r_out() -> float:
            v, out = output()
            return float(1 / np.interp(reference, v, np.gradient(out, v)))

        def compliance() -> float:
            v, out = output()
            return crossing(v, out / np.interp(reference, v, out), 0.99, rising=True)

        def settle(name: str) -> float:
            found = waves(results[name])
            return settling_time(found["time"], found["v(outp)"], _EDGE, step_to.band, "the current DAC")

        def beyond(name: str, node: str) -> tuple[Floats, Floats]:
            found = waves(results[name])
            return found["time"], excursion(found[node] / _LOAD)

        def glitch() -> float:
            heights = [beyond(name, node)[1].max() for name in ("up", "down") for node in ("v(outp)", "v(outn)")]
            return float(max(heights) / sizes.unit)

        def area() -> float:
            time, current = beyond("carry", "v(outp)")
            return float(np.trapezoid(current, time))

        def power() -> float:
            return float(-chip.process.supply * waves(results["codes"])["i(vdd)"].mean())

        entries = (
            entry("resolution", "resolution", sizes.bits, "bit"),
            entry("lsb", "step (LSB)", lambda: line().lsb, "A", f"ideal {format_si(sizes.unit, 'A')}"),
            entry("inl", "INL, largest", lambda: line().worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", lambda: line().worst_dnl, "LSB"),
            entry("gain_error", "gain error", lambda: 100 * line().gain_error, "%"),
            entry("sum_error", "change of both outputs' sum", lambda: np.ptp(sum(codes())) / sizes.unit, "LSB"),
            entry("r_out", "output resistance, full scale", r_out, "ohm"),
            entry("compliance", "lowest output voltage", compliance, "V", "full scale within 1 %"),
            entry("t_settle", "settling, full scale", partial(settle, "full_step"), "s", f"0 to {last}, LSB/2, {load}"),
            entry(
                "t_settle_half",
                "settling, half-scale step",
                partial(settle, "half_step"),
                "s",
                f"{half // 2} to {half // 2 + half}, LSB/2, {load}",
            ),
            entry(
                "glitch",
                "glitch, height without skew",
                glitch,
                "LSB",
                f"{half - 1} to {half} and back, either output, {load}",
            ),
            entry(
                "glitch_area",
                "glitch, area",
                area,
                "A s",
                f"{half - 1} to {half}, most significant bit {format_si(_SKEW, 's')} late, {load}",
            ),
            entry("power", "power", power, "W", "without the outputs"),
        )

        def curve() -> Panel:
            v, out = output()
            return Panel(
                title="output",
                x=v,
                x_label="output voltage [V]",
                y_label="current [A]",
                curves={"full scale": out},
            )

        def step() -> Panel:
            found = waves(results["up"])
            return Panel(
                title=f"{half - 1} to {half}",
                x=found["time"],
                x_label="time [s]",
                y_label="current [A]",
                curves={
                    name: (reference - found[node]) / _LOAD for name, node in (("outp", "v(outp)"), ("outn", "v(outn)"))
                },
            )

        panels = draw_panels(lambda: linearity_panel(line()), curve, step)
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="current_dac",
        title=f"{sizes.bits}-bit current-steering DAC, unit {format_si(sizes.unit, 'A')}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
        steps={"full_step": step_to, "half_step": step_to},
    )
