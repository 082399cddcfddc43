"""The sense amplifier: a transimpedance amplifier a bit line."""

import re

from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.units import spice_number

__all__ = ["amplifier_blocks", "amplifier_line", "build_sense_amplifier", "has_opamp", "supplies"]


def has_opamp(chip: Chip) -> bool:
    """Whether the amplifier is made of the library's operational amplifier, or of a designer's version of it."""
    return re.search(r"^x.*\bopamp\b", chip.library_text("tia.cir"), re.MULTILINE | re.IGNORECASE) is not None


def amplifier_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`amplifier_line` calls."""
    return [*([block_text("opamp", chip)] if has_opamp(chip) else []), block_text("tia", chip)]


def amplifier_line(chip: Chip, name: str, node_in: str, node_out: str, r_feedback: float) -> str:
    """Format the instance of one amplifier."""
    amplifier = chip.sense_amplifier
    return (
        f"x{name} {node_in} {node_out} vref vdd 0 tia rf={spice_number(r_feedback)}"
        f" cf={spice_number(amplifier.c_feedback)} ibias={spice_number(amplifier.bias_current)}"
        f" drive={spice_number(amplifier.drive)}"
    )


def supplies(chip: Chip) -> str:
    """Format the supply and the reference, shared by all amplifiers."""
    return (
        "* supply and reference\n"
        f"vdd vdd 0 {spice_number(chip.process.supply)}\n"
        f"vref vref 0 {spice_number(chip.sense_amplifier.v_reference)}"
    )


def build_sense_amplifier(chip: Chip, r_feedback: float, i_limit: float, points: int = 201) -> Netlist:
    """Build a testbench that sweeps the current into one sense amplifier.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float
        Feedback resistance [ohm].
    i_limit : float
        The current goes from ``-i_limit`` to ``i_limit`` [A].
    points : int
        Points of the sweep, odd so that zero is one of them.
    """
    step = 2 * i_limit / (points - 1)
    circuit = "\n".join(
        [
            "* a current into the virtual ground, swept",
            "iin 0 sense 0",
            amplifier_line(chip, "senseamp", "sense", "out", r_feedback),
        ]
    )
    reference = chip.sense_amplifier.v_reference
    low = 0.05  # the sweep starts with the output at the upper rail
    return build_netlist(
        chip,
        f"transimpedance amplifier, {r_feedback:g} ohm",
        [*amplifier_blocks(chip), supplies(chip), circuit],
        ["v(sense)", "v(out)", "v(vref)", "i(vdd)"],
        notes=["Input and output voltage of the sense amplifier against the current into it."],
        analyses=[
            f".dc iin {spice_number(-i_limit)} {spice_number(i_limit + step / 2)} {spice_number(step)}",
        ],
        nodesets={"sense": reference, "out": chip.process.supply - low},
    )
