"""Circuits sized against the limits of their data sheets."""

from spicesim.sizing.description import Sizing, load_sizing
from spicesim.sizing.search import Sized, size

__all__ = ["Sized", "Sizing", "load_sizing", "size"]
