"""The roles of a macro: array, what drives, stores, reads and converts, and rails; each a section of a description."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from spicesim.arrays import Floats
from spicesim.chip.geometry import WireGeometry
from spicesim.chip.section import NonNegative, Positive, Quantity, Section
from spicesim.coding import Polarity, bit_voltages, dac_voltages
from spicesim.errors import SpecError, quote
from spicesim.own_code import is_own
from spicesim.units import parse_quantity

__all__ = ["ADC_KINDS", "DAC_KINDS", "Adc", "Array", "Cell", "Dac", "Rails", "SenseAmplifier"]


def _wire(of: Callable[[WireGeometry], float]) -> BeforeValidator:
    """Accept a number, or the table of a wire's geometry."""

    def read(value: Any) -> float:
        if not isinstance(value, dict):
            return parse_quantity(value)
        try:
            return of(WireGeometry.of_table(value))
        except ArithmeticError:
            raise SpecError("wire geometry: its values are too far apart to compute with; check their units") from None

    return BeforeValidator(read)


Resistance = Annotated[float, _wire(lambda wire: wire.resistance), Field(ge=0, allow_inf_nan=False)]
Capacitance = Annotated[float, _wire(lambda wire: wire.capacitance), Field(ge=0, allow_inf_nan=False)]


Feedback = Annotated[Quantity, Field(ge=1.0, le=1e12)]
"""A feedback resistance [ohm]; currents through a smaller or larger one are none that an amplifier bears."""


class Array(Section):
    """The crossbar of one tile."""

    rows: Annotated[int, Field(ge=1, le=1024)]
    """Word lines: inputs of a tile."""
    columns: Annotated[int, Field(ge=1, le=1024)]
    """Bit lines: outputs of a tile."""
    r_word_line: Resistance = 1.0
    """Resistance of one word-line segment, cell to cell [ohm]; {width = "27 nm", thickness = .., length = ..} works."""
    r_bit_line: Resistance = 1.0
    """Resistance of one bit-line segment, cell to cell [ohm]; a number or a geometry, too."""
    c_word_line: Capacitance = 0.0
    """Capacitance of one word-line segment [F]; a geometry needs its height, too. No matter to operating points."""
    c_bit_line: Capacitance = 0.0
    """Capacitance of one bit-line segment [F]; as c_word_line."""

    def word_line_segments(self, rows: int, columns: int, *, paired: bool) -> Floats:
        """Return the resistance of the segment before each cell, (rows, columns) [ohm]; there is none within a pair."""
        segments = np.full((rows, columns), self.r_word_line)
        if paired:
            segments[:, 1::2] = 0.0
        return segments


class Cell(Section):
    """The memory cell."""

    kind: Literal["1r", "1t1r", "1s1r", "2t2r"] = "1t1r"
    """1r: device alone; 1t1r: and access transistor; 1s1r: and selector; 2t2r: a pair of 1t1r on two bit lines."""
    inputs: Literal["word_line", "gate"] = "word_line"
    """word_line: inputs are voltages of the word lines; gate: bits that turn a row on or off, its line at v_span."""
    device: Literal["rram", "pcm", "ecram"] = "rram"
    """Device: rram or pcm, alike at read voltages and drifting by --device of a run; or ecram, which is linear."""
    g_min: Positive
    """Lowest device conductance [S]."""
    g_max: Positive
    """Highest device conductance [S]."""
    kappa: NonNegative = 1.0
    """Nonlinearity of the device, I = g sinh(kappa V)/kappa [1/V]; 0 is a linear resistor."""
    v_read: Positive = 0.1
    """Voltage across the cell at which write-verify reads its conductance [V]."""
    access_width: Positive = 2e-6
    """Width of the access transistor [m]."""
    access_length: Positive = 0.28e-6
    """Length of the access transistor [m]."""
    selector_current: Positive = 1e-12
    """Current scale i0 of the selector of a 1s1r cell, i = i0 sinh(v/v0) [A]."""
    selector_voltage: Positive = 45e-3
    """Voltage v0 of its exponential [V]."""

    later: ClassVar[frozenset[str]] = frozenset({"inputs"})

    @property
    def has_gate(self) -> bool:
        """Whether there is an access transistor."""
        return self.kind in ("1t1r", "2t2r")

    @property
    def is_gated(self) -> bool:
        """Whether inputs drive the gates of the access transistors."""
        return self.inputs == "gate"

    @property
    def is_paired(self) -> bool:
        """Whether a cell lies on two bit lines, columns 2k and 2k + 1."""
        return self.kind == "2t2r"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.g_min >= self.g_max:
            raise ValueError(f"g_min must lie below g_max, got {self.g_min:g} S and {self.g_max:g} S")
        if self.device == "ecram" and self.kappa:
            raise ValueError(f"an ecram device is linear; set kappa = 0, got {self.kappa:g} 1/V")
        if self.is_gated and not self.has_gate:
            raise ValueError(
                f"cells of kind {self.kind} have no gates that inputs could drive; take 1t1r or 2t2r cells, or set "
                "inputs = word_line"
            )
        return self


