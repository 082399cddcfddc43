"""Numbers in the text of a subcircuit: sizes of its elements, and what its parameters are by default."""

import re
from collections.abc import Mapping

from spicesim.errors import SpecError, quote
from spicesim.units import format_si, parse_quantity, spice_number

__all__ = ["read_size", "write_sizes"]

_LINE = r"^{name}\b.*(?:\n\+.*)*"
_NUMBER = r"(?<![\w.])({key}\s*=\s*)([^\s=]+)"


def _place(text: str, subcircuit: str, size: str) -> tuple[int, int]:
    """Find where the number of a size stands."""
    element, _, key = size.rpartition(".")
    flags = re.IGNORECASE | re.MULTILINE
    whole = re.search(rf"^\.subckt\s+{re.escape(subcircuit)}\b.*?^\.ends\b", text, flags | re.DOTALL)
    if whole is None:
        raise SpecError(f"the library has no subcircuit {quote(subcircuit)} to size")
    name = re.escape(element) if element else r"\.subckt"
    line = re.search(_LINE.format(name=name), whole[0], flags)
    if line is None:
        raise SpecError(f"subcircuit {subcircuit} has no element {quote(element)} to size")
    number = re.search(_NUMBER.format(key=re.escape(key)), line[0], re.IGNORECASE)
    if number is None:
        where = f"element {quote(element)}" if element else "the .subckt line"
        raise SpecError(f"{where} of subcircuit {subcircuit} has no number {quote(key)} = .. to size")
    start = whole.start() + line.start() + number.start(2)
    return start, start + len(number[2])


def read_size(text: str, subcircuit: str, size: str) -> float:
    """Read a number.

    Parameters
    ----------
    text : str
        Of a library file.
    subcircuit : str
        Name of the subcircuit.
    size : str
        An element's, such as "m1.w", or a parameter of the .subckt line, such as "cc".

    Raises
    ------
    SpecError
        If there is none, or it is an expression.
    """
    start, end = _place(text, subcircuit, size)
    if "{" in text[start:end] or "'" in text[start:end]:
        raise SpecError(f"{size} of subcircuit {subcircuit} is {text[start:end]}; size what stands in it")
    return parse_quantity(text[start:end])


def write_sizes(text: str, subcircuit: str, sizes: Mapping[str, float]) -> str:
    """Return the text with other numbers; as :func:`read_size`."""
    for size, value in sizes.items():
        read_size(text, subcircuit, size)  # refuses expressions
        start, end = _place(text, subcircuit, size)
        text = text[:start] + _format(value) + text[end:]
    return text


def _format(value: float) -> str:
    """Format a number as a designer writes it, if it stays the same."""
    short = format_si(value).replace(" ", "").replace("M", "meg")
    return short if parse_quantity(short) == value else spice_number(value)
