"""The one gate through which text enters a netlist: it lets data pass, and nothing that an interpreter executes.

Ngspice runs as commands what stands between ``.control`` and ``.endc`` and behind ``*#``, wherever in the circuit or in
a file that it includes, and some of its devices read, write or start what a parameter names. So a line passes here only
if it begins as one of a circuit's: with a comment, an element, or a card of the list. What ngspice takes for a line is
what is taken for one here: nothing but a line feed ends it, and all else that some reader may take for an end, such as
a form feed or U+2028, is refused.
"""

import re
import sysconfig
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from spicesim.errors import SpecError
from spicesim.trust import is_trusted, require_trust, trust_remedy

__all__ = [
    "BLOCK_CARDS",
    "CIRCUIT_CARDS",
    "MODEL_CARDS",
    "Inclusion",
    "require_circuit",
    "require_line",
    "require_model_file",
    "require_native",
    "require_path",
    "require_start_up_line",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BLOCK_CARDS = _words("subckt ends macro eom param para params model func if elseif else endif ic nodeset global title")
"""Dot cards of a subcircuit's text."""
MODEL_CARDS = BLOCK_CARDS | _words("include inc incl lib endl option options opt temp prot unprot")
"""Dot cards of a model file."""
CIRCUIT_CARDS = MODEL_CARDS | _words("op dc tran ac noise save meas measure end")
"""Dot cards of a netlist."""
_INCLUDES = ("include", "inc", "incl")

_OPTIONS = _words(
    "klu sparse scale scalm tnom temp gmin reltol abstol vntol chgtol trtol pivtol pivrel method maxord noopiter "
    "gminsteps srcsteps itl1 itl2 itl4 rshunt numdgt ingold measdgt post noacct seed interp"
)
_KINDS = _words(
    "r res c cap l ind d npn pnp lpnp njf pjf nmf pmf nhfet phfet nmos pmos vdmos vdmosn vdmosp sw csw ltra txl cpl "
    "urc core"
)
"""Kinds of models; a compiled model has its own."""
_CIDER = _words("numd numd2 nbjt nbjt2 numos")
"""Kinds whose cards name files to read and to write."""

_BREAKS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
# the first letter of an element: all but a and u, which are code models, and n, which is a compiled one
_SUSPECT = re.compile(r"^[ \t]*(?:\*\#|\.|(?=[^\s*.+;$/b-mo-tv-zB-MO-TV-Z])|/(?!/)).*", re.MULTILINE)
_LONG = re.compile(r"^[ \t]*[^\s*][^\s]{400}", re.MULTILINE)
_FILE = re.compile(r"\w*file[ \t]*=", re.IGNORECASE)
_CONTINUATION = re.compile(r"(?:\r?\n[ \t]*\+.*)*")
_QUOTED = re.compile(r"[ \t]*(?:'([^'\"]*)'|\"([^'\"]*)\"|([^\s'\"]+))[ \t]*([\w.\-]*)[ \t]*(?:[$;].*)?\r?")
_MODEL = re.compile(r"[ \t]+\S+?[ \t]+(?:ako:[ \t]*)?([a-z_]\w*)", re.IGNORECASE)
_PATH = re.compile(r"[^\s'\"$;*?`{}<>|&!\\]+(?: +[^\s'\"$;*?`{}<>|&!\\]+)*")
_LONGEST_PATH = 400
"""Ngspice copies paths into buffers of 512 bytes without looking."""
_SETTINGS = re.compile(
    r"set[ ]+(?:ngbehavior[ ]*=[ ]*[a-z]{1,4}|num_threads[ ]*=[ ]*[0-9]{1,3}|ng_nomodcheck|skywaterpdk|no_auto_gnd"
    r"|enable_noisy_r)"
)


def require_line(text: str, what: str, longest: int = 1000) -> str:
    """Return text that is one line of printable characters.

    Raises
    ------
    SpecError
        If it holds a line break of any alphabet, another control character or a character that turns the direction of
        writing, or is longer than any name.
    """
    if len(text) > longest:
        raise SpecError(f"{what} has {len(text)} characters, wanted up to {longest}; shorten it")
    found = next((c for c in text if not (c.isprintable() or c == "\u00a0")), None)
    if found is not None:
        raise SpecError(
            f"{what} holds the character U+{ord(found):04X}, and must be one line of printable text; take it out"
        )
    return text


def require_path(path: str | Path, what: str) -> str:
    """Return the path of a file as a netlist or a start-up file may name it.

    Raises
    ------
    SpecError
        If it holds what ngspice does not take for a part of it, or is too long for ngspice.
    """
    text = str(path)
    if _PATH.fullmatch(text) is None or not text.isprintable() or "//" in text or text.startswith("~"):
        raise SpecError(
            f"{what}: ngspice cannot read the path {_shown(text)}; wanted one without quotes, $, ; and the like"
        )
    if len(text.encode()) > _LONGEST_PATH:
        raise SpecError(f"{what}: the path {_shown(text)} is longer than {_LONGEST_PATH} bytes; move the file")
    return text


def require_start_up_line(line: str) -> str:
    """Return a line of a description for ngspice's start-up file, one of the few settings that kits need.

    Raises
    ------
    SpecError
        If it is anything else.
    """
    if _SETTINGS.fullmatch(line) is None:
        raise SpecError(
            f"process.spiceinit takes settings, not commands, got {_shown(line)}; there are: set ngbehavior=.., "
            "set ng_nomodcheck, set num_threads=.., set skywaterpdk, set no_auto_gnd, set enable_noisy_r"
        )
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """A file that a text has ngspice read."""

    path: str
    """As it stands there."""
    section: str | None
    """Its section; None for a plain ``.include``, empty for a ``.lib`` that rather heads a section of its own."""
    line: int
    """Where."""


@lru_cache(maxsize=8)
def require_circuit(
    text: str, source: str, *, cards: Collection[str] = CIRCUIT_CARDS, native: bool = False
) -> tuple[Inclusion, ...]:
    """Hold the text of a circuit, of a subcircuit or of a model file against what may stand in one.

    Parameters
    ----------
    text : str
        The text; the first line is one as all others, no title.
    source : str
        Names it in messages.
    cards : collection of str
        Dot cards that may stand there.
    native : bool
        Whether compiled models that the user trusts are loaded, whose elements and kinds may be called.

    Returns
    -------
    tuple of Inclusion
        The files that it names.

    Raises
    ------
    SpecError
        At the first line that ngspice may execute, or that may have it read or write a file.
    """
    if found := _BREAKS.search(text):
        raise _refusal(
            source, text, found.start(),
            f"the character U+{ord(found[0][0]):04X} can be taken for the end of a line or hide one; take it out",
        )  # fmt: skip
    if found := _LONG.search(text):
        raise _refusal(source, text, found.start(), "a word of over 400 characters is no name; shorten it")
    inclusions = tuple(_inspect(text, source, cards, native))
    for found in _FILE.finditer(text) if "file" in text.lower() else ():
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.end()]
        if not line.lstrip(" \t").startswith("*") and not re.search(r"[$;]|//", line):
            raise _refusal(source, text, found.start(), f"{found[0]} names a file for a device; take the device out")
    return inclusions


