"""The subcircuits and model cards shipped with the package, and a designer's own versions of the subcircuits."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from spicesim.errors import SpecError
from spicesim.gate import require_line
from spicesim.trust import require_near

__all__ = [
    "check_replacement",
    "library_names",
    "library_path",
    "library_text",
    "read_replacements",
    "subcircuit_names",
]

_HEAD = re.compile(r"^[ \t]*\.subckt[ \t]+(\S+)(.*(?:\n[ \t]*\+.*)*)", re.IGNORECASE | re.MULTILINE)


@cache
def _folder() -> Path:
    # join before turning to a path: in an editable install the package has several folders, and only the join picks one
    installed = Path(str(files("spicesim").joinpath("netlists", "library")))
    # without any install the folder is where the repository has it, beside the package
    return installed if installed.is_dir() else Path(str(files("spicesim"))).parent / "netlists" / "library"


@cache
def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob("*.cir")))


def library_names() -> list[str]:
    """List the files of the library, sorted."""
    return list(_names(_folder()))


def subcircuit_names() -> list[str]:
    """List those files of the library that hold a subcircuit; the others are cards of transistors."""
    return [name for name in library_names() if not name.startswith("generic_")]


def library_path(name: str) -> Path:
    """Find one file of the library.

    Raises
    ------
    SpecError
        If there is no such file.
    """
    if name not in library_names():  # a name, no path that could lead out of the folder
        raise SpecError(f"no library file {name[:80]!a}; there are: {', '.join(library_names())}")
    return _folder() / name


def library_text(name: str) -> str:
    """Read one file of the library."""
    return library_path(name).read_text(encoding="utf-8")


def read_replacements(folder: str | Path) -> dict[str, str]:
    """Read a designer's own versions of library subcircuits.

    Parameters
    ----------
    folder : str or Path
        Holds files named as those of the library that they replace.

    Returns
    -------
    dict of str to str
        Text by file name, sorted; files that are as shipped are left out.

    Raises
    ------
    SpecError
        If the folder is not there or empty, a file replaces nothing, or its subcircuit has other ports than the shipped
        one or lacks a parameter, which would make the netlists that call it wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SpecError(f"no folder {folder}; make one with: spicesim init --library {folder.name}")
    paths = sorted(folder.glob("*.cir"))
    if not paths:
        raise SpecError(f"no .cir file in {folder}; fill it with: spicesim init --library {folder.name}")
    found = {}
    for path in paths:
        require_near(path, folder, "library")  # a link would lead out
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"cannot read {path}: {error}") from None
        check_replacement(path.name, text, str(path))
        if text != library_text(path.name):
            found[path.name] = text
    return found


def check_replacement(file: str, text: str, path: str) -> None:
    """Refuse a file that cannot stand in for the shipped one of that name; `path` names it in messages."""
    if file not in subcircuit_names():
        remedy = (
            "name your transistor models in process.models"
            if file in library_names()
            else f"the library's subcircuits are: {', '.join(subcircuit_names())}"
        )
        raise SpecError(f"{require_line(path, 'library')} replaces no subcircuit of the library; {remedy}")
    name = file.removesuffix(".cir")
    wanted_ports, wanted_parameters = _heads(library_text(file))[name]
    heads = _heads(text)
    if name not in heads:
        raise SpecError(f"{path} holds no subcircuit {name!r}; wanted: .subckt {name} {' '.join(wanted_ports)} ..")
    ports, parameters = heads.pop(name)
    if ports != wanted_ports:
        raise SpecError(
            f"{path}: subcircuit {name} has the ports '{' '.join(ports)}'; "
            f"wanted '{' '.join(wanted_ports)}', in this order, as the netlists that call it connect them"
        )
    if missing := [parameter for parameter in wanted_parameters if parameter not in parameters]:
        raise SpecError(
            f"{path}: subcircuit {name} has no parameter {missing[0]!r}, which the netlists that call it set; "
            f"keep it in the .subckt line, used or not"
        )
    if taken := sorted(set(heads) & {other.removesuffix(".cir") for other in subcircuit_names()}):
        raise SpecError(f"{path} holds subcircuit {taken[0]!r}, too, which is the library's; rename it")


def _heads(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """Find the ports and the parameters of each subcircuit, in lower case."""
    found = {}
    for match in _HEAD.finditer(text):
        line = re.sub(r"[ \t][$;].*", "", match[2]).replace("\n", " ").replace("+", " ").lower()
        words = re.sub(r"\s*=\s*", "=", line).split()
        ports = [word for word in words if "=" not in word and word != "params:"]
        found[match[1].lower()] = (ports, [word.split("=")[0] for word in words if "=" in word])
    return found
