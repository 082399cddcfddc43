"""Uniform converters: what a DAC code means, and how an ADC makes one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Codes, Floats
from spicesim.errors import SpecError

__all__ = ["POLARITIES", "AdcRange", "Polarity", "bit_voltages", "dac_codes", "dac_voltages", "rest_code"]

Polarity = Literal["unipolar", "bipolar"]
"""unipolar: code 0 is 0 V; bipolar: offset binary, the middle code is 0 V."""

POLARITIES: tuple[Polarity, ...] = ("unipolar", "bipolar")


def dac_voltages(codes: npt.ArrayLike, bits: int, v_span: float, polarity: Polarity) -> Floats:
    """Return the voltages an ideal DAC makes of codes, relative to the reference.

    Parameters
    ----------
    codes : array_like of int
        Codes, 0..2**bits - 1, of any shape.
    bits : int
        Resolution.
    v_span : float
        Largest voltage [V]; one step is ``v_span / 2**bits`` (unipolar) or twice that (bipolar).
    polarity : {"unipolar", "bipolar"}
        Coding.

    Returns
    -------
    ndarray of the same shape
        Voltages [V].

    Raises
    ------
    SpecError
        If a code is not an integer within the resolution.
    """
    array = _checked(codes, bits)
    if polarity == "unipolar":
        return np.asarray(array * (v_span / 2**bits))
    return np.asarray((array - 2.0 ** (bits - 1)) * (v_span / 2 ** (bits - 1)))


def bit_voltages(codes: npt.ArrayLike, v_span: float, polarity: Polarity) -> Floats:
    """Return the voltages an ideal driver makes of single bits, relative to the reference.

    Parameters
    ----------
    codes : array_like of int
        Bits, of any shape.
    v_span : float
        Voltage of a 1 [V].
    polarity : {"unipolar", "bipolar"}
        Whether a 0 is 0 V or ``-v_span``.

    Raises
    ------
    SpecError
        If a code is neither 0 nor 1.
    """
    array = _checked(codes, 1)
    return np.asarray(array * v_span if polarity == "unipolar" else (2 * array.astype(np.int64) - 1) * v_span)


def _checked(codes: npt.ArrayLike, bits: int) -> Codes:
    array = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise SpecError(f"DAC codes must be integers, got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= 2**bits):
        raise SpecError(f"DAC codes must lie in 0..{2**bits - 1}, got {array.min()}..{array.max()}")
    return array


def dac_codes(values: npt.ArrayLike, bits: int, scale: npt.ArrayLike, polarity: Polarity) -> Codes:
    """Quantise numbers to DAC codes; `scale` is the number that drives a full span.

    Parameters
    ----------
    values : array_like
        Numbers; those beyond the range take its end.
    bits : int
        Resolution.
    scale : array_like
        Number for a full span, broadcast against `values`; positive.
    polarity : {"unipolar", "bipolar"}
        Coding.

    Returns
    -------
    ndarray of int64
        Codes, 0..2**bits - 1.

    Raises
    ------
    SpecError
        If a value is NaN.
    """
    array = np.asarray(values, dtype=float)
    if np.isnan(array).any():
        raise SpecError("cannot convert NaN to a DAC code; look for the layer that made it")
    steps = 2**bits if polarity == "unipolar" else 2 ** (bits - 1)
    zero = 0 if polarity == "unipolar" else 2 ** (bits - 1)
    return np.asarray(np.clip(np.rint(array / scale * steps) + zero, 0, 2**bits - 1), dtype=np.int64)


def rest_code(polarity: Polarity, bits: int) -> int:
    """Return the code of 0 V; of a single bit with both signs, which has none, the lower one."""
    return 0 if polarity == "unipolar" or bits == 1 else 2 ** (bits - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdcRange:
    """A uniform quantiser over the amplifier's output, rounding to nearest and clipping."""

    low: float
    """Voltage of code 0 [V]."""
    high: float
    """Voltage of the last code [V]."""
    bits: int
    """Resolution."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise SpecError(f"an ADC range needs low < high, got {self.low:g}..{self.high:g} V")

    @property
    def lsb(self) -> float:
        """One step [V]."""
        return (self.high - self.low) / float(2**self.bits - 1)

    def codes(self, volts: npt.ArrayLike) -> Codes:
        """Quantise voltages of any shape."""
        steps = np.rint((np.asarray(volts, dtype=float) - self.low) / self.lsb)
        return np.asarray(np.clip(steps, 0, 2**self.bits - 1), dtype=np.int64)

    def places(self, volts: npt.ArrayLike) -> Floats:
        """Return what :meth:`codes` would be without steps: that from code 0 to 1 lies at .5."""
        return np.asarray((np.asarray(volts, dtype=float) - self.low) / self.lsb)

    def volts(self, codes: npt.ArrayLike) -> Floats:
        """Return the voltages that codes stand for."""
        return np.asarray(self.low + np.asarray(codes, dtype=float) * self.lsb)
