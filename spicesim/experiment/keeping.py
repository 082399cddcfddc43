"""What a run keeps: how much in memory, and which tiles in files."""

from dataclasses import dataclass

from spicesim.files.shelf import Shelf

__all__ = ["TILES_LIMIT", "Keeping"]

TILES_LIMIT = 4_000_000_000
"""Bytes that kept tiles take where nobody says more: in the cache, and in the folder of a study."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keeping:
    """Where the work of a run may stay; nothing of it changes a result."""

    memory: int | None = None
    """Bytes that tiles, and values between layers, may take; by default half of what is free."""
    shelf: Shelf | None = None
    """Keeps tiles as the engine fast made them ready, and gives them again."""
