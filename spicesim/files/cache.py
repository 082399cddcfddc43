"""The folder of what is kept because it takes long to make: simulations, their costs, compiled models."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder: ``$SPICESIM_CACHE``, or ``~/.cache/spicesim``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SPICESIM_CACHE") or Path(home) / "spicesim")
