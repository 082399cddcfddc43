"""Data sheet of the successive-approximation ADC: transitions by bisection, effective bits by a sine, energy.

Logic of cells is in the conversions of the sine. Transitions are found with ideal logic, in a tenth of the time.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Bools, Codes, Floats
from spicesim.calibration.conversions import read_codes
from spicesim.calibration.energy import logic_power
from spicesim.characterise.bench import Bench, Conditions, Measurement, waves
from spicesim.characterise.linearity import Linearity, linearity_panel, measure_linearity
from spicesim.characterise.sheet import Entry, Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["effective_bits", "find_transitions", "logic_delay", "sar_adc_bench"]

_POINTS, _CYCLES = 64, 7
_AMPLITUDE = 0.96
"""Of the sine, relative to half the range."""


def effective_bits(codes: npt.ArrayLike, cycles: int, amplitude: float) -> float:
    """Return the effective number of bits of the codes of a whole number of cycles of a sine.

    Parameters
    ----------
    codes : array_like of shape (points,)
        Codes of equally spaced samples.
    cycles : int
        Cycles in them, with no divisor in common with the points.
    amplitude : float
        Of the sine, relative to half the range; what it lacks is added.
    """
    power = np.abs(np.fft.rfft(np.asarray(codes, dtype=float))[1:]) ** 2
    signal = power[cycles - 1]
    ratio = 10 * np.log10(signal / (power.sum() - signal))
    return float((ratio - 1.76 - 20 * np.log10(amplitude)) / 6.02)


def _crossings(time: Floats, wave: Floats, level: float) -> tuple[Floats, Bools]:
    """Return when a wave crosses a level, and whether it rises."""
    above = wave > level
    k = np.flatnonzero(above[1:] != above[:-1])
    return time[k] + (level - wave[k]) * (time[k + 1] - time[k]) / (wave[k + 1] - wave[k]), above[k + 1]


def logic_delay(results: Results, sizes: SarAdc, supply: float) -> float:
    """Return the longest delay of logic of cells, from the end of a strobe to a bit that is tried or taken back [s].

    Parameters
    ----------
    results : Results
        Of a testbench by :func:`spicesim.netlist.sar_adc.build_sar_adc`.
    sizes : SarAdc
        Of the ADC.
    supply : float
        Of the chip [V].
    """
    found = waves(results)
    time = found["time"]
    edges, rising = _crossings(time, found["v(clk)"], supply / 2)
    ends = edges[~rising]
    worst = 0.0
    for k in range(sizes.dac.bits):
        changes, _ = _crossings(time, found[f"v(q_{k})"], 0.5)
        changes = changes[changes % sizes.conversion > sizes.sample + sizes.bit / 2]  # the others are of sampling
        worst = max(worst, float(np.max(changes - ends[np.searchsorted(ends, changes) - 1], initial=0.0)))
    return worst


def find_transitions(chip: Chip, sizes: SarAdc, conditions: Conditions, rounds: int = 6) -> Floats:
    """Find the input at which each code begins, by bisection within 2 LSB around the ideal one.

    Returns
    -------
    ndarray of shape (2**bits - 1,)
        Inputs [V], to ``2 / 2**rounds`` LSB.

    Raises
    ------
    ValidityError
        If one lies elsewhere.
    """
    codes = np.arange(1, 2**sizes.dac.bits)
    ideal = chip.sense_amplifier.v_reference - sizes.dac.span / 2 + codes * sizes.lsb
    low, high = ideal - 2 * sizes.lsb, ideal + 2 * sizes.lsb
    groups = np.array_split(np.arange(len(codes)), max(1, min(len(codes) // 4, 4)))

    def reached(voltages: Floats, label: str) -> Bools:
        netlists: list[Netlist] = [build_sar_adc(chip, voltages[group], sizes) for group in groups]
        found = [read_codes(results, sizes) for results in conditions.run(netlists, label)]
        return np.asarray(np.concatenate(found) >= codes)

    if reached(low, "lower ends").any() or not reached(high, "upper ends").all():
        raise ValidityError("a code of the ADC begins more than 2 LSB from where it should; check its sizes and times")
    for k in range(rounds):
        middle = (low + high) / 2
        above = reached(middle, f"halving {k + 1} of {rounds}")
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray((low + high) / 2)


def sar_adc_bench(chip: Chip, sizes: SarAdc | None = None, rounds: int = 6) -> Bench:
    """Build the testbench of the successive-approximation ADC.

    Parameters
    ----------
    chip : Chip
        The chip.
    sizes : SarAdc, optional
        Of the ADC.
    rounds : int
        Halvings of the search for each code's begin; 6 find it to 1/32 LSB.
    """
    sizes = sizes or chip.converter or chip.sar_adc
    if rounds < 1:
        raise SpecError(f"a search needs one halving at least, got {rounds}")
    reference, has_cells = chip.sense_amplifier.v_reference, sizes.logic == "cells"
    angle = 2 * np.pi * _CYCLES * np.arange(_POINTS) / _POINTS + 0.1
    # a conversion with logic of cells takes ten times as long, and a simulation has a time-out
    parts = np.split(reference + _AMPLITUDE * sizes.dac.span / 2 * np.sin(angle), 8 if has_cells else 2)
    names = [f"sine_{k}" for k in range(len(parts))]
    netlists = {name: build_sar_adc(chip, part, sizes) for name, part in zip(names, parts, strict=True)}

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def codes() -> Codes:
            return np.concatenate([read_codes(results[name], sizes) for name in names])

        def mean_energy(power: Callable[[dict[str, Floats], Results], Floats]) -> float:
            parts = [(waves(results[name]), results[name]) for name in names]
            return float(np.sum([np.trapezoid(power(*part), part[0]["time"]) for part in parts]) / _POINTS)

        def analog(found: dict[str, Floats], _: Results) -> Floats:
            half = sizes.dac.span / 2
            return np.asarray(-chip.process.supply * found["i(vdd)"] + half * (found["i(v1)"] - found["i(v0)"]))

        def logic(_: dict[str, Floats], result: Results) -> Floats:
            return logic_power(chip, result)

        def energy() -> float:
            return mean_energy(analog) + (mean_energy(logic) if has_cells else 0.0)

        def delay() -> float:
            return max(logic_delay(results[name], sizes, chip.process.supply) for name in names)

        entries: tuple[Entry, ...] = (
            entry("resolution", "resolution", sizes.dac.bits, "bit"),
            entry(
                "enob", "effective bits", lambda: effective_bits(codes(), _CYCLES, _AMPLITUDE), "bit",
                f"sine, {_CYCLES} cycles in {_POINTS} points, no noise",
            ),
            entry("t_conversion", "time a conversion", sizes.conversion, "s", "as clocked"),
            entry(
                "energy", "energy a conversion", energy, "J",
                "vdd, references and logic" if has_cells else "vdd and references; logic is behavioural, not counted",
            ),
        )  # fmt: skip
        if has_cells:
            entries += (
                entry("energy_logic", "of it the logic", lambda: mean_energy(logic), "J", "its supply and its inputs"),
                entry(
                    "t_logic", "delay of the logic, longest", delay, "s",
                    f"end of a strobe to a bit; of {format_si(sizes.bit * 2 / 3, 's', 3)} until the next one",
                ),
                entry(
                    "p_leakage", "leakage of the logic", lambda: float(logic_power(chip, results[names[0]])[0]), "W",
                    "in reset, as the simulation begins",
                ),
            )  # fmt: skip

        def sine() -> Panel:
            return Panel(
                title="sine", x=np.arange(_POINTS, dtype=float), x_label="conversion", y_label="code",
                curves={"code": codes().astype(float)},
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(sine))

    def extra(chip: Chip, conditions: Conditions) -> Measurement:
        @cache
        def line() -> Linearity:
            transitions = find_transitions(chip, sizes.with_ideal_logic, conditions, rounds)
            return measure_linearity(transitions, reference - sizes.dac.span / 2 + sizes.lsb, sizes.lsb)

        resolution = f"to {4 / 2**rounds:.2g} LSB{', ideal logic' if has_cells else ''}"
        entries = (
            entry("lsb", "step (LSB)", lambda: line().lsb, "V", f"ideal {format_si(sizes.lsb, 'V')}"),
            entry("inl", "INL, largest", lambda: line().worst_inl, "LSB", f"end points, {resolution}"),
            entry("dnl", "DNL, largest", lambda: line().worst_dnl, "LSB", resolution),
            entry("offset", "offset", lambda: line().offset, "V", "first transition"),
            entry("gain_error", "gain error", lambda: 100 * line().gain_error, "%"),
        )
        return Measurement(entries=entries, panels=draw_panels(lambda: linearity_panel(line(), 1)))

    return Bench(
        block="sar_adc",
        title=f"{sizes.dac.bits}-bit successive-approximation ADC",
        netlists=netlists,
        measure=measure,
        varied=tuple(names),
        extra=extra,
    )
