"""The charge-redistribution DAC: binary capacitors on one top plate, of any resolution, and a testbench."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import ChargeDac
from spicesim.errors import SpecError
from spicesim.netlist.drawing import draw_charge_dac
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.passives import capacitor_line
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = [
    "build_charge_dac",
    "charge_dac_blocks",
    "charge_references",
    "step_source",
    "switch_widths",
]


_OPTIONS = ".options klu reltol=1e-5 vntol=1e-7 abstol=1e-13"
"""Twenty microvolts of a top plate at 2 V, in a third of the time that the tightest tolerances take."""


def charge_dac_blocks(chip: Chip, sizes: ChargeDac, name: str = "charge_dac") -> list[str]:
    """Return the DAC's subcircuit, of that name, and those it calls.

    Ports: top, b0 (least significant) .. bN-1, v0, v1, vdd, vss. A bit puts its bottom plate at v1, else it is at v0.
    """
    if sizes.span >= chip.process.supply:
        raise SpecError(f"a span of {sizes.span:g} V does not fit into the supply of {chip.process.supply:g} V")
    length = spice_number(chip.process.min_length)
    lines = [
        f"* {name}: {sizes.bits}-bit charge-redistribution DAC",
        *draw_charge_dac(sizes.bits),
        "* ports       top, bits from the least significant, v0 v1 (bottom plate of a bit that is 0, 1), vdd vss",
        f".subckt {name} top {' '.join(f'b{k}' for k in range(sizes.bits))} v0 v1 vdd vss",
        capacitor_line(chip.process, "cend", "top", "v0", sizes.unit),
    ]
    for k, (capacitor, width) in enumerate(zip(sizes.capacitors, switch_widths(sizes), strict=True)):
        lines += [
            capacitor_line(chip.process, f"c{k}", "top", f"s{k}", capacitor),
            f"xsw{k} s{k} v0 v1 b{k} vdd vss switch w={spice_number(width)} l={length}",
        ]
    return [block_text("switch", chip), "\n".join([*lines, f".ends {name}"])]


def switch_widths(sizes: ChargeDac) -> list[float]:
    """Return the widths of the bits' switches, least significant first [m]."""
    least = max(sizes.switch_width / 4, 0.5e-6)
    return [max(sizes.switch_width * 2.0 ** (k - sizes.bits + 1), least) for k in range(sizes.bits)]


def charge_references(chip: Chip, sizes: ChargeDac, *, falling: bool = False) -> str:
    """Format the sources of v0 and v1; `falling` exchanges them, so that a bit lowers the top plate."""
    half = sizes.span / 2 * (-1 if falling else 1)
    return (
        "* references of the capacitors, around the common one\n"
        f"v0 v0 vref {spice_number(-half)}\n"
        f"v1 v1 vref {spice_number(half)}"
    )


def step_source(name: str, node: str, times: npt.ArrayLike, levels: Sequence[float], edge: float) -> str:
    """Format a source that has each level from its time on; all times but the first lie in the middle of an edge."""
    points = [f"0 {spice_number(levels[0])}"]
    for time, before, after in zip(np.asarray(times)[1:], levels, levels[1:], strict=False):
        if before != after:
            points.append(f"{spice_number(time - edge / 2)} {spice_number(before)}")
            points.append(f"{spice_number(time + edge / 2)} {spice_number(after)}")
    return f"v{name} {node} 0 pwl({' '.join(points)})"


def build_charge_dac(
    chip: Chip, codes: npt.ArrayLike, sizes: ChargeDac | None = None, *, slot: float = 40e-9
) -> Netlist:
    """Build a testbench that shows a sequence of codes to the DAC, each after a reset of the top plate.

    In the first half of a slot all bits are 0 and the top plate is switched to the reference; in the second half it is
    free and has the code.

    Parameters
    ----------
    chip : Chip
        The chip.
    codes : array_like of int, shape (codes,)
        The codes.
    sizes : ChargeDac, optional
        Of the DAC.
    slot : float
        Time a code [s]; the output is to be read at its end.

    Returns
    -------
    Netlist
        Probe ``v(top)``.
    """
    sizes = sizes or chip.charge_dac
    values = np.asarray(codes)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu":
        raise SpecError(f"codes must be a sequence of integers, got {values.dtype} of shape {values.shape}")
    if values.min() < 0 or values.max() >= 2**sizes.bits:
        raise SpecError(f"codes must lie in 0..{2**sizes.bits - 1}")
    supply, edge = chip.process.supply, 0.2e-9
    # the reset ends a little before the code begins
    reset_times = np.concatenate([[k * slot, (k + 0.45) * slot] for k in range(len(values))])
    code_times = np.concatenate([[k * slot, (k + 0.5) * slot] for k in range(len(values))])
    lines = [
        "* controls",
        step_source("rst", "rst", reset_times, [supply, 0.0] * len(values), edge),
        *(
            step_source(f"b{k}", f"b{k}", code_times, np.outer(values >> k & 1, [0.0, supply]).ravel().tolist(), edge)
            for k in range(sizes.bits)
        ),
        "* the converter, and the switch that resets its top plate; its other throw ends in a large resistor",
        f"xdac top {' '.join(f'b{k}' for k in range(sizes.bits))} v0 v1 vdd 0 charge_dac",
        f"xreset vref idle top rst vdd 0 switch w=1e-06 l={spice_number(chip.process.min_length)}",
        "ridle idle vref 1e9",
    ]  # fmt: skip
    netlist = build_netlist(
        chip,
        f"{sizes.bits}-bit charge-redistribution DAC",
        [*charge_dac_blocks(chip, sizes), supplies(chip), charge_references(chip, sizes), "\n".join(lines)],
        ["time", "v(top)", "i(vdd)", "i(v0)", "i(v1)"],
        notes=[f"One code each {format_si(slot, 's')}; the top plate is reset in the first half of it."],
        analyses=[f".tran 1n {spice_number(len(values) * slot)} 0 2n"],
    )
    return dataclasses.replace(netlist, options=_OPTIONS)
