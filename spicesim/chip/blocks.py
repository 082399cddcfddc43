"""Sizes of the blocks that tiles need not have: other readouts, drivers, converters, what biases amplifiers."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from spicesim.arrays import Floats
from spicesim.chip.section import NonNegative, Positive, Quantity, Section
from spicesim.coding import Polarity
from spicesim.units import format_si

__all__ = [
    "MOST_SAR_BITS",
    "Bias",
    "BlockSizes",
    "ChargeDac",
    "Comparator",
    "CurrentDac",
    "Hold",
    "Integrator",
    "Mirror",
    "RampAdc",
    "SarAdc",
    "SarComparator",
    "WordLineDriver",
]


def _at_least(least: float, unit: str) -> AfterValidator:
    """Accept values from `least` on, and say so with a prefix."""

    def check(value: float) -> float:
        if value < least:
            raise ValueError(f"must be {format_si(least, unit)} or more")
        return value

    return AfterValidator(check)


class BlockSizes(Section):
    """Sizes of a block that tiles need not have; a description may leave them out."""


Width = Annotated[Quantity, _at_least(0.3e-6, "m")]
Length = Annotated[Quantity, _at_least(0.28e-6, "m")]
MOST_SAR_BITS = 10
"""Finest converter there is a netlist of."""
LEAST_SPAN_RATIO = 1.2
"""Of a SAR ADC's span to the next narrower; spans closer to each other are no choice."""
Bits = Annotated[int, Field(ge=2, le=MOST_SAR_BITS)]
UNIT_MISMATCH = 0.002
"""Of unit capacitors, unless a description says otherwise: a metal-insulator-metal capacitor of 10 um^2 at .6 % um."""
HOLD_MISMATCH = 6e-4
"""The same of hold capacitors: one of 125 um^2."""
BUFFER_SETTLE, BUFFER_INPUT = 60e-9, 14.5e-15
"""Time of a buffer, unless a description says otherwise [s], and what the gate of the library's opamp in unity feedback
adds to a capacitor [F]: one input transistor of GF180MCU, most of which moves along."""
INTEGRATOR_MISMATCH = 2e-4
"""The same of integrating capacitors: one of 1000 um^2."""
Duration = Annotated[Quantity, _at_least(2e-9, "s")]
INTEGRATOR_RESET, INTEGRATOR_SETTLE = 200e-9, 40e-9
"""Times of an integrator, unless a description says otherwise [s]."""


class Bias(BlockSizes):
    """What biases the amplifiers of a tile."""

    kind: Literal["ideal", "mirrored"] = "ideal"
    """ideal: a current source in each amplifier; mirrored: transistors that mirror the current of one generator."""
    resistor: Positive = 3.87e3
    """Sets the current, which goes with nearly its inverse square [ohm]; 20 uA of a typical GF180MCU at 27 C."""
    capacitor: Positive = 5e-12
    """From the generator's line to the supply, beside the gates of the mirrors [F]."""

    @property
    def is_mirrored(self) -> bool:
        """Whether amplifiers have mirrors of a generator."""
        return self.kind == "mirrored"


class Comparator(BlockSizes):
    """StrongARM comparator; gates are as short as the process allows."""

    input_width: Width = 8e-6
    """Width of each transistor of the input pair [m]."""
    latch_width: Width = 4e-6
    """Width of the latch's transistors [m]."""
    reset_width: Width = 3e-6
    """Width of the transistors that reset it [m]."""


class Integrator(BlockSizes):
    """Switched integrator around a folded-cascode amplifier."""

    capacitor: Positive = 2e-12
    """Integrating capacitor [F]."""
    bias_current: Positive = 20e-6
    """Bias current of its amplifier [A]."""
    switch_width: Width = 10e-6
    """Width of the input switch's n-channel transistors [m]."""
    reset_width: Width = 2e-6
    """Width of the reset switch's transistors [m]."""
    reset: Duration = INTEGRATOR_RESET
    """Time of the reset before a product [s]."""
    settle: Duration = INTEGRATOR_SETTLE
    """From the reset to the pulses, from these to the end of the window, and from there to the read [s]."""

    r_input: NonNegative = 0.0
    """How it holds its line: outputs are multiplied by 1 + r_input times the line's conductance, digitally [ohm]."""
    mismatch: Annotated[Quantity, Field(ge=0, le=0.1)] = INTEGRATOR_MISMATCH
    """Relative standard deviation of the capacitor on drawn chips [1]."""

    later: ClassVar[frozenset[str]] = frozenset({"reset", "settle", "r_input", "mismatch"})


