"""Parts of calibrations kept as results of their own: what a part depends on has not changed, so it is not made again.

A part is kept under all that its making was given, the code and the models, and with the keys of the chip that were
read in it. It is taken for every chip with the same values of these keys. An entry that does not match its checksum, or
is no such part, is taken away and made anew.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from copy import copy
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from spicesim.behavioural.arrays import Model
from spicesim.calibration.campaign import Campaign, Simulated
from spicesim.calibration.watched import Reads, values_hash
from spicesim.chip import CORNERS, Chip
from spicesim.chip.library import library_names, library_text
from spicesim.errors import MissingDependencyError, SpiceSimError
from spicesim.files import cache_folder, write_bytes
from spicesim.netlist.process import model_files
from spicesim.ngspice.batch import ngspice_version
from spicesim.own_code import is_own
from spicesim.provenance import code_hash, versions
from spicesim.sampling import model_hash

__all__ = ["CHECK", "Part", "Parts", "Reuse", "content_hash"]

_HEAD = b"spicesim calibration part 1, sha256 of place and content: "
_LARGEST = 2**28
"""Bytes of an entry at most."""
CHECK = "check "
"""Begins the name of a whole tile's check."""
T = TypeVar("T")


class Reuse(Model):
    """What a calibration took from earlier ones, and what it had to make."""

    reused: tuple[str, ...]
    """Parts that were taken, by name."""
    made: tuple[str, ...]
    """Parts that were fitted or checked."""
    simulated: int
    """Ngspice runs that were not kept from before."""
    base: str = ""
    """Hash of the calibration whose blocks were taken for this chip; empty if it has its own."""

    def format(self) -> str:
        """Format it in a line; checks are counted, all else is named."""
        if not self.reused and not self.base:
            return f"nothing reused, all {len(self.made)} parts made; {self.simulated} simulations run"
        blocks = f"blocks of calibration {self.base}; " if self.base else ""
        return (
            f"{blocks}reused: {_listed(self.reused) or 'nothing'}; made: {_listed(self.made) or 'nothing'}; "
            f"{self.simulated} simulations run"
        )


def _listed(names: tuple[str, ...]) -> str:
    checks = sum(name.startswith(CHECK) for name in names)
    listed = [name for name in names if not name.startswith(CHECK)]
    return ", ".join([*listed, *([f"{checks} checks of whole tiles"] if checks else [])])


class Part(Model, Generic[T]):
    """One part as it is kept."""

    keys: tuple[str, ...]
    """Keys of the chip that were read in its making."""
    runs: tuple[Simulated, ...]
    """Simulations behind it, for the accounts."""
    digests: tuple[str, ...] = ()
    """Their netlists' hashes, where these are asked for."""
    content: T
    """The part."""


