"""How inputs are driven: at once, in digits, or bit by bit; products of several planes are added digitally.

Bits that a read-out adds as charge are one product, so they count as driven at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spicesim.arrays import Codes
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import NetworkError

__all__ = ["AT_ONCE", "AtOnce", "BitPlanes", "Digits", "GatePlanes", "Pulses", "choose_pulses"]


class Pulses(Protocol):
    """What becomes of the codes of inputs, all of so many bits: planes of codes for the drivers.

    An input as a fraction of a full span is the sum over planes of their factors times what the drivers put out, as a
    fraction of the same, and a constant.
    """

    def count(self, bits: int, polarity: Polarity) -> int:
        """Return how many planes an input takes."""
        ...

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Cut codes (batch, rows) into those of each plane, with the factor of its product."""
        ...

    def constant(self, bits: int, polarity: Polarity) -> float:
        """Return what the planes of any input lack, as a fraction of a full span."""
        ...

    def levels(self, polarity: Polarity) -> Polarity:
        """Return the coding of what the drivers put out, for that of the inputs."""
        ...

    def weakened(self, factor: float) -> tuple["Pulses", float, float]:
        """Return pulses lower by a factor, as near as there are; by how much they are, and inputs must be, lower.

        Raises
        ------
        NetworkError
            If there are none.
        """
        ...


@dataclass(frozen=True, slots=True)
class AtOnce:
    """The whole code at once."""

    def count(self, bits: int, polarity: Polarity) -> int:
        """Return 1."""
        return 1

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Return the codes as they are."""
        yield 1.0, codes

    def constant(self, bits: int, polarity: Polarity) -> float:
        """Return 0."""
        return 0.0

    def levels(self, polarity: Polarity) -> Polarity:
        """Return that of the inputs."""
        return polarity

    def weakened(self, factor: float) -> tuple["AtOnce", float, float]:
        """Leave it to the inputs."""
        return self, factor, factor


AT_ONCE = AtOnce()
"""The whole code at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The magnitude of an input in digits of some bits, one after the other, each with the input's sign."""

    digit: int
    """Bits of a digit, 1 for bit-serial inputs."""
    height: int
    """DAC steps that a digit of one takes."""

    @classmethod
    def largest(cls, digit: int, bits: int, polarity: Polarity) -> "Digits":
        """Return the digits for a DAC of so many bits of which the highest takes the whole span."""
        return cls(digit=digit, height=_magnitude(bits, polarity) // (2**digit - 1))

    def levels(self, polarity: Polarity) -> Polarity:
        """Return that of the inputs."""
        return polarity

    def weakened(self, factor: float) -> tuple["Digits", float, float]:
        """Return digits of fewer steps, 1 at least."""
        height = max(int(self.height / factor), 1)
        return Digits(digit=self.digit, height=height), self.height / height, 1.0

    def count(self, bits: int, polarity: Polarity) -> int:
        """Return how many digits an input takes."""
        return -(-_magnitude(bits, polarity).bit_length() // self.digit)

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Cut codes (batch, rows) into those of each digit, with the factor of its product."""
        middle = 0 if polarity == "unipolar" else 2 ** (bits - 1)
        magnitude = np.minimum(np.abs(codes - middle), _magnitude(bits, polarity))
        sign = np.sign(codes - middle)
        for place in range(self.count(bits, polarity)):
            digits = magnitude >> (self.digit * place) & (2**self.digit - 1)
            yield 2.0 ** (self.digit * place) / self.height, middle + sign * digits * self.height

    def constant(self, bits: int, polarity: Polarity) -> float:
        """Return 0."""
        return 0.0


@dataclass(frozen=True, slots=True)
class BitPlanes:
    """The bits of a code one after the other, each one of two levels of the drivers.

    Levels of both signs make ``2 b - 1`` of a bit b, so the planes of an offset-binary code c of n bits make
    ``c - 2^(n-1) + 1/2`` steps: half a step is taken off digitally.
    """

    def count(self, bits: int, polarity: Polarity) -> int:
        """Return the bits."""
        return bits

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Cut codes (batch, rows) into their bits, with the factor of each product."""
        for place in range(bits):
            yield 2.0 ** (place - bits), codes >> place & 1

    def constant(self, bits: int, polarity: Polarity) -> float:
        """Return half a step of both signs, negative."""
        return 0.0 if polarity == "unipolar" else -(2.0**-bits)

    def levels(self, polarity: Polarity) -> Polarity:
        """Return that of the inputs."""
        return polarity

    def weakened(self, factor: float) -> tuple["BitPlanes", float, float]:
        """Refuse: there is one height."""
        if factor > 1:
            raise NetworkError(
                f"drivers of bits have one level for every 1, and typical outputs are {factor:.3g} times what "
                "amplifiers and converters bear even at the smallest r_feedback; add one smaller by that, or lower "
                "dac.v_span or cell.g_max, or let tiles take fewer rows (--tile-rows)"
            )
        return self, 1.0, 1.0


@dataclass(frozen=True, slots=True)
class GatePlanes(BitPlanes):
    """The bits of a code one after the other, each of which turns rows on or off.

    There is no level below 0, so inputs with a sign are driven as two's complement, whose highest bit counts
    negatively: an input of 0 turns no row on, and nothing is left to take off digitally.
    """

    def planes(self, codes: Codes, bits: int, polarity: Polarity) -> Iterator[tuple[float, Codes]]:
        """Cut codes (batch, rows) into their bits, with the factor of each product."""
        signed = polarity == "bipolar"
        for place in range(bits):
            bit = codes >> place & 1
            is_sign = signed and place == bits - 1  # of an offset-binary code it is the other way round
            yield (-1.0, 1 - bit) if is_sign else (2.0 ** (place - bits + signed), bit)

    def constant(self, bits: int, polarity: Polarity) -> float:
        """Return 0."""
        return 0.0

    def levels(self, polarity: Polarity) -> Polarity:
        """Return unipolar."""
        return "unipolar"


def choose_pulses(chip: Chip, digit: int | None, polarity: Polarity) -> Pulses:
    """Choose how inputs are driven by drivers of a kind, and by what adds their bits.

    Parameters
    ----------
    chip : Chip
        Gives the drivers, and where their bits are added.
    digit : int, optional
        Bits of an input that are driven at a time; by default as many as the drivers take.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.

    Raises
    ------
    NetworkError
        If drivers of bits are to drive digits, or a digit has more bits than an input's magnitude.
    """
    dac = chip.dac
    if dac.kind == "bits":
        if digit is not None:
            raise NetworkError(
                f"drivers of bits drive inputs bit by bit, so there are no digits to choose, got {digit}; leave "
                "input_digit out, or set dac.kind = r2r"
            )
        if chip.cell.is_gated:
            return GatePlanes()
        return AT_ONCE if chip.hold.adds_planes else BitPlanes()
    if digit is None:
        return AT_ONCE
    if not 1 <= digit < dac.bits:
        raise NetworkError(f"digits of inputs must have 1..{dac.bits - 1} bits, one fewer than the DAC, got {digit}")
    return Digits.largest(digit, dac.bits, polarity)


def _magnitude(bits: int, polarity: Polarity) -> int:
    """Return the largest magnitude that both signs have."""
    return int(2 ** (bits if polarity == "unipolar" else bits - 1)) - 1
