"""What converters make of many numbers, in one pass: the same to the last bit as :mod:`spicesim.coding` in many."""

import numpy as np

from spicesim._cext.codes import input_codes, output_volts
from spicesim.arrays import Codes, Floats
from spicesim.coding import AdcRange, Polarity
from spicesim.errors import SpecError

__all__ = ["clip_margin", "clip_outputs", "convert_inputs", "read_outputs"]

CLIPPED = 1 / 126
"""How far beyond its range, as a part of it, a converter's clipping is no error: half a step of 6 bits. What is beyond
has the last code whatever the bits, so that what is found of a tile holds for converters of all."""


def convert_inputs(values: Floats, bits: int, scales: Floats, polarity: Polarity) -> tuple[Codes, int]:
    """Quantise vectors to DAC codes.

    Parameters
    ----------
    values : ndarray of shape (batch, rows)
        Numbers; those beyond the range take its end.
    bits : int
        Resolution.
    scales : ndarray of shape (batch, 1)
        Number that drives a full span, of each vector; positive.
    polarity : {"unipolar", "bipolar"}
        Coding.

    Returns
    -------
    codes : ndarray of int64, shape (batch, rows)
        Codes, 0..2**bits - 1.
    beyond : int
        Numbers that are beyond the range by over half a step.

    Raises
    ------
    SpecError
        If a value is NaN.
    """
    unipolar = polarity == "unipolar"
    zero = 0 if unipolar else 2 ** (bits - 1)
    steps, lowest = float(2**bits if unipolar else zero), 0.0 if unipolar else -1.0
    codes = np.empty(values.shape, np.int64)
    beyond, is_broken = input_codes(
        np.ascontiguousarray(values, dtype=float), np.ascontiguousarray(scales[:, 0]), steps, lowest, zero,
        2**bits - 1, codes,
    )  # fmt: skip
    if is_broken:
        raise SpecError("cannot convert NaN to a DAC code; look for the layer that made it")
    return codes, beyond


def read_outputs(volts: Floats, adc: AdcRange) -> tuple[Floats, int]:
    """Return what the codes of a uniform converter stand for.

    Parameters
    ----------
    volts : ndarray of shape (batch, columns)
        What is converted [V], all finite.
    adc : AdcRange
        The converter; a subclass has codes of its own, which are not these.

    Returns
    -------
    volts : ndarray of shape (batch, columns)
        Of codes [V].
    beyond : int
        Outputs that are beyond the range by over half a step.
    """
    seen = np.empty(volts.shape)
    middle, reach = (adc.high + adc.low) / 2, (adc.high - adc.low + adc.lsb) / 2
    beyond = output_volts(
        np.ascontiguousarray(volts, dtype=float), adc.low, adc.lsb, 2**adc.bits - 1, middle, reach, seen
    )
    return seen, beyond


def clip_margin(adc: AdcRange) -> float:
    """Return how far beyond its range a converter's clipping is no error [V]."""
    return CLIPPED * (adc.high - adc.low)


def clip_outputs(volts: Floats, adc: AdcRange | None) -> Floats:
    """Return what a converter of infinite resolution would make of outputs [V]; without one they are as they are."""
    if adc is None:
        return volts
    margin = clip_margin(adc)
    return np.asarray(np.clip(volts, adc.low - margin, adc.high + margin))
