"""Descriptions, plans and calibrations as files: TOML and JSON from anybody, read within limits and validated.

All such files come through here, so that whatever is in one, it is a document of plain, finite values or an error that
says what is wrong and where.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from spicesim.errors import SpecError, SpiceSimError, quote

__all__ = ["describe_problem", "read_json", "read_toml", "validate"]

_LARGEST = {"toml": 2**18, "json": 2**29}
"""Bytes of a file at most: a description has some kilobytes, a calibration of a large chip some ten megabytes."""
_DEEPEST = 32
"""Levels of a document at most; a calibration has a dozen."""
_INTEGER_BITS = 64
"""Bits of an integer at most, its sign left out."""
_DEEP_KEY = re.compile(rf"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){{{_DEEPEST}}}")
"""A dotted key of TOML nests a table a dot, and takes the parser quadratic time."""

M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, what: str, remedy: str, error: type[SpiceSimError] = SpecError) -> dict[str, Any]:
    """Read a TOML file; parameters and errors as :func:`read_json`."""
    text = _read_text(path, "toml", what, remedy, error)
    try:
        if found := _DEEP_KEY.search(text):
            raise ValueError(f"the key {quote(found[0])} is nested more than {_DEEPEST} deep")
        return _check(tomllib.loads(text))
    except (ValueError, RecursionError) as problem:
        _refuse(f"{path} is not valid TOML", problem, remedy, error)


def read_json(path: Path, what: str, remedy: str, error: type[SpiceSimError] = SpecError) -> dict[str, Any]:
    """Read a JSON file.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, for messages, such as "chip description".
    remedy : str
        What to do if it is not there or damaged, for messages.
    error : type
        Kind of error to raise.

    Returns
    -------
    dict
        The document: finite numbers, integers of at most 64 bits, no key twice, of bounded size and depth.

    Raises
    ------
    SpecError or whatever `error` is
        If the file is not there, too large, or no such document.
    """
    text = _read_text(path, "json", what, remedy, error)
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
        if not isinstance(document, dict):
            raise ValueError(f"an object is wanted, got {quote(document)}")
        return _check(document)
    except (ValueError, RecursionError) as problem:
        _refuse(f"{path} is no {what} or is damaged", problem, remedy, error)


def validate(model: type[M], document: Any, source: str, remedy: str = "", error: type[SpiceSimError] = SpecError) -> M:
    """Build a model from plain data.

    Parameters
    ----------
    model : type
        A pydantic model.
    document : object
        The data.
    source : str
        Where it came from, for messages, and what it is taken for.
    remedy : str
        What to do, for messages.
    error : type
        Kind of error to raise.

    Raises
    ------
    SpecError or whatever `error` is
        If the data are no such model; says the first problem, and where it is.
    """
    try:
        return model.model_validate(document)
    except ValidationError as problem:
        raise error(f"{source}: {describe_problem(problem)}{f'; {remedy}' if remedy else ''}") from None


def describe_problem(error: ValidationError) -> str:
    """Say the first problem that pydantic found, in one line: where, what is wanted, what was got."""
    # an unknown key explains a missing one, when it is misspelt
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    count = error.error_count()
    where = ".".join(_name(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = f"unknown key {quote(where)}; remove it, or see 'spicesim init' for the keys of a description"
    elif first["type"] == "missing":
        text = f"key {where!r} is missing"
    else:
        plain = isinstance(first["input"], str | int | float | list | None)
        got = f", got {quote(first['input'])}" if plain and "got " not in message else ""
        text = f"{where}: {message}{got}" if where else f"{message}{got}"
    return text + (f" (and {count - 1} more)" if count > 1 else "")


def _name(part: int | str) -> str:
    """Return a step on the way to a value, short and on one line, whatever it is called."""
    text = str(part)
    return text if len(text) <= 40 and text.isprintable() else quote(text)


def _read_text(path: Path, kind: str, what: str, remedy: str, error: type[SpiceSimError]) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST[kind] + 1)
        if len(data) > _LARGEST[kind]:
            raise error(f"{path} has more than {_LARGEST[kind] >> 10} kB, too much for a {what}; {remedy}")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"no {what} {path}; {remedy}") from None
    except (OSError, ValueError) as problem:
        raise error(f"cannot read {what} {path}: {problem}; {remedy}") from None


def _refuse(verdict: str, problem: Exception, remedy: str, error: type[SpiceSimError]) -> NoReturn:
    deep = isinstance(problem, RecursionError)
    said = f"it is nested more than {_DEEPEST} deep" if deep else " ".join(str(problem).split())
    raise error(f"{verdict}: {said if len(said) <= 200 else said[:200] + '...'}; {remedy}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, in which no key may stand twice: another reader would take the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {quote(next(name for name in names if names.count(name) > 1))} stands there twice")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _check(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse depth, integers and floats beyond the limits; the message says where."""
    todo: list[tuple[tuple[int | str, ...], Any]] = [((), document)]
    while todo:
        way, value = todo.pop()
        if len(way) > _DEEPEST:
            raise ValueError(f"{_where(way)} is nested more than {_DEEPEST} deep")
        if isinstance(value, list) and set(map(type, value)) == {float} and math.isfinite(sum(map(abs, value))):
            continue  # nearly all of a calibration
        for key, item in _items(value):
            if isinstance(item, dict | list):
                todo.append(((*way, key), item))
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"{_where((*way, key))} is no finite number")
            elif isinstance(item, int) and item.bit_length() > _INTEGER_BITS:
                raise ValueError(f"{_where((*way, key))} is {quote(item)}, beyond all that is meant here")
    return document


def _items(value: Any) -> Iterator[tuple[int | str, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _where(way: tuple[int | str, ...]) -> str:
    text = ".".join(map(_name, way))
    return text if len(text) <= 200 else f"{text[:200]}..."
