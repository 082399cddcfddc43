"""The buffer between a hold capacitor and a converter: the operational amplifier in unity feedback."""

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import spice_number

__all__ = ["buffer_blocks", "buffer_line", "build_buffers"]


def buffer_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`buffer_line` calls; none where buffers are ideal."""
    return [block_text("opamp", chip)] if chip.hold.is_buffered else []


def buffer_line(chip: Chip, name: str, node_in: str, node_out: str, supply: str = "vdd") -> str:
    """Format the instance of one buffer."""
    sizes = chip.hold
    return (
        f"x{name} {node_in} {node_out} {node_out} {supply} 0 opamp ibias={spice_number(sizes.buffer_current)}"
        f" drive={spice_number(sizes.buffer_drive)}"
    )


def build_buffers(chip: Chip, volts: npt.ArrayLike) -> Netlist:
    """Build a testbench of buffers at rest, each between an ideal source and nothing, with a supply of its own.

    Parameters
    ----------
    chip : Chip
        The chip.
    volts : array_like of shape (buffers,)
        What is held, above the reference [V].

    Returns
    -------
    Netlist
        Probes ``v(out_K)`` and ``i(vdd_K)``.

    Raises
    ------
    SpecError
        If there is no voltage.
    """
    held = np.asarray(volts, dtype=float)
    if held.ndim != 1 or not held.size:
        raise SpecError(f"buffers need a voltage each, got shape {held.shape}")
    supply, reference = spice_number(chip.process.supply), chip.sense_amplifier.v_reference
    lines = ["* buffers"]
    for k, v in enumerate(held):
        lines += [
            f"vin_{k} in_{k} vref {spice_number(float(v))}",
            f"vdd_{k} vdd_{k} 0 {supply}",
            buffer_line(chip, f"buffer_{k}", f"in_{k}", f"out_{k}", f"vdd_{k}"),
        ]
    return build_netlist(
        chip,
        f"{len(held)} buffers behind hold capacitors",
        [*buffer_blocks(chip), supplies(chip), "\n".join(lines)],
        [f"{probe}_{k})" for k in range(len(held)) for probe in ("v(out", "i(vdd")],
        notes=["Output of buffers against what they hold."],
        analyses=[".op"],
        nodesets={f"out_{k}": reference + float(v) for k, v in enumerate(held)},
    )
