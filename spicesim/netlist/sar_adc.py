"""The successive-approximation ADC, and a testbench that converts a sequence of voltages.

The array samples with some bits set, which puts the input range around the reference, or all of it below. Comparator,
sampling switch and charge-redistribution DAC are transistors and capacitors. The logic is ideal: sources of time that
say which bit is tried, and one capacitor a bit that keeps its decision, whose energy is not counted. Or it is of
standard cells on a supply of its own, which needs strobes and a command to sample.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.charge_dac import charge_dac_blocks, charge_references, step_source, switch_widths
from spicesim.netlist.comparator import comparator_blocks, comparator_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.pace import converting
from spicesim.netlist.process import block_text
from spicesim.netlist.sar_logic import logic_blocks, logic_ports
from spicesim.netlist.sense_amplifier import supplies
from spicesim.netlist.step import RESET, STEP_TIME, reset_source
from spicesim.units import format_si, spice_number

__all__ = [
    "LOGIC_PROBES",
    "OPENED",
    "PROBE_CURRENT",
    "ConverterLogic",
    "array_lines",
    "build_plate_switches",
    "build_sar_adc",
    "build_strobe",
    "build_thresholds",
    "converter_lines",
    "longest_step",
    "multiplexer_line",
]

_OPTIONS = ".options klu reltol=1e-4 vntol=1e-6 abstol=1e-12"
"""A twentieth of a step of 25 mV is allowed to the top plate; tighter tolerances take four times as long."""

PROBE_CURRENT = 1e-6
"""By which resistances of switches are found, small enough for them to be linear [A]."""

OPENED = 0.5e-9
"""When bits move after sampling, where ideal logic stands for that of cells: when the switch has opened [s]."""

LOGIC_PROBES = ("i(vdd_logic)", "v(strobe)", "i(bstrobe)", "v(command)", "i(vcommand)", "v(clk)")
"""What a testbench with logic of cells has beside: what it draws from its supply and its inputs, and the clock."""

TURN = 0.5e-9
"""From the turn of one column at a converter to that of the next, which begins half of it before it is sampled [s]."""
SKEW = 20e-12
"""Between edges of repeated conversions that would else be at one time but for its last digit; no simulator likes that
[s]."""
_LONGEST, _SHARES = 1e-9, (100, 50)
"""Time step that a simulator may take at most, or a hundredth of the sampling time if that is more, but no more than a
fiftieth of it [s]: with 2 ns arrays that are cut off after 20 are up to .6 mV off, with .5 ns .02."""
_STATE = 1e-12
"""Capacitor that keeps a bit of the logic [F]."""
_EARLIEST = 0.1e-9
"""When a strobe may begin at the earliest, so that comparators are reset at first [s]."""
_DRIVE = 10e-3
"""Conductance that sets it [S]; 0.1 ns."""


def _pulse(name: str, high: float, start: float, width: float, period: float, edge: float = 0.1e-9) -> str:
    """Format a source that is high for `width` from `start` on, in each period; one that starts at 0 begins high."""
    levels = (0.0, high) if start else (high, 0.0)
    numbers = (start, edge, edge, width - edge, period) if start else (width, edge, edge, period - width - edge, period)
    return f"v{name} {name} 0 pulse({' '.join(map(spice_number, (*levels, *numbers)))})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConverterLogic:
    """What converters that work together have for logic: when each bit is tried and decided, and what it is.

    It is all behavioural, or sources for what the logic of cells takes from outside.
    """

    supply: float
    """Of the chip [V]."""
    sizes: SarAdc
    """Of the converters."""
    polarity: Polarity
    """Where the range lies."""
    start: float = 0.0
    """When they begin to sample [s]; before, their bits wait as they are while sampling."""
    period: float
    """From one conversion to the next [s]."""
    count: int = 1
    """Conversions."""
    opened: float = 0.0
    """From the end of sampling until bits of a unipolar range leave where they were while sampling [s]; at 0 the switch
    is still conducting, and some charge is lost."""

    @property
    def phases(self) -> tuple[str, ...]:
        """Nodes of the sources that all converters share, but for those that each bit has."""
        return ("sample", "clk", "clear", *(("begin",) if self.polarity == "unipolar" else ()))

    @property
    def is_of_cells(self) -> bool:
        """Whether each converter has logic of standard cells."""
        return self.sizes.logic == "cells"

    @property
    def nodes(self) -> list[str]:
        """All nodes that they share."""
        if self.is_of_cells:
            return ["strobe", "command", "clear", "vdd_logic"]
        bits = range(self.sizes.dac.bits)
        return [*self.phases, *(f"try_{k}" for k in bits[:-1]), *(f"keep_{k}" for k in bits)]

    def sampling(self) -> list[str]:
        """Format the sources that say when to sample and when to compare.

        Converters that wait strobe once before they sample: the tail of a comparator's pair that has never been pulled
        down takes more charge of the top plate at its first strobe, which the plate then lacks in all trials after it.
        """
        sizes, bits = self.sizes, self.sizes.dac.bits
        first = self.start + sizes.sample
        starts = {f"strobe_{k}": first + (bits - 1 - k + 2 / 3) * sizes.bit for k in range(bits)}
        before = {"strobe_before": max(self.start - sizes.bit / 2, _EARLIEST)} if self.start else {}
        sample, clock = ("command", "strobe") if self.is_of_cells else ("sample", "clk")
        return [
            _pulse(sample, self.supply, self.start, sizes.sample, self.period),
            *(_pulse(name, self.supply, start, sizes.bit / 3, self.period) for name, start in starts.items()),
            *(_pulse(name, self.supply, start, sizes.bit / 3, self._ever) for name, start in before.items()),
            f"b{clock} {clock} 0 v={'+'.join(f'v({name})' for name in starts | before)}",
            *(self._starting() if self.is_of_cells else self._clearing()),
        ]

    def _starting(self) -> list[str]:
        """Format what logic of cells has beside them: its supply, and its reset until the first sampling."""
        return [
            f"vdd_logic vdd_logic 0 {spice_number(self.supply)}",
            _pulse("clear", self.supply, 0.0, self.start + self.sizes.sample / 2, self._ever),
        ]

    def _clearing(self) -> list[str]:
        """Format what brings bits to where they are while sampling, from the beginning on and in each sampling."""
        width = 0.9 * self.sizes.sample
        if not self.start or self.count == 1:
            return [_pulse("clear", 1.0, 0.0, self.start + width, self.period)]
        return [
            _pulse("clear_0", 1.0, 0.0, self.start + width, self._ever),
            _pulse("clear_1", 1.0, self.start + self.period + SKEW, width, self.period),
            "bclear clear 0 v=v(clear_0)+v(clear_1)",
        ]

    def turn(self, k: int, name: str) -> str:
        """Format the source that puts the k-th column on its converter, for a whole conversion, the first from rest on.

        So what they have in common never floats; no simulator likes a node of a femtofarad that does.
        """
        first, last = (self.start + j * self.period for j in (k, k + 1))
        begin = first - TURN / 2 if k else 0.0
        return _pulse(name, self.supply, begin, last - 1.5 * TURN - begin, self._ever)

    @property
    def _ever(self) -> float:
        """Later than all conversions [s]."""
        return self.start + (self.count + 1) * self.period

    def beginning(self) -> list[str]:
        """Format the source that ends sampling where all bits were set: the first trial has the greatest one alone."""
        if self.polarity == "bipolar" or self.is_of_cells:
            return []
        return [_pulse("begin", 1.0, self.start + self.sizes.sample + self.opened, 0.5e-9, self.period)]

    def trial(self, k: int) -> list[str]:
        """Format the sources that try and keep bit `k`; logic of cells knows by itself."""
        if self.is_of_cells:
            return []
        first = self.start + self.sizes.sample + (self.sizes.dac.bits - 1 - k) * self.sizes.bit
        last = _pulse(f"keep_{k}", 1.0, first + 0.93 * self.sizes.bit, 0.06 * self.sizes.bit, self.period)
        begin = first if self.count == 1 else first + SKEW  # a strobe ends as the next trial begins
        return [*([] if self._is_top(k) else [_pulse(f"try_{k}", 1.0, begin, 0.5e-9, self.period)]), last]

    def decision(self) -> str:
        """Format what a converter's comparator says, as 0 or 1."""
        return f"bsaid said 0 v=v(outp)/{spice_number(self.supply)}"

    def bit(self, k: int) -> list[str]:
        """Format a converter's bit `k`."""
        trial = "" if self._is_top(k) else f"+v(try_{k})*(1-v(q_{k}))"
        if self.polarity == "unipolar" and not self._is_top(k):
            trial += f"+v(begin)*(0-v(q_{k}))"
        return [
            f"bq_{k} 0 q_{k} i={spice_number(_DRIVE)}*(v(clear)*({self.sizes.sampled(self.polarity) >> k & 1}"
            f"-v(q_{k})){trial}+v(keep_{k})*(v(said)-v(q_{k})))",
            f"cq_{k} q_{k} 0 {spice_number(_STATE)}",
            f"rq_{k} q_{k} 0 1e12",  # for the operating point; a second is far longer than a conversion
            f"eb{k} b{k} 0 q_{k} 0 {spice_number(self.supply)}",
        ]

    def own(self, name: str = "sar_logic") -> list[str]:
        """Format the logic of one converter; of cells it is a subcircuit of that name, and its bits as 0 or 1."""
        bits = range(self.sizes.dac.bits)
        if not self.is_of_cells:
            return [self.decision(), *(line for k in bits for line in self.bit(k))]
        ports = logic_ports(len(bits)).replace(" vdd vss", " vdd_logic 0")
        scale = spice_number(1 / self.supply)
        return [f"xlogic {ports} {name}", *(f"eq_{k} q_{k} 0 b{k} 0 {scale}" for k in bits)]

    def _is_top(self, k: int) -> bool:
        return k == self.sizes.dac.bits - 1


