"""Data sheet of the charge-redistribution DAC."""

from collections.abc import Mapping

import numpy as np

from spicesim.blocks import ChargeDac
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import measure_linearity
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import integral, settling_time
from spicesim.chip import Chip
from spicesim.netlist.charge_dac import build_charge_dac
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["charge_dac_bench"]

_SLOT = 40e-9


def charge_dac_bench(chip: Chip, sizes: ChargeDac | None = None) -> Bench:
    """Build the testbench of the charge-redistribution DAC: INL, DNL, pedestal, settling, energy."""
    sizes = sizes or chip.charge_dac
    count = 2**sizes.bits
    netlists = {"codes": build_charge_dac(chip, np.arange(count), sizes, slot=_SLOT)}
    ideal = sizes.span / count

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["codes"])
        time, top = found["time"], found["v(top)"]
        ends = (np.arange(count) + 0.98) * _SLOT
        levels = np.interp(ends, time, top)
        line = measure_linearity(levels, chip.sense_amplifier.v_reference, ideal)
        last = (time >= (count - 1) * _SLOT) & (time <= ends[-1])
        settle = settling_time(time[last], top[last], (count - 0.5) * _SLOT, ideal / 2, "the charge DAC")
        half = sizes.span / 2
        references = half * (found["i(v0)"] - found["i(v1)"])
        per_code = [integral(time, wave, 0.0, time[-1]) / count for wave in (
            references, -chip.process.supply * found["i(vdd)"])]  # fmt: skip
        entries = (
            entry("resolution", "resolution", sizes.bits, "bit"),
            entry("lsb", "step (LSB)", line.lsb, "V", f"ideal {ideal:g} V"),
            entry("inl", "INL, largest", line.worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", line.worst_dnl, "LSB"),
            entry("pedestal", "pedestal of the reset", line.offset, "V"),
            entry("gain_error", "gain error", 100 * line.gain_error, "%"),
            entry("capacitance", "capacitance of the top plate", sizes.total, "F", "as drawn"),
            entry("t_settle", "settling, full scale", settle, "s", "LSB/2"),
            entry("energy_references", "energy a code, references", per_code[0], "J", "mean of all, with reset"),
            entry("energy", "energy a code, switches", per_code[1], "J", "from vdd"),
        )
        panel = Panel(
            title="linearity", x=np.arange(count, dtype=float), x_label="code", y_label="error [LSB]",
            curves={"INL": line.inl, "DNL": np.append(line.dnl, 0.0)},
        )  # fmt: skip
        return Measurement(entries=entries, panels=(panel,))

    return Bench(
        block="chargedac",
        title=f"{sizes.bits}-bit charge-redistribution DAC, unit {format_si(sizes.unit, 'F')}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
    )
