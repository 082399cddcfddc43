"""Testbenches of an operational amplifier by itself: its loop open, as a follower, and inverting."""

from dataclasses import dataclass

from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = ["Amplifier", "build_follower", "build_inverting", "build_open_loop", "build_response", "build_slewing"]

_HENRY, _FARAD = 1e9, 1e3
"""What closes the loop for direct voltages and opens it for all others: a period of months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amplifier:
    """A subcircuit ``inp inn out vdd vss`` of the library."""

    name: str
    """Of the subcircuit and its file."""
    parameters: str
    """Its parameters, as its call has them."""

    def line(self, name: str, inp: str, inn: str, out: str, vdd: str = "vdd") -> str:
        """Format an instance."""
        return f"x{name} {inp} {inn} {out} {vdd} 0 {self.name} {self.parameters}"


def _build(
    chip: Chip, amplifier: Amplifier, title: str, lines: list[str], probes: list[str], analysis: str, held: list[str]
) -> Netlist:
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"{amplifier.name}, {title}",
        [block_text(amplifier.name, chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=["An amplifier of the library by itself."],
        analyses=[analysis],
        nodesets=dict.fromkeys(held, reference),
    )


def build_open_loop(chip: Chip, amplifier: Amplifier, c_load: float) -> Netlist:
    """Build three amplifiers whose loops are closed for direct voltages alone.

    Parameters
    ----------
    chip : Chip
        Gives supply and reference, at which inputs and outputs rest.
    amplifier : Amplifier
        What to measure.
    c_load : float
        Load of each output [F].

    Returns
    -------
    Netlist
        Probes ``v(out_d)``, ``v(out_c)`` and ``v(out_s)`` for a volt down at the inverting input, where loops close;
        at both inputs; and at the supply.
    """
    lines = ["* a volt down at the inverting input (d), at both inputs (c), at the supply (s)"]
    drives = {"d": ("vref", "in_d", "vdd"), "c": ("in_c", "in_c", "vdd"), "s": ("vref", "vref", "vdd_s")}
    lines += [
        "vin_d vref in_d dc 0 ac 1",
        "vin_c in_c vref dc 0 ac 1",
        f"vdd_s vdd_s 0 dc {spice_number(chip.process.supply)} ac 1",
    ]
    for kind, (inp, calm, vdd) in drives.items():
        lines += [
            amplifier.line(f"dut_{kind}", inp, f"inn_{kind}", f"out_{kind}", vdd),
            f"lloop_{kind} out_{kind} inn_{kind} {spice_number(_HENRY)}",
            f"cloop_{kind} inn_{kind} {calm} {spice_number(_FARAD)}",
            f"cload_{kind} out_{kind} 0 {spice_number(c_load)}",
        ]
    held = [f"{node}_{kind}" for kind in drives for node in ("inn", "out")]
    return _build(
        chip, amplifier, f"open loop, {format_si(c_load, 'F')}", lines,
        ["frequency", "v(out_d)", "v(out_c)", "v(out_s)"], ".ac dec 20 10 10g", held,
    )  # fmt: skip


def _follower(amplifier: Amplifier, source: str, c_load: float) -> list[str]:
    return [
        "* a follower",
        f"vin in 0 {source}",
        amplifier.line("dut", "in", "out", "out"),
        f"cload out 0 {spice_number(c_load)}",
    ]


def build_follower(chip: Chip, amplifier: Amplifier, points: int) -> Netlist:
    """Build a follower whose input is swept from ground to the supply."""
    supply = chip.process.supply
    card = f".dc vin 0 {spice_number(supply)} {spice_number(supply / (points - 1))}"
    return _build(
        chip, amplifier, "follower", _follower(amplifier, "0", 1e-15), ["v(out)", "v(in)", "i(vdd)"], card, ["out"]
    )


def build_response(chip: Chip, amplifier: Amplifier, c_load: float) -> Netlist:
    """Build a follower whose input, at the reference, has a small signal of a volt."""
    source = f"dc {spice_number(chip.sense_amplifier.v_reference)} ac 1"
    return _build(
        chip, amplifier, "follower", _follower(amplifier, source, c_load), ["frequency", "v(out)"],
        ".ac dec 20 10 10g", ["out"],
    )  # fmt: skip


def build_inverting(chip: Chip, amplifier: Amplifier, points: int, *, resistance: float = 1e6) -> Netlist:
    """Build an amplifier that inverts about the reference, its input swept so that its output meets both rails."""
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    low, high = 2 * reference - 1.1 * supply, 2 * reference + 0.1 * supply
    lines = [
        "* an inverting amplifier",
        "vin in 0 0",
        f"rin in inn {spice_number(resistance)}",
        f"rfeedback inn out {spice_number(resistance)}",
        amplifier.line("dut", "vref", "inn", "out"),
    ]
    card = f".dc vin {spice_number(low)} {spice_number(high)} {spice_number((high - low) / (points - 1))}"
    return _build(chip, amplifier, "inverting", lines, ["v(out)", "v(in)"], card, ["out", "inn"])


def build_slewing(chip: Chip, amplifier: Amplifier, c_load: float, swing: float, half: float) -> Netlist:
    """Build a follower that steps up at half of a time [s] and down after it, about the reference.

    Parameters
    ----------
    swing : float
        Height of the steps [V].
    half : float
        Of the time to watch [s].
    """
    reference = chip.sense_amplifier.v_reference
    low, high = (spice_number(reference + sign * swing / 2) for sign in (-1, 1))
    times = (0.1 * half, 0.1 * half + 0.1e-9, 1.1 * half, 1.1 * half + 0.1e-9)
    a, b, c, d = (spice_number(t) for t in times)
    source = f"pwl(0 {low} {a} {low} {b} {high} {c} {high} {d} {low})"
    step = spice_number(half / 4000)  # 0.5 ns: rings of 50 MHz seem damped by longer ones
    return _build(
        chip, amplifier, "steps", _follower(amplifier, source, c_load), ["time", "v(out)", "v(in)"],
        f".tran {step} {spice_number(2.1 * half)} 0 {step}", ["out"],
    )  # fmt: skip
