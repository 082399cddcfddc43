"""What a netlist is made of: which pieces are transistors, which are ideal, which are laws; for its head."""

import re
from collections.abc import Sequence

from spicesim.netlist.passives import CAPACITOR, RESISTOR

__all__ = ["describe_pieces"]


def describe_pieces(sections: Sequence[str], transistors: Sequence[str]) -> list[str]:
    """Say of the subcircuits of a netlist and of its sources what stands for them.

    Parameters
    ----------
    sections : sequence of str
        Parts of the netlist.
    transistors : sequence of str
        Names of transistors.

    Returns
    -------
    list of str
        Lines for the head; empty for a netlist without subcircuits.
    """
    blocks = [section for section in sections if re.search(r"^\.subckt\b", section, re.MULTILINE | re.IGNORECASE)]
    known = {name.lower() for name in transistors}
    counts: dict[str, int] = {}
    processed: dict[str, list[str]] = {RESISTOR: [], CAPACITOR: []}
    ideal: dict[str, list[str]] = {"resistors": [], "capacitors": [], "currents": [], "laws": []}
    places: list[str] = []
    for section in blocks:
        for line in section.splitlines():
            words = line.split()
            if not words:
                continue
            if words[0].lower() in (".subckt", ".ends"):
                places = [*places, words[1]] if words[0].lower() == ".subckt" else places[:-1]
                continue
            if not places or places[-1] in processed:
                continue
            name = places[-1]
            kind, lower = words[0][0].lower(), {word.lower() for word in words}
            if kind == "m" or (kind == "x" and known & lower):
                counts[name] = counts.get(name, 0) + 1
            for master, own in processed.items():
                if master in lower and name not in own:
                    own.append(name)
            for letter, group in (("r", "resistors"), ("c", "capacitors"), ("i", "currents"), ("beg", "laws")):
                if kind in letter and name not in ideal[group]:
                    ideal[group].append(name)
    if not blocks:
        return []
    sources = [
        line.split()[0]
        for section in sections if section not in blocks
        for line in section.splitlines()
        if line[:1] in "vV" and not line.lower().startswith("vsense")
    ]  # fmt: skip
    laws = [
        line for section in sections if section not in blocks for line in section.splitlines() if line[:1] in "begBEG"
    ]
    if laws:
        ideal["laws"].append(f"{len(laws)} at the top")
    ideal["resistors"] = [name for name in ideal["resistors"] if name not in ideal["laws"]]  # which have noise by them
    rows = [
        ("transistors", ", ".join(f"{name} {count}" for name, count in counts.items())),
        ("process's resistors", ", ".join(processed[RESISTOR])),
        ("process's capacitors", ", ".join(processed[CAPACITOR])),
        ("ideal resistors", ", ".join(ideal["resistors"])),
        ("ideal capacitors", ", ".join(ideal["capacitors"])),
        ("ideal bias currents", ", ".join(ideal["currents"])),
        ("laws", ", ".join(ideal["laws"])),
        ("ideal sources", _shortened(sources)),
    ]
    return ["what is real here, and what is ideal:", *(f"  {word:21}{text}" for word, text in rows if text), ""]


def _shortened(names: Sequence[str]) -> str:
    """List names, of those with a number the first and the last."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"_\d+(_\d+)?$", "", name), []).append(name)
    words = [own[0] if len(own) == 1 else f"{own[0]} .. {own[-1]}" for own in groups.values()]
    return ", ".join(words)
