"""Data sheet of the R-2R DAC with its buffer, the word-line driver."""

from collections.abc import Mapping

import numpy as np

from spicesim.behavioural.converter import Polarity
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.linearity import measure_linearity
from spicesim.characterise.sheet import Panel, entry
from spicesim.characterise.waveform import integral, settling_time
from spicesim.chip import Chip
from spicesim.netlist.dac import build_dac, dac_blocks, dac_line, dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.senseamp import supplies
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si, spice_number

__all__ = ["build_dac_step", "dac_bench"]

_EDGE, _STOP = 50e-9, 1050e-9


def _row_load(chip: Chip) -> float:
    """Return the resistance of a whole row of cells at half their largest conductance [ohm]."""
    return 1 / (chip.array.columns * chip.cell.g_max / 2)


def build_dac_step(
    chip: Chip, before: int, after: int, polarity: Polarity = "unipolar", *, c_load: float = 1e-12
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
    """
    supply = spice_number(chip.process.supply)
    bits = []
    for k in range(chip.dac.bits):
        low, high = (supply if code >> k & 1 else "0" for code in (before, after))
        bits.append(f"vb{k} b{k} 0 pwl(0 {low} {_EDGE} {low} {_EDGE + 0.2e-9} {high})")
    circuit = [
        "* the converter under test, and the row that it drives",
        dac_line("dac", "out", [f"b{k}" for k in range(chip.dac.bits)]),
        f"rload out vref {spice_number(_row_load(chip))}",
        f"cload out 0 {spice_number(c_load)}",
    ]
    return build_netlist(
        chip,
        f"{chip.dac.bits}-bit R-2R DAC, code {before} to {after}, {polarity}",
        [
            block_text("opamp", chip),
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
    """Build the testbench of the R-2R DAC with its buffer: INL, DNL, output resistance, settling, energy."""
    last = 2**chip.dac.bits - 1
    half = 2 ** (chip.dac.bits - 1)
    i_load = chip.dac.v_span / _row_load(chip)
    step = max(1, last // 3)
    netlists = {
        "codes": build_dac(chip, polarity),
        "load": build_dac(chip, polarity, i_limit=i_load, load_points=5, code_step=step),
        "full_step": build_dac_step(chip, 0, last, polarity),
        "half_step": build_dac_step(chip, half - 1, half, polarity),
    }
    low = chip.sense_amplifier.v_reference - (chip.dac.v_span if polarity == "bipolar" else 0.0)
    ideal_lsb = chip.dac.v_span * (2 if polarity == "bipolar" else 1) / 2**chip.dac.bits

    def measure(results: Mapping[str, Results]) -> Measurement:
        codes = waves(results["codes"])
        line = measure_linearity(codes["v(out)"], low, ideal_lsb)
        power = -chip.process.supply * codes["i(vdd)"]
        loaded = waves(results["load"])["v(out)"].reshape(-1, 5)
        r_out = -np.diff(loaded, axis=1) / (i_load / 2)
        full, mid = (waves(results[name]) for name in ("full_step", "half_step"))
        settle = settling_time(full["time"], full["v(out)"], _EDGE, ideal_lsb / 2, "the DAC")
        small = settling_time(mid["time"], mid["v(out)"], _EDGE, ideal_lsb / 2, "the DAC")
        rows = f"{format_si(_row_load(chip), 'ohm')} || 1 pF"
        energy = integral(full["time"], -chip.process.supply * full["i(vdd)"], _EDGE, _EDGE + max(settle, small))
        ends = (mid["v(out)"][0], mid["v(out)"][-1])
        beyond = np.maximum(mid["v(out)"] - max(ends), min(ends) - mid["v(out)"])
        glitch = float(max(beyond[mid["time"] > _EDGE].max(), 0.0))
        entries = (
            entry("resolution", "resolution", chip.dac.bits, "bit"),
            entry("lsb", "step (LSB)", line.lsb, "V", f"ideal {ideal_lsb:g} V"),
            entry("inl", "INL, largest", line.worst_inl, "LSB", "end points"),
            entry("dnl", "DNL, largest", line.worst_dnl, "LSB"),
            entry("offset", "offset", line.offset, "V", "code 0, no load"),
            entry("gain_error", "gain error", 100 * line.gain_error, "%"),
            entry(
                "r_out",
                "output resistance, largest",
                float(np.abs(r_out).max()),
                "ohm",
                f"load up to {format_si(i_load, 'A')}",
            ),
            entry("t_settle", "settling, full scale", settle, "s", f"LSB/2, {rows}"),
            entry("t_settle_half", "settling, half-scale step", small, "s", f"LSB/2, {rows}"),
            entry("glitch", "glitch beyond half-scale step", glitch, "V", rows),
            entry("power", "power, mean of codes", float(power.mean()), "W", "from vdd"),
            entry("energy", "energy a conversion", energy, "J", "full step, until settled"),
        )
        x = np.rint(codes["v(code)"])
        panels = (
            Panel(
                title="linearity",
                x=x,
                x_label="code",
                curves={"INL": line.inl, "DNL": np.append(line.dnl, 0.0)},
                y_label="error [LSB]",
            ),
            Panel(
                title="full step",
                x=full["time"],
                x_label="time [s]",
                curves={"output": full["v(out)"]},
                y_label="output [V]",
            ),
        )
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block="dac",
        title=f"{chip.dac.bits}-bit R-2R DAC with buffer, {polarity}",
        netlists=netlists,
        measure=measure,
        varied=("codes",),
    )
