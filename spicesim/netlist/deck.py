"""Anybody's netlist with ``.measure`` lines, read as data: its circuit, analyses, measures and files."""

import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from spicesim.chip.model_file import CornerSections, ModelFile, has_scheme
from spicesim.chip.process import Process
from spicesim.errors import SpecError, quote
from spicesim.gate import CIRCUIT_CARDS, require_circuit, require_line, require_path
from spicesim.netlist.expression import read_number
from spicesim.netlist.measured import Measure, MeasuredNetlist
from spicesim.netlist.netlist import PLOT_NAMES, Netlist
from spicesim.netlist.process import model_files, model_section, start_up_lines
from spicesim.trust import require_near
from spicesim.units import spice_number

__all__ = ["Deck", "Setting", "read_deck"]

_LARGEST = 2**20
"""Bytes of a deck, and of a file that is put in its place, at most."""
_WHOLE = 200_000
"""Bytes up to which a plain included file near the deck becomes a part of it, so that its transistors can be drawn."""
_DEPTH = 20
_PRINTS = frozenset(["print", "plot", "probe", "width"])
"""Cards about what ngspice prints, which is not looked at."""
_END = re.compile(r"^[ \t]*\.end[ \t]*$", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(r"\s+\$(?:\s.*)?$|\s*;.*$")
_NAMES = {".macro": ".subckt", ".eom": ".ends"}
_PARAMETERS = re.compile(r"\s+params:\s*", re.IGNORECASE)
_MEASURE = re.compile(r"\.meas\w*\s+(\w+)\s+(\S+)\s+(\S.*)$", re.IGNORECASE)
_UNIT = re.compile(r"^(.*?)\s*\[([^\[\]]{0,20})\]\s*(.*)$")
_FILE = re.compile(r"\.(include|inc|incl|lib)\s+(?:'([^']+)'|\"([^\"]+)\"|(\S+))\s*(\S*)\s*$", re.IGNORECASE)
_TEMPERATURE = re.compile(r"(?<![\w.])temp\s*=\s*(\S+)", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"([a-z_]\w*)\s*=\s*(.*?)(?=\s+[a-z_]\w*\s*=(?!=)|\s*$)", re.IGNORECASE)
_SWEEPS = {"v": "v(v-sweep)", "i": "i(i-sweep)", "r": "res-sweep"}
"""What ngspice calls the swept value, by the first letter of the source."""
_VECTOR = re.compile(r"\b(v|i)(?:db|m|p|r|i)?\s*\(\s*([^()\s]+?)\s*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What of a deck is changed; None for what it says itself."""

    corner: str | None = None
    temperature_c: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Of its ``.param`` lines, by name."""


@dataclass(frozen=True, kw_only=True)
class Deck:
    """A deck, cut open."""

    name: str
    """Stem of its file."""
    title: str
    lines: tuple[str, ...]
    """Its circuit, each line whole and without comments, files by their whole paths."""
    analyses: Mapping[str, str]
    """Cards by kind, such as "tran"."""
    measures: tuple[Measure, ...]
    """What is measured, in its order."""
    temperature_c: float = 27.0
    """What it says [degree Celsius]."""

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Values of its top-level ``.param`` lines, by name."""
        found, depth = {}, 0
        for line in self.lines:
            word = _word(line)
            depth += (word == ".subckt") - (word == ".ends")
            if not depth and word.startswith(".param"):
                found.update({name.lower(): value for name, value in _ASSIGNMENT.findall(line)})
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that it names, beside those that have become a part of it."""
        return tuple(dict.fromkeys(Path(found[2]) for line in self.lines if (found := _FILE.match(line))))

    @property
    def reads_models(self) -> bool:
        """Whether it names model files itself."""
        return bool(self.files) or any(_word(line) == ".model" for line in self.lines)

    def celsius(self, setting: Setting) -> float:
        """Return the temperature of a setting [degree Celsius]."""
        return self.temperature_c if setting.temperature_c is None else setting.temperature_c

    def calls(self, process: Process) -> bool:
        """Whether it has transistors of a process."""
        names = {process.nmos.lower(), process.pmos.lower()}
        return any(line[:1].lower() in "mx" and names & set(line.lower().split()) for line in self.lines if line)

    def netlists(self, process: Process, setting: Setting) -> dict[str, MeasuredNetlist]:
        """Return one netlist an analysis that is measured, by its kind.

        Parameters
        ----------
        process : Process
            Gives the transistor models to a deck that names none, the words for corners, and start-up lines.
        setting : Setting
            What to change.

        Raises
        ------
        SpecError
            If there is no such parameter or corner, or the deck holds more than data.
        """
        body, models = self._body(process, setting)
        netlists = {}
        for kind, card in self.analyses.items():
            own = tuple(measure for measure in self.measures if measure.kind == kind)
            if own:
                netlists[kind] = MeasuredNetlist(
                    title=f"{self.name}, {kind}: {self.title}"[:200], body="\n".join(body), analyses=(card,),
                    probes=tuple(measure.name for measure in own), measures=own, options=".options noacct",
                    models=models, spiceinit=start_up_lines(process),
                )  # fmt: skip
        return netlists

    def curves(self, netlist: MeasuredNetlist) -> Netlist | None:
        """Return what gives the curves that measures look at; None where they look at no single voltage or current."""
        (card,) = netlist.analyses
        kind = card.split()[0]
        found = [
            f"{v.lower()}({n.lower()})" for m in netlist.measures for v, n in _VECTOR.findall(m.task) if "," not in n
        ]
        if not found:
            return None
        scale = {".tran": "time", ".ac": "frequency"}.get(kind) or _SWEEPS.get(
            card.split()[1][:1].lower(), "temp-sweep"
        )
        return Netlist(
            title=netlist.title, body=netlist.body, analyses=netlist.analyses, options=netlist.options,
            probes=tuple(dict.fromkeys([scale, *found])), models=netlist.models, spiceinit=netlist.spiceinit,
        )  # fmt: skip

    def _body(self, process: Process, setting: Setting) -> tuple[list[str], tuple[Path, ...]]:
        """Return the lines and the model files of a setting."""
        heat = f".temp {spice_number(self.celsius(setting))}"
        lines = [_set(line, setting.parameters) for line in self.lines]
        if missing := [name for name in setting.parameters if name.lower() not in self.parameters]:
            known = ", ".join(self.parameters) or "none"
            raise SpecError(f"{self.name} has no .param {missing[0]!r} to set; it has: {known}")
        if not self.reads_models and self.calls(process):
            there = process if setting.corner is None else process.corner(setting.corner)
            cards = [line for line in model_section(there).split("\n") if not line.startswith((".temp", "*"))]
            return [*cards, heat, *lines], model_files(there)
        if setting.corner is not None:
            lines = _at_corner(lines, setting.corner, process.corners, self.name)
        files = [found[2] for line in lines if (found := _FILE.match(line))]
        models = (*map(Path, files), *process.osdi_files, *(ModelFile(path=s).resolve() for s in process.sources))
        return [heat, *lines], tuple(dict.fromkeys(models))


def _word(line: str) -> str:
    return line.split(maxsplit=1)[0].lower() if line.strip() else ""


def _set(line: str, parameters: Mapping[str, float]) -> str:
    """Give parameters of a ``.param`` line other values."""
    if not _word(line).startswith(".param"):
        return line
    values = {name.lower(): value for name, value in parameters.items()}
    return _ASSIGNMENT.sub(
        lambda found: (
            f"{found[1]}={spice_number(values[found[1].lower()])}" if found[1].lower() in values else found[0]
        ),
        line,
    )


def _at_corner(lines: list[str], corner: str, sections: CornerSections, name: str) -> list[str]:
    """Read files by the sections of another corner."""
    known, wanted = sections.model_dump(), getattr(sections, corner)
    changed, count = [], 0
    for line in lines:
        found = _FILE.match(line)
        if found and found[1].lower() == "lib" and found[5] in known.values():
            line, count = f".lib '{found[2]}' {wanted}", count + 1
        changed.append(line)
    if not count:
        raise SpecError(
            f"{name} reads no model file by one of the sections {', '.join(known.values())}, so it has no corners; "
            "write .lib 'FILE' SECTION, or give a chip whose process.corners names them"
        )
    return changed


def read_deck(path: str | Path) -> Deck:
    """Read a deck.

    Its first line is the title. Behind ``;`` or ``$`` a ``.measure`` line may say what it is and its unit:
    ``.measure tran t_rise trig .. targ .. ; rise time [s]``. Files that it includes lie in its folder, in the working
    folder, below either, in what pip installed, or where the user trusts.

    Raises
    ------
    SpecError
        If it cannot be read, holds more than a circuit, or measures nothing.
    """
    path = Path(path)
    text = _read(path)
    title, _, circuit = text.partition("\n")
    circuit = _END.split(circuit, maxsplit=1)[0]
    # a line in the place of the title, so that messages count as editors do
    require_circuit(f"*\n{circuit}", str(path), cards=CIRCUIT_CARDS | _PRINTS, native=True)
    lines: list[str] = []
    analyses: dict[str, str] = {}
    measures: list[Measure] = []
    celsius = 27.0
    for line in _whole_lines(circuit, path, 0):
        plain = _COMMENT.sub("", line)
        word = _word(plain)
        if word in PLOT_NAMES or word == ".noise":
            if word == ".noise":
                raise SpecError(f"{path}: ngspice measures no .noise; give it a deck of its own, without .measure")
            if word[1:] in analyses:
                raise SpecError(f"{path} has two analyses {word}; give the second a deck of its own")
            analyses[word[1:]] = plain.lower()
        elif word.startswith(".meas"):
            measures.append(_measure(line, plain, path))
        elif word == ".temp":
            celsius = read_number(plain.split()[1] if len(plain.split()) > 1 else "")
        elif word in (".option", ".options", ".opt") and (found := _TEMPERATURE.search(plain)):
            celsius = read_number(found[1])
            lines.append(_TEMPERATURE.sub("", plain))
        elif plain.strip() and word[1:] not in _PRINTS:
            lines.append(_plain(plain, word))
    names = [measure.name for measure in measures]
    if not names:
        raise SpecError(f"{path} measures nothing; add a line such as: .measure dc v_out find v(out) at=1")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(f"{path} has two measures {twice!r}; rename one")
    if lost := next((measure for measure in measures if measure.kind not in analyses), None):
        raise SpecError(f"{path}: {lost.name} measures .{lost.kind}, and there is no such analysis; add one")
    title = require_line(title.strip().lstrip("*.# ").strip() or path.stem, f"the title of {path}")
    return Deck(
        name=path.stem, title=title, lines=tuple(lines), analyses=analyses, measures=tuple(measures),
        temperature_c=celsius,
    )  # fmt: skip


def _plain(line: str, word: str) -> str:
    """Return a line in the words that the library has for subcircuits, so that their instances are found."""
    if word in _NAMES:
        line, word = _NAMES[word] + line.lstrip()[len(word) :], _NAMES[word]
    return _PARAMETERS.sub(" ", line) if word[0] == "x" or word == ".subckt" else line


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise SpecError(f"{path} has more than {_LARGEST >> 10} kB, too much for a deck; include what is large")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise SpecError(f"no deck {path}; correct its path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the deck {path}: {error}; wanted a netlist in UTF-8") from None


def _whole_lines(text: str, path: Path, depth: int) -> Iterator[str]:
    """Yield lines with their continuations, and those of files in the place of the lines that include them."""
    if depth > _DEPTH:
        raise SpecError(f"{path} includes itself; take that out")
    whole: list[str] = []
    for line in text.split("\n"):
        if line.lstrip().startswith("*") or not line.strip():
            continue
        if line.lstrip().startswith("+") and whole:
            # the comment of a measure stands behind its last line
            whole[-1] = f"{_COMMENT.sub('', whole[-1])} {line.lstrip()[1:].strip()}"
        else:
            whole.append(line.strip())
    for line in whole:
        plain = _COMMENT.sub("", line)
        found = _FILE.match(plain)
        if found is None or (found[1].lower() == "lib" and not found[5]):
            yield line
            continue
        file = _find(found[2] or found[3] or found[4], path)
        if found[1].lower() == "lib":
            yield f".lib '{file}' {found[5]}"
        elif file.suffix != ".lib" and file.stat().st_size <= _WHOLE and not _is_installed(file):
            inner = _read(file)
            require_circuit(inner, str(file), cards=CIRCUIT_CARDS | _PRINTS, native=True)
            yield from _whole_lines(inner, file, depth + 1)
        else:
            yield f".include '{file}'"


def _is_installed(file: Path) -> bool:
    return any(file.is_relative_to(Path(sysconfig.get_path(name)).resolve()) for name in ("purelib", "platlib"))


def _find(name: str, deck: Path) -> Path:
    """Find a file that a deck names, where it may name one."""
    require_path(name, str(deck))
    if has_scheme(name):
        return ModelFile(path=name).resolve().resolve()
    found = Path(name) if Path(name).is_absolute() else deck.parent / name
    real = found.resolve()
    if not _is_installed(real):
        require_near(found, deck.parent, str(deck))
    if not real.is_file():
        raise SpecError(f"{deck} includes {quote(name)}, and there is no such file; correct its path")
    require_path(real, str(deck))
    return real


def _measure(line: str, plain: str, path: Path) -> Measure:
    found = _MEASURE.match(plain)
    if found is None:
        raise SpecError(f"{path}: wanted .measure ANALYSIS NAME .., got {quote(plain)}; write it so")
    said = re.search(r"(?:\s\$|;)\s*(.*)$", line)
    text = require_line(said[1].strip(), str(path), 80) if said else ""
    unit = _UNIT.match(text)
    if unit:
        text = f"{unit[1]} {unit[3]}".strip()
    return Measure(
        name=found[2].lower(), kind=found[1].lower(), task=found[3].strip(), text=text, unit=unit[2] if unit else ""
    )