def converter_lines(chip: Chip, sizes: SarAdc, node_in: str, dac: str = "charge_dac") -> list[str]:
    """Format the transistors of one converter: sampling switch, DAC (a subcircuit of that name), comparator."""
    length = spice_number(chip.process.min_length)
    return [
        f"xsample {node_in} idle top sample vdd 0 switch w={spice_number(sizes.switch_width)} l={length}",
        f"ridle idle {node_in} 1e9",
        f"xdac top {' '.join(f'b{k}' for k in range(sizes.dac.bits))} v0 v1 vdd 0 {dac}",
        "rlevel vref level 100",
        comparator_line(chip, "comparator", "top", "level", "clk", "outp", "outn", sizes.comparator),
        "coutp outp 0 5f",
        "coutn outn 0 5f",
    ]


def multiplexer_line(chip: Chip, sizes: SarAdc, name: str, node_in: str, node_out: str, control: str) -> list[str]:
    """Format the transmission gate that puts a column's output on a converter while its control is high."""
    width, length = spice_number(sizes.switch_width), spice_number(chip.process.min_length)
    return [
        f"x{name} {node_in} idle_{name} {node_out} {control} vdd 0 switch w={width} l={length}",
        f"ridle_{name} idle_{name} {node_in} 1e9",
    ]


