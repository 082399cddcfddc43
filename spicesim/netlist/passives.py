"""Resistors and capacitors of a process in blocks, in place of ideal ones: two subcircuits that all blocks call."""

import re
from collections.abc import Mapping

from spicesim.chip import Process
from spicesim.chip.passives import Capacitor, Resistor
from spicesim.errors import SpecError
from spicesim.units import format_si, spice_number

__all__ = [
    "CAPACITOR",
    "PASSIVE",
    "RESISTOR",
    "capacitor_line",
    "find_passive",
    "passive_area",
    "passive_blocks",
    "require_drawn",
    "resistor_spread",
    "with_passives",
]

RESISTOR, CAPACITOR = "process_resistor", "process_capacitor"
"""The subcircuits. Their parameters ohm and farad are the wanted values: ngspice looks names in the parameters of a
call up within the subcircuit that is called, so no block may have parameters of these names."""
PASSIVE = re.compile(
    rf"^x([rc]\w*)(\s+\S+\s+\S+(?:\s+\S+)?\s+(?:{RESISTOR}\s+ohm|{CAPACITOR}\s+farad)=)(\{{[^}}]*\}}|\S+)(.*)$",
    re.IGNORECASE,
)
"""An instance: its name as an ideal element, what stands before its value, the value, and the rest."""
_ELEMENT = re.compile(
    r"^(?!rnoise\b)([rc]\w*)(\s+\S+\s+\S+\s+)(\{[^}]*\}|'[^']*'|[-+.\d]\S*)[ \t]*$", re.MULTILINE | re.IGNORECASE
)
_GROUNDED = re.compile(r"^\.subckt\s.*\svss\b", re.MULTILINE | re.IGNORECASE)


def with_passives(text: str, process: Process) -> str:
    """Put the process's resistors and capacitors in the place of a block's ideal ones, if it has any.

    Resistors lie above the block's port ``vss``, or above ground where it has none.

    Parameters
    ----------
    text : str
        A block; of memory devices, whose resistors are what is programmed, none.
    process : Process
        Whose they are.

    Raises
    ------
    SpecError
        If a value hangs on a parameter that has the name of one of theirs.
    """
    bulk = "vss" if _GROUNDED.search(text) else "0"

    def place(found: re.Match[str]) -> str:
        name, nodes, value = found.groups()
        if taken := re.search(r"\b(ohm|farad)\b", value, re.IGNORECASE):
            raise SpecError(
                f"{found[0].strip()!a} has a value by {taken[1]!r}, which is a parameter of the process's resistors or "
                "capacitors, and would be taken for that; rename it in its block"
            )
        if name[0] in "rR":
            return _resistor(process, name, nodes, value, bulk) or found[0]
        return f"x{name}{nodes}{CAPACITOR} farad={value}" if process.capacitor else found[0]

    return _ELEMENT.sub(place, text) if process.resistor or process.capacitor else text


def _resistor(process: Process, name: str, nodes: str, value: str, bulk: str) -> str:
    if process.resistor is None:
        return ""
    third = f"{bulk} " if _has_bulk(process.resistor) else ""
    return f"x{name}{nodes}{third}{RESISTOR} ohm={value}"


def _has_bulk(sizes: Resistor) -> bool:
    return bool(sizes.model) and sizes.bulk


def capacitor_line(process: Process, name: str, first: str, second: str, farad: float) -> str:
    """Format a capacitor at the top of a netlist or in a block that is written by hand."""
    return with_passives(f"{name} {first} {second} {spice_number(farad)}", process)


def passive_blocks(process: Process) -> list[str]:
    """Return the subcircuits of the process's resistors and capacitors, at its corner and temperature."""
    blocks = []
    if (resistor := process.resistor) is not None:
        blocks.append(_resistor_block(resistor, process.temperature_c))
    if (capacitor := process.capacitor) is not None:
        blocks.append(_capacitor_block(capacitor, process.temperature_c))
    return blocks