class Hold(BlockSizes):
    """Hold switch and capacitor at the foot of a floating bit line."""

    capacitor: Positive = 250e-15
    """Hold capacitor [F]."""
    switch_width: Width = 2e-6
    """Width of the switch's n-channel transistor; the p-channel one is 2.5 times wider [m]."""
    settle: Duration = 200e-9
    """From a change of inputs until the switches open [s]; lines must have settled by then."""
    mismatch: Annotated[Quantity, Field(ge=0, le=0.1)] = HOLD_MISMATCH
    """Relative standard deviation of the capacitor on drawn chips [1]."""
    planes: Literal["digital", "charge"] = "digital"
    """What adds the products of an input's bits: digital, after a conversion each; charge, two equal capacitors."""
    share: Duration = 10e-9
    """Of planes = charge: from the opening of the switch until the next bit, both capacitors joined meanwhile [s]."""
    buffer: Literal["ideal", "opamp"] = "ideal"
    """What brings a held voltage to the converter: ideal, at once and for nothing; opamp, in unity feedback."""
    buffer_current: Positive = 20e-6
    """Bias current of an opamp as buffer [A]."""
    buffer_drive: Positive = 4.0
    """Size of its output stage relative to that of the library amplifier."""
    buffer_settle: Duration = BUFFER_SETTLE
    """From the end of the last bit, or the opening of the switch, until it has followed and is read [s]."""
    balance: NonNegative = BUFFER_INPUT
    """Of planes = charge with an opamp: added to the capacitor of new bits, as its gate loads that of their sum [F]."""

    later: ClassVar[frozenset[str]] = frozenset(
        {"mismatch", "planes", "share", "buffer", "buffer_current", "buffer_drive", "buffer_settle", "balance"}
    )

    @property
    def adds_planes(self) -> bool:
        """Whether bits are added as charge, so that inputs are whole to whatever reads the lines."""
        return self.planes == "charge"

    @property
    def is_buffered(self) -> bool:
        """Whether a buffer of transistors stands behind the capacitor."""
        return self.buffer == "opamp"


class Mirror(BlockSizes):
    """Current-mirror readout of a bit line."""

    ratio: Annotated[int, Field(ge=1)] = 1
    """Current copied for one into the bit line."""
    width: Positive = 20e-6
    """Width of the input transistor and of each of the `ratio` at the output [m]."""
    length: Positive = 1e-6
    """Their length [m]."""
    bias_current: Positive = 20e-6
    """Bias current of the amplifier [A]."""
    capacitor: Positive = 2e-12
    """Compensation capacitor [F]."""


class WordLineDriver(BlockSizes):
    """Word-line driver that switches between two voltages."""

    width: Positive = 40e-6
    """Width of the output switches' n-channel transistors [m]; p-channel ones are 2.5 times wider."""
    taper: Annotated[Quantity, Field(ge=1)] = 4.0
    """Ratio of one inverter's width to the one before."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width / self.taper**2 < 0.3e-6:
            raise ValueError(
                f"the first inverter of a driver must be 0.3 um wide or more: width / taper^2 of "
                f"{self.width:g} m and {self.taper:g} is too little"
            )
        return self


class CurrentDac(BlockSizes):
    """Current-steering DAC."""

    bits: Bits = 6
    """Resolution [bit]."""
    unit: Annotated[Quantity, Field(ge=1e-8, le=1e-4)] = 1e-6
    """Current of the least significant bit [A]."""
    source_width: Annotated[Quantity, _at_least(1.4e-6, "m")] = 2e-6
    """Width of a unit's source transistor [m]."""
    source_length: Length = 4e-6
    """Length of it [m]; long ones match."""
    length: Length = 0.5e-6
    """Length of the cascodes and switches [m]."""


class ChargeDac(BlockSizes):
    """Charge-redistribution DAC."""

    bits: Bits = 6
    """Resolution [bit]."""
    unit: Positive = 20e-15
    """Unit capacitor, of the least significant bit [F]."""
    span: Positive = 1.6
    """Difference of the two references, which lie around the chip's reference [V]."""
    switch_width: Positive = 4e-6
    """Width of the n-channel transistors of the largest bit's switch [m]; the others have a quarter of it at least."""
    errors: tuple[Annotated[Quantity, Field(gt=-1)], ...] = ()
    """Relative errors of the bits' capacitors, least significant first [1]; empty for none."""
    mismatch: Annotated[Quantity, Field(ge=0, le=0.1)] = UNIT_MISMATCH
    """Relative standard deviation of a unit capacitor on drawn chips [1]; that of n units is smaller by root n."""

    later: ClassVar[frozenset[str]] = frozenset({"mismatch"})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.errors and len(self.errors) != self.bits:
            raise ValueError(f"errors: wanted one for each of {self.bits} capacitors, got {len(self.errors)}")
        return self

    @property
    def spreads(self) -> Floats:
        """Relative standard deviation of each bit's capacitor on drawn chips, least significant first [1]."""
        return np.asarray(self.mismatch / np.sqrt(2.0 ** np.arange(self.bits)))

    def varied(self, errors: npt.ArrayLike) -> Self:
        """Return the same with further relative errors of the bits' capacitors, (bits,) [1]."""
        own = (1 + np.array(self.errors or (0.0,) * self.bits)) * (1 + np.asarray(errors, dtype=float)) - 1
        return type(self).model_validate(self.model_dump() | {"errors": tuple(own.tolist())})

    @property
    def capacitors(self) -> Floats:
        """Capacitor of each bit, least significant first [F]."""
        errors = np.array(self.errors or (0.0,) * self.bits)
        return np.asarray(self.unit * 2.0 ** np.arange(self.bits) * (1 + errors))

    @property
    def total(self) -> float:
        """All capacitors with the one that closes the array [F]."""
        return float(self.capacitors.sum() + self.unit)


