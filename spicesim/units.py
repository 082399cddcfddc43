"""Numbers with SI prefixes, parsed once at the edges, and their exact form in a netlist."""

import math
import re

from spicesim.errors import SpecError

__all__ = ["format_si", "parse_quantity", "spice_number"]

_PREFIXES = {
    "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0,
    "k": 1e3, "M": 1e6, "Meg": 1e6, "meg": 1e6, "G": 1e9, "T": 1e12,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(Meg|meg|[afpnuµμmkMGT]?)\s*(\S*)\s*")
_UNITS = {"", "V", "A", "S", "ohm", "Ω", "F", "H", "s", "Hz", "W", "J", "m"}


def parse_quantity(value: float | int | str) -> float:
    """Parse a number or a string such as ``"10u"`` or ``"1.5 kohm"`` into an SI float.

    Prefixes are those of SI, so ``"1M"`` is 1e6 (in SPICE it would be 1e-3) and ``"1m"`` is 1e-3.

    Raises
    ------
    SpecError
        If the text is no number, has an unknown prefix or unit, or is not finite.
    """
    if isinstance(value, bool):
        raise SpecError(f"expected a number, got {value}")
    if isinstance(value, int | float):
        number = float(value)
    else:
        text = str(value)
        if text.strip() == "m":
            raise SpecError("expected a number, got 'm'")
        match = _QUANTITY.fullmatch(text)
        if match is None:
            raise SpecError(f"expected a number with an optional SI prefix such as '10u', got {value!r}")
        digits, prefix, unit = match.groups()
        if unit not in _UNITS:
            raise SpecError(f"unknown unit {unit!r} in {value!r}; use one of {', '.join(sorted(_UNITS - {''}))}")
        number = float(digits) * _PREFIXES[prefix]
    if not math.isfinite(number):
        raise SpecError(f"expected a finite number, got {value!r}")
    return number


def spice_number(value: float) -> str:
    """Format a number for a netlist so that reading it back gives the same double."""
    number = float(value)  # NumPy 2 scalars would print as np.float64(...)
    if not math.isfinite(number):
        raise SpecError(f"a netlist cannot hold the number {number}")
    return repr(number)


def format_si(value: float, unit: str = "", digits: int = 4) -> str:
    """Format a number for people, with an SI prefix: ``format_si(2e-5, "S")`` is ``"20 uS"``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    exponent = min(12, max(-18, 3 * math.floor(math.log10(abs(value)) / 3)))
    names = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
    return f"{value / 10**exponent:.{digits}g} {names[exponent]}{unit}".rstrip()
