"""Data sheets of anybody's netlist: what its ``.measure`` lines find, at every corner and in every drawn chip."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Conditions, Measurement
from spicesim.characterise.matrix import measure_all
from spicesim.characterise.sheet import DataSheet, Entry, Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.draws import ChipDraw
from spicesim.errors import ValidityError
from spicesim.netlist.deck import Deck, Setting
from spicesim.netlist.measured import Measure
from spicesim.netlist.mismatch import TRANSISTOR, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.process import model_files
from spicesim.netlist.spreads import draw_values, typical_values
from spicesim.netlist.subcircuits import split_subcircuits
from spicesim.ngspice.outcome import Results

__all__ = ["deck_bench", "deck_options", "measure_deck", "settings"]

_STATISTICAL = re.compile(r"statistical|mismatch|sw_stat|(?:^|_)mc(?:_|$)", re.IGNORECASE)
"""Sections of kits in which they draw by themselves."""
_SWITCH = re.compile(r"\bsw_stat_\w+\s*=\s*[1-9]", re.IGNORECASE)
"""Switches of GF180 that let it."""


def settings(
    corners: Sequence[str] = (),
    temperatures: Sequence[float] = (),
    supplies: Mapping[str, Sequence[float]] | None = None,
) -> list[Setting]:
    """Return all combinations; what is not given is the deck's own."""
    named = supplies or {}
    return [
        Setting(corner=corner, temperature_c=celsius, parameters=dict(zip(named, values, strict=True)))
        for corner in corners or (None,)
        for celsius in temperatures or (None,)
        for values in product(*named.values())
    ]


def words(deck: Deck, setting: Setting) -> str:
    """Say where a setting is."""
    parts = [setting.corner or "", f"{deck.celsius(setting):g} C"]
    parts += [f"{name}={value:g}" for name, value in setting.parameters.items()]
    return ", ".join(part for part in parts if part)


def deck_options(setting: Setting) -> str:
    """Return a setting as commands have it."""
    parts = [] if setting.corner is None else [f" --corner {setting.corner}"]
    parts += [] if setting.temperature_c is None else [f" --temperature {setting.temperature_c:g}"]
    return "".join([*parts, *(f" --supply {name}={value!r}" for name, value in setting.parameters.items())])


def deck_bench(deck: Deck, chip: Chip, setting: Setting) -> Bench:
    """Build the testbench of a deck.

    Parameters
    ----------
    deck : Deck
        The deck.
    chip : Chip
        Its process has the words for corners, the mismatch of transistors, and their models where the deck names none.
    setting : Setting
        What to change of the deck.
    """
    raw = deck.netlists(chip.process, setting)
    typical = {kind: replace(netlist, body=typical_values(netlist.body)) for kind, netlist in raw.items()}
    curves = {f"curves_{kind}": deck.curves(netlist) for kind, netlist in typical.items()}
    netlists: dict[str, Netlist] = {**typical, **{name: found for name, found in curves.items() if found is not None}}
    transistors = deck.calls(chip.process)

    def draw(name: str, numbers: ChipDraw, resistors: float) -> Netlist:
        drawn: Netlist = replace(raw[name], body=draw_values(raw[name].body, numbers))
        if transistors or resistors:
            drawn = with_mismatch(
                drawn, chip.process, numbers, resistors=resistors, everywhere=True, transistors=transistors
            )
        return drawn

    def measure(results: Mapping[str, Results]) -> Measurement:
        entries = tuple(_entry(one, results) for one in deck.measures)
        names = [name for name in netlists if name in curves]
        panels = draw_panels(*(partial(lambda name: _panel(netlists[name], results[name]), name) for name in names))
        return Measurement(entries=entries, panels=panels)

    return Bench(
        block=deck.name, title=deck.title, netlists=netlists, measure=measure, varied=tuple(raw), draw=draw,
    )  # fmt: skip


def _entry(measure: Measure, results: Mapping[str, Results]) -> Entry:
    def value() -> float:
        found = results[measure.kind]
        number = float(found[0].vectors[measure.name][0])
        if not np.isfinite(number):
            raise ValidityError(found.remarks.get(measure.name, f".measure {measure.name} found nothing"))
        return number

    return entry(measure.name, measure.text or measure.name, value, measure.unit, f".{measure.kind}")


_AXES = {".tran": "time [s]", ".ac": "frequency [Hz]"}