class SarComparator(Comparator):
    """Comparator of the ADC, smaller than the one alone so that it loads the DAC less."""

    input_width: Width = 4e-6
    """Width of each transistor of the input pair [m]."""
    latch_width: Width = 2e-6
    """Width of the latch's transistors [m]."""


class SarAdc(BlockSizes):
    """Successive-approximation ADC."""

    sample: Duration = 20e-9
    """Time for sampling [s]."""
    bit: Duration = 8e-9
    """Time for each bit [s]: two thirds for the DAC, one for the comparator."""
    switch_width: Width = 5e-6
    """Width of the sampling switch's n-channel transistor [m]."""
    spans: tuple[Positive, ...] = ()
    """Narrower spans, widest first, one of which a layer of small outputs can choose by its references [V]."""
    logic: Literal["ideal", "cells"] = "ideal"
    """Its logic: sources of time, whose energy is not counted; or the library's standard cells, transistors."""
    dac: ChargeDac = ChargeDac()
    """Its DAC; the span is the input range, around the chip's reference."""
    comparator: SarComparator = SarComparator()
    """Its comparator."""

    later: ClassVar[frozenset[str]] = frozenset({"spans", "logic"})

    @model_validator(mode="after")
    def _check(self) -> Self:
        every = (self.dac.span, *self.spans)
        if any(narrow > wide / LEAST_SPAN_RATIO for wide, narrow in pairwise(every)):
            told = ", ".join(format_si(span, "V") for span in self.spans)
            raise ValueError(
                f"spans must fall from dac.span = {format_si(self.dac.span, 'V')} on, each by {LEAST_SPAN_RATIO:g} "
                f"times or more, got {told}"
            )
        return self

    def over(self, span: float) -> Self:
        """Return the same with references for a span alone [V]."""
        return self.model_copy(update={"dac": self.dac.model_copy(update={"span": span}), "spans": ()})

    @property
    def with_ideal_logic(self) -> Self:
        """The same with ideal logic: what the codes are calibrated with, since cells take ten times the simulation."""
        return self.model_copy(update={"logic": "ideal"})

    @property
    def conversion(self) -> float:
        """Time of one conversion [s]."""
        return self.sample + (self.dac.bits + 0.5) * self.bit

    @property
    def lsb(self) -> float:
        """Ideal step [V]."""
        return float(self.dac.span / 2**self.dac.bits)

    def sampled(self, polarity: Polarity) -> int:
        """Return the bits that are set while it samples: half of them, or all for a range below the reference."""
        return int(2 ** (self.dac.bits - 1) if polarity == "bipolar" else 2**self.dac.bits - 1)


class RampAdc(BlockSizes):
    """Single-slope ADC: a staircase for all columns, and in each a sampling capacitor, a comparator and a counter."""

    sample: Duration = 40e-9
    """Time for sampling [s]."""
    settle: Duration = 20e-9
    """From the end of sampling to the first step, in which the staircase goes to its beginning [s]."""
    step: Duration = 10e-9
    """Time for each step [s]: two thirds for the staircase, one for the comparators."""
    span: Positive = 1.6
    """Range of inputs and height of the staircase, which lies around the chip's reference and is ideal [V]."""
    capacitor: Positive = 200e-15
    """Sampling capacitor of a column, between the comparator and the staircase [F]."""
    switch_width: Width = 2e-6
    """Width of the sampling switch's n-channel transistor; the p-channel one is 2.5 times wider [m]."""
    mismatch: Annotated[Quantity, Field(ge=0, le=0.1)] = UNIT_MISMATCH
    """Relative standard deviation of a sampling capacitor on drawn chips [1]."""
    comparator: SarComparator = SarComparator()
    """A column's comparator."""

    def lsb(self, bits: int) -> float:
        """Return the ideal step of a converter of so many bits [V]."""
        return float(self.span / 2**bits)

    def conversion(self, bits: int) -> float:
        """Return the time of one conversion: sampling, settling, and one step a code [s]."""
        return float(self.sample + self.settle + 2**bits * self.step)