def _inspect(text: str, source: str, cards: Collection[str], native: bool) -> Iterator[Inclusion]:
    """Look at all lines that are no plain comments, continuations or elements; yield what they include."""
    for found in _SUSPECT.finditer(text):
        line = found[0].strip()
        if re.fullmatch(r"\*#+", line):  # a rule across the page, of which no command is left
            continue
        if line.startswith("*#"):
            raise _refusal(source, text, found.start(), "ngspice executes what stands behind '*#'; write '* #'")
        if not line.startswith("."):
            if line[:1] in "nN" and native:
                continue
            reason = {
                "a": "elements that begin with 'a' are code models, which may read and write files",
                "u": "elements that begin with 'u' are code models, which may read and write files",
                "n": "elements that begin with 'n' are compiled models; name their file in process.osdi",
            }.get(line[:1].lower(), f"no line of a circuit begins with {_shown(line[:12])}")
            raise _refusal(source, text, found.start(), f"{reason}; take it out")
        word, rest = re.match(r"\.([^\s(]*)(.*)", line).groups()  # type: ignore[union-attr]
        word = word.lower()
        if word not in cards:
            raise _refusal(
                source, text, found.start(),
                f"the card {_shown('.' + word)} may run commands or write files, or is unknown here; take it out",
            )  # fmt: skip
        more = _CONTINUATION.match(text, found.end())
        continued = more is not None and bool(more[0])
        if word in _INCLUDES or word == "lib":
            inclusion = _inclusion(word, rest, text.count("\n", 0, found.start()) + 1)
            if inclusion is None or continued:
                raise _refusal(
                    source, text, found.start(), f"wanted .{word} and a path in quotes, on one line; write it so"
                )
            yield inclusion
        elif word in ("option", "options", "opt"):
            whole = rest + (more[0] if more else "")
            for option in re.sub(r"\s*=\s*[-+.\w]+", "", re.sub(r"[$;].*", "", whole)).replace("+", " ").split():
                if option.lower() not in _OPTIONS:
                    raise _refusal(
                        source, text, found.start(), f"the option {_shown(option)} is not known here; take it out"
                    )
        elif word == "model":
            whole = f"{rest} " + (more[0].replace("+", " ") if more and _MODEL.match(rest) is None else "")
            kind = _MODEL.match(" ".join(["", *whole.split()]))
            name = kind[1].lower() if kind else whole[:20]
            if name not in _KINDS and not (native and kind and name not in _CIDER):
                raise _refusal(
                    source, text, found.start(),
                    f"models of the kind {_shown(name)} may read and write files, or are compiled; take it out",
                )  # fmt: skip


