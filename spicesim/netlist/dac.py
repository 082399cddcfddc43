"""The word-line driver: a DAC, such as an R-2R ladder with an output buffer, or a switch for a bit at a time."""

from collections.abc import Sequence
from typing import ClassVar

from PySpice.Spice.Netlist import SubCircuit

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.drawing import draw_ladder
from spicesim.netlist.driver import Driver
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.passives import with_passives
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.netlist.word_line_driver import driver_blocks, driver_line
from spicesim.own_code import load_class
from spicesim.units import spice_number

__all__ = [
    "KINDS",
    "MOST_BITS",
    "Ladder",
    "LadderDac",
    "bit_nodes",
    "build_dac",
    "code_bits",
    "dac_blocks",
    "dac_line",
    "dac_references",
    "driver_words",
]

MOST_BITS = 12
"""Finest ladder: beyond, its own mismatch is larger than a step, and a calibration would sweep every code."""


class LadderDac(SubCircuit):  # type: ignore[misc]  # PySpice has no types
    """R-2R ladder with a change-over switch a bit, buffered; a PySpice subcircuit named ``dac``.

    Ports: out, b0 (least significant) .. bN-1, vlo, vhi, vdd, vss. Output: vlo + (vhi - vlo) code / 2^N.

    Parameters
    ----------
    chip : Chip
        Gives resolution and sizes.

    Raises
    ------
    SpecError
        If it is to be finer than :data:`MOST_BITS`.
    """

    def __init__(self, chip: Chip) -> None:
        dac = chip.dac
        if dac.bits > MOST_BITS:
            raise SpecError(
                f"an R-2R ladder has at most {MOST_BITS} bits, got dac.bits = {dac.bits}; "
                "set fewer, or run the network on the engine ideal, which needs no calibration"
            )
        bits = range(dac.bits)
        super().__init__("dac", "out", *(f"b{k}" for k in bits), "vlo", "vhi", "vdd", "vss")
        unit, double = spice_number(dac.r_unit), spice_number(2 * dac.r_unit)
        self.R("end", "n0", "vlo", double)
        for k in bits:
            self.R(f"leg{k}", f"n{k}", f"s{k}", double)
            self.X(
                f"sw{k}", "switch", f"s{k}", "vlo", "vhi", f"b{k}", "vdd", "vss",
                w=spice_number(dac.switch_width), l=spice_number(chip.process.min_length),
            )  # fmt: skip
            if k:
                self.R(f"rung{k}", f"n{k - 1}", f"n{k}", unit)
        self.X(
            "buffer", "opamp", f"n{dac.bits - 1}", "out", "out", "vdd", "vss",
            ibias=spice_number(dac.buffer_current), drive=spice_number(dac.buffer_drive),
        )  # fmt: skip


class Ladder(Driver):
    """The R-2R ladder of the library."""

    words: ClassVar[str] = "R-2R DAC"

    def blocks(self, chip: Chip) -> list[str]:
        """Return ladder, switches and buffer."""
        bits = chip.dac.bits
        head = [f"* dac: {bits}-bit R-2R ladder, switches, and an amplifier as buffer", *draw_ladder(bits)]
        ladder = "\n".join([*head, with_passives(str(LadderDac(chip)).lower(), chip.process)])
        return [block_text("opamp", chip), block_text("switch", chip), ladder]


KINDS: dict[str, type[Driver]] = {"r2r": Ladder}
"""Those of the library that put out a voltage a code."""


def _find_driver(chip: Chip) -> Driver:
    kind = chip.dac.kind
    made: Driver = (KINDS[kind] if kind in KINDS else load_class(kind, Driver))()
    return made


def driver_words(chip: Chip) -> str:
    """Return what drives the word lines, in words."""
    return f"{chip.dac.bits}-bit {_find_driver(chip).words}" if chip.dac.is_dac else "word-line driver"


