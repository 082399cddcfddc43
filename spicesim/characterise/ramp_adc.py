"""Data sheet of the single-slope ADC: its transitions, its energy and its time."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.ramp import find_transitions, read_counts, read_energy
from spicesim.characterise.bench import Bench, Conditions, Measurement, waves
from spicesim.characterise.linearity import Linearity, linearity_panel, measure_linearity
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.netlist.ramp_adc import build_ramp_adc
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["ramp_adc_bench"]

_COLUMNS, _BITS = 4, 6
_REACH = 0.45
"""Of inputs, relative to the span."""


def _with_ramp(chip: Chip, bits: int | None) -> Chip:
    own = chip.adc.bits if chip.adc.kind == "ramp" else _BITS
    return chip.changed(adc={"kind": "ramp", "columns": 1, "bits": own if bits is None else bits})


def ramp_adc_bench(chip: Chip, bits: int | None = None) -> Bench:
    """Build the testbench of the single-slope ADC: some columns by one staircase.

    Parameters
    ----------
    chip : Chip
        The chip.
    bits : int, optional
        Resolution; by default the chip's, or 6 if its converters are of another kind.
    """
    wanted, chip = bits, _with_ramp(chip, bits)
    sizes, bits, reference = chip.ramp_adc, chip.adc.bits, chip.sense_amplifier.v_reference
    lsb, half = sizes.lsb(bits), sizes.span / 2
    inputs = reference + sizes.span * np.linspace(-_REACH, _REACH, _COLUMNS)
    netlists = {"conversion": build_ramp_adc(chip, inputs, sizes)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def codes() -> Codes:
            return read_counts(results["conversion"], chip, _COLUMNS)

        entries = (
            entry("resolution", "resolution", bits, "bit"),
            entry("t_conversion", "time a conversion", sizes.conversion(bits), "s", "as clocked, all columns at once"),
            entry(
                "energy", "energy a column's conversion", lambda: read_energy(results["conversion"], chip) / _COLUMNS,
                "J", "supply and staircase; its generator, counters and control are ideal, not counted",
            ),
        )  # fmt: skip

        def course() -> Panel:
            found = waves(results["conversion"])
            return Panel(
                title="conversion", x=1e9 * found["time"], x_label="time [ns]", y_label="voltage [V]",
                curves={"staircase": found["v(ramp)"], "top plate": found["v(top_0)"]},
            )  # fmt: skip

        def line() -> Panel:
            return Panel(
                title="codes", x=inputs, x_label="input [V]", y_label="steps", curves={"steps": codes().astype(float)}
            )

        return Measurement(entries=entries, panels=draw_panels(course, line))

    def extra(chip: Chip, conditions: Conditions) -> Measurement:
        @cache
        def line() -> Linearity:
            campaign = Campaign(simulator=BatchSimulator(timeout=conditions.timeout), jobs=conditions.jobs)
            found: Floats = find_transitions(_with_ramp(chip, wanted), campaign)
            return measure_linearity(found, -half + lsb, lsb)

        entries = (
            entry("lsb", "step (LSB)", lambda: line().lsb, "V", f"ideal {format_si(lsb, 'V')}"),
            entry("inl", "INL, largest", lambda: line().worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", lambda: line().worst_dnl, "LSB"),
            entry("offset", "offset", lambda: line().offset, "V", "first transition"),
            entry("gain_error", "gain error", lambda: 100 * line().gain_error, "%"),
        )
        return Measurement(entries=entries, panels=draw_panels(lambda: linearity_panel(line(), 1)))

    return Bench(
        block="ramp_adc",
        title=f"{bits}-bit single-slope ADC",
        netlists=netlists,
        measure=measure,
        varied=("conversion",),
        extra=extra,
    )