def build_sar_adc(
    chip: Chip,
    voltages: npt.ArrayLike,
    sizes: SarAdc | None = None,
    polarity: Polarity = "bipolar",
    *,
    opened: float = 0.0,
    start: float = 0.0,
    rests: bool = False,
) -> Netlist:
    """Build a testbench that converts voltages one after the other.

    Parameters
    ----------
    chip : Chip
        The chip; the input range is the DAC's span around ``sense_amplifier.v_reference``, or below it.
    voltages : array_like of shape (conversions,)
        Inputs [V].
    sizes : SarAdc, optional
        Of the ADC.
    polarity : {"bipolar", "unipolar"}
        Whether the range lies around the reference or below it: outputs of amplifiers for unipolar inputs.
    opened : float
        As :attr:`ConverterLogic.opened` [s]; :data:`OPENED` is as logic of cells has it.
    start : float
        When the first conversion begins [s]; before, the comparator strobes once, as in macros.
    rests : bool
        Whether the array is at the reference until then, as in macros; `start` must be later than
        :data:`~spicesim.netlist.step.STEP_TIME`. By default nothing says where it is.

    Returns
    -------
    Netlist
        Probes ``v(q_K)``: bits as 0 or 1, to be read at the end of each conversion; ``v(top)``; ``v(level)``, what it
        is compared with; supply currents.
    """
    sizes = sizes or chip.converter or chip.sar_adc
    values = np.asarray(voltages, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise SpecError(f"inputs of an ADC must be finite numbers, got shape {values.shape}")
    supply, period = chip.process.supply, sizes.conversion
    if values.min() < 0 or values.max() > supply:
        raise SpecError(f"inputs of an ADC must lie within the supply, 0..{supply:g} V")
    if rests and start <= STEP_TIME:
        raise SpecError(f"an array that rests must begin to sample after {STEP_TIME} s, got {start}")
    bits = range(sizes.dac.bits)
    times = np.arange(len(values)) * period
    times[1:] += start
    is_single = len(values) == 1  # nothing comes again, also where the only one begins later than its clocks
    logic = ConverterLogic(
        supply=supply, sizes=sizes, polarity=polarity, start=start, opened=opened, count=len(values) if start else 1,
        period=2 * (start + period) if start and is_single else period,
    )  # fmt: skip
    lines = [
        "* input, one voltage a conversion",
        step_source("in", "in", times, values.tolist(), 0.2e-9),
        "* sampling switch, DAC, comparator",
        *converter_lines(chip, sizes, "in"),
        *([reset_source(), f"breset 0 top i={spice_number(RESET)}*v(reset)*(v(vref)-v(top))"] if rests else ()),
        *_logic_lines(logic),
    ]
    probes = ["time", "v(top)", "v(level)", "i(vdd)", "i(v0)", "i(v1)", *(f"v(q_{k})" for k in bits)]
    netlist = build_netlist(
        chip,
        f"{sizes.dac.bits}-bit successive-approximation ADC",
        [
            *charge_dac_blocks(chip, sizes.dac),
            *comparator_blocks(chip),
            *(logic_blocks(chip, sizes, polarity) if logic.is_of_cells else ()),
            supplies(chip),
            charge_references(chip, sizes.dac, falling=True),
            "\n".join(lines),
        ],
        [*probes, *(LOGIC_PROBES if logic.is_of_cells else ())],
        notes=[
            f"One conversion each {format_si(period, 's')}. Comparator, switches and DAC are transistors;",
            "so is the logic, of standard cells: the sources below 'logic' are its clock and its command to sample."
            if logic.is_of_cells
            else "the logic is behavioural (sources b*, e*, v* below 'logic').",
        ],
        analyses=[f".tran 0.5n {spice_number(start + len(values) * period)} 0 {spice_number(longest_step(sizes))}"],
    )
    return dataclasses.replace(netlist, options=_OPTIONS)


def longest_step(sizes: SarAdc) -> float:
    """Return the longest time step of transients with a converter [s]."""
    least, most = (sizes.sample / share for share in _SHARES)
    return min(max(_LONGEST, least), most)


def _logic_lines(logic: ConverterLogic) -> list[str]:
    """Format the logic of one converter, from the most significant bit on."""
    if logic.is_of_cells:
        title = "* logic: strobes and a command to sample from outside, all else of cells"
        return [title, *logic.sampling(), *logic.own()]
    return [
        "* logic, behavioural: sample; then from the most significant bit on, try it and keep what the comparator says",
        *logic.sampling(),
        logic.decision(),
        *logic.beginning(),
        *(line for k in reversed(range(logic.sizes.dac.bits)) for line in (*logic.trial(k), *logic.bit(k))),
    ]


def build_thresholds(
    chip: Chip,
    count: int,
    sizes: SarAdc | None = None,
    starts: npt.ArrayLike = 0.0,
    steps: npt.ArrayLike = (0.0,),
    switches: npt.ArrayLike | None = None,
) -> Netlist:
    """Build a testbench that searches for the threshold of each of several comparators of the ADC.

    Each looks at an array of its own, whose switches stand still, at the ADC's strobes. After each decision a current
    takes the top plate towards the threshold, by less every time.

    Parameters
    ----------
    chip : Chip
        The chip.
    count : int
        Comparators, ``xcomparator_0`` and so on.
    sizes : SarAdc, optional
        Of the ADC.
    starts : array_like of shape (count,), or one number
        Where each search begins, above the reference [V].
    steps : array_like
        By how much it goes on after each decision [V]; by default there is one.
    switches : array_like of shape (bits,) or (count, bits), optional
        Resistances that stand for the switches of the arrays, as found by :func:`build_plate_switches` [ohm]; most of
        the time goes into transistors that stand still.

    Returns
    -------
    Netlist
        Probes ``v(top_K)`` and ``v(level_K)``, to be read before each strobe, and ``v(outp_K)``, at its end.
    """
    sizes = sizes or chip.converter or chip.sar_adc
    supply, period, capacitor = chip.process.supply, sizes.bit, sizes.dac.total
    # the current flows while the ADC keeps a bit
    edge, begin, width = 0.1e-9, 0.93 * period, 0.06 * period
    points, on = ["0 0"], np.asarray(steps, dtype=float)
    for k, step in enumerate(on):
        times = k * period + begin + np.array([0.0, edge, width - edge, width])
        current = step * capacitor / (width - edge)
        points += [
            f"{spice_number(t)} {spice_number(i)}" for t, i in zip(times, (0.0, current, current, 0.0), strict=True)
        ]
    lines = [
        "* strobes, and the current of a step [A] as a voltage",
        _pulse("clk", supply, period * 2 / 3, period / 3, period),
        f"vstep step 0 pwl({' '.join(points)})",
        "* comparators, each with its array and its level",
    ]
    held = [None] * count if switches is None else np.broadcast_to(switches, (count, sizes.dac.bits))
    for k, start in enumerate(np.broadcast_to(starts, count)):
        lines += [
            *array_lines(sizes, k, held[k]),
            f"vstart_{k} start_{k} vref {spice_number(start)}",
            f"rtop_{k} top_{k} start_{k} 1e12",  # for the operating point
            f"btop_{k} 0 top_{k} i=v(step)*(1-2*v(outp_{k})/{spice_number(supply)})",
            f"rlevel_{k} vref level_{k} 100",
            comparator_line(
                chip, f"comparator_{k}", f"top_{k}", f"level_{k}", "clk", f"outp_{k}", f"outn_{k}", sizes.comparator
            ),
            f"coutp_{k} outp_{k} 0 5f",
            f"coutn_{k} outn_{k} 0 5f",
        ]
    netlist = build_netlist(
        chip,
        f"thresholds of {count} comparators of an ADC",
        [
            *(charge_dac_blocks(chip, sizes.dac) if switches is None else ()),
            *comparator_blocks(chip),
            supplies(chip),
            charge_references(chip, sizes.dac, falling=True),
            "\n".join(lines),
        ],
        ["time", *(f"v({node}_{k})" for k in range(count) for node in ("top", "level", "outp"))],
        notes=["Each comparator's input is taken towards its threshold after every decision, by less each time."],
        analyses=[f".tran 0.5n {spice_number(len(on) * period)} 0 1n"],
    )
    return dataclasses.replace(netlist, options=converting(chip, sizes.over(sizes.dac.span)))


def array_lines(
    sizes: SarAdc, k: int, switches: npt.ArrayLike | None = None, polarity: Polarity = "bipolar"
) -> list[str]:
    """Format the array of converter `k` with those bits set that are while it samples.

    Resistances stand for its switches where they are given, of shape (bits,) [ohm].
    """
    bits = [sizes.sampled(polarity) >> j & 1 for j in range(sizes.dac.bits)]
    if switches is None:
        return [f"xdac_{k} top_{k} {' '.join('vdd' if bit else '0' for bit in bits)} v0 v1 vdd 0 charge_dac"]
    lines = [f"cend_{k} top_{k} v0 {spice_number(sizes.dac.unit)}"]
    ohms = np.asarray(switches, dtype=float)
    for j, (capacitor, ohm, bit) in enumerate(zip(sizes.dac.capacitors, ohms, bits, strict=True)):
        lines.append(f"c{j}_{k} top_{k} s{j}_{k} {spice_number(capacitor)}")
        lines.append(f"r{j}_{k} s{j}_{k} {'v1' if bit else 'v0'} {spice_number(ohm)}")
    return lines


def build_plate_switches(chip: Chip, code: int, sizes: SarAdc | None = None) -> Netlist:
    """Build a testbench of the switches of the DAC's bits, set as in a code, each with :data:`PROBE_CURRENT`.

    Returns
    -------
    Netlist
        Probes ``v(s_K)``, and ``v(v0)``, where switches of bits that are not set lead, and ``v(v1)``.
    """
    sizes = sizes or chip.converter or chip.sar_adc
    bits, length = range(sizes.dac.bits), spice_number(chip.process.min_length)
    lines = ["* switches, and their currents"]
    for k, width in enumerate(switch_widths(sizes.dac)):
        control = "vdd" if code >> k & 1 else "0"
        lines += [
            f"xsw_{k} s_{k} v0 v1 {control} vdd 0 switch w={spice_number(width)} l={length}",
            f"i_{k} 0 s_{k} {spice_number(PROBE_CURRENT)}",
        ]
    return build_netlist(
        chip,
        "switches of a charge-redistribution DAC",
        [
            block_text("switch", chip),
            supplies(chip),
            charge_references(chip, sizes.dac, falling=True),
            "\n".join(lines),
        ],
        ["v(v0)", "v(v1)", *(f"v(s_{k})" for k in bits)],
        notes=["What each switch drops tells its resistance."],
        analyses=[".op"],
    )


def build_strobe(chip: Chip, sizes: SarAdc | None = None) -> Netlist:
    """Build the first strobe of :func:`build_thresholds` with one comparator, finely resolved.

    Returns
    -------
    Netlist
        Probes ``@m.xcomparator_0.m1[gm]`` and the same of ``m2``: transconductances of its input pair.

    Raises
    ------
    SpecError
        If the process's transistors are not called as bare models: what they are called within is not known.
    """
    if chip.process.call != "M":
        raise SpecError(
            f"transconductances need transistors that are called as bare models; set process.call = 'M' for "
            f"{chip.process.name!r}"
        )
    sizes = sizes or chip.converter or chip.sar_adc
    netlist, period = build_thresholds(chip, 1, sizes), sizes.bit
    return dataclasses.replace(
        netlist,
        title="the first strobe of a comparator of an ADC",
        probes=("time", *(f"@m.xcomparator_0.{device}[gm]" for device in ("m1", "m2"))),
        analyses=(f".tran 10p {spice_number(period)} 0 10p",),
    )
