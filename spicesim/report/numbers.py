"""Numbers as people read them in the reports."""

import math

from spicesim.units import format_si

_LEAST = 1e-6
"""Smallest number told apart from nothing."""
_MINUS = "\N{MINUS SIGN}"

__all__ = ["parts_per_million", "percent", "quantity", "uncertain"]


def quantity(value: float, unit: str, digits: int = 4) -> str:
    """Format with an SI prefix and the signs that typesetting has: ``20 kΩ``, ``2.56 mA``."""
    rounded = float(f"{value:.{digits}g}")  # 999.98 nS are 1 µS, not 1000 nS
    return format_si(rounded, unit, digits).replace(" u", " µ").replace("ohm", "Ω").replace("-", _MINUS)


def parts_per_million(fraction: float) -> str:
    """Format a fraction in millionths, three digits and no exponent, to a millionth of them."""
    return _plain(1e6 * fraction)


def percent(fraction: float) -> str:
    """Format a fraction in hundredths, three digits and no exponent, to a millionth of them."""
    return _plain(100 * fraction)


def _plain(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < _LEAST:
        return f"< {_LEAST:.6f}"
    places = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-12))
    return f"{value:.{min(places, 6)}f}".replace("-", _MINUS)


def uncertain(value: float, error: float, unit: str) -> str:
    """Format an estimate and its standard error to the error's second digit: ``0.9990718 ± 0.0000052``."""
    if not (error > 0 and math.isfinite(error)):
        return quantity(value, unit, 7)
    largest = max(abs(value), error)
    scale, prefix = (1e3, "m") if largest < 0.1 and unit else (1.0, "")
    places = min(12, max(0, 1 - math.floor(math.log10(scale * error))))
    name = (prefix + unit).replace("ohm", "Ω") if unit != "1" else ""
    if unit == "1":
        scale, places = 1.0, min(12, max(0, 1 - math.floor(math.log10(error))))
    return f"{scale * value:.{places}f} ± {scale * error:.{places}f} {name}".rstrip().replace("-", _MINUS)
