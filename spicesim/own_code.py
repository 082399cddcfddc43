"""Code of the user's own: engines, devices and converters named ``package.module:Name``."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from spicesim.errors import SpecError
from spicesim.trust import require_trust

__all__ = ["is_own", "load_class", "load_own", "require_trusted"]

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_own(word: str) -> bool:
    """Whether a word names code, as in ``package.module:Name``."""
    return _NAME.fullmatch(word) is not None


def _find(word: str) -> Path:
    """Return the file or folder of the package that holds a name, without importing it.

    Raises
    ------
    SpecError
        If there is none.
    """
    package = word.partition(":")[0].partition(".")[0]
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    finally:
        sys.path.pop(0)
    place = next(iter(found.submodule_search_locations or ()), found.origin) if found else None
    if place is None:
        raise SpecError(f"no Python package {package!r} for {word!r}; install it, or run in the folder that holds it")
    return Path(place)


def require_trusted(word: str, source: str) -> None:
    """Refuse code that a file names, and that the user has not said to trust.

    On the command line and in Python a name is the user's own word; in a file it is the file's.

    Raises
    ------
    SpecError
        If it is not trusted; says how to, or that there is no such package.
    """
    require_trust(_find(word), source, f"is Python code that {word!r} would run")


def load_own(word: str) -> Any:
    """Import what a word names.

    Raises
    ------
    SpecError
        If there is no such module or name.
    """
    _find(word)
    module, _, name = word.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"cannot import {word!r}: {error}; wanted package.module:Name") from None
    finally:
        sys.path.pop(0)


def load_class(word: str, base: type[Any]) -> Any:
    """Import the class that a word names.

    Raises
    ------
    SpecError
        If there is none, or it is no subclass of `base`.
    """
    found = load_own(word)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise SpecError(f"{word!r} must be a subclass of {base.__module__}.{base.__name__}")
    return found
