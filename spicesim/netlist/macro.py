"""A whole macro: a tile, and on the outputs of its read-outs successive-approximation converters, in one transient.

Nothing stands between an amplifier, or the buffer of a floating line, and the array that samples it. Rest, change of
codes, settling, sampling, bits; or of integrators reset, pulses, sampling, bits; or of floating lines rest, bits of the
inputs one after the other, sampling, bits.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import charge_dac_blocks, charge_references
from spicesim.netlist.comparator import comparator_blocks
from spicesim.netlist.hold import held_after
from spicesim.netlist.integrator import converter_load
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import converting
from spicesim.netlist.plane_adder import PlaneSteps
from spicesim.netlist.pulses import PulseSchedule
from spicesim.netlist.sar_adc import (
    ConverterLogic,
    converter_lines,
    longest_step,
    multiplexer_line,
)
from spicesim.netlist.sar_logic import logic_blocks
from spicesim.netlist.sizes import require_sizes
from spicesim.netlist.step import RESET, STEP_TIME, CodeStep, reset_source
from spicesim.netlist.tile import build_tile
from spicesim.units import format_si, spice_number

__all__ = ["AT_REST", "MacroRead", "build_macro", "sampling_start"]

AT_REST = 10e-9
"""From the beginning until converters sample where amplifiers are at rest with their codes, so that comparators strobe
before [s]."""
_AFTER = 0.3e-9
"""How long to watch after the last bit [s]."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MacroRead:
    """Which outputs of a tile are converted, when, and by what."""

    converters: Mapping[int, SarAdc]
    """Sizes of the converter of each column that is read by one; all of one resolution and timing."""
    polarity: Polarity
    """Whether their range lies around the reference or below it."""
    t_read: float = AT_REST
    """From the change of codes until they begin to sample [s]; see :func:`sampling_start`."""
    held: float | None = None
    """Voltage that arrays hold from before, with the bits set that are set while sampling [V]; by default the
    reference."""
    shared: int = 1
    """So many neighbouring columns share a converter, which converts one after the other."""

    def __post_init__(self) -> None:
        if not self.converters or min(self.converters) < 0:
            raise SpecError(f"a macro needs columns to convert, 0 or more, got {list(self.converters)}")
        if not 0 < self.t_read < np.inf:
            raise SpecError(f"converters must begin to sample after the change of codes, got {self.t_read} s after it")
        if self.shared < 1:
            raise SpecError(f"a converter reads 1 column or more, got {self.shared}")
        for own in self.groups.values():
            if any(self.converters[column] != self.converters[own[0]] for column in own):
                raise SpecError(f"columns {own} share a converter, and so its sizes; those given differ")
        first = self.sizes
        for column, sizes in self.converters.items():
            if (sizes.dac.bits, sizes.sample, sizes.bit) != (first.dac.bits, first.sample, first.bit):
                raise SpecError(
                    f"converters of one macro have one resolution and timing; that of column {column} differs"
                )

    @property
    def sizes(self) -> SarAdc:
        """Sizes of the first converter, whose resolution and times are those of all."""
        return next(iter(self.converters.values()))

    @property
    def start(self) -> float:
        """When converters begin to sample [s]."""
        return STEP_TIME + self.t_read

    @property
    def stop(self) -> float:
        """When the last bit is there [s]."""
        return self.start + max(map(len, self.groups.values())) * self.sizes.conversion

    @property
    def groups(self) -> dict[int, list[int]]:
        """Columns of each converter, in the order in which it reads them; converters have the name of their first."""
        groups: dict[int, list[int]] = {}
        for column in sorted(self.converters):
            groups.setdefault(column // self.shared, []).append(column)
        return {columns[0]: columns for columns in groups.values()}

    def turn(self, column: int) -> int:
        """Return how many columns its converter reads before it."""
        return next(own.index(column) for own in self.groups.values() if column in own)

    def end(self, column: int) -> float:
        """Return when the last bit of a column is there [s]."""
        return self.start + (self.turn(column) + 1) * self.sizes.conversion

    def bit_nodes(self, column: int) -> list[str]:
        """Return the nodes of a column's bits, least significant first; 0 or 1 at :meth:`end`."""
        first = next(first for first, own in self.groups.items() if column in own)
        return [f"xconverter_{first}.q_{k}" for k in range(self.sizes.dac.bits)]


def sampling_start(chip: Chip, sizes: SarAdc, polarity: Polarity, t_read: float | None = None) -> float:
    """Return :attr:`MacroRead.t_read`, when converters begin to sample [s].

    Parameters
    ----------
    chip : Chip
        The chip.
    sizes : SarAdc
        Of the converters.
    polarity : {"unipolar", "bipolar"}
        Of the inputs.
    t_read : float, optional
        From the change of codes until sampling ends [s]; by default amplifiers have settled before it begins,
        integrators hold what pulses brought, and buffers have followed what hold switches keep.

    Raises
    ------
    SpecError
        If sampling would begin before the codes change, or `t_read` is given for pulses or floating lines.
    """
    if chip.sense_amplifier.kind == "voltage":
        if t_read is not None:
            raise SpecError("floating lines are sampled hold.settle after their inputs have changed; leave t_read out")
        if chip.hold.adds_planes:
            return PlaneSteps.of(chip, [0], 0).read - STEP_TIME
        return chip.hold.settle + held_after(chip)
    if t_read is None:
        return PulseSchedule.of_chip(chip, polarity).read - STEP_TIME if chip.dac.kind == "pulse" else AT_REST
    if chip.dac.kind == "pulse":
        raise SpecError("pulses have a time of their own, from the reset to the read; leave t_read out")
    if t_read <= sizes.sample:
        raise SpecError(
            f"sampling takes {format_si(sizes.sample, 's')} and ends {format_si(t_read, 's')} after the change of "
            "codes; set t_read above sar_adc.sample"
        )
    return t_read - sizes.sample


def build_macro(
    chip: Chip,
    g: npt.ArrayLike,
    codes: npt.ArrayLike | CodeStep | PlaneSteps,
    read: MacroRead,
    *,
    polarity: Polarity,
    r_feedback: float,
    nodesets: Mapping[str, float] | None = None,
) -> Netlist:
    """Build a tile with converters at transistor level; their logic alone is behavioural, unless it is of cells.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns)
        Conductances of the devices [S].
    codes : array_like of int, shape (rows,), or CodeStep, or PlaneSteps
        DAC codes: amplifiers have settled, or these are pulses of a product from the reset on, or planes of bits. A
        step starts from rest at the codes before it, and outputs are sampled settled or not; its own times to watch do
        not count.
    read : MacroRead
        What is converted.
    polarity, r_feedback, nodesets
        As of :func:`spicesim.netlist.tile.build_tile`.

    Returns
    -------
    Netlist
        Probes ``time``, ``v(out_J)`` and, of each converter, ``v(xconverter_J.top)`` and ``v(xconverter_J.q_K)``: bits
        as 0 or 1, to be read at :meth:`MacroRead.end`.

    Raises
    ------
    SpecError
        If ideal buffers read floating bit lines, a converter has no column, and as :func:`build_tile`.
    """
    if chip.has_ideal_buffers:
        raise SpecError(
            f"a hold capacitor of {format_si(chip.hold.capacitor, 'F')} cannot drive a converter's array of "
            f"{format_si(read.sizes.dac.total, 'F')}: there is no macro of floating bit lines without a buffer between "
            "them; set hold.buffer = opamp, or audit outputs and converters apart"
        )
    alone = chip.changed(adc={"kind": "ideal"})  # its converters are those below
    tile = build_tile(alone, g, codes, polarity=polarity, r_feedback=r_feedback, nodesets=nodesets)
    columns = np.shape(g)[1]
    if max(read.converters) >= columns:
        raise SpecError(f"column {max(read.converters)} has a converter, but the tile has {columns} columns only")
    blocks, section = _converters(chip, read)
    require_sizes(chip.process, blocks)
    new = [block for block in blocks if block not in tile.body]  # the ladder of a DAC has the same switches
    others = set(range(columns)) - set(read.converters) if chip.dac.kind == "pulse" else ()
    loads = [line for j in sorted(others) for line in converter_load(chip, f"load_{j}", f"out_{j}")]
    stop = spice_number(read.stop + _AFTER)
    probes = [f"v({node})" for j in read.groups for node in (f"xconverter_{j}.top", *read.bit_nodes(j))]
    outputs = [f"v(out_{j})" for j in range(columns)]
    return dataclasses.replace(
        tile,
        title=f"{tile.title}, {len(read.groups)} converters of {read.sizes.dac.bits} bits",
        body="\n\n".join([tile.body, *new, section, *(["\n".join(loads)] if loads else [])]),
        probes=("time", *outputs, *probes),
        analyses=(f".tran 0.5n {stop} 0 {spice_number(longest_step(read.sizes))}",),
        options=converting(chip, read.sizes)
        + (" method=gear" if chip.dac.kind == "pulse" else ""),  # as of products by pulses
    )


def _converters(chip: Chip, read: MacroRead) -> tuple[list[str], str]:
    """Format the subcircuits of converters, one for each kind of them, and their instances with what they share."""
    count = max(map(len, read.groups.values()))
    logic = ConverterLogic(
        supply=chip.process.supply, sizes=read.sizes, polarity=read.polarity, start=read.start,
        period=2 * read.stop if count == 1 else read.sizes.conversion, count=count,
    )  # fmt: skip
    kinds: dict[SarAdc, str] = {}
    for sizes in read.converters.values():
        kinds.setdefault(sizes, f"_{len(kinds)}" if kinds else "")
    blocks, ports = comparator_blocks(chip), ["v0", "v1", "vref", "vdd", "reset", *logic.nodes]
    for sizes, suffix in kinds.items():
        blocks += charge_dac_blocks(chip, sizes.dac, f"charge_dac{suffix}")
        if logic.is_of_cells:
            blocks += logic_blocks(chip, sizes, read.polarity, f"sar_logic{suffix}")
        blocks.append(
            "\n".join(
                [
                    f"* converter{suffix}: sampling switch, charge-redistribution DAC, comparator; logic",
                    f"* ports       in, then what all converters share: {' '.join(ports[:5])} and their clocks",
                    "* parameters  held   voltage of the array before, for as long as reset is 1 [V]",
                    f".subckt converter{suffix} in {' '.join(ports)} held={spice_number(_held(chip, read))}",
                    *converter_lines(chip, sizes, "in", f"charge_dac{suffix}"),
                    f"breset 0 top i={spice_number(RESET)}*v(reset)*({{held}}-v(top))",
                    *logic.own(f"sar_logic{suffix}"),
                    f".ends converter{suffix}",
                ]
            )
        )
    lines = [
        charge_references(chip, read.sizes.dac, falling=True),
        f"* converters: they sample from {format_si(read.start, 's')} on; their clocks are sources of time",
        reset_source(),
        *logic.sampling(),
        *logic.beginning(),
        *(line for k in range(read.sizes.dac.bits) for line in logic.trial(k)),
        *(logic.turn(k, f"turn_{k}") for k in range(count) if chip.adc.columns > 1),
    ]
    for j, columns in read.groups.items():
        source = f"common_{j}" if chip.adc.columns > 1 else f"out_{j}"
        if chip.adc.columns > 1:
            for k, column in enumerate(columns):
                lines += multiplexer_line(chip, read.sizes, f"mux_{column}", f"out_{column}", source, f"turn_{k}")
        lines.append(f"xconverter_{j} {source} {' '.join(ports)} converter{kinds[read.converters[j]]}")
    return list(dict.fromkeys(blocks)), "\n".join(lines)


def _held(chip: Chip, read: MacroRead) -> float:
    return chip.sense_amplifier.v_reference if read.held is None else read.held
