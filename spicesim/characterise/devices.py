"""Data sheets of memory devices and of cells beside the 1T1R one: static reads."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.errors import ValidityError
from spicesim.netlist.devices import build_device_sweep, build_differential_cells
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["differential_bench", "pcm_bench", "selector_bench"]


def pcm_bench(chip: Chip, nu: float = 0.05) -> Bench:
    """Build the testbench of the phase-change device."""
    times = (1.0, 1e3, 1e6)
    g = chip.cell.g_max
    netlists = {"sweep": build_device_sweep(chip, "pcm", [{"g": g, "t": t, "nu": nu} for t in times], 0.4, 81)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def found() -> dict[str, Floats]:
            return waves(results["sweep"])

        def read(k: int, volts: float = chip.cell.v_read) -> float:
            return float(np.interp(volts, found()["v(p)"], found()[f"i(vsense_{k})"]) / volts)

        def exponent() -> float:
            return float(-np.polyfit(np.log(times), np.log([read(k) for k in range(len(times))]), 1)[0])

        entries = (
            entry(
                "g", "conductance", partial(read, 0), "S", f"{chip.cell.v_read:g} V, 1 s; device {format_si(g, 'S')}"
            ),
            entry(
                "nonlinearity",
                "nonlinearity",
                lambda: 100 * (read(0, 0.4) / read(0) - 1),
                "%",
                f"0.4 V against {chip.cell.v_read:g} V",
            ),
            entry("nu", "drift exponent", exponent, "", "1 s to 1e6 s"),
            entry("drift", "conductance left", lambda: 100 * read(2) / read(0), "%", "1e6 s"),
        )

        def reads() -> Panel:
            return Panel(
                title="reads",
                x=found()["v(p)"],
                x_label="voltage [V]",
                y_label="current [A]",
                curves={f"{t:g} s": found()[f"i(vsense_{k})"] for k, t in enumerate(times)},
            )

        return Measurement(entries=entries, panels=draw_panels(reads))

    return Bench(block="pcm", title="phase-change device, static read", netlists=netlists, measure=measure)


def selector_bench(chip: Chip, v_select: float = 1.5) -> Bench:
    """Build the testbench of the 1S1R cell."""
    cell = chip.cell
    i0, v0 = cell.selector_current, cell.selector_voltage
    given = [{"g": g, "kappa": max(cell.kappa, 1e-6), "i0": i0, "v0": v0} for g in (cell.g_max, cell.g_min)]
    netlists = {"sweep": build_device_sweep(chip, "cell_1s1r", given, v_select, 301)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        span = (30 * i0, 1e4 * i0)

        @cache
        def branch() -> tuple[Floats, Floats, Floats]:
            found = waves(results["sweep"])
            positive = found["v(p)"] > 0.02 * v_select
            v, on, off = (found[name][positive] for name in ("v(p)", "i(vsense_0)", "i(vsense_1)"))
            return v, on, off

        def at(volts: float) -> float:
            v, on, _ = branch()
            return float(np.exp(np.interp(volts, v, np.log(on))))

        def decade() -> float:
            v, on, _ = branch()
            low = (on > span[0]) & (on < span[1])
            if np.count_nonzero(low) < 2:
                raise ValidityError(f"the selector has no current within {span[0]:g}..{span[1]:g} A; check i0 and v0")
            return float(np.log(10) / np.polyfit(v[low], np.log(on[low]), 1)[0])

        entries = (
            entry(
                "i_select",
                "current, selected",
                lambda: at(v_select),
                "A",
                f"{v_select:g} V, {format_si(cell.g_max, 'S')}",
            ),
            entry("i_half", "current, half selected", lambda: at(v_select / 2), "A", f"{v_select / 2:g} V"),
            entry("half_select_ratio", "selected over half selected", lambda: at(v_select) / at(v_select / 2), ""),
            entry("third_ratio", "selected over a third", lambda: at(v_select) / at(v_select / 3), ""),
            entry("slope", "voltage a decade", decade, "V", " to ".join(format_si(i, "A") for i in span)),
            entry("v_on", "voltage at 1 uA", lambda: np.interp(1e-6, branch()[1], branch()[0]), "V"),
            entry(
                "on_off",
                "on/off ratio",
                lambda: at(v_select) / branch()[2][-1],
                "",
                f"of devices {cell.g_max / cell.g_min:g}",
            ),
        )

        def currents() -> Panel:
            v, on, off = branch()
            return Panel(
                title="current",
                x=v,
                x_label="voltage [V]",
                y_label="log10 of the current [A]",
                curves={"on": np.log10(on), "off": np.log10(off)},
            )

        return Measurement(entries=entries, panels=draw_panels(currents))

    return Bench(block="1s1r", title="1S1R cell, exponential selector", netlists=netlists, measure=measure)


def differential_bench(chip: Chip) -> Bench:
    """Build the testbench of the 2T2R cell."""
    low, high = chip.cell.g_min, chip.cell.g_max
    weights = np.linspace(-1, 1, 9)
    pairs = np.maximum(weights, 0) * (high - low) + low, np.maximum(-weights, 0) * (high - low) + low
    equal = (np.append(pairs[0], high), np.append(pairs[1], high))  # the last cell is zero of two large ones
    netlists = {"sweep": build_differential_cells(chip, *equal, chip.dac.v_span)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        ideal = weights * (high - low)

        @cache
        def swept() -> tuple[Floats, Floats]:
            found = waves(results["sweep"])
            cells = range(len(weights) + 1)
            difference = np.array([found[f"i(vpos_{k})"] - found[f"i(vneg_{k})"] for k in cells])
            return found["v(wl)"] - found["v(vref)"], difference

        @cache
        def read() -> Floats:
            v, difference = swept()
            return np.array([np.interp(chip.cell.v_read, v, i) for i in difference]) / chip.cell.v_read

        def gain() -> float:
            return float(np.polyfit(ideal, read()[:-1], 1)[0])

        def error() -> float:
            return float(np.abs(read()[:-1] - gain() * ideal).max() / (gain() * (high - low)))

        entries = (
            entry(
                "g_full", "difference at full weight", lambda: read()[-2], "S", f"devices {format_si(high - low, 'S')}"
            ),
            entry("gain", "gain of the weight", gain, "", "currents over devices, line"),
            entry("nonlinearity", "nonlinearity of the weight", lambda: 100 * error(), "%", "of full weight"),
            entry("asymmetry", "asymmetry of the sign", lambda: 100 * (-read()[0] / read()[-2] - 1), "%"),
            entry(
                "zero",
                "error of zero over full",
                lambda: 100 * read()[-1] / read()[-2],
                "%",
                f"two of {format_si(high, 'S')}",
            ),
        )

        def differences() -> Panel:
            v, difference = swept()
            return Panel(
                title="difference",
                x=v,
                x_label="word line above the reference [V]",
                y_label="difference of currents [A]",
                curves={f"{w:+.2g}": i for w, i in zip(weights[::2], difference[:-1:2], strict=True)},
            )

        return Measurement(entries=entries, panels=draw_panels(differences))

    return Bench(block="2t2r", title="2T2R cell", netlists=netlists, measure=measure, varied=("sweep",))
