"""Supplies as the command line has them."""

from collections.abc import Sequence

from spicesim.errors import SpecError
from spicesim.units import parse_quantity

__all__ = ["named_volts", "volts"]


def volts(words: Sequence[str]) -> list[float]:
    """Read the supplies of a chip."""
    found = [parse_quantity(part) for word in words for part in word.split(",")]
    if wrong := [value for value in found if not 0 < value <= 100]:
        raise SpecError(f"--supply takes volts up to 100, got {wrong[0]:g}; of a deck: --supply vdd=3.0,3.3")
    return found


def named_volts(words: Sequence[str]) -> dict[str, list[float]]:
    """Read the supplies of a deck, ``vdd=3.0,3.3``."""
    found: dict[str, list[float]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"--supply of a deck names its .param, such as vdd=3.0,3.3; got {word!r}")
        found.setdefault(name.strip().lower(), []).extend(parse_quantity(part) for part in values.split(","))
    return found
