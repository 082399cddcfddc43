"""Data sheet of the current-steering DAC."""

from collections.abc import Mapping

import numpy as np

from spicesim.blocks import CurrentDac
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import measure_linearity
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import crossing, settling_time
from spicesim.chip import Chip
from spicesim.netlist.current_dac import build_current_dac, build_current_dac_step
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["current_dac_bench"]


def current_dac_bench(chip: Chip, sizes: CurrentDac | None = None) -> Bench:
    """Build the testbench of the current-steering DAC: INL, DNL, output resistance, compliance, settling, power."""
    sizes = sizes or chip.current_dac
    last, half = 2**sizes.bits - 1, 2 ** (sizes.bits - 1)
    netlists = {
        "codes": build_current_dac(chip, sizes),
        "output": build_current_dac(chip, sizes, output=True),
        "full_step": build_current_dac_step(chip, 0, last, sizes),
        "half_step": build_current_dac_step(chip, half - 1, half, sizes),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["codes"])
        # voutn hangs on outp, so voutp carries both outputs' currents
        negative = -found["i(voutn)"]
        positive = -found["i(voutp)"] - negative
        line = measure_linearity(positive, 0.0, sizes.unit)
        swept = waves(results["output"])
        v, out = swept["v(outp)"], -swept["i(voutp)"] + swept["i(voutn)"]
        reference = chip.sense_amplifier.v_reference
        r_out = 1 / np.interp(reference, v, np.gradient(out, v))
        compliance = crossing(v, out / np.interp(reference, v, out), 0.99, rising=True)
        full, mid = waves(results["full_step"]), waves(results["half_step"])
        settle = settling_time(full["time"], full["v(outp)"], 10e-9, sizes.unit / 2 * 1e3, "the current DAC")
        wave = mid["v(outp)"] / 1e3
        ends = wave[0], wave[-1]
        beyond = np.maximum(wave - max(ends), min(ends) - wave).max() / sizes.unit
        load = "1 kohm || 0.1 pF"
        entries = (
            entry("resolution", "resolution", sizes.bits, "bit"),
            entry("lsb", "step (LSB)", line.lsb, "A", f"ideal {format_si(sizes.unit, 'A')}"),
            entry("inl", "INL, largest", line.worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", line.worst_dnl, "LSB"),
            entry("gain_error", "gain error", 100 * line.gain_error, "%"),
            entry("sum_error", "change of both outputs' sum", np.ptp(positive + negative) / sizes.unit, "LSB"),
            entry("r_out", "output resistance, full scale", r_out, "ohm"),
            entry("compliance", "lowest output voltage", compliance, "V", "full scale within 1 %"),
            entry("t_settle", "settling, full scale", settle, "s", f"LSB/2, {load}"),
            entry("glitch", "glitch beyond half-scale step", beyond, "LSB", load),
            entry("power", "power", float(-chip.process.supply * found["i(vdd)"].mean()), "W", "without the outputs"),
        )
        panels = (
            Panel(
                title="linearity", x=np.rint(found["v(code)"]), x_label="code", y_label="error [LSB]",
                curves={"INL": line.inl, "DNL": np.append(line.dnl, 0.0)},
            ),
            Panel(
                title="output", x=v, x_label="output voltage [V]", y_label="current [A]", curves={"full scale": out}
            ),
        )  # fmt: skip
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="currentdac",
        title=f"{sizes.bits}-bit current-steering DAC, unit {format_si(sizes.unit, 'A')}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
    )
