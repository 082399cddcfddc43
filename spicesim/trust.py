"""What the user trusts beyond data: files and folders named once, in a file or a variable of their own.

A description cannot say so itself. Compiled models (OSDI) are native code and are loaded only from there; model files
and libraries that lie outside of the folder of the description that names them are read only from there.
"""

import os
from pathlib import Path

from spicesim.errors import SpecError

__all__ = ["is_trusted", "require_near", "require_trust", "trust_file", "trust_remedy"]

VARIABLE = "SPICESIM_TRUSTED"
"""Environment variable with paths, separated as those of PATH."""


def trust_file() -> Path:
    """Return the user's list: one file or folder a line, ``#`` before a comment."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "spicesim" / "trusted"


def _trusted() -> list[Path]:
    """Read what the user trusts: absolute paths only, as a relative one would mean another place in each folder."""
    words = os.environ.get(VARIABLE, "").split(os.pathsep)
    try:
        words += trust_file().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read {trust_file()}: {error}; wanted one path a line") from None
    paths = [Path(word.strip()).expanduser() for word in words if word.strip() and not word.strip().startswith("#")]
    return [path.resolve() for path in paths if path.is_absolute()]


def is_trusted(path: Path) -> bool:
    """Whether the user trusts a file: it, or a folder around it, is in the list."""
    real = path.resolve()
    return any(real == place or real.is_relative_to(place) for place in _trusted())


def trust_remedy(path: Path) -> str:
    """Say how to trust a file."""
    return (
        f"if you trust it, add the line {path.resolve()} (or its folder) to {trust_file()}, or to the environment "
        f"variable {VARIABLE}"
    )


def require_trust(path: Path, what: str, why: str) -> None:
    """Refuse a file that the user has not said to trust.

    Raises
    ------
    SpecError
        Saying how to.
    """
    if not is_trusted(path):
        raise SpecError(f"{what}: {str(path)!a} {why}; {trust_remedy(path)}")


def require_near(path: Path, folder: Path, what: str) -> None:
    """Refuse a file or folder that a description names far from itself.

    Parameters
    ----------
    path : Path
        What it names.
    folder : Path
        Folder of the description. What lies in it, in the working folder or below either may be named.
    what : str
        The key, for the message.

    Raises
    ------
    SpecError
        If it lies elsewhere, links followed, and the user does not trust it.
    """
    real = path.resolve()
    if not any(real.is_relative_to(place.resolve()) for place in (folder, Path.cwd())):
        require_trust(path, what, f"lies outside of the folder of the description, {folder.resolve()}")
