"""Data sheets of memory devices and of cells beside the 1T1R one: static reads."""

from collections.abc import Mapping

import numpy as np

from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, entry
from spicesim.chip import Chip
from spicesim.netlist.devices import build_device_sweep, build_differential_cells
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["differential_bench", "pcm_bench", "selector_bench"]


def pcm_bench(chip: Chip, nu: float = 0.05) -> Bench:
    """Build the testbench of the phase-change device: conductance, nonlinearity, drift."""
    times = (1.0, 1e3, 1e6)
    g = chip.cell.g_max
    netlists = {"sweep": build_device_sweep(chip, "pcm", [{"g": g, "t": t, "nu": nu} for t in times], 0.4, 81)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["sweep"])
        v = found["v(p)"]
        currents = [found[f"i(vsense_{k})"] for k in range(len(times))]
        read = [np.interp(chip.cell.v_read, v, i) / chip.cell.v_read for i in currents]
        far = np.interp(0.4, v, currents[0]) / 0.4 / read[0] - 1
        exponent = -np.polyfit(np.log(times), np.log(read), 1)[0]
        entries = (
            entry("g", "conductance", read[0], "S", f"{chip.cell.v_read:g} V, 1 s; device {format_si(g, 'S')}"),
            entry("nonlinearity", "nonlinearity", 100 * far, "%", f"0.4 V against {chip.cell.v_read:g} V"),
            entry("nu", "drift exponent", exponent, "", "1 s to 1e6 s"),
            entry("drift", "conductance left", 100 * read[-1] / read[0], "%", "1e6 s"),
        )
        panel = Panel(
            title="reads", x=v, x_label="voltage [V]", y_label="current [A]",
            curves={f"{t:g} s": i for t, i in zip(times, currents, strict=True)},
        )  # fmt: skip
        return Measurement(entries=entries, panels=(panel,))

    return Bench(block="pcm", title="phase-change device, static read", netlists=netlists, measure=measure)


def selector_bench(chip: Chip, v_select: float = 1.5) -> Bench:
    """Build the testbench of the 1S1R cell: current when selected, half selected, at a third; on/off ratio."""
    cell = chip.cell
    i0, v0 = cell.selector_current, cell.selector_voltage
    given = [{"g": g, "kappa": max(cell.kappa, 1e-6), "i0": i0, "v0": v0} for g in (cell.g_max, cell.g_min)]
    netlists = {"sweep": build_device_sweep(chip, "cell_1s1r", given, v_select, 301)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["sweep"])
        v = found["v(p)"]
        on, off = found["i(vsense_0)"], found["i(vsense_1)"]
        positive = v > 0.02 * v_select

        def at(volts: float) -> float:
            return float(np.exp(np.interp(volts, v[positive], np.log(on[positive]))))

        span = (30 * i0, 1e4 * i0)
        low = (on > span[0]) & (on < span[1]) & positive
        decade = float(np.log(10) / np.polyfit(v[low], np.log(on[low]), 1)[0])
        entries = (
            entry("i_select", "current, selected", at(v_select), "A", f"{v_select:g} V, {format_si(cell.g_max, 'S')}"),
            entry("i_half", "current, half selected", at(v_select / 2), "A", f"{v_select / 2:g} V"),
            entry("half_select_ratio", "selected over half selected", at(v_select) / at(v_select / 2), ""),
            entry("third_ratio", "selected over a third", at(v_select) / at(v_select / 3), ""),
            entry("slope", "voltage a decade", decade, "V", " to ".join(format_si(i, "A") for i in span)),
            entry("v_on", "voltage at 1 uA", float(np.interp(1e-6, on[positive], v[positive])), "V"),
            entry("on_off", "on/off ratio", at(v_select) / off[-1], "", f"of devices {cell.g_max / cell.g_min:g}"),
        )  # fmt: skip
        panel = Panel(
            title="current", x=v[positive], x_label="voltage [V]", y_label="log10 of the current [A]",
            curves={"on": np.log10(on[positive]), "off": np.log10(off[positive])},
        )  # fmt: skip
        return Measurement(entries=entries, panels=(panel,))

    return Bench(block="1s1r", title="1S1R cell, exponential selector", netlists=netlists, measure=measure)


def differential_bench(chip: Chip) -> Bench:
    """Build the testbench of the 2T2R cell: difference of currents over that of conductances, error at zero."""
    low, high = chip.cell.g_min, chip.cell.g_max
    weights = np.linspace(-1, 1, 9)
    pairs = np.maximum(weights, 0) * (high - low) + low, np.maximum(-weights, 0) * (high - low) + low
    equal = (np.append(pairs[0], high), np.append(pairs[1], high))  # the last cell is zero of two large ones
    netlists = {"sweep": build_differential_cells(chip, *equal, chip.dac.v_span)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        found = waves(results["sweep"])
        v = found["v(wl)"] - found["v(vref)"]
        difference = np.array([found[f"i(vpos_{k})"] - found[f"i(vneg_{k})"] for k in range(len(weights) + 1)])
        read = np.array([np.interp(chip.cell.v_read, v, i) for i in difference]) / chip.cell.v_read
        ideal = weights * (high - low)
        gain = float(np.polyfit(ideal, read[:-1], 1)[0])
        error = np.abs(read[:-1] - gain * ideal).max() / (gain * (high - low))
        entries = (
            entry("g_full", "difference at full weight", read[-2], "S", f"devices {format_si(high - low, 'S')}"),
            entry("gain", "gain of the weight", gain, "", "currents over devices, line"),
            entry("nonlinearity", "nonlinearity of the weight", 100 * error, "%", "of full weight"),
            entry("asymmetry", "asymmetry of the sign", 100 * (-read[0] / read[-2] - 1), "%"),
            entry("zero", "error of zero over full", 100 * read[-1] / read[-2], "%", f"two of {format_si(high, 'S')}"),
        )  # fmt: skip
        panel = Panel(
            title="difference", x=v, x_label="word line above the reference [V]", y_label="difference of currents [A]",
            curves={f"{w:+.2g}": i for w, i in zip(weights[::2], difference[:-1:2], strict=True)},
        )  # fmt: skip
        return Measurement(entries=entries, panels=(panel,))

    return Bench(block="2t2r", title="2T2R cell", netlists=netlists, measure=measure, varied=("sweep",))
