"""Bias currents: ideal sources within blocks, or mirrors of a generator that a tile has one of."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from spicesim.chip import Chip
from spicesim.chip.blocks import Bias
from spicesim.errors import SpecError
from spicesim.netlist.process import block_text
from spicesim.netlist.subcircuits import Subcircuit, join_lines, split_subcircuits
from spicesim.units import spice_number

__all__ = ["BIAS", "LINE", "bias_blocks", "bias_guesses", "bias_line", "is_generator", "opamp_guesses", "with_bias"]

BIAS = "xbias"
"""Name of the generator of a tile, or how those of several supplies begin."""
LINE = "bias"
"""The node of its mirrors' gates, and the port of blocks with mirrors."""
RAIL = 0.06
"""An output guessed so near to a rail is in saturation, as a part of the supply."""
_SOURCE = re.compile(r"^(i\w*)\s+vdd\s+(\S+)\s+(\{[^}]*\}|'[^']*'|[\d.]\S*)\s*$", re.IGNORECASE)
"""A bias current: out of a block's supply, and of one value."""
_MORE = re.compile(r"\s(?:\w+\s*=|[$;]).*$")
_PORTS = re.compile(r"^(\*\s+ports\s.*?)\bvdd\b")


def bias_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits of generator and mirror."""
    return [block_text("bias", chip), block_text("bias_mirror", chip)]


def bias_line(sizes: Bias, name: str, line: str = LINE, vdd: str = "vdd", vss: str = "0") -> str:
    """Format the instance of a generator."""
    return f"{name} {line} {vdd} {vss} bias r={spice_number(sizes.resistor)} c={spice_number(sizes.capacitor)}"


def is_generator(path: str) -> bool:
    """Whether the path of an instance is that of a generator, which blocks share."""
    return path == BIAS or path.startswith(f"{BIAS}_")


def bias_guesses(chip: Chip, sections: Sequence[str]) -> dict[str, float]:
    """Return first guesses of generators at the top of a netlist, by node [V].

    Without, ngspice takes the operating point of a whole tile in small steps, ten times as long.
    """
    supply = chip.process.supply
    found = re.findall(rf"^({BIAS}\S*) (\S+) \S+ \S+ bias ", "\n".join(sections), re.MULTILINE)
    parts = {"a": 0.25, "b": 0.25, "start": 0.0}
    return {node: 0.68 * supply for _, node in found} | {
        f"{name}.{node}": part * supply for name, _ in found for node, part in parts.items()
    }


def opamp_guesses(chip: Chip, sections: Sequence[str], nodesets: Mapping[str, float]) -> dict[str, float]:
    """Return first guesses of nodes within the op-amps of a netlist, by path [V]: the process's, which may be none.

    Parameters
    ----------
    chip : Chip
        The chip.
    sections : sequence of str
        Parts of its netlist.
    nodesets : mapping of str to float
        First guesses of nodes at the top [V]; they tell which op-amps are in saturation.
    """
    if not chip.process.opamp_guesses:
        return {}
    known: dict[str, Subcircuit] = {}
    top: list[str] = []
    for section in sections:
        blocks, rest = split_subcircuits(section)
        known |= blocks
        top += rest

    @cache
    def within(block: str) -> tuple[str, ...]:
        """Find the op-amps within a block: paths that end in a dot, or nothing for itself."""
        if block == "opamp":
            return ("",)
        return tuple(path for line in known[block].lines for path in of_line(line)) if block in known else ()

    def of_line(line: str) -> tuple[str, ...]:
        words = _words(line)
        if line[:1] not in "xX" or len(words) < 2:
            return ()
        return tuple(f"{words[0].lower()}.{path}" for path in within(words[-1].lower()))

    supply = chip.process.supply
    railed = {node for node, volts in nodesets.items() if not RAIL < volts / supply < 1 - RAIL}
    return {
        f"{path}{guess.node}": guess.volts
        for line in top
        for path in of_line(line)
        for guess in chip.process.opamp_guesses
        if not (guess.linear and railed.intersection(_words(line)))
    }


def with_bias(chip: Chip, sections: Sequence[str], *, shared: bool = False) -> list[str]:
    """Put mirrors of a generator in the place of bias currents, if those of the chip are mirrored.

    A block with bias currents, or with such blocks inside, gets a port ``bias`` before ``vdd``; its calls follow.

    Parameters
    ----------
    chip : Chip
        The chip.
    sections : sequence of str
        Parts of a netlist: subcircuits in parts of their own.
    shared : bool
        Whether the generator draws from the supply of the blocks, as in a tile. In a testbench it has a copy of that
        supply, so that what a block draws is the block's alone.

    Raises
    ------
    SpecError
        If a block with bias currents uses the name of the port for something else.
    """
    if not chip.bias.is_mirrored:
        return list(sections)
    known: dict[str, Subcircuit] = {}
    for section in sections:
        if ".subckt" in section.lower():
            known |= split_subcircuits(section)[0]
    places = _find_biased(known)
    if not places:
        return list(sections)
    lines: dict[tuple[str, str], str] = {}
    changed = [_rewrite(section, places, lines) for section in sections]
    generators = ["* bias generator: all bias currents are mirrored from its line"]
    for (vdd, vss), line in lines.items():
        if shared:
            generators.append(bias_line(chip.bias, f"x{line}", line, vdd, vss))
        else:
            copy = f"{vdd}_{LINE}"
            generators += [f"e{line} {copy} 0 {vdd} 0 1", bias_line(chip.bias, f"x{line}", line, copy, vss)]
    return [*bias_blocks(chip), *changed, *(["\n".join(generators)] if lines else [])]


def _words(line: str) -> list[str]:
    """Return the words of a line before its parameters."""
    return _MORE.sub("", line).split()


def _find_biased(known: Mapping[str, Subcircuit]) -> dict[str, tuple[int, int]]:
    """Find the subcircuits with bias currents, themselves or in what they call; of each the places of vdd and vss."""
    found: dict[str, tuple[int, int]] = {}
    while True:
        more = {}
        for name, block in known.items():
            ports = [word.lower() for word in _words(block.head)[2:]]
            if name in found or not {"vdd", "vss"} <= set(ports):
                continue
            calls = (_words(line)[-1].lower() for line in block.lines if line[:1] in "xX" and len(_words(line)) > 1)
            if any(_SOURCE.match(line) for line in block.lines) or any(call in found for call in calls):
                if any(LINE in (word.lower() for word in _words(line)[1:]) for line in (block.head, *block.lines)):
                    raise SpecError(
                        f"subcircuit {name} has a node {LINE!r}, which is that of mirrored biases; rename it"
                    )
                more[name] = (ports.index("vdd"), ports.index("vss"))
        if not more:
            return found
        found |= more


def _rewrite(section: str, places: Mapping[str, tuple[int, int]], lines: dict[tuple[str, str], str]) -> str:
    """Rewrite a part of a netlist; at its top `lines` notes which supply and ground have a generator's line."""
    if not re.search(rf"\b(?:{'|'.join(map(re.escape, places))})\b", section, re.IGNORECASE):
        return section
    out, inside = [], ""
    for line in join_lines(section):
        words = _words(line)
        first = words[0].lower() if words else ""
        if first == ".subckt":
            inside = words[1].lower()
            out.append(_insert(line, 2 + places[inside][0], LINE) if inside in places else line)
        elif first == ".ends":
            inside = ""
            out.append(line)
        elif inside in places and (source := _SOURCE.match(line)):
            name, node, value = source.groups()
            out.append(f"x{name} {node} {LINE} vdd bias_mirror current={value}")
        elif first.startswith("x") and len(words) > 1 and words[-1].lower() in places:
            vdd, vss = (words[1 + place] for place in places[words[-1].lower()])
            node = LINE
            if not inside:
                node = lines.setdefault((vdd, vss), LINE if vdd == "vdd" else f"{LINE}_{vdd}")
            out.append(_insert(line, 1 + places[words[-1].lower()][0], node))
        else:
            out.append(_PORTS.sub(rf"\1{LINE} vdd", line))
    return "\n".join(out)


def _insert(line: str, place: int, word: str) -> str:
    """Insert a word before that at a place of a line."""
    before = re.match(rf"(?:\S+\s+){{{place}}}", line)
    assert before is not None
    return f"{before[0]}{word} {line[before.end() :]}"
