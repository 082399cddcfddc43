"""Data sheet of the DAC that drives a word line."""

from collections.abc import Mapping
from functools import cache, partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import Linearity, linearity_panel, measure_linearity
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.characterise.steps import Step
from spicesim.characterise.waveform import excursion, integral, settling_time
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.netlist.dac import build_dac, dac_blocks, dac_line, dac_references, driver_words
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sense_amplifier import supplies
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["build_dac_step", "dac_bench"]

_EDGE, _STOP = 50e-9, 1050e-9
_SKEW = 100e-12
"""How much later than the others the most significant bit comes where glitches are measured [s]."""


def _row_load(chip: Chip) -> float:
    """Return the resistance of a whole row of cells at half their largest conductance [ohm]."""
    return 1 / (chip.array.columns * chip.cell.g_max / 2)


def build_dac_step(
    chip: Chip, before: int, after: int, polarity: Polarity = "unipolar", *, c_load: float = 1e-12, late: float = 0.0
) -> Netlist:
    """Build a testbench that steps the code of a DAC that drives a row.

    Parameters
    ----------
    chip : Chip
        The chip.
    before, after : int
        The codes.
    polarity : {"unipolar", "bipolar"}
        Which references the ladder has.
    c_load : float
        Capacitance of the row [F]; its resistance to the reference is that of all cells at half ``g_max``.
    late : float
        How much later than the others the most significant bit changes [s].
    """
    supply = spice_number(chip.process.supply)
    bits = []
    for k in range(chip.dac.bits):
        low, high = (supply if code >> k & 1 else "0" for code in (before, after))
        edge = _EDGE + (late if k == chip.dac.bits - 1 else 0.0)
        bits.append(f"vb{k} b{k} 0 pwl(0 {low} {edge:.6g} {low} {edge + 0.2e-9:.6g} {high})")
    circuit = [
        "* the converter under test, and the row that it drives",
        dac_line(chip, "dac", "out", [f"b{k}" for k in range(chip.dac.bits)]),
        f"rload out vref {spice_number(_row_load(chip))}",
        f"cload out 0 {spice_number(c_load)}",
    ]
    return build_netlist(
        chip,
        f"{driver_words(chip)}, code {before} to {after}, {polarity}",
        [
            *dac_blocks(chip),
            supplies(chip),
            dac_references(chip, polarity),
            "\n".join(["* the code", *bits]),
            "\n".join(circuit),
        ],
        ["time", "v(out)", "i(vdd)"],
        notes=[f"Output of one word-line driver whose code steps at {format_si(_EDGE, 's')}."],
        analyses=[f".tran 1n {_STOP}"],
        nodesets={"out": chip.sense_amplifier.v_reference},
    )


def dac_bench(chip: Chip, polarity: Polarity = "unipolar") -> Bench:
    """Build the testbench of the chip's DAC, or of an R-2R ladder where switches drive the word lines."""
    chip = chip if chip.dac.is_dac else chip.changed(dac={"kind": "r2r"})
    last = 2**chip.dac.bits - 1
    half = 2 ** (chip.dac.bits - 1)
    i_load = chip.dac.v_span / _row_load(chip)
    step = max(1, last // 3)
    netlists = {
        "codes": build_dac(chip, polarity),
        "load": build_dac(chip, polarity, i_limit=i_load, load_points=5, code_step=step),
        "full_step": build_dac_step(chip, 0, last, polarity),
        "half_step": build_dac_step(chip, half // 2, half // 2 + half, polarity),
        "carry": build_dac_step(chip, half - 1, half, polarity, late=_SKEW),
    }
    low = chip.sense_amplifier.v_reference - (chip.dac.v_span if polarity == "bipolar" else 0.0)
    ideal_lsb = chip.dac.v_span * (2 if polarity == "bipolar" else 1) / 2**chip.dac.bits
    step_to = Step(probe="v(out)", start=_EDGE, band=ideal_lsb / 2)

    def measure(results: Mapping[str, Results]) -> Measurement:
        rows = f"{format_si(_row_load(chip), 'ohm')} || 1 pF"
        carry = f"{half - 1} to {half}, most significant bit {format_si(_SKEW, 's')} late, {rows}"

        @cache
        def codes() -> dict[str, Floats]:
            return waves(results["codes"])

        @cache
        def line() -> Linearity:
            return measure_linearity(codes()["v(out)"], low, ideal_lsb)

        def r_out() -> float:
            loaded = waves(results["load"])["v(out)"].reshape(-1, 5)
            return float(np.abs(np.diff(loaded, axis=1) / (i_load / 2)).max())

        def settle(name: str) -> float:
            found = waves(results[name])
            return settling_time(found["time"], found["v(out)"], _EDGE, step_to.band, "the DAC")

        def energy() -> float:
            full = waves(results["full_step"])
            return integral(full["time"], -chip.process.supply * full["i(vdd)"], _EDGE, _EDGE + settle("full_step"))

        @cache
        def beyond() -> tuple[Floats, Floats]:
            found = waves(results["carry"])
            return found["time"], excursion(found["v(out)"])

        entries = (
            entry("resolution", "resolution", chip.dac.bits, "bit"),
            entry("lsb", "step (LSB)", lambda: line().lsb, "V", f"ideal {ideal_lsb:g} V"),
            entry("inl", "INL, largest", lambda: line().worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", lambda: line().worst_dnl, "LSB"),
            entry("offset", "offset", lambda: line().offset, "V", "code 0, no load"),
            entry("gain_error", "gain error", lambda: 100 * line().gain_error, "%"),
            entry(
                "r_out",
                "output resistance, largest",
                r_out,
                "ohm",
                f"load up to {format_si(i_load, 'A')}",
            ),
            entry("t_settle", "settling, full scale", partial(settle, "full_step"), "s", f"0 to {last}, LSB/2, {rows}"),
            entry(
                "t_settle_half",
                "settling, half-scale step",
                partial(settle, "half_step"),
                "s",
                f"{half // 2} to {half // 2 + half}, LSB/2, {rows}",
            ),
            entry("glitch", "glitch, height", lambda: beyond()[1].max(), "V", carry),
            entry("glitch_area", "glitch, area", lambda: float(np.trapezoid(beyond()[1], beyond()[0])), "V s", carry),
            entry(
                "power",
                "power, mean of codes",
                lambda: -chip.process.supply * codes()["i(vdd)"].mean(),
                "W",
                "from vdd",
            ),
            entry("energy", "energy a conversion", energy, "J", "full step, until settled"),
        )

        def wave(name: str, title: str) -> Panel:
            found = waves(results[name])
            return Panel(
                title=title,
                x=found["time"],
                x_label="time [s]",
                curves={"output": found["v(out)"]},
                y_label="output [V]",
            )

        panels = draw_panels(
            lambda: linearity_panel(line()),
            partial(wave, "full_step", "full step"),
            partial(wave, "carry", f"{half - 1} to {half}, skewed"),
        )
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="dac",
        title=f"{driver_words(chip)}, {polarity}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
        steps={"full_step": step_to, "half_step": step_to},
    )
