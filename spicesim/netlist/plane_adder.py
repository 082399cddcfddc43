"""Bit planes of floating lines added as charge: the circuit at a line's foot, its clocks, and benches of it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Integers
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.buffer import buffer_blocks, buffer_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.netlist.step import STEP_TIME
from spicesim.units import format_si, spice_number

__all__ = [
    "GAP",
    "SUMMED_AFTER",
    "PlaneSteps",
    "adder_blocks",
    "adder_line",
    "build_plane_sums",
    "read_after",
    "summed_times",
]

EDGE = 0.1e-9
"""Rise and fall time of controls and bits [s]."""
GAP = 1e-9
"""From the fall of one control until the other rises [s]."""
SUMMED_AFTER = 5e-9
"""From the end of the last plane until the sum is read [s]: all switches are off, and nothing has leaked away."""


def adder_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`adder_line` calls."""
    return [block_text("hold", chip), block_text("plane_adder", chip), *buffer_blocks(chip)]


def adder_line(chip: Chip, name: str, node_in: str, node_held: str, node_out: str) -> str:
    """Format the instance of one adder; its controls are ``track`` and ``share``.

    Where a buffer loads the capacitor of the sum, as much is added to the other, so that both stay alike.
    """
    sizes = chip.hold
    line = (
        f"x{name} {node_in} {node_held} {node_out} track share vdd 0 plane_adder c={spice_number(sizes.capacitor)}"
        f" w={spice_number(sizes.switch_width)} l={spice_number(chip.process.min_length)}"
    )
    if not sizes.is_buffered or not sizes.balance:
        return line
    return f"{line}\ncbalance_{name} {node_held} 0 {spice_number(sizes.balance)}"


def read_after(chip: Chip, least: float) -> float:
    """Return how long after the last switch has opened an output is read [s]: `least`, or until its buffer follows."""
    return chip.hold.buffer_settle if chip.hold.is_buffered else least


def _waveform(name: str, node: str, levels: Sequence[tuple[float, float]], reference: str = "0") -> str:
    """Format a source that takes each of some levels [V] from its time on [s]; the first one's is the start."""
    points = [f"0 {spice_number(levels[0][1])}"]
    for (_, before), (time, after) in pairwise(levels):
        if before == after:
            continue
        points += [f"{spice_number(time - EDGE / 2)} {spice_number(before)}"]
        points += [f"{spice_number(time + EDGE / 2)} {spice_number(after)}"]
    if len(points) == 1:  # which is no waveform to VACASK
        return f"v{name} {node} {reference} {spice_number(levels[0][1])}"
    return f"v{name} {node} {reference} pwl({' '.join(points)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSteps:
    """Bits of all drivers one after the other, the least first, from the inputs' rest; controls of the adders.

    The second capacitor is cut off at rest; then every plane takes `settle`, until the first one holds it, and `share`,
    in which both are joined.
    """

    codes: tuple[int, ...]
    """Whole codes, one a driver."""
    rest: int
    """Bit of all drivers before, 0 or 1."""
    bits: int
    """Planes."""
    settle: float
    """From a change of bits until the adders hold the lines [s]."""
    share: float
    """From then until the next change [s]."""
    begin: float = STEP_TIME + GAP
    """Of the first plane [s]."""
    after: float = SUMMED_AFTER
    """From the end of the last plane until the sum is read [s]."""
    source_names: tuple[str, ...] = field(init=False)
    """Sources of the bits, for probes of their currents."""

    def __post_init__(self) -> None:
        if not self.share >= 3 * GAP or not self.settle > 2 * EDGE:
            raise SpecError(
                f"planes take hold.share of {3 * GAP:g} s or more and a hold.settle beyond {2 * EDGE:g} s, got "
                f"{self.share:g} and {self.settle:g}; lengthen them"
            )
        if not all(0 <= code < 2**self.bits for code in self.codes):
            raise SpecError(f"codes of {self.bits} planes must be integers in 0..{2**self.bits - 1}")
        names = tuple(f"vbits_{code}" for code in sorted(set(self.codes)))
        object.__setattr__(self, "source_names", names)

    @classmethod
    def of(cls, chip: Chip, codes: npt.ArrayLike, rest: int) -> Self:
        """Return those of a chip for codes (rows,)."""
        whole = tuple(int(code) for code in np.asarray(codes))
        sizes = chip.hold
        return cls(
            codes=whole, rest=rest, bits=chip.dac.bits, settle=sizes.settle, share=sizes.share,
            after=read_after(chip, SUMMED_AFTER),
        )  # fmt: skip

    def starts(self) -> list[float]:
        """Return when each plane begins, and when the last one has ended [s]."""
        return [self.begin + k * (self.settle + self.share) for k in range(self.bits + 1)]

    @property
    def before(self) -> Integers:
        """Codes, one a driver, for the words of the netlist."""
        return np.array(self.codes, dtype=np.int64)

    def nodes(self, dac: int, bits: int) -> list[str]:
        """Return the node that the one bit of a driver is tied to."""
        return [f"bits_{self.codes[dac]}"] * bits

    def sources(self, supply: float) -> str:
        """Format the sources of the bits, one for all drivers of a code."""
        starts = self.starts()
        lines = ["* bits of each code, the least significant first"]
        for code in sorted(set(self.codes)):
            levels = [(0.0, supply * self.rest)] + [(starts[k], supply * (code >> k & 1)) for k in range(self.bits)]
            lines.append(_waveform(f"bits_{code}", f"bits_{code}", levels))
        return "\n".join(lines)

    def controls(self, supply: float) -> str:
        """Format the sources of ``track`` and ``share``."""
        track, share = [(0.0, supply)], [(0.0, supply), (STEP_TIME, 0.0)]
        *starts, _ = self.starts()
        for start in starts:
            opens = start + self.settle
            track += [(start, supply), (opens, 0.0)]
            share += [(opens + GAP, supply), (opens + self.share - GAP, 0.0)]
        head = "* adders: both controls high at rest, then track a plane, share it with the sum of those before"
        return "\n".join([head, _waveform("track", "track", track), _waveform("share", "share", share)])

    @property
    def read(self) -> float:
        """When the sum is read [s]."""
        return self.starts()[-1] + self.after

    @property
    def analysis(self) -> str:
        """The analysis card."""
        step = spice_number(self.settle / 40)
        return f".tran {step} {spice_number(self.read + 2 * GAP)} 0 {step}"


