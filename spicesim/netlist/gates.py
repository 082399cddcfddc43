"""Testbench of a row whose gates are driven: its driver turns all of its cells on, and another's off."""

from dataclasses import replace

from spicesim.chip import Chip
from spicesim.netlist.cell import cell_blocks, half_line
from spicesim.netlist.dac import dac_blocks, dac_line, dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sense_amplifier import supplies
from spicesim.netlist.step import CodeStep
from spicesim.units import spice_number

__all__ = ["build_gate_steps"]


def build_gate_steps(chip: Chip, *, stop: float = 60e-9) -> Netlist:
    """Build two rows of an array, of which one is turned on and the other off.

    The cells, with largest devices, lie between the word lines' supply and held bit lines, without wires.

    Parameters
    ----------
    chip : Chip
        The chip; a row has as many cells as its array.
    stop : float
        Time to watch after the step [s].

    Returns
    -------
    Netlist
        Probes ``v(gate_K)`` and the currents of the sources of each driver, ``vdd_K``, ``vrise_K`` and ``vfall_K``; the
        step is at 1 ns.
    """
    step = CodeStep(before=(0, 1), after=(1, 0), stop=stop, resolution=0.5e-9)
    supply = chip.process.supply
    lines, probes = ["* drivers, each with its own supply and bits"], ["time"]
    for k in range(2):
        lines += [
            f"vdd_{k} vdd_{k} 0 {spice_number(supply)}",
            *(line.replace(" rise ", f"_{k} rise_{k} ").replace(" fall ", f"_{k} fall_{k} ")
              for line in step.sources(supply).splitlines()[1:]),
            dac_line(chip, f"dac_{k}", f"gate_{k}", [f"{step.nodes(k, 1)[0]}_{k}"], rails=f"_{k}"),
        ]  # fmt: skip
        probes += [f"v(gate_{k})", *(f"i({name}_{k})" for name in ("vdd", "vrise", "vfall"))]
    lines.append(f"* cells of both rows, {chip.array.columns} each")
    for k in range(2):
        for j in range(chip.array.columns):
            line = half_line(chip, f"c_{k}_{j}", "read", "vref", chip.cell.g_max, half=j % 2)
            lines.append(line.replace(" gate ", f" gate_{k} "))
    built = build_netlist(
        chip,
        f"gates of two rows of {chip.array.columns} cells",
        [*dac_blocks(chip), *cell_blocks(chip), supplies(chip), dac_references(chip, "unipolar"), "\n".join(lines)],
        probes,
        notes=["Voltages of gates and supply currents of their drivers, while row 0 is turned on and row 1 off."],
        analyses=[step.analysis],
        nodesets={"gate_0": 0.0, "gate_1": supply},
    )
    # by the trapezoidal rule a switch's currents ring on from step to step after its edges, and with them its energy
    return replace(built, options=f"{built.options} method=gear")