_KEYS = TypeAdapter(tuple[str, ...])


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Return what reads and writes parts of a kind; pydantic takes long to make it."""
    return TypeAdapter(Part[kind])


def content_hash(*values: Any) -> str:
    """Hash models and plain values by their content."""
    return hashlib.sha256(b"\n".join(map(_plain, values))).hexdigest()[:32]


def _plain(value: Any) -> bytes:
    return value.model_dump_json().encode() if isinstance(value, Model) else json.dumps(value, sort_keys=True).encode()


_REMEMBERED = 64
_memory: dict[tuple[Path, int, int], Any] = {}
"""The last entries that this process read, by file with its time and size."""


def _remember(key: tuple[Path, int, int], found: Any) -> None:
    _memory[key] = found
    while len(_memory) > _REMEMBERED:
        _memory.pop(next(iter(_memory)), None)


class Parts:
    """Where the parts of a chip's calibration are looked for and kept.

    Parameters
    ----------
    chip : Chip
        The chip.
    campaign : Campaign
        Its accounts get the simulations of parts that are taken; says whether to be quick, and gives the seed.
    """

    def __init__(self, chip: Chip, campaign: Campaign) -> None:
        self._chip, self._campaign = chip, campaign
        self.reused: list[str] = []
        self.made: list[str] = []

    @cached_property
    def _base(self) -> str:
        """Hash what every part depends on: code, versions, models, and how much is asked for."""
        chip, files = self._chip, dict[str, str]()
        for corner in (None, *(CORNERS if chip.process.has_corners else ())):
            with contextlib.suppress(MissingDependencyError):  # then no part of this chip is at that corner
                process = chip.process if corner is None else chip.process.corner(corner)
                files |= {str(path): model_hash(path) for path in model_files(process)}
        library = {name: library_text(name) for name in library_names()}
        return content_hash(
            code_hash(), versions(ngspice_version()), files, library, self._campaign.quick, self._campaign.seed
        )

    def beside(self, campaign: Campaign) -> "Parts":
        """Return the same for one of several works, which has accounts of its own; :meth:`enter` it afterwards."""
        other = copy(self)
        other._campaign, other.reused, other.made = campaign, [], []
        return other

    def enter(self, other: "Parts") -> None:
        """Enter what a work beside took and made."""
        self.reused += other.reused
        self.made += other.made

    @property
    def _are_kept(self) -> bool:
        """Whether parts can be kept: not of code of the user's own, which nobody hashes."""
        return not (is_own(self._chip.dac.kind) or is_own(self._chip.adc.kind))

    def _folder(self, name: str, given: str) -> Path:
        return cache_folder() / "parts-1" / content_hash(self._base, name, given)

    def find(self, name: str, given: str, kind: Any) -> Part[Any] | None:
        """Return a part that was made before; None if there is none.

        Parameters
        ----------
        name : str
            Of the part.
        given : str
            Hash of what it is made from, beside the chip.
        kind : type
            Of its content.
        """
        if not self._are_kept:
            return None
        folder = self._folder(name, given)
        with contextlib.suppress(OSError):
            for path in sorted(folder.glob("*.keys")):
                keys = _read(path, _KEYS)
                if keys is None:
                    continue
                entry = folder / f"{values_hash(self._chip, keys)}.part"
                found = _read(entry, _adapter(kind))
                if found is not None and found.keys == keys:
                    return found  # type: ignore[no-any-return]
        return None

    def take(self, name: str, part: Part[T]) -> T:
        """Enter a part that was found into the accounts, and return its content."""
        self.reused.append(name)
        self._campaign.book(part.runs)
        return part.content

    def keep(self, name: str, given: str, part: Part[T], kind: Any, *, whole: bool = True) -> Part[T]:
        """Keep a part, and return it as it will be read.

        Parameters
        ----------
        name, given, kind
            As of :meth:`find`.
        part : Part
            It, with the keys that were read.
        whole : bool
            Whether every simulation went well; what was done without some is not kept, as these may do it tomorrow.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        self.made.append(name)
        adapter = _adapter(kind)
        data = adapter.dump_json(part)
        if whole and self._are_kept:
            folder = self._folder(name, given)
            _write(folder / f"{content_hash(part.keys)}.keys", _KEYS.dump_json(part.keys))
            _write(folder / f"{values_hash(self._chip, part.keys)}.part", data)
        return adapter.validate_json(data)  # type: ignore[no-any-return]

    def recall(self, name: str, given: str, kind: Any, make: Callable[[Chip], T]) -> T:
        """Return a part: one that was made before, or made now, by ``make(chip)`` of a chip that notes what is read."""
        if (part := self.find(name, given, kind)) is not None:
            known: T = self.take(name, part)
            return known
        reads, campaign = Reads(self._chip), self._campaign
        done, failed = len(campaign.log), len(campaign.failures)
        content = make(reads.watch())
        part = Part[T](keys=tuple(sorted(reads.keys)), runs=tuple(campaign.log[done:]), content=content)
        return self.keep(name, given, part, kind, whole=len(campaign.failures) == failed).content

    def reuse(self, base: str = "") -> Reuse:
        """Return what was taken and what was made so far; `base` is as of :class:`Reuse`."""
        return Reuse(reused=tuple(self.reused), made=tuple(self.made), simulated=self._campaign.fresh, base=base)


def _checksum(path: Path, content: bytes) -> bytes:
    place = f"{path.parent.name}/{path.name}".encode()
    return hashlib.sha256(place + b"\n" + content).hexdigest().encode()


def _write(path: Path, content: bytes) -> None:
    # what the disk loses is made again
    write_bytes(path, _HEAD + _checksum(path, content) + b"\n" + content, lasting=False)


def _read(path: Path, adapter: TypeAdapter[T]) -> T | None:
    """Return what an entry holds; None if there is none, or it is damaged, and then it is taken away."""
    try:
        about = path.stat()
        key = (path, about.st_mtime_ns, about.st_size)
        if (known := _memory.get(key)) is not None:
            return known  # type: ignore[no-any-return]
        data = path.read_bytes() if about.st_size <= _LARGEST else b""
        head, _, content = data.partition(b"\n")
        if head != _HEAD + _checksum(path, content):
            raise ValueError("does not match its checksum")
        found = adapter.validate_json(content)
    except OSError:
        return None
    except (ValueError, ValidationError, SpiceSimError, RecursionError):
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    _remember(key, found)
    return found
