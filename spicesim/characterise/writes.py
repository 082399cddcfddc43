"""Data sheets of memory devices with a state: what write pulses do."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.waveform import crossing, integral
from spicesim.chip import Chip
from spicesim.netlist.devices import build_device_pulses
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["ecram_bench", "pcm_state_bench", "rram_gap_bench"]

_REST = 50e-9


def rram_gap_bench(chip: Chip, v_set: float = 2.0, v_reset: float = -2.2, width: float = 300e-9) -> Bench:
    """Build the testbench of the filamentary device."""
    return _cycle(
        chip, "rram_gap", "filamentary device with its gap as state", [(v_set, width), (v_reset, width)],
        {"g": 5e-6}, "gap [nm]",
    )  # fmt: skip


def pcm_state_bench(chip: Chip, v_set: float = 1.2, v_reset: float = 2.0) -> Bench:
    """Build the testbench of the phase-change device in writes."""
    cell = chip.cell
    return _cycle(
        chip, "pcm_state", "phase-change device with its crystalline fraction as state",
        [(v_set, 200e-9), (v_reset, 50e-9)], {"g": cell.g_min, "g_min": cell.g_min, "g_max": cell.g_max},
        "crystalline fraction",
    )  # fmt: skip


def _cycle(
    chip: Chip,
    device: str,
    title: str,
    pulses: Sequence[tuple[float, float]],
    parameters: Mapping[str, float],
    state_label: str,
) -> Bench:
    """Build a testbench that sets a device of two terminals, resets it, and reads before, between and after."""
    r_series = 1e3
    netlists = {
        "writes": build_device_pulses(
            chip, device, pulses, parameters=parameters, r_series=r_series, rest=_REST, step=0.5e-9
        )
    }
    widths = [width for _, width in pulses]
    starts = [_REST, 2 * _REST + widths[0]]
    reads = [start - 5e-9 for start in (*starts, starts[1] + widths[1] + _REST)]

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def found() -> dict[str, Floats]:
            return waves(results["writes"])

        def at(probe: str, read: int) -> float:
            return float(np.interp(reads[read], found()["time"], found()[probe]))

        def conductance(read: int) -> float:
            return at("i(vsense)", read) / at("v(p)", read)

        def energy(k: int) -> float:
            power = found()["v(drive)"] * found()["i(vsense)"]
            return integral(found()["time"], power, starts[k], starts[k] + widths[k])

        def lasts(k: int) -> float:
            # a pulse has done its work when the state has made nine tenths of its way
            level = 0.1 * at("v(state)", k) + 0.9 * at("v(state)", k + 1)
            return crossing(found()["time"], found()["v(state)"], level, after=starts[k]) - starts[k]

        through = f"through {format_si(r_series, 'ohm')}"
        told = [f"{volts:g} V, {format_si(width, 's')}" for volts, width in pulses]
        entries = (
            entry("g_start", "conductance, start", partial(conductance, 0), "S", "0.1 V"),
            entry("g_on", "conductance after set", partial(conductance, 1), "S", told[0]),
            entry("g_off", "conductance after reset", partial(conductance, 2), "S", told[1]),
            entry("on_off", "on/off ratio", lambda: conductance(1) / conductance(2), ""),
            entry("t_set", "set, nine tenths of the way", partial(lasts, 0), "s", through),
            entry("t_reset", "reset, nine tenths of the way", partial(lasts, 1), "s", through),
            entry("energy_set", "energy of the set pulse", partial(energy, 0), "J", through),
            entry("energy_reset", "energy of the reset pulse", partial(energy, 1), "J", through),
        )

        def curve(title: str, label: str, probe: str) -> Panel:
            x, y = found()["time"], found()[probe]
            return Panel(title=title, x=x, x_label="time [s]", y_label=label, curves={title: y})

        panels = draw_panels(
            partial(curve, "state", state_label, "v(state)"), partial(curve, "current", "current [A]", "i(vsense)")
        )
        return Measurement(entries=entries, panels=panels)

    return Bench(block=device, title=title, netlists=netlists, measure=measure)


def ecram_bench(chip: Chip, pulses: int = 8, volts: float = 1.0, width: float = 20e-9) -> Bench:
    """Build the testbench of the electrochemical device."""
    cell = chip.cell
    given = {"g": float(np.sqrt(cell.g_min * cell.g_max)), "g_min": cell.g_min, "g_max": cell.g_max, "q_full": 1e-12}
    train = [(volts, width)] * pulses + [(-volts, width)] * pulses
    netlists = {"writes": build_device_pulses(chip, "ecram_state", train, parameters=given, rest=20e-9)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def found() -> dict[str, Floats]:
            return waves(results["writes"])

        @cache
        def g() -> Floats:
            ends = 20e-9 + (np.arange(2 * pulses + 1) * (width + 20e-9)) - 2e-9
            return np.asarray(np.interp(ends, found()["time"], found()["i(vsense)"] / found()["v(p)"]))

        def up() -> Floats:
            return np.diff(g())[:pulses]

        def down() -> Floats:
            return np.diff(g())[pulses:]

        def each(wave: Floats, count: int) -> float:
            time = found()["time"]
            return integral(time, wave, 0.0, time[-1]) / count

        def charge() -> float:
            return each(np.maximum(-found()["i(vdrive)"], 0), pulses)

        def energy() -> float:
            return each(-found()["v(drive)"] * found()["i(vdrive)"], 2 * pulses)

        pulse = f"{volts:g} V, {format_si(width, 's')}"
        entries = (
            entry("step", "change of conductance a pulse", lambda: up().mean(), "S", pulse),
            entry("levels", "pulses over the whole range", lambda: (cell.g_max - cell.g_min) / up().mean(), "", pulse),
            entry(
                "linearity", "spread of the steps up", lambda: 100 * np.ptp(up()) / up().mean(), "%", f"{pulses} pulses"
            ),
            entry("asymmetry", "steps down against up", lambda: 100 * (-down().mean() / up().mean() - 1), "%"),
            entry("return", "error after as many down", lambda: 100 * (g()[-1] / g()[0] - 1), "%"),
            entry("charge", "charge a pulse", charge, "C"),
            entry("energy", "energy a pulse", energy, "J", pulse),
        )

        def writes() -> Panel:
            x, y = found()["time"], found()["v(state)"]
            return Panel(title="writes", x=x, x_label="time [s]", y_label="state", curves={"x": y})

        return Measurement(entries=entries, panels=draw_panels(writes))

    return Bench(block="ecram", title="electrochemical device with its state", netlists=netlists, measure=measure)
