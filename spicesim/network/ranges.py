"""What a layer's converters and amplifiers are set to, and how that is found on typical inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spicesim.arrays import Bools, Codes, Floats
from spicesim.chip import Chip
from spicesim.coding import AdcRange, Polarity, dac_codes
from spicesim.fast.converting import convert_inputs, read_outputs
from spicesim.network.pulses import AT_ONCE, Pulses, choose_pulses

__all__ = ["AdcFit", "InputScale", "LayerRanges", "fit_ranges", "least_error_range"]

InputScale = Literal["static", "vector"]
"""static: one number of the layer stands for the DAC's full span; vector: each vector's largest magnitude does."""

AdcFit = Literal["percentile", "mse"]
"""percentile: the range covers the chip's percentile of typical outputs; mse: its squared error on them is least."""

MANY_BITS = 12
"""A converter of more bits can spare a part of one: it covers more than typical numbers need, so that none clips."""
DAC_HEADROOM, ADC_HEADROOM = 1.5, 1.25
"""What it covers over the largest typical number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRanges:
    """The settings of a layer's converters and amplifiers."""

    polarity: Polarity
    """Coding of the inputs."""
    input_scale: float
    """Number that stands for a full DAC span; of `scaling` "vector" in units of a vector's largest magnitude."""
    r_feedback: float
    """Feedback resistance of the amplifiers [ohm]; of floating bit lines 1."""
    adc: AdcRange
    """Range of the column converters."""
    drive: float = 1.0
    """Fraction of the DAC span in use; below 1 where the full span would overdrive the amplifiers."""
    scaling: InputScale = "static"
    """Whether the input scale is one of the layer or one of each vector."""
    adc_fit: AdcFit = "percentile"
    """How the range of the column converters was found."""
    pulses: Pulses = AT_ONCE
    """How inputs are driven."""
    span: float | None = None
    """Which of the calibrated converters' spans is theirs [V]; None where they have none to choose from."""
    smoothing: tuple[float, ...] = ()
    """What inputs are divided by digitally and weights multiplied by before mapping, one a row; empty without."""

    @property
    def levels(self) -> Polarity:
        """Coding of what the drivers put out."""
        return self.pulses.levels(self.polarity)

    def scales(self, vectors: Floats) -> Floats:
        """Return the numbers that stand for a full DAC span, (batch, 1)."""
        return vector_scales(vectors, self.scaling, self.input_scale)

    def codes(self, vectors: Floats, bits: int) -> tuple[Codes, int]:
        """Return the DAC codes of vectors (batch, rows), and how many numbers are overdriven."""
        return convert_inputs(vectors, bits, self.scales(vectors), self.polarity)

    def overdriven(self, vectors: Floats, bits: int) -> Bools:
        """Return which numbers of vectors (batch, rows) are beyond the DAC's range by over half a step."""
        steps = 2**bits if self.polarity == "unipolar" else 2 ** (bits - 1)
        scales = self.scales(vectors)
        half = scales / steps / 2
        lowest = 0.0 if self.polarity == "unipolar" else -scales
        return np.asarray((vectors < lowest - half) | (vectors > scales - half))

    def read(self, volts: Floats, adc: AdcRange | None = None) -> tuple[Floats, int]:
        """Return what the codes of outputs (batch, columns) stand for [V], and how many outputs are clipped.

        Parameters
        ----------
        volts : ndarray of shape (batch, columns)
            Outputs [V].
        adc : AdcRange, optional
            A tile's own converters; by default the layer's.
        """
        own = self.adc if adc is None else adc
        if type(own) is AdcRange and (own.low, own.high, own.bits) == (self.adc.low, self.adc.high, self.adc.bits):
            return read_outputs(volts, own)
        return own.volts(own.codes(volts)), int(np.count_nonzero(self.clipped(volts)))

    def clipped(self, volts: Floats) -> Bools:
        """Return which amplifier outputs are beyond the converters' range by over half a step."""
        middle, reach = (self.adc.high + self.adc.low) / 2, (self.adc.high - self.adc.low + self.adc.lsb) / 2
        return np.asarray(np.abs(volts - middle) > reach)


def vector_scales(vectors: Floats, scaling: InputScale, factor: float) -> Floats:
    """Return the number for a full DAC span of each vector, (batch, 1); `factor` is that of the layer or relative."""
    if scaling == "static":
        return np.full((len(vectors), 1), factor)
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(np.where(largest > 0, largest, 1.0) * factor)


