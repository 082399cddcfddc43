"""Numbers with SI prefixes, parsed once at the edges, and their exact form in a netlist."""

import math
import re
from decimal import Decimal
from numbers import Real

from spicesim.errors import SpecError, quote

__all__ = ["format_si", "parse_quantity", "parse_time", "spice_number"]

_EXPONENTS = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0,
    "k": 3, "M": 6, "Meg": 6, "meg": 6, "G": 9, "T": 12,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(Meg|meg|[afpnuµμmkMGT]?)\s*(\S*)\s*")
_LONGEST = 1000
"""Letters of a quantity; a longer one is none."""
_UNITS = {"", "V", "A", "S", "ohm", "Ω", "F", "H", "s", "Hz", "W", "J", "m", "B"}


def parse_quantity(value: float | int | str) -> float:
    """Parse a number or a string such as ``"10u"`` or ``"1.5 kohm"`` into an SI float.

    Prefixes are those of SI, so ``"1M"`` is 1e6 (in SPICE it would be 1e-3) and ``"1m"`` is 1e-3.

    Raises
    ------
    SpecError
        If the text is no number, has an unknown prefix or unit, or is not finite.
    """
    try:
        number = _parse_text(value) if isinstance(value, str) else _plain_number(value)
    except ArithmeticError:  # an integer or an exponent beyond all doubles
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"expected a finite number, got {quote(value)}")
    return number


def _plain_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpecError(f"expected a number, got {quote(value)}")
    return float(value)


def _parse_text(text: str) -> float:
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST and text.strip() != "m" else None
    if match is None:
        raise SpecError(f"expected a number with an optional SI prefix such as '10u', got {quote(text)}")
    digits, prefix, unit = match.groups()
    if unit not in _UNITS:
        raise SpecError(f"unknown unit {quote(unit)} in {quote(text)}; use one of {', '.join(sorted(_UNITS - {''}))}")
    return float(Decimal(digits).scaleb(_EXPONENTS[prefix]))  # "50u" is 5e-5 to the last bit


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


_SECONDS = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}
_TIME = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*([a-z]*)\s*")


def parse_time(value: float | int | str) -> float:
    """Parse a long time such as "30s", "5min", "1 h", "1d" or "1y" into seconds; a number is taken for seconds.

    Raises
    ------
    SpecError
        If it is none.
    """
    if not isinstance(value, str):
        return _plain_number(value)
    match = _TIME.fullmatch(value) if len(value) <= _LONGEST else None
    if match is None or match[2] not in _SECONDS:
        raise SpecError(f"expected a time such as 30s, 5min, 1h, 1d or 1y, got {quote(value)}")
    return float(match[1]) * _SECONDS[match[2]]
