"""Data sheet of the charge-redistribution DAC."""

from collections.abc import Mapping
from functools import cache

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import Linearity, linearity_panel, measure_linearity
from spicesim.characterise.sheet import draw_panels, entry
from spicesim.characterise.waveform import integral, settling_time
from spicesim.chip import Chip
from spicesim.chip.blocks import ChargeDac
from spicesim.netlist.charge_dac import build_charge_dac
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["charge_dac_bench"]

_SLOT = 40e-9


def charge_dac_bench(chip: Chip, sizes: ChargeDac | None = None) -> Bench:
    """Build the testbench of the charge-redistribution DAC."""
    sizes = sizes or chip.charge_dac
    count = 2**sizes.bits
    netlists = {"codes": build_charge_dac(chip, np.arange(count), sizes, slot=_SLOT)}
    ideal = sizes.span / count

    def measure(results: Mapping[str, Results]) -> Measurement:
        ends = (np.arange(count) + 0.98) * _SLOT

        @cache
        def found() -> dict[str, Floats]:
            return waves(results["codes"])

        @cache
        def line() -> Linearity:
            levels = np.interp(ends, found()["time"], found()["v(top)"])
            return measure_linearity(levels, chip.sense_amplifier.v_reference, ideal)

        def settle() -> float:
            time, top = found()["time"], found()["v(top)"]
            last = (time >= (count - 1) * _SLOT) & (time <= ends[-1])
            return settling_time(time[last], top[last], (count - 0.5) * _SLOT, ideal / 2, "the charge DAC")

        def per_code(power: Floats) -> float:
            time = found()["time"]
            return float(integral(time, power, 0.0, float(time[-1])) / count)

        entries = (
            entry("resolution", "resolution", sizes.bits, "bit"),
            entry("lsb", "step (LSB)", lambda: line().lsb, "V", f"ideal {ideal:g} V"),
            entry("inl", "INL, largest", lambda: line().worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", lambda: line().worst_dnl, "LSB"),
            entry("pedestal", "pedestal of the reset", lambda: line().offset, "V"),
            entry("gain_error", "gain error", lambda: 100 * line().gain_error, "%"),
            entry("capacitance", "capacitance of the top plate", sizes.total, "F", "as drawn"),
            entry("t_settle", "settling, full scale", settle, "s", "LSB/2"),
            entry(
                "energy_references",
                "energy a code, references",
                lambda: per_code(sizes.span / 2 * (found()["i(v0)"] - found()["i(v1)"])),
                "J",
                "mean of all, with reset",
            ),
            entry(
                "energy", "energy a code, switches",
                lambda: per_code(-chip.process.supply * found()["i(vdd)"]), "J", "from vdd",
            ),
        )  # fmt: skip
        return Measurement(entries=entries, panels=draw_panels(lambda: linearity_panel(line())))

    return Bench(
        block="charge_dac",
        title=f"{sizes.bits}-bit charge-redistribution DAC, unit {format_si(sizes.unit, 'F')}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
    )