def build_plane_sums(chip: Chip, stored: npt.ArrayLike, sampled: npt.ArrayLike) -> Netlist:
    """Build a testbench of adders between ideal sources, each of which joins a voltage and one stored before.

    Parameters
    ----------
    chip : Chip
        The chip.
    stored, sampled : array_like of shape (adders,)
        What the sources are at first, and then, above the reference [V].

    Returns
    -------
    Netlist
        Probes ``time``, ``v(held_K)`` and ``v(out_K)``; see :func:`summed_times`.

    Raises
    ------
    SpecError
        If there is not a pair for each.
    """
    first, second = np.asarray(stored, dtype=float), np.asarray(sampled, dtype=float)
    if first.ndim != 1 or not first.size or first.shape != second.shape:
        raise SpecError(f"adders need two voltages each, got shapes {first.shape} and {second.shape}")
    high, (before, after) = chip.process.supply, summed_times(chip)
    lines = ["* adders, each between a source and nothing"]
    for k, (low, then) in enumerate(zip(first, second, strict=True)):
        lines.append(_waveform(f"in_{k}", f"in_{k}", [(0.0, float(low)), (STEP_TIME + GAP, float(then))], "vref"))
        lines.append(adder_line(chip, f"hold_{k}", f"in_{k}", f"held_{k}", f"out_{k}"))
        if chip.hold.is_buffered:
            lines.append(buffer_line(chip, f"buffer_{k}", f"out_{k}", f"buffered_{k}"))
    opens = before - GAP / 2
    track = [(0.0, high), (opens, 0.0)]
    levels = [(0.0, high), (STEP_TIME, 0.0), (opens + GAP, high), (opens + chip.hold.share - GAP, 0.0)]
    controls = [_waveform("track", "track", track), _waveform("share", "share", levels)]
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"{len(first)} adders of bit planes, {format_si(chip.hold.capacitor, 'F')} twice",
        [*adder_blocks(chip), supplies(chip), "\n".join(controls), "\n".join(lines)],
        ["time", *(f"v({node}_{k})" for node in ("held", "out") for k in range(len(first)))],
        notes=["Two capacitors with a voltage each, and what becomes of both as a switch joins them."],
        analyses=[f".tran 0.1n {spice_number(after + GAP)} 0 0.1n"],
        nodesets={f"{n}_{k}": reference + float(v) for k, v in enumerate(first) for n in ("held", "out")},
    )  # fmt: skip


def summed_times(chip: Chip) -> tuple[float, float]:
    """Return when adders of :func:`build_plane_sums` have both voltages, and when they have joined them [s]."""
    opens = STEP_TIME + GAP + read_after(chip, 20e-9)
    return opens + GAP / 2, opens + chip.hold.share + read_after(chip, SUMMED_AFTER)