def _inclusion(word: str, rest: str, line: int) -> Inclusion | None:
    found = _QUOTED.fullmatch(rest)
    if found is None:
        return None
    path = found[1] or found[2] or found[3] or ""
    return Inclusion(path=path, section=None if word in _INCLUDES else found[4], line=line)


def _refusal(source: str, text: str, at: int, reason: str) -> SpecError:
    # the expression for a suspect line begins before it where lines are empty
    return SpecError(f"{source}, line {text.count(chr(10), 0, at) + 1}: {reason}")


def _shown(text: str, longest: int = 40) -> str:
    return ascii(text if len(text) <= longest else f"{text[:longest]}..")


def require_model_file(path: Path, *, native: bool = False) -> None:
    """Read a model file and all that it includes, and refuse what is no data.

    Included files lie in the folder of the file or below, in packages in what pip installed, or where the user trusts.

    Raises
    ------
    SpecError
        As :func:`require_circuit`, or if an included file lies elsewhere.
    """
    place = path.resolve()
    if not place.is_file():  # nothing to read, as ngspice will say
        return
    root = next((folder for folder in _packages() if place.is_relative_to(folder)), place.parent)
    _require_files(str(place), str(root), native, _state(place))


@cache
def _packages() -> tuple[Path, ...]:
    """Return where pip installs packages."""
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=64)
def _require_files(path: str, root: str, native: bool, _: tuple[int, int]) -> None:
    """Walk over a file and those it includes, each once: ngspice's libraries include themselves, section by section."""
    waiting, seen = [Path(path)], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for inclusion in require_circuit(_read(file), str(file), cards=MODEL_CARDS, native=native):
            other = (file.parent / inclusion.path).resolve()
            if inclusion.section == "" and not other.exists() and _is_section(inclusion.path):
                continue
            where = f"{file}, line {inclusion.line}"
            require_path(inclusion.path, where)
            require_path(file.parent / inclusion.path, where)
            if not other.is_relative_to(root) and not is_trusted(other):
                raise SpecError(
                    f"{where} includes {_shown(inclusion.path, 200)}, outside of {root}; {trust_remedy(other)}"
                )
            if other.exists() and not other.is_file():
                raise SpecError(f"{where} includes {_shown(inclusion.path)}, which is no regular file; name one")
            if other.is_file():  # kits name files that they lack in sections that nothing reads
                waiting.append(other)


def _is_section(text: str) -> bool:
    """Whether ``.lib TEXT`` heads a section instead of naming a file."""
    return re.fullmatch(r"\w[\w.\-]*", text) is not None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise SpecError(f"cannot read the model file {path}: {error.strerror or error}; make it readable") from None


def require_native(path: Path) -> None:
    """Refuse a compiled model that the user has not said to trust, or whose path ngspice would not read as one word."""
    require_trust(path, "process.osdi", "is native code, which runs as it is loaded")
    if re.search(r"\s", require_path(path, "process.osdi")):
        raise SpecError(f"process.osdi: ngspice cannot read the path {_shown(str(path))} with a space; move the file")
