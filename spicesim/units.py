"""Numbers with SI prefixes, parsed once at the edges, and their exact form in a netlist."""

import math
import re
from decimal import Decimal

from spicesim.errors import SpecError

__all__ = ["format_si", "parse_quantity", "spice_number"]

_EXPONENTS = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0,
    "k": 3, "M": 6, "Meg": 6, "meg": 6, "G": 9, "T": 12,
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
        number = float(Decimal(digits).scaleb(_EXPONENTS[prefix]))  # "50u" is 5e-5 to the last bit
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
    names = {exponent: prefix for prefix, exponent in _EXPONENTS.items() if prefix not in {"µ", "μ", "Meg", "meg"}}
    return f"{value / 10**exponent:.{digits}g} {names[exponent]}{unit}".rstrip()