def _resistor_block(sizes: Resistor, temperature_c: float) -> str:
    if not sizes.model:
        return _plain_block(RESISTOR, "r1", "ohm=10k", sizes, temperature_c)
    pins = "p n bulk" if sizes.bulk else "p n"
    length = (
        f"({_scaled('ohm', sizes.factor)}*{spice_number(sizes.effective_width)}-{spice_number(sizes.ends)})"
        f"/{spice_number(sizes.sheet)}"
    )
    width = format_si(sizes.width, "m")
    lines = [
        f"* {RESISTOR}: {sizes.model} {width} wide, of such a length that typical ones have ohm at 27 C",
        f".subckt {RESISTOR} {pins} ohm=10k",
        f".param drawn={{{length}}}",
        f"x1 {pins} {sizes.model} {sizes.width_key}={spice_number(sizes.width)} {sizes.length_key}={{drawn}}",
    ]
    if sizes.noise:
        lines += [
            "* thermal noise, which the model lacks: that of a resistor whose current a source takes back",
            "rnoise p n {ohm}",
            "gnoise n p p n {1/ohm}",
        ]
    return "\n".join([*lines, f".ends {RESISTOR}"])


def _capacitor_block(sizes: Capacitor, temperature_c: float) -> str:
    if not sizes.model:
        return _plain_block(CAPACITOR, "c1", "farad=10f", sizes, temperature_c)
    root = f"sqrt({spice_number(4 * sizes.fringe**2)}+{spice_number(sizes.density)}*{_scaled('farad', sizes.factor)})"
    side = f"({root}-{spice_number(2 * sizes.fringe)})/{spice_number(sizes.density)}"
    return "\n".join(
        [
            f"* {CAPACITOR}: {sizes.model}, squares of such a side that typical ones have farad at 27 C",
            f".subckt {CAPACITOR} p n farad=10f",
            f".param side={{{side}}}",
            f"x1 p n {sizes.model} {sizes.width_key}={{side}} {sizes.length_key}={{side}}",
            f".ends {CAPACITOR}",
        ]
    )


def _plain_block(name: str, element: str, value: str, sizes: Resistor | Capacitor, temperature_c: float) -> str:
    """Return the subcircuit of plain numbers; not all dialects have coefficients, so it is that of one temperature."""
    return "\n".join(
        [
            f"* {name}: what {value.partition('=')[0]} has become at the process's corner and {temperature_c:g} C",
            f".subckt {name} p n {value}",
            f"{element} p n {{{_scaled(value.partition('=')[0], sizes.at(temperature_c))}}}",
            f".ends {name}",
        ]
    )


def _scaled(name: str, factor: float) -> str:
    return name if factor == 1 else f"{spice_number(factor)}*{name}"


def find_passive(process: Process, line: str) -> tuple[re.Match[str], Resistor | Capacitor] | None:
    """Find out whether a line is an instance of a process's resistor or capacitor, and of which."""
    found = PASSIVE.match(line)
    sizes = (process.resistor if found[1][0] in "rR" else process.capacitor) if found else None
    return None if found is None or sizes is None else (found, sizes)


def resistor_spread(sizes: Resistor, value: str) -> str:
    """Return the expression of a resistor's relative standard deviation by the matching of its process."""
    length = f"(({value})*{spice_number(sizes.effective_width)}-{spice_number(sizes.ends)})/{spice_number(sizes.sheet)}"
    return f"{spice_number(sizes.matching)}/sqrt({spice_number(sizes.width)}*{length})"


def passive_area(process: Process, master: str, values: Mapping[str, float]) -> float | None:
    """Return the drawn area of an instance [m^2]; None of anything else.

    Raises
    ------
    SpecError
        As :func:`require_drawn`.
    """
    if master == CAPACITOR and process.capacitor is not None:
        return process.capacitor.side(values["farad"]) ** 2
    if master == RESISTOR and process.resistor is not None:
        return process.resistor.width * require_drawn(process.resistor, values["ohm"])
    return None


def require_drawn(sizes: Resistor, ohm: float) -> float:
    """Return the length for a resistance [m], if it can be drawn.

    Raises
    ------
    SpecError
        If it is shorter than half of its width: its ends would make it what it is.
    """
    length = sizes.length(ohm)
    if length < sizes.width / 2 * (1 - 1e-9):
        raise SpecError(
            f"a resistor of {format_si(ohm, 'ohm')} in {sizes.model or 'the process'} {format_si(sizes.width, 'm')} "
            f"wide would be {format_si(max(length, 0.0), 'm')} long, less than half of that; "
            f"lower process.resistor.width, or take a resistor of less than {sizes.sheet:g} ohm a square"
        )
    return length