DAC_KINDS = ("r2r", "bits", "pulse")
"""Kinds of word-line drivers."""
ADC_KINDS = ("ideal", "sar", "ramp")
"""Kinds of column converters."""


def _kind_of(kinds: tuple[str, ...], what: str) -> AfterValidator:
    """Accept a word for one of the kinds, or the name of code of the user's own."""

    def check(word: str) -> str:
        if word not in kinds and not is_own(word):
            raise ValueError(f"no {what} {quote(word)}; there are: {', '.join(kinds)}, or package.module:Name")
        return word

    return AfterValidator(check)


PULSE_UNIT = 1e-9
"""Unit of time of pulses, unless a description says otherwise [s]."""


class Dac(Section):
    """The word-line driver: a DAC, or a switch that puts out an input bit after bit, or as a pulse as long as it."""

    kind: Annotated[str, _kind_of(DAC_KINDS, "driver")] = "r2r"
    """r2r: a ladder with a buffer; bits: [word_line_driver], two voltages, bit after bit; pulse: it, for a time; or a
    DAC of your own, package.module:Name."""
    unit: Positive = PULSE_UNIT
    """Time of one step of a pulse [s]."""
    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Resolution of inputs [bit]; over 12 no ladder is built that fine, so only the engine ideal runs."""
    v_span: Positive = 0.2
    """Largest input voltage, relative to the reference [V]; unipolar 0..v_span, bipolar -v_span..v_span."""
    r_unit: Positive = 20e3
    """Unit resistance R of the ladder [ohm]."""
    switch_width: Positive = 20e-6
    """Width of the ladder switches' n-channel transistors; p-channel ones are 2.5 times wider [m]."""
    buffer_current: Positive = 20e-6
    """Bias current of the buffer amplifier behind the ladder [A]."""
    buffer_drive: Positive = 4.0
    """Size of the buffer's output stage relative to that of the library amplifier."""

    later: ClassVar[frozenset[str]] = frozenset({"kind", "unit"})

    @property
    def is_dac(self) -> bool:
        """Whether it puts out a voltage a code; others switch between two."""
        return self.kind not in ("bits", "pulse")

    @property
    def code_bits(self) -> int:
        """Bits of the codes that a product takes: of whole inputs, or one."""
        return 1 if self.kind == "bits" else self.bits

    @property
    def level_bits(self) -> int:
        """Bits of the levels that a driver puts out."""
        return self.bits if self.is_dac else 1

    @property
    def window(self) -> float:
        """Time in which all pulses lie [s]."""
        return self.unit * 2.0**self.bits

    def volts(self, codes: npt.ArrayLike, polarity: Polarity) -> Floats:
        """Return the voltages an ideal driver makes of codes, above the reference [V]; of pulses the mean over time.

        Raises
        ------
        SpecError
            If a code is not an integer within the driver's bits.
        """
        if self.kind == "bits":
            return bit_voltages(codes, self.v_span, polarity)
        return dac_voltages(codes, self.bits, self.v_span, polarity)

    def levels(self, polarity: Polarity) -> Floats:
        """Return the voltages an ideal driver can put out, above the reference, rising [V]."""
        codes = np.arange(2**self.level_bits)
        return bit_voltages(codes, self.v_span, polarity) if self.level_bits == 1 else self.volts(codes, polarity)


