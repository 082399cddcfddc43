"""The SAR ADC's logic at transistor level, of the library's standard cells: sequencer, bits, and what drives them.

A row of flip-flops counts the strobes, one after the other goes high, and each lets a flip-flop of the second row take
what the comparator said: so the flip-flop of trial k ends it and begins that of bit k - 1. The comparator's outputs
return to low between strobes, so a latch keeps what they said. While sampling, or while `clear` is high, all flip-flops
are low, and no state is left of what was before.
"""

from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.netlist.charge_dac import switch_widths
from spicesim.netlist.process import block_text
from spicesim.units import spice_number

__all__ = ["CELLS", "logic_blocks", "logic_ports"]

CELLS = ("inverter", "nand2", "nor2", "dff")
"""Subcircuits of the library that the logic is made of."""
NARROWEST = 0.42e-6
"""Least width of an n-channel transistor; there models of kits end [m]."""
FAN_OUT = 4.0
"""Gate width that a cell drives, as a multiple of its own input's; near 4 a chain of inverters is fastest."""
_INPUT, _CLOCK, _RESET = 3.5, 7.5, 7.0
"""Gate widths at an input of a cell, and at `ck` and `rn` of a flip-flop, in widths of its n-channel transistors."""
_SWITCH = 3.5e-6
"""The same of the inverter within the library's switch [m]; its transmission gates add 3.5 times their width."""


def logic_ports(bits: int) -> str:
    """Return the ports of the logic of a converter.

    In: strobe, command (high while it samples), clear, outp and outn of the comparator. Out: clk of the comparator,
    sample of its switch, b0 (least significant) .. bN-1 of the DAC.
    """
    return f"strobe command clear outp outn clk sample {' '.join(f'b{k}' for k in range(bits))} vdd vss"


def logic_blocks(chip: Chip, sizes: SarAdc, polarity: Polarity, name: str = "sar_logic") -> list[str]:
    """Return the subcircuit of a converter's logic, of that name, and the cells it calls; ports: :func:`logic_ports`.

    Cells have the least width unless they drive more than :data:`FAN_OUT` times their own input.
    """
    return [*(block_text(cell, chip) for cell in CELLS), "\n".join(_controller(chip, sizes, polarity, name))]


def _controller(chip: Chip, sizes: SarAdc, polarity: Polarity, name: str) -> list[str]:
    bits, length = sizes.dac.bits, chip.process.min_length
    top, least = bits - 1, max(1.5 * length, NARROWEST)
    comparator = sizes.comparator

    def driver(load: float) -> float:
        return max(least, load / (FAN_OUT * _INPUT))

    def call(cell: str, label: str, nodes: str, width: float = least) -> str:
        return f"x{label} {nodes} vdd vss {cell} w={spice_number(width)} l={spice_number(length)}"

    def chain(label: str, nodes: str, load: float) -> list[str]:
        """Format inverters from the first of some nodes to the last, which has that load of gates [m]."""
        every, lines = nodes.split(), []
        for k in reversed(range(len(every) - 1)):
            width = driver(load)
            lines.append(call("inverter", f"{label}{k}", f"{every[k]} {every[k + 1]}", width))
            load = _INPUT * width
        return lines[::-1]

    clocks = bits * _CLOCK * least
    resets = (2 * _RESET * bits + (_INPUT * top if polarity == "unipolar" else 0.0)) * least
    strobed = comparator.input_width + 4 * comparator.reset_width + _INPUT * driver(clocks)
    lines = [
        f"* {name}: logic of a {bits}-bit successive-approximation ADC, {polarity}",
        "*",
        "*   vdd ──[ dff ]── t_N-1 ──[ dff ]── t_N-2 ── ..      counts strobes; t_k is high when bit k is decided",
        "*             │               │",
        "*   lower ──[ dff ]─ d_N-1 ─[ dff ]─ d_N-2 ── ..       d_k falls if the top plate lay below the level",
        "*",
        f"*   b_k = t_k+1 and d_k, {'or clear, or while it samples' if polarity == 'unipolar' else 'b_N-1 = d_N-1'}",
        "*",
        "* ports       strobe command clear, outp outn of the comparator; clk sample and bits, to be driven; vdd vss",
        f".subckt {name} {logic_ports(bits)}",
        "* strobes of the comparator, whose ends are the clock; sampling; reset of all flip-flops, active low",
        *chain("strobe", "strobe strobe_n clk", strobed),
        *chain("clock", "clk ck", clocks),
        *chain("sample", "command command_n sample", _SWITCH + 3.5 * sizes.switch_width),
        call("nor2", "clear", "command clear r"),
        *chain("reset", "r r_n rn", resets),
        "* what the comparator said, lower while sampling: else simulators find the latch between its states",
        call("inverter", "outp", "outp set"),
        call("nor2", "outn", "outn r_n unset"),
        call("nand2", "higher", "set latched higher"),
        call("nand2", "latched", "unset higher latched"),
        *chain("said", "higher lower", _INPUT * least * bits),
        "* bits, from the most significant one on",
    ]
    for k, width in reversed(list(enumerate(switch_widths(sizes.dac)))):
        load = _SWITCH + 3.5 * width
        before = "vdd" if k == top else f"t_{k + 1}"
        lines += [
            call("dff", f"t_{k}", f"{before} ck rn t_{k} nt_{k}"),
            call("dff", f"d_{k}", f"lower t_{k} rn nd_{k} d_{k}"),
        ]
        if k == top:
            lines += chain(f"b_{k}_", f"d_{k} n_{k} b{k}", load)
        elif polarity == "unipolar":
            lines += [
                call("nand2", f"n_{k}", f"t_{k + 1} d_{k} n_{k}"),
                call("nand2", f"b_{k}", f"n_{k} rn b{k}", driver(load)),
            ]
        else:
            lines += [
                call("nand2", f"n_{k}", f"t_{k + 1} d_{k} n_{k}"),
                call("inverter", f"b_{k}", f"n_{k} b{k}", driver(load)),
            ]
    return [*lines, f".ends {name}"]
