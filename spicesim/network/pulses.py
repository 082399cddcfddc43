"""Inputs digit by digit: a DAC code driven as several small ones, whose products are added digitally."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Codes
from spicesim.coding import Polarity

__all__ = ["AT_ONCE", "Pulses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulses:
    """How an input is driven: its magnitude in digits of some bits, one after the other, each with the input's sign."""

    digit: int | None = None
    """Bits of a digit, 1 for bit-serial inputs; None to drive the whole code at once."""
    height: int = 1
    """DAC steps that a digit of one takes."""

    @classmethod
    def largest(cls, digit: int | None, bits: int, polarity: Polarity) -> "Pulses":
        """Return the pulses of a DAC of so many bits whose highest digit takes the whole span."""
        return AT_ONCE if digit is None else cls(digit=digit, height=_magnitude(bits, polarity) // (2**digit - 1))

    def weakened(self, factor: float) -> tuple["Pulses", float]:
        """Return pulses lower by a factor, as near as there are, at least 1 step, and by how much they are lower."""
        height = max(int(self.height / factor), 1)
        return Pulses(digit=self.digit, height=height), self.height / height

    def count(self, bits: int, polarity: Polarity) -> int:
        """Return how many pulses an input takes."""
        return 1 if self.digit is None else -(-_magnitude(bits, polarity).bit_length() // self.digit)

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Cut codes (batch, rows) into those of each pulse, with the factor of its product."""
        if self.digit is None:
            yield 1.0, codes
            return
        middle = 0 if polarity == "unipolar" else 2 ** (bits - 1)
        magnitude = np.minimum(np.abs(codes - middle), _magnitude(bits, polarity))
        sign = np.sign(codes - middle)
        for place in range(self.count(bits, polarity)):
            digits = magnitude >> (self.digit * place) & (2**self.digit - 1)
            yield 2.0 ** (self.digit * place) / self.height, middle + sign * digits * self.height


AT_ONCE = Pulses()
"""The whole code at once."""


def _magnitude(bits: int, polarity: Polarity) -> int:
    """Return the largest magnitude that both signs have."""
    return int(2 ** (bits if polarity == "unipolar" else bits - 1)) - 1