class SenseAmplifier(Section):
    """The read-out at the foot of every bit line."""

    kind: Literal["tia", "voltage", "integrator"] = "tia"
    """tia: an amplifier holds the line; voltage: it floats, [hold] samples it; integrator: [integrator] sums pulses."""
    r_feedback: Annotated[tuple[Feedback, ...], Field(min_length=1, max_length=16)] = (20e3,)
    """Feedback resistances a layer can choose from [ohm]."""
    v_reference: Positive = 1.65
    """Reference voltage: the virtual ground of the array [V]."""
    bias_current: Positive = 20e-6
    """Bias current of the amplifier [A]."""
    drive: Positive = 1.0
    """Size of the output stage relative to that of the library amplifier."""
    c_feedback: NonNegative = 20e-15
    """Capacitor across the feedback resistor [F]."""

    later: ClassVar[frozenset[str]] = frozenset({"kind"})

    def output_range(self, polarity: Polarity) -> Polarity:
        """Return where converters of real circuits look for outputs: on one side of the reference, or around it.

        Amplifiers put those of unipolar inputs below it; those of floating lines are small and may as well be above.
        """
        return "bipolar" if self.kind == "voltage" else polarity

    def volts(self, node: npt.ArrayLike) -> Floats:
        """Return outputs, positive for positive products, of the voltages of their nodes [V].

        An amplifier's node falls below the reference, a floating line rises above it.
        """
        above = np.asarray(node, dtype=float) - self.v_reference
        return above if self.kind == "voltage" else -above

    def nodes(self, volts: npt.ArrayLike) -> Floats:
        """Return the voltages of nodes, of outputs as :meth:`volts` has them [V]."""
        above = np.asarray(volts, dtype=float)
        return self.v_reference + (above if self.kind == "voltage" else -above)


class Adc(Section):
    """The column converter, which quantises the amplifier's output."""

    kind: Annotated[str, _kind_of(ADC_KINDS, "converter")] = "ideal"
    """ideal: a uniform quantiser over what a layer needs; sar: [sar_adc] with the bits below, over its DAC's span;
    ramp: [ramp_adc], over its own; or a converter of your own, package.module:Name."""
    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Resolution [bit]."""
    percentile: Annotated[Quantity, Field(gt=50, le=100)] = 99.99
    """Percentile of a layer's column outputs, over a calibration batch, that the range covers [%]."""
    columns: Annotated[int, Field(ge=1, le=1024)] = 1
    """Of kind = sar: columns that a multiplexer puts on one converter, one after the other."""

    later: ClassVar[frozenset[str]] = frozenset({"kind", "columns"})

    @property
    def is_real(self) -> bool:
        """Whether converters are circuits, which are calibrated and which audits convert by."""
        return self.kind != "ideal"


class Rails(Section):
    """What lies between a tile's rails and the sources behind them, which are ideal."""

    later: ClassVar[frozenset[str]] = frozenset({"references", "reference_current", "reference_drive"})

    r_supply: NonNegative = 0.0
    """From the supply to the drivers and amplifiers of a tile, and their bits [ohm]."""
    r_ground: NonNegative = 0.0
    """From these to ground [ohm]; the bulk of the cells, which draw nothing, has a line of its own."""
    r_reference: NonNegative = 0.0
    """From each reference to a tile: the common one, and the two of the drivers [ohm]."""
    references: Literal["ideal", "buffered"] = "ideal"
    """buffered: an amplifier in unity feedback for each of the two references of a tile's R-2R drivers, on its supply;
    the common reference feeds gates alone."""
    reference_current: Positive = 20e-6
    """Bias current of these amplifiers [A]."""
    reference_drive: Positive = 8.0
    """Size of their output stages relative to that of the library amplifier; they carry the ladders of all rows."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.are_buffered and (self.r_supply or self.r_ground or self.r_reference):
            raise ValueError(
                "buffers of references are known on an ideal supply and ground, behind ideal sources; set r_supply, "
                "r_ground and r_reference to 0, or references to ideal"
            )
        return self

    @property
    def are_buffered(self) -> bool:
        """Whether amplifiers drive the references of the drivers."""
        return self.references == "buffered"

    @property
    def are_ideal(self) -> bool:
        """Whether there is nothing between."""
        return not (self.r_supply or self.r_ground or self.r_reference or self.are_buffered)