def dac_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`dac_line` calls.

    Raises
    ------
    SpecError
        If drivers of the user's own cannot be imported, or have no subcircuit that a tile could call.
    """
    return _find_driver(chip).checked_blocks(chip) if chip.dac.is_dac else driver_blocks(chip)


def dac_references(chip: Chip, polarity: Polarity) -> str:
    """Format the two reference voltages of all drivers; where these drive gates, the supply of all word lines."""
    if chip.cell.is_gated:
        return f"* supply of all word lines above the reference\nvread read vref {spice_number(chip.dac.v_span)}"
    low = 0.0 if polarity == "unipolar" else -chip.dac.v_span
    what = {"r2r": "ladder references"}.get(chip.dac.kind, "levels of the drivers")
    return (
        f"* {what} above the common one, {polarity}\n"
        f"vlo vlo vref {spice_number(low)}\n"
        f"vhi vhi vref {spice_number(chip.dac.v_span)}"
    )


def code_bits(code: int, bits: int) -> list[str]:
    """Return the nodes that the bits of a code are tied to, least significant first: ground or the supply."""
    return ["vdd" if code >> k & 1 else "0" for k in range(bits)]


def bit_nodes(chip: Chip) -> slice:
    """Return which nodes of :func:`dac_line` are the bits of a code."""
    return slice(1, 1 + chip.dac.level_bits) if chip.dac.is_dac else slice(0, 1)


def dac_line(chip: Chip, name: str, node_out: str, bit_nodes: Sequence[str], *, rails: str = "") -> str:
    """Format the instance of one driver; `rails` ends the names of its references and its supply.

    Of a row whose gates are driven it puts out ground or the supply.
    """
    vlo, vhi, vdd = (f"{node}{rails}" for node in ("vlo", "vhi", "vdd"))
    if not chip.dac.is_dac:
        levels = (vdd, "0") if chip.cell.is_gated else (vhi, vlo)
        return driver_line(chip, name, bit_nodes[0], node_out, rails=(*levels, vdd))
    return f"x{name} {node_out} {' '.join(bit_nodes)} {vlo} {vhi} {vdd} 0 dac"


def build_dac(
    chip: Chip,
    polarity: Polarity = "unipolar",
    *,
    i_limit: float = 0.0,
    load_points: int = 1,
    code_step: int = 1,
) -> Netlist:
    """Build a testbench that sweeps the code, and the load current within each code.

    Parameters
    ----------
    chip : Chip
        The chip.
    polarity : {"unipolar", "bipolar"}
        Which references the driver has.
    i_limit : float
        The load current goes from ``-i_limit`` to ``i_limit`` [A].
    load_points : int
        Load currents; 1 leaves the DAC unloaded.
    code_step : int
        Distance of the codes; 1 takes them all.
    """
    bits = chip.dac.level_bits
    driver = ["* the code as a voltage, and its bits"]
    driver += ["vcode code 0 0"]
    for k in range(bits):
        scaled, double = f"(v(code)+0.5)/{2**k}", f"(v(code)+0.5)/{2 ** (k + 1)}"
        driver.append(f"bb{k} b{k} 0 v={spice_number(chip.process.supply)}*(floor({scaled})-2*floor({double}))")
    circuit = [
        f"* the {'converter' if chip.dac.is_dac else 'driver'} under test; the load draws current out of it",
        dac_line(chip, "dac", "out", [f"b{k}" for k in range(bits)]),
        "iload out 0 0",
    ]
    sweep = f"vcode 0 {2**bits - 1} {code_step}"
    if load_points > 1:
        step = 2 * i_limit / (load_points - 1)
        sweep = f"iload {spice_number(-i_limit)} {spice_number(i_limit + step / 2)} {spice_number(step)} {sweep}"
    low = chip.sense_amplifier.v_reference - (chip.dac.v_span if polarity == "bipolar" else 0.0)
    if chip.cell.is_gated:
        low = 0.0
    return build_netlist(
        chip,
        f"{driver_words(chip)}{'' if chip.dac.is_dac else ' for bits'}, {polarity}",
        [
            *dac_blocks(chip),
            supplies(chip),
            dac_references(chip, polarity),
            "\n".join(driver),
            "\n".join(circuit),
        ],
        ["v(out)", "v(code)", "i(vdd)"],
        notes=["Output of one word-line driver against its code and its load current."],
        analyses=[f".dc {sweep}"],
        nodesets={"out": low},
    )
