"""A chip that notes which of its keys are read: these, with their values, are all that a computation knew of it.

What gave a result for one chip gives the same for every other with the same values there, however much else differs.
Nobody has to list what a part of a calibration depends on, and no list can be wrong.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

from spicesim.chip import Chip, Section

__all__ = ["Reads", "values_hash"]

_OWN = "watched"
_UNREAD = frozenset({"name", "hash"})
"""Of a chip: they stand in headers and messages, and no number follows from them."""
_PLAIN = frozenset({"__class__", "__doc__", "__module__", "__reduce_ex__"})

_KINDS: set[type] = set()
"""Of watching sections."""

S = TypeVar("S", bound=Section)


@dataclass(slots=True)
class Reads:
    """What was read of a chip."""

    chip: Chip
    """The chip itself."""
    keys: set[str] = field(default_factory=set)
    """Dotted keys; that of a whole section if its content was taken at once, "" for the whole chip."""

    def watch(self) -> Chip:
        """Return the chip as one that notes what is read of it, in changed copies of it, too."""
        return _watched(self.chip, "", self, frozenset())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a chip a section is, and what of it is no longer the chip's own."""

    section: Section
    path: str
    reads: Reads
    replaced: frozenset[str]
    known: dict[str, Any] = field(default_factory=dict, compare=False)
    """Values that were read and noted before: a chip never changes."""

    def note(self, key: str) -> None:
        parts = key.split(".")
        if not any(".".join(parts[:k]) in self.replaced for k in range(1, len(parts) + 1)):
            self.reads.keys.add(key)

    def note_all(self) -> Section:
        self.reads.keys.add(self.path)  # what was replaced is noted with it, which is only too careful
        return self.section

    def get(self, name: str) -> Any:
        key = f"{self.path}.{name}" if self.path else name
        value = getattr(self.section, name)
        if isinstance(value, Section):
            value = _watched(value, key, self.reads, self.replaced)
        else:
            self.note(key)
        self.known[name] = value
        return value

    def changed(self, keys: Mapping[str, Any] | None = None, /, **sections: Any) -> Chip:
        assert isinstance(self.section, Chip)
        changes = {**(keys or {}), **{name: _plain(value) for name, value in sections.items()}}
        inner = {f"{key}.{name}" for key, value in changes.items() if isinstance(value, Mapping) for name in value}
        outer = {key for key, value in changes.items() if not isinstance(value, Mapping)}
        return _watched(self.section.changed(changes), "", self.reads, self.replaced | inner | outer)


def _watched(section: S, path: str, reads: Reads, replaced: frozenset[str]) -> S:
    found: S = object.__new__(_watching(type(section)))
    object.__setattr__(found, "__dict__", {_OWN: _Place(section, path, reads, replaced)})
    return found


def _place(watched: Any) -> _Place:
    place: _Place = object.__getattribute__(watched, "__dict__")[_OWN]
    return place


def _plain(value: Any) -> Any:
    """Return what a watched section is, all of it noted as read; other values as they are."""
    return _place(value).note_all() if type(value) in _KINDS else value


def _read(self: Any, name: str) -> Any:
    place = _place(self)
    if name in place.known:
        return place.known[name]
    if name in type(place.section).model_fields and not (name in _UNREAD and not place.path):
        return place.get(name)
    if name in _PLAIN:
        return object.__getattribute__(self, name)
    if name in _UNREAD and not place.path:
        return getattr(place.section, name)
    if name == "changed" and isinstance(place.section, Chip):
        return place.changed
    if name.startswith(("__", "model_")) or name in ("copy", "dict", "json"):
        return getattr(place.note_all(), name)
    return object.__getattribute__(self, name)  # methods and properties, which read through this


@cache
def _watching(kind: type[S]) -> type[S]:
    """Return the watching kind of a section."""
    watching: type[S] = type(kind)(  # type: ignore[misc]
        f"Watched{kind.__name__}",
        (kind,),
        {
            "__module__": __name__,
            "__doc__": kind.__doc__,
            "__getattribute__": _read,
            "__eq__": lambda self, other: _plain(self) == _plain(other),
            "__hash__": lambda self: hash(_plain(self)),
            "__repr__": lambda self: repr(_plain(self)),
            "__str__": lambda self: str(_plain(self)),
            "__iter__": lambda self: iter(_plain(self)),
            "__copy__": lambda self: _plain(self),
            "__deepcopy__": lambda self, memo: _plain(self),
            "__reduce_ex__": lambda self, protocol: (_plain, (_plain(self),)),
        },
    )
    _KINDS.add(watching)
    return watching


def values_hash(chip: Chip, keys: Iterable[str]) -> str:
    """Hash the values of some keys of a chip, as :class:`Reads` has them; a key that it has not is a value of its own.

    The chip's name is no part of its content.
    """
    values = {key: _value(chip, key) for key in sorted(keys)}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def _value(chip: Chip, key: str) -> Any:
    if not key:
        return chip.model_dump(mode="json", exclude={"name"})
    value: Any = chip
    for part in key.split("."):
        if not isinstance(value, Section) or part not in type(value).model_fields:
            return {"absent": True}
        value = getattr(value, part)
    return to_jsonable_python(value)
