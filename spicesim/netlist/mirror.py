"""The current-mirror readout of a bit line, and testbenches of it."""

import numpy as np

from spicesim.chip import Chip
from spicesim.chip.blocks import Mirror
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = ["build_mirror", "build_mirror_step", "mirror_blocks", "mirror_line"]


def mirror_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`mirror_line` calls."""
    return [block_text(name, chip) for name in ("ota", "mirror")]


def mirror_line(chip: Chip, name: str, node_in: str, node_out: str, sizes: Mirror | None = None) -> str:
    """Format the instance of one mirror."""
    sizes = sizes or chip.mirror
    if sizes.length < chip.process.min_length * (1 - 1e-9):
        raise SpecError(f"a mirror's length of {sizes.length:g} m is below the process's {chip.process.min_length:g} m")
    return (
        f"x{name} {node_in} {node_out} vref vdd 0 mirror ratio={sizes.ratio} w={spice_number(sizes.width)}"
        f" l={spice_number(sizes.length)} ibias={spice_number(sizes.bias_current)} cc={spice_number(sizes.capacitor)}"
    )


def _bench(
    chip: Chip, sizes: Mirror | None, source: str, r_column: float, analyses: list[str], probes: list[str]
) -> Netlist:
    lines = [
        "* a column of cells and a current into it; the output is held, and measured",
        f"iin 0 in {source}",
        f"rcolumn in vref {spice_number(r_column)}",
        "ccolumn in 0 0.5p",
        mirror_line(chip, "mirror", "in", "out", sizes),
        f"vout out 0 {spice_number(chip.sense_amplifier.v_reference)}",
    ]
    return build_netlist(
        chip,
        "current-mirror readout",
        [*mirror_blocks(chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=[f"A bit line of {format_si(r_column, 'ohm')}, read by a current mirror; i(vout) is minus the copy."],
        analyses=analyses,
        nodesets={"in": chip.sense_amplifier.v_reference},
    )


def build_mirror(
    chip: Chip,
    i_limit: float,
    *,
    sizes: Mirror | None = None,
    output: bool = False,
    r_column: float = 1e6,
    points: int = 101,
) -> Netlist:
    """Build a testbench that sweeps the current from 0 to its limit, or the output's voltage at the limit.

    Parameters
    ----------
    chip : Chip
        The chip.
    i_limit : float
        Largest current into the bit line [A].
    sizes : Mirror, optional
        Of the mirror.
    output : bool
        Whether to sweep the output's voltage from 0 to the supply instead.
    r_column : float
        Resistance of the column's cells to the reference [ohm].
    points : int
        Points of the sweep.
    """
    if not (np.isfinite(i_limit) and i_limit > 0):
        raise SpecError(f"the current into a mirror must be positive, got a limit of {i_limit:g} A")
    last = chip.process.supply if output else i_limit
    step = last / (points - 1)
    first = 0.0 if output else step  # without any current a mirror is off
    card = (
        f".dc {'vout' if output else 'iin'} {spice_number(first)} {spice_number(last + step / 2)} {spice_number(step)}"
    )
    source = spice_number(i_limit if output else 0.0)
    return _bench(chip, sizes, source, r_column, [card], ["i(vout)", "v(in)", "v(out)", "i(vdd)"])


def build_mirror_step(
    chip: Chip, before: float, after: float, *, sizes: Mirror | None = None, r_column: float = 1e4
) -> Netlist:
    """Build a testbench that steps the current at 100 ns; arguments as for :func:`build_mirror`, currents [A]."""
    source = f"pwl(0 {spice_number(before)} 100n {spice_number(before)} 100.5n {spice_number(after)})"
    return _bench(chip, sizes, source, r_column, [".tran 1n 2.1u 0 5n"], ["time", "i(vout)", "v(in)", "i(vdd)"])
