"""What a run of a network gives back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array
from spicesim.coding import AdcRange, Polarity
from spicesim.engine import PreparedTile, SampledMvm
from spicesim.network.ranges import AdcFit, InputScale

__all__ = ["LayerMeter", "LayerStats", "Result", "RunStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStats:
    """How one layer fared in a run."""

    name: str
    """Name of the node."""
    op: str
    """Its operator."""
    tiles: int
    """Arrays it takes."""
    array: str
    """Name of the layer whose arrays these are: its own, or an earlier one with the same weights."""
    rows: int
    """Inputs of its weight matrix: word lines, over all row splits."""
    columns: int
    """Bit lines, over all column splits: by default twice the outputs."""
    mvms: int
    """Products of one vector with one tile."""
    snr_db: float
    """Power of its digital output, without bias, over that of (analog - digital) for the same inputs [dB]."""
    adc_clipped: float
    """Fraction of amplifier outputs beyond the range of the ADC."""
    dac_clipped: float
    """Fraction of inputs beyond the range of the DAC."""
    polarity: Polarity
    """Coding of the inputs."""
    input_scale: float
    """Number that stands for a full DAC span; in units of a vector's largest magnitude if each has its own."""
    r_feedback: float
    """Feedback resistance of the amplifiers [ohm]."""
    adc: AdcRange
    """Range of the converters."""
    input_scaling: InputScale = "static"
    """Whether the input scale is one of the layer or one of each vector."""
    adc_fit: AdcFit = "percentile"
    """How the range of the converters was found."""
    pulses: int = 1
    """Pulses in which an input is driven, each a product of its own."""
    gain: tuple[float, float, float] | None = None
    """Smallest, median and largest digital gain of its outputs; None without."""
    forms: tuple[str, ...] = ()
    """How the products of each of its tiles are computed, such as "exact"."""
    promised_error: float | None = None
    """Largest error of an output that a form promises, as a fraction of its converter's range; None if none does."""
    held: int = 0
    """Memory of its tiles, ready [byte]."""
    seconds: float = 0.0
    """Time of processors in which its tiles multiplied [s]."""

    @property
    def exact_tiles(self) -> int:
        """Tiles whose products are solved exactly."""
        return sum("exact" in form for form in self.forms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """How a run went."""

    layers: tuple[LayerStats, ...]
    """Each analog layer, in the order of execution."""
    images: int
    """Inputs in the batch."""
    notes: tuple[str, ...]
    """Sentences on what the run could not do as one might expect."""
    preparation_seconds: float = 0.0
    """Time in which tiles were made ready [s]."""

    @property
    def mvms(self) -> int:
        """Products of one vector with one tile, over all layers."""
        return sum(layer.mvms for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """The outputs of a run and how it went."""

    engine: str
    """Word for the engine that ran."""
    outputs: dict[str, Array]
    """Every output of the network by name, in the shape that the network gives it."""
    axes: Mapping[str, int]
    """Axis of every output that counts the batch."""
    scores: str
    """Name of the output that is compared with the digital one: the first of real numbers, if there is any."""
    answers: str | None
    """Name of the first output, if that is of whole numbers or texts: the classes that a network answers."""
    stats: RunStats
    """How it went."""
    samples: tuple[SampledMvm, ...]
    """A uniform random sample of the products that tiles did."""

    @property
    def logits(self) -> Array:
        """The scores: the first output of real numbers, if there is any, the batch brought to its first axis."""
        return np.moveaxis(self.outputs[self.scores], self.axes[self.scores], 0)


@dataclass(slots=True)
class LayerMeter:
    """Sums that grow while a layer runs."""

    mvms: int = 0
    """Products of one vector with one tile."""
    signal: float = 0.0
    """Sum of squares of the digital output."""
    error: float = 0.0
    """Sum of squares of (analog - digital)."""
    volts: int = 0
    """Amplifier outputs converted."""
    volts_clipped: int = 0
    """Those beyond the ADC range by more than half a step."""
    inputs: int = 0
    """Numbers converted by DACs."""
    inputs_clipped: int = 0
    """Those beyond the DAC range by more than half a step."""
    seconds: float = 0.0
    """Time of processors in which tiles multiplied [s]."""
    forms: tuple[str, ...] = ()
    """How each tile computes."""
    promised: float | None = None
    """Largest error that a form promises."""
    held: int = 0
    """Memory of the tiles [byte]."""

    def see(self, tiles: Sequence[PreparedTile], held: int) -> None:
        """Take down what the tiles are that multiply, and the memory they take [byte]."""
        self.forms, self.held = tuple(tile.form for tile in tiles), held
        self.promised = max((tile.error for tile in tiles if tile.error is not None), default=None)

    @property
    def snr_db(self) -> float:
        """Signal over error [dB]; infinite without error, NaN without signal and error."""
        if self.error == 0:
            return math.inf if self.signal else math.nan
        return 10 * math.log10(self.signal / self.error) if self.signal else -math.inf

    @property
    def adc_clipped(self) -> float:
        """Fraction of amplifier outputs clipped."""
        return self.volts_clipped / max(self.volts, 1)

    @property
    def dac_clipped(self) -> float:
        """Fraction of inputs clipped."""
        return self.inputs_clipped / max(self.inputs, 1)
