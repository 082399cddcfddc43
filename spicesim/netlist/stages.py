"""Testbenches of small signals and inner nodes: the amplifier's stages, swept and shaken, and a cell, shaken.

Every node but the fast ones (mirror, tail) is held, so the current into a node is a function of a few voltages, and a
small alternating voltage at a node tells the capacitances.
"""

from collections.abc import Sequence

import numpy as np

from spicesim.arrays import Floats
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.cell import cell_blocks, gate_supply, half_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.passives import with_passives
from spicesim.netlist.sense_amplifier import amplifier_blocks, supplies
from spicesim.units import spice_number

__all__ = [
    "STAGE_SWEEPS",
    "build_cell_response",
    "build_feedback_response",
    "build_stage_response",
    "build_stage_sweep",
]

STAGE_SWEEPS = {"input": ("in", "p"), "mesh": ("p", "n"), "upper": ("p", "out"), "lower": ("n", "out")}
"""Nodes that a sweep varies: the input stage with node p, the mesh between p and n, the two output transistors."""


def _amplifier(chip: Chip, name: str = "amplifier", suffix: str = "") -> str:
    amplifier = chip.sense_amplifier
    return (
        f"x{name} vref in{suffix} out{suffix} vdd 0 opamp ibias={spice_number(amplifier.bias_current)}"
        f" drive={spice_number(amplifier.drive)}"
    )


def build_stage_sweep(chip: Chip, name: str, first: Sequence[float], second: Sequence[float]) -> Netlist:
    """Build a sweep of two nodes of the sense amplifier's operational amplifier, all four held by sources.

    Parameters
    ----------
    chip : Chip
        The chip.
    name : str
        Of :data:`STAGE_SWEEPS`. What is not swept: the input is at the reference, the node of an output transistor
        that does not take part at its supply, the other output node at the reference.
    first, second : sequence of float
        Start, end and step of the two nodes; the first is the inner loop [V].

    Returns
    -------
    Netlist
        Probes ``i(vin)``, ``i(vp)``, ``i(vn)``, ``i(vout)``: currents that the amplifier delivers into the nodes.
    """
    if name not in STAGE_SWEEPS:
        raise SpecError(f"no sweep {name!r} of an amplifier's stages; there are: {', '.join(STAGE_SWEEPS)}")
    reference, supply = chip.sense_amplifier.v_reference, chip.process.supply
    rest = {"in": reference, "out": reference, "p": 0.75 * supply, "n": 0.25 * supply}
    if name == "upper":
        rest["n"] = 0.0
    if name == "lower":
        rest["p"] = supply
    inner = {"p": "xamplifier.p", "n": "xamplifier.n", "in": "in", "out": "out"}
    lines = ["* inner nodes and ports, held", *(f"v{k} {inner[k]} 0 {spice_number(v)}" for k, v in rest.items())]
    sweeps = [
        f"v{node} {' '.join(spice_number(x) for x in (a, b + step / 2, step))}"
        for node, (a, b, step) in zip(STAGE_SWEEPS[name], (first, second), strict=True)
    ]
    return build_netlist(
        chip,
        f"stages of the amplifier, {name}",
        [*amplifier_blocks(chip), supplies(chip), "\n".join([*lines, _amplifier(chip)])],
        [f"i(v{node})" for node in rest],
        notes=["Currents into the inner nodes of the amplifier against their voltages."],
        analyses=[f".dc {' '.join(sweeps)}"],
    )


def build_stage_response(chip: Chip, voltages: Floats, shaken: Sequence[str], frequency: float = 1e6) -> Netlist:
    """Build amplifiers side by side, all nodes held, some of them shaken by 1 V.

    Parameters
    ----------
    chip : Chip
        The chip.
    voltages : ndarray of shape (amplifiers, 4)
        Of in, p, n and out [V].
    shaken : sequence of str
        Which of them carry the alternating voltage.
    frequency : float
        Its frequency [Hz].

    Returns
    -------
    Netlist
        Probes ``i(vin_K)``, ``i(vp_K)``, ``i(vn_K)``, ``i(vout_K)``.
    """
    lines, probes = ["* amplifiers, their nodes held and shaken"], []
    for k, row in enumerate(np.asarray(voltages, dtype=float)):
        lines.append(_amplifier(chip, f"amplifier_{k}", f"_{k}"))
        nodes = {"in": f"in_{k}", "p": f"xamplifier_{k}.p", "n": f"xamplifier_{k}.n", "out": f"out_{k}"}
        for (node, place), value in zip(nodes.items(), row, strict=True):
            ac = " ac 1" if node in shaken else ""
            lines.append(f"v{node}_{k} {place} 0 dc {spice_number(value)}{ac}")
            probes.append(f"i(v{node}_{k})")
    return build_netlist(
        chip,
        f"capacitances of the amplifier, {' and '.join(shaken)} shaken",
        [*amplifier_blocks(chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=["Currents into the nodes of the amplifier for a small alternating voltage at some of them."],
        analyses=[f".ac lin 1 {spice_number(frequency)} {spice_number(frequency)}"],
    )


def build_cell_response(chip: Chip, g: float, frequency: float = 1e6) -> Netlist:
    """Build a cell at rest whose bit line is shaken by 1 V.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : float
        Conductance of the device [S].
    frequency : float
        Frequency of the alternating voltage [Hz].

    Returns
    -------
    Netlist
        Probes ``i(vword)`` and ``i(vbit)``: currents that the cell delivers into its lines.
    """
    reference = spice_number(chip.sense_amplifier.v_reference)
    circuit = [
        "* both lines at the reference, the bit line shaken",
        f"vword word 0 {reference}",
        f"vbit bit 0 dc {reference} ac 1",
        half_line(chip, "cell", "word", "bit", g),
    ]
    return build_netlist(
        chip,
        f"small signals of a {chip.cell.kind} cell",
        [*cell_blocks(chip), gate_supply(chip), "\n".join(circuit)],
        ["i(vword)", "i(vbit)"],
        notes=["Currents of a memory cell for a small alternating voltage on its bit line."],
        analyses=[f".ac lin 1 {spice_number(frequency)} {spice_number(frequency)}"],
    )


def build_feedback_response(chip: Chip, r_feedback: float, frequency: float = 1e6) -> Netlist:
    """Build a feedback resistor and its capacitor without their amplifier, the input shaken by 1 V.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float
        Feedback resistance [ohm].
    frequency : float
        Frequency of the alternating voltage [Hz].

    Returns
    -------
    Netlist
        Probes ``i(vin)`` and ``i(vout)``: currents that they deliver into input and output.
    """
    reference = spice_number(chip.sense_amplifier.v_reference)
    elements = [
        f"rf out in {spice_number(r_feedback)}",
        f"cf out in {spice_number(chip.sense_amplifier.c_feedback)}",
    ]
    circuit = [
        "* both ends at the reference, the input shaken",
        f"vin in 0 dc {reference} ac 1",
        f"vout out 0 dc {reference}",
        with_passives("\n".join(elements), chip.process),
    ]
    return build_netlist(
        chip,
        f"small signals of a feedback, {r_feedback:g} ohm",
        ["\n".join(circuit)],
        ["i(vin)", "i(vout)"],
        notes=["Currents of a feedback for a small alternating voltage at its input."],
        analyses=[f".ac lin 1 {spice_number(frequency)} {spice_number(frequency)}"],
    )
