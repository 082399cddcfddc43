"""Many instances of a block in one netlist, named as in a tile, so that each is the device that the tile has there."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.cell import cell_blocks, cell_form, cell_line, gate_supply, pair_line
from spicesim.netlist.dac import dac_blocks, dac_line, dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.units import spice_number

__all__ = ["build_cells", "build_dacs", "build_sense_amplifiers"]


def build_dacs(
    chip: Chip, polarity: Polarity, indices: Sequence[int], codes: Sequence[int], *, load: float = 0.0
) -> Netlist:
    """Build word-line drivers that take the same codes.

    Parameters
    ----------
    chip : Chip
        The chip.
    polarity : {"unipolar", "bipolar"}
        Which references the drivers have.
    indices : sequence of int
        Word lines whose drivers they are.
    codes : sequence of int
        Evenly spaced codes.
    load : float
        Current out of each [A].

    Returns
    -------
    Netlist
        Probes ``v(dac_I)``, one value a code.
    """
    bits, supply = range(chip.dac.level_bits), chip.process.supply
    lines = ["* the code as a voltage, and its bits", "vcode code 0 0"]
    for k in bits:
        scaled, double = f"(v(code)+0.5)/{2**k}", f"(v(code)+0.5)/{2 ** (k + 1)}"
        lines.append(f"bb{k} b{k} 0 v={spice_number(supply)}*(floor({scaled})-2*floor({double}))")
    nodes = [f"b{k}" for k in bits]
    lines += ["* drivers", *(dac_line(chip, f"dac_{i}", f"dac_{i}", nodes) for i in indices)]
    if load:
        lines += ["* loads", *(f"iload_{i} dac_{i} 0 {spice_number(load)}" for i in indices)]
    low = chip.sense_amplifier.v_reference - (chip.dac.v_span if polarity == "bipolar" else 0.0)
    return build_netlist(
        chip,
        f"{len(indices)} {'DACs' if chip.dac.is_dac else 'word-line drivers'}, {polarity}",
        [*dac_blocks(chip), supplies(chip), dac_references(chip, polarity), "\n".join(lines)],
        [f"v(dac_{i})" for i in indices],
        notes=[f"{'Loaded' if load else 'Unloaded'} outputs of many word-line drivers at the same codes."],
        analyses=[f".dc vcode {codes[0]} {codes[-1]} {codes[1] - codes[0]}"],
        nodesets={f"dac_{i}": low for i in indices},
    )  # fmt: skip


def build_sense_amplifiers(
    chip: Chip, r_feedback: float, indices: Sequence[int], gains: npt.ArrayLike, currents: npt.ArrayLike,
    shifts: npt.ArrayLike = 0.0,
) -> Netlist:  # fmt: skip
    """Build sense amplifiers that take the same currents, each with a shift and a gain of its own.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float
        Feedback resistance [ohm].
    indices : sequence of int
        Bit lines whose amplifiers they are.
    gains : array_like of shape (amplifiers,)
        What the current of each is divided by [1].
    currents : array_like of shape (points,)
        Rising currents, with any spacing [A].
    shifts : array_like of shape (amplifiers,)
        What is added to the current of each before it is divided [A].

    Returns
    -------
    Netlist
        Probes ``v(sense_J)`` and ``v(out_J)``, one value a current.
    """
    reference, grid = chip.sense_amplifier.v_reference, np.asarray(currents, dtype=float)
    scale = float(np.abs(grid).max())
    table = ", ".join(f"{k}, {spice_number(i / scale)}" for k, i in enumerate(grid))
    lines = ["* the current, relative to its largest, at each index", "vindex index 0 0"]
    lines.append(f"bdrive drive 0 v=pwl(v(index), {table})")
    own = zip(indices, np.asarray(gains, dtype=float), np.broadcast_to(shifts, len(indices)), strict=True)
    for j, gain, shift in own:
        lines.append(f"gin_{j} 0 sense_{j} drive 0 {spice_number(scale / gain)}")
        lines.append(f"ishift_{j} 0 sense_{j} {spice_number(float(shift) / gain)}")
        lines.append(amplifier_line(chip, f"senseamp_{j}", f"sense_{j}", f"out_{j}", r_feedback))
    probes = [f"v({name}_{j})" for j in indices for name in ("sense", "out")]
    high = chip.process.supply - 0.05  # the sweep starts with the outputs at the upper rail
    nodesets = {f"sense_{j}": reference for j in indices} | {f"out_{j}": high for j in indices}
    return build_netlist(
        chip,
        f"{len(indices)} transimpedance amplifiers, {r_feedback:g} ohm",
        [*amplifier_blocks(chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=["Inputs and outputs of many sense amplifiers at the same currents, each with its own shift and gain."],
        analyses=[f".dc vindex 0 {len(grid) - 1} 1"],
        nodesets=nodesets,
    )


def build_cells(chip: Chip, rows: Sequence[int], g: npt.ArrayLike, v: float) -> Netlist:
    """Build an array's cells one by one, all at the same voltage, bit lines at the reference.

    Parameters
    ----------
    chip : Chip
        The chip.
    rows : sequence of int
        Word lines whose cells they are.
    g : array_like of shape (rows, columns)
        Conductances of their devices [S]; 0 is an open cell.
    v : float
        Voltage across the cells [V].

    Returns
    -------
    Netlist
        Probes ``i(vsense_I_J)`` of all cells that are not open.
    """
    reference, devices = chip.sense_amplifier.v_reference, np.asarray(g, dtype=float)
    if chip.cell.is_paired and devices.shape[1] % 2:
        raise SpecError(f"a 2t2r cell takes two columns, got {devices.shape[1]} columns")
    cells = {f"{i}_{j}": float(own) for i, row in zip(rows, devices, strict=True) for j, own in enumerate(row) if own}
    lines, form = [f"vref bl 0 {spice_number(reference)}", f"vwl wl 0 {spice_number(reference + v)}"], cell_form(chip)
    for i, row in zip(rows, devices.tolist(), strict=True):
        if chip.cell.is_paired:
            lines += [
                pair_line(f"c_{i}_{j // 2}", "wl", (f"bl_{i}_{j}", f"bl_{i}_{j + 1}"), (row[j], row[j + 1]))
                for j in range(0, len(row), 2)
            ]
        else:
            lines += [cell_line(form, f"c_{i}_{j}", "wl", f"bl_{i}_{j}", own) for j, own in enumerate(row) if own]
    lines += [f"vsense_{name} bl_{name} bl 0" for name in cells]
    return build_netlist(
        chip,
        f"{len(cells)} {chip.cell.kind} cells",
        [*cell_blocks(chip), gate_supply(chip), "\n".join(lines)],
        [f"i(vsense_{name})" for name in cells],
        notes=["Currents of many cells at the same voltage."],
    )
