"""Testbenches of steps: DACs that change their codes and amplifiers whose currents jump, each with its own supplies."""

from collections.abc import Sequence
from dataclasses import replace

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.netlist.dac import dac_blocks, dac_line, driver_words
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.netlist.step import CodeStep
from spicesim.units import spice_number

__all__ = ["build_current_steps", "build_dac_steps"]


def build_dac_steps(
    chip: Chip,
    polarity: Polarity,
    transitions: Sequence[tuple[int, int]],
    *,
    load: float = 0.0,
    capacitance: float = 0.0,
    stop: float = 100e-9,
) -> Netlist:
    """Build word-line drivers side by side, each of which makes one transition between two codes.

    Parameters
    ----------
    chip : Chip
        The chip.
    polarity : {"unipolar", "bipolar"}
        Which references the drivers have.
    transitions : sequence of (int, int)
        Codes before and after.
    load, capacitance : float
        From each output to the reference [S], [F].
    stop : float
        Time to watch after the step [s].

    Returns
    -------
    Netlist
        Probes ``v(out_K)`` and the currents of the sources of each driver, ``vdd_K``, ``vref_K``, ``vlo_K``, ``vhi_K``,
        ``vrise_K`` and ``vfall_K``; the step is at 1 ns.
    """
    step = CodeStep(
        before=[before for before, _ in transitions], after=[after for _, after in transitions], stop=stop,
        resolution=0.5e-9,
    )  # fmt: skip
    supply, reference = spice_number(chip.process.supply), spice_number(chip.sense_amplifier.v_reference)
    low, high = chip.sense_amplifier.v_reference, chip.sense_amplifier.v_reference + chip.dac.v_span
    if polarity == "bipolar":
        low -= chip.dac.v_span
    lines = ["* drivers, each with its own supply, references and bits; the load ends at a reference of its own"]
    probes = ["time"]
    lines.append(f"vload vload 0 {reference}")
    for k in range(len(transitions)):
        tied = [f"{node}_{k}" if node != "0" else "0" for node in step.nodes(k, chip.dac.level_bits)]
        lines += [
            f"vdd_{k} vdd_{k} 0 {supply}",
            f"vlo_{k} vlo_{k} 0 {spice_number(low)}",
            f"vhi_{k} vhi_{k} 0 {spice_number(high)}",
            *(line.replace(" rise ", f"_{k} rise_{k} ").replace(" fall ", f"_{k} fall_{k} ")
              for line in step.sources(chip.process.supply).splitlines()[1:]),
            dac_line(chip, f"dac_{k}", f"out_{k}", tied, rails=f"_{k}"),
        ]  # fmt: skip
        if load > 0:
            lines.append(f"rload_{k} out_{k} vload {spice_number(1 / load)}")
        if capacitance > 0:
            lines.append(f"cload_{k} out_{k} 0 {spice_number(capacitance)}")
        probes += [f"v(out_{k})", *(f"i({name}_{k})" for name in ("vdd", "vlo", "vhi", "vrise", "vfall"))]
    steps = 2**chip.dac.bits if chip.dac.is_dac else 1
    built = build_netlist(
        chip,
        f"{len(transitions)} code steps of the {driver_words(chip)}, {polarity}",
        [*dac_blocks(chip), "\n".join(lines)],
        probes,
        notes=["Outputs and supply currents of word-line drivers while their codes change."],
        analyses=[step.analysis],
        nodesets={f"out_{k}": low + (high - low) * before / steps for k, (before, _) in enumerate(transitions)},
    )
    if chip.dac.is_dac:
        return built
    # by the trapezoidal rule a switch's currents ring on from step to step after its edges, and with them its energy
    return replace(built, options=f"{built.options} method=gear")


def build_current_steps(
    chip: Chip, r_feedback: float, steps: Sequence[tuple[float, float]], *, stop: float, capacitance: float = 0.0
) -> Netlist:
    """Build sense amplifiers side by side, into each of which the current jumps.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float
        Feedback resistance [ohm].
    steps : sequence of (float, float)
        Current before and after the step, which takes 0.1 ns and is at 1 ns [A].
    stop : float
        Time to watch after the step [s].
    capacitance : float
        From each input to ground [F].

    Returns
    -------
    Netlist
        Probes ``v(out_K)``, ``v(sense_K)`` and the supply currents ``i(vdd_K)``.
    """
    reference = chip.sense_amplifier.v_reference
    lines = ["* amplifiers, each with its own supply"]
    probes = ["time"]
    nodesets = {}
    for k, (before, after) in enumerate(steps):
        wave = f"pwl(0 {spice_number(before)} 0.95n {spice_number(before)} 1.05n {spice_number(after)})"
        line = amplifier_line(chip, f"senseamp_{k}", f"sense_{k}", f"out_{k}", r_feedback)
        line = line.replace(" vdd ", f" vdd_{k} ")
        lines += [f"vdd_{k} vdd_{k} 0 {spice_number(chip.process.supply)}", f"iin_{k} 0 sense_{k} {wave}", line]
        if capacitance > 0:
            lines.append(f"csense_{k} sense_{k} 0 {spice_number(capacitance)}")
        probes += [f"v(out_{k})", f"v(sense_{k})", f"i(vdd_{k})"]
        nodesets[f"sense_{k}"] = reference
        nodesets[f"out_{k}"] = min(max(reference - r_feedback * before, 0.05), chip.process.supply - 0.05)
    return build_netlist(
        chip,
        f"{len(steps)} current steps into the transimpedance amplifier, {r_feedback:g} ohm",
        [*amplifier_blocks(chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=["Outputs, inputs and supply currents of sense amplifiers whose input currents jump."],
        analyses=[CodeStep(before=(), after=(), stop=stop).analysis],
        nodesets=nodesets,
    )