def _panel(netlist: Netlist, results: Results) -> Panel:
    """Return the curves that the measures of one analysis look at."""
    (card,) = netlist.analyses
    kind, source, *_ = card.split()
    found = results[0].vectors
    scale, *names = netlist.probes
    curves: dict[str, Floats] = {
        name: np.asarray(np.abs(found[name]) if kind == ".ac" else found[name].real) for name in names
    }
    if kind == ".ac":
        curves = {name: 20 * np.log10(np.maximum(curve, 1e-30)) for name, curve in curves.items()}
    units = {"A" if name.startswith("i") else "V" for name in names}
    what = names[0] if len(names) == 1 else "value"
    label = f"{what} [{'dB' if kind == '.ac' else ', '.join(sorted(units))}]"
    return Panel(
        title=card, x=np.asarray(found[scale].real), x_label=_AXES.get(kind, f"{source}"), curves=curves, y_label=label,
        logarithmic=kind == ".ac" and " lin " not in f" {card.lower()} ",
    )  # fmt: skip


def notes_of(deck: Deck, chip: Chip, samples: int) -> tuple[str, ...]:
    """Say what a reader should know of the drawn chips of a deck: which devices are not drawn, and which are by area.

    GF180's own Monte Carlo takes the area of one of ``m`` transistors in parallel, and gives all of them the same
    numbers: it spreads sqrt(m) times as much. Here they have their common area.
    """
    if not samples:
        return ()
    known, _ = split_subcircuits("\n".join(deck.lines))
    names = {chip.process.nmos.lower(), chip.process.pmos.lower()}
    own, others = [], []
    for line in deck.lines:
        if line[:1].lower() not in "mx" or not line.strip():
            continue
        called = re.sub(r"\s*=\s*", "=", line).split()
        masters = [word.lower() for word in called[1:] if "=" not in word and word.lower() != "params:"]
        device = TRANSISTOR.match(line)
        if device and device[6].lower() in names:
            if re.search(r"(?<!\w)m\s*=\s*(?!1(?:\.0*)?(?:\s|$))", device[7], re.IGNORECASE):
                own.append(device[1])
        elif masters and masters[-1] not in known:
            others.append(f"{called[0]} ({masters[-1]})")
    found = []
    if own and "gf180" in f"{chip.process.name} {[m.path for m in chip.process.models]}".lower():
        found.append(
            f"{_few(own)}: m > 1. Drawn with the common area of all m, sigma = A / sqrt(m w l); the Monte Carlo of "
            "GF180's own files takes the area of one and is sqrt(m) too wide"
        )
    elif own:
        found.append(f"{_few(own)}: m > 1, drawn with the common area of all m")
    if others:
        found.append(f"not drawn, as the process {chip.process.name!r} tells no mismatch of them: {_few(others)}")
    if foreign := [file.name for file in deck.files if file not in model_files(chip.process)]:
        found.append(f"what stands in {_few(foreign)} is not drawn; transistors of the deck are")
    sections = [line.split()[-1] for line in deck.lines if line.lower().startswith(".lib ")]
    sections += [switch[0] for line in deck.lines if (switch := _SWITCH.search(line))]
    if drawing := [section for section in sections if _STATISTICAL.search(section)]:
        found.append(f"{drawing[0]} lets ngspice draw what is not drawn here, anew in each run; leave that to spicesim")
    return tuple(found)


def _few(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def measure_deck(
    deck: Deck, chip: Chip, wanted: Sequence[Setting], conditions: Conditions, *, progress: bool = False
) -> list[tuple[str, DataSheet]]:
    """Measure a deck at all settings; what was simulated before comes from the cache.

    Raises
    ------
    SpecError
        If a setting cannot be.
    """
    notes = notes_of(deck, chip, conditions.samples)
    places = []
    for setting in wanted:
        there = chip.at(temperature_c=deck.celsius(setting))
        bench = replace(deck_bench(deck, chip, setting), notes=notes)
        places.append((words(deck, setting), there, bench))
    text = "\n".join([*deck.lines, *deck.analyses.values(), *(one.card for one in deck.measures)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    sheets = measure_all(places, conditions, progress=progress)
    if conditions.samples and not any(entry.spread for _, sheet in sheets for entry in sheet.entries):
        idle = "the samples are all alike: nothing of the deck is drawn; see --resistors, agauss(..) and the process"
        sheets = [(where, replace(sheet, notes=(*sheet.notes, idle))) for where, sheet in sheets]
    return [
        (where, replace(sheet, chip=deck.name, chip_hash=digest, process=_models(deck, chip, setting)))
        for (where, sheet), setting in zip(sheets, wanted, strict=True)
    ]


def _models(deck: Deck, chip: Chip, setting: Setting) -> str:
    """Say whose models a deck has."""
    if deck.reads_models or not deck.calls(chip.process):
        return f"models of its own, {setting.corner}" if setting.corner else "models of its own"
    return (chip.process if setting.corner is None else chip.process.corner(setting.corner)).name
