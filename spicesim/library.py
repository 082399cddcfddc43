"""The subcircuits and model cards shipped with the package."""

from importlib.resources import files
from pathlib import Path

from spicesim.errors import SpecError

__all__ = ["library_names", "library_path", "library_text"]


def _folder() -> Path:
    # join before turning to a path: in an editable install the package has several folders, and only the join picks one
    installed = Path(str(files("spicesim").joinpath("netlists", "library")))
    # without any install the folder is where the repository has it, beside the package
    return installed if installed.is_dir() else Path(str(files("spicesim"))).parent / "netlists" / "library"


def library_names() -> list[str]:
    """List the files of the library, sorted."""
    return sorted(path.name for path in _folder().glob("*.cir"))


def library_path(name: str) -> Path:
    """Find one file of the library.

    Raises
    ------
    SpecError
        If there is no such file.
    """
    path = _folder() / name
    if not path.is_file():
        raise SpecError(f"no library file {name!r}; there are: {', '.join(library_names())}")
    return path


def library_text(name: str) -> str:
    """Read one file of the library."""
    return library_path(name).read_text(encoding="utf-8")