def fit_ranges(
    vectors: Floats,
    limits: tuple[float, float],
    chip: Chip,
    linear_swing: Callable[[float, Polarity], float],
    multiply: Callable[[Codes, Polarity, Pulses], Floats],
    *,
    scaling: InputScale,
    adc_fit: AdcFit,
    input_digit: int | None = None,
) -> LayerRanges:
    """Choose the settings, by an ideal circuit, so that the outputs fit the amplifiers and the converters.

    Parameters
    ----------
    vectors : ndarray of shape (batch, rows)
        Typical inputs.
    limits : tuple of float
        Smallest and largest number among all inputs seen.
    chip : Chip
        The chip.
    linear_swing : callable
        Largest output that amplifier and converter bear [V], of the feedback resistance [ohm] and the coding of what
        the drivers put out.
    multiply : callable
        Currents of all columns [A], of the DAC codes of vectors, their polarity and how they are driven.
    scaling : {"static", "vector"}
        See :data:`InputScale`.
    adc_fit : {"percentile", "mse"}
        See :data:`AdcFit`.
    input_digit : int, optional
        Bits of an input that are driven at a time; by default as many as the drivers take.

    Returns
    -------
    LayerRanges
        The largest feedback resistance whose outputs stay in the amplifier's linear range; if none does,
        the smallest, and a drive weakened until they do.

    Raises
    ------
    NetworkError
        If the drivers cannot drive inputs so, or cannot be weakened where they must.
    """
    low, high = limits
    polarity: Polarity = "unipolar" if low >= 0 else "bipolar"
    steps = 2**chip.dac.bits if polarity == "unipolar" else 2 ** (chip.dac.bits - 1)
    spare = DAC_HEADROOM if chip.dac.bits > MANY_BITS else 1.0
    largest = spare * (max(-low, high) or 1.0) if scaling == "static" else 1.0
    scale = largest * steps / (steps - 1)  # the largest number takes the last code
    codes = dac_codes(vectors, chip.dac.bits, vector_scales(vectors, scaling, scale), polarity)
    pulses = choose_pulses(chip, input_digit, polarity)
    levels = pulses.levels(polarity)
    amperes = np.abs(multiply(codes, polarity, pulses)).ravel()
    if chip.adc.bits > MANY_BITS:
        ampere = ADC_HEADROOM * float(amperes.max(initial=0.0))
    elif adc_fit == "mse":
        ampere = least_error_range(amperes, chip.adc.bits, both_signs=levels == "bipolar")
    else:
        ampere = float(np.percentile(amperes, chip.adc.percentile))
    for r_feedback in reversed(chip.settings):
        swing = linear_swing(r_feedback, levels)
        if ampere * r_feedback <= swing:
            break
    over = ampere * r_feedback / swing
    pulses, excess, wider = pulses.weakened(over if over > 1 + 1e-9 else 1.0)  # a full line rounds to its full swing
    volts = ampere * r_feedback / excess or swing
    return LayerRanges(
        polarity=polarity,
        input_scale=scale * wider,
        r_feedback=r_feedback,
        adc=AdcRange(low=0.0 if levels == "unipolar" else -volts, high=volts, bits=chip.adc.bits),
        drive=1 / excess,
        scaling=scaling,
        adc_fit=adc_fit,
        pulses=pulses,
    )


def least_error_range(magnitudes: Floats, bits: int, *, both_signs: bool) -> float:
    """Return the end of a uniform converter's range whose squared error on `magnitudes` is least.

    Notes
    -----
    With n magnitudes m up to h and a step q, the error is ``n q^2/12 + sum over m > h of (m - h)^2``. Ends are tried
    from the largest magnitude down to a 64th of it, 12 an octave.
    """
    m = np.sort(magnitudes)
    if m[-1] == 0:
        return 0.0
    ends = m[-1] * 2.0 ** (-np.arange(73) / 12)
    inside = np.searchsorted(m, ends, side="right")
    sums = [np.concatenate([np.cumsum(power[::-1])[::-1], [0.0]])[inside] for power in (m, m**2)]
    beyond = sums[1] - 2 * ends * sums[0] + ends**2 * (len(m) - inside)
    step = ends * (2 if both_signs else 1) / (2**bits - 1)
    return float(ends[np.argmin(inside * step**2 / 12 + beyond)])
