"""One analog layer: numbers to DAC codes, tiles, ADC codes, and numbers again."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.converter import AdcRange, Codes, Polarity, dac_codes
from spicesim.chip import Chip
from spicesim.engine import Engine, IdealEngine, Tile
from spicesim.errors import ConvergenceError, NetworkError
from spicesim.mapping import decode_outputs, map_weights
from spicesim.network.graph import AnalogNode
from spicesim.network.result import LayerMeter, LayerStats

__all__ = ["AnalogLayer", "Calibration", "LayerRanges", "Observer"]

Floats = npt.NDArray[np.float64]
Observer = Callable[[int, Codes, Floats], None]
"""Called with the number of a tile, its codes (batch, rows) and its volts (batch, columns) [V]."""

BLOCK = 2**22
"""Numbers that one block of vectors may hold, as inputs or as outputs; bounds the memory."""


class Calibration(Protocol):
    """What a network needs to know of a calibrated chip."""

    @property
    def chip(self) -> Chip:
        """The chip."""
        ...

    @property
    def conductance_range(self) -> tuple[float, float]:
        """Lowest and highest conductance of a whole cell [S]."""
        ...

    def linear_swing(self, r_feedback: float) -> float:
        """Return the largest amplifier output in its linear range [V], for a feedback resistance [ohm]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRanges:
    """The settings of a layer's converters and amplifiers."""

    polarity: Polarity
    """Coding of the inputs."""
    input_scale: float
    """Number that stands for a full DAC span."""
    r_feedback: float
    """Feedback resistance of the amplifiers [ohm]."""
    adc: AdcRange
    """Range of the column converters."""
    drive: float = 1.0
    """Fraction of the DAC span in use; below 1 where the full span would overdrive the amplifiers."""


class AnalogLayer:
    """A node of the network on arrays.

    Parameters
    ----------
    node : AnalogNode
        The node.
    calibration : Calibration
        The chip.

    Raises
    ------
    MappingError
        If the weights cannot be mapped.
    """

    def __init__(self, node: AnalogNode, calibration: Calibration) -> None:
        self.node = node
        self._calibration = calibration
        self._chip = calibration.chip
        self.mapped = map_weights(node.weights, self._chip.array, calibration.conductance_range, name=repr(node.name))

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    def vectors(self, x: npt.NDArray[Any]) -> Iterator[Floats]:
        """Cut a batch of inputs into blocks of vectors (batch, rows); the block size is bounded.

        Raises
        ------
        NetworkError
            If the inputs have another size than the weights, or are not finite.
        """
        outputs, rows = self.node.weights.shape
        limit = max(1, BLOCK // max(rows, 2 * outputs))
        geometry = self.node.geometry
        channels = rows if geometry is None else rows // math.prod(geometry.kernel)
        axis = -1 if geometry is None else 1
        if (x.ndim != 4 if geometry else x.ndim < 1) or x.shape[axis] != channels:
            raise NetworkError(
                f"{self.node.op} {self.name!r}: its input has shape {x.shape}, its weights want {channels} "
                f"{'channels' if geometry else 'numbers on the last axis'}; export the network again"
            )
        if not np.isfinite(x).all():
            raise NetworkError(f"the input of {self.name!r} is NaN or infinite; check weights and data")
        if geometry is not None:
            yield from geometry.patches(x, limit)
            return
        flat = x.reshape(-1, rows)
        for start in range(0, len(flat), limit):
            yield flat[start : start + limit].astype(float)

    def count(self, x: npt.NDArray[Any]) -> int:
        """Return the number of vectors that :meth:`vectors` makes of a batch."""
        if self.node.geometry is None:
            return math.prod(x.shape[:-1])
        return len(x) * math.prod(self.node.geometry.output_size(*x.shape[2:]))

    def fit(self, vectors: Floats, low: float, high: float) -> LayerRanges:
        """Choose the settings, by an ideal engine, so that the outputs fit the amplifiers and the converters.

        Parameters
        ----------
        vectors : ndarray of shape (batch, rows)
            Typical inputs.
        low, high : float
            Smallest and largest number among all inputs seen.

        Returns
        -------
        LayerRanges
            The largest feedback resistance whose outputs stay in the amplifier's linear range; if none does,
            the smallest, and a drive weakened until they do.
        """
        chip, adc = self._chip, self._chip.adc
        polarity: Polarity = "unipolar" if low >= 0 else "bipolar"
        steps = 2**chip.dac.bits if polarity == "unipolar" else 2 ** (chip.dac.bits - 1)
        scale = (max(-low, high) or 1.0) * steps / (steps - 1)  # the largest number takes the last code
        codes = dac_codes(vectors, chip.dac.bits, scale, polarity)
        engine = IdealEngine(chip)
        amperes = [
            np.abs(engine.mvm(tile, codes[:, mapped.rows])).ravel()
            for mapped, tile in zip(self.mapped, self._tiles(polarity, r_feedback=1.0), strict=True)
        ]
        ampere = float(np.percentile(np.concatenate(amperes), adc.percentile))
        for r_feedback in sorted(chip.sense_amplifier.r_feedback, reverse=True):
            swing = self._calibration.linear_swing(r_feedback)
            if ampere * r_feedback <= swing:
                break
        excess = max(ampere * r_feedback / swing, 1.0)
        volts = ampere * r_feedback / excess or swing
        return LayerRanges(
            polarity=polarity,
            input_scale=scale * excess,
            r_feedback=r_feedback,
            adc=AdcRange(low=0.0 if polarity == "unipolar" else -volts, high=volts, bits=adc.bits),
            drive=1 / excess,
        )

    def tiles(self, ranges: LayerRanges) -> tuple[Tile, ...]:
        """Return the tiles, to be prepared by an engine."""
        return self._tiles(ranges.polarity, ranges.r_feedback)

    def _tiles(self, polarity: Polarity, r_feedback: float) -> tuple[Tile, ...]:
        return tuple(
            Tile(name=f"{self.name}:{k}", g=mapped.g, polarity=polarity, r_feedback=r_feedback)
            for k, mapped in enumerate(self.mapped)
        )

    def run(
        self,
        x: npt.NDArray[Any],
        ranges: LayerRanges,
        engine: Engine,
        prepared: Sequence[Any],
        meter: LayerMeter,
        observe: Observer,
    ) -> npt.NDArray[Any]:
        """Compute the layer's output.

        Parameters
        ----------
        x : ndarray
            Inputs: (images, channels, height, width) for a convolution, else (..., rows).
        ranges : LayerRanges
            The settings.
        engine : Engine
            What multiplies.
        prepared : sequence of object
            The tiles as `engine` prepared them.
        meter : LayerMeter
            Sums to add to.
        observe : callable
            Told of every product.

        Returns
        -------
        ndarray of the dtype of `x`
            What the node would make of `x`, up to the errors of the hardware.
        """
        blocks = [self._multiply(v, ranges, engine, prepared, meter, observe) for v in self.vectors(x)]
        y = np.concatenate(blocks)
        if self.node.bias is not None:
            y += self.node.bias
        if self.node.geometry is None:
            y = y.reshape(*x.shape[:-1], y.shape[-1])
        else:
            size = self.node.geometry.output_size(*x.shape[2:])
            y = y.reshape(len(x), *size, y.shape[-1]).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(y, dtype=x.dtype)

    def _multiply(
        self,
        vectors: Floats,
        ranges: LayerRanges,
        engine: Engine,
        prepared: Sequence[Any],
        meter: LayerMeter,
        observe: Observer,
    ) -> Floats:
        """Multiply a block of vectors (batch, rows) by the weights: (batch, outputs)."""
        dac, adc = self._chip.dac, ranges.adc
        codes = dac_codes(vectors, dac.bits, ranges.input_scale, ranges.polarity)
        y = np.zeros((len(vectors), len(self.node.weights)))
        for k, (mapped, ready) in enumerate(zip(self.mapped, prepared, strict=True)):
            part = np.ascontiguousarray(codes[:, mapped.rows])
            volts = engine.mvm(ready, part)
            if volts.shape != (len(part), mapped.g.shape[1]) or not np.isfinite(volts).all():
                raise ConvergenceError(
                    f"engine {engine.name!r} gave outputs of shape {volts.shape}, not all finite or not "
                    f"{(len(part), mapped.g.shape[1])}, for tile {self.name}:{k}; try another engine"
                )
            observe(k, part, volts)
            y[:, mapped.outputs] += decode_outputs(
                adc.volts(adc.codes(volts)),
                mapped,
                r_feedback=ranges.r_feedback,
                volts_per_input=dac.v_span / ranges.input_scale,
            )
            meter.mvms += len(part)
            meter.volts += volts.size
            middle, reach = (adc.high + adc.low) / 2, (adc.high - adc.low + adc.lsb) / 2
            meter.volts_clipped += int(np.count_nonzero(np.abs(volts - middle) > reach))
        digital = vectors @ self.node.weights.T
        meter.signal += float(np.sum(digital**2))
        meter.error += float(np.sum((y - digital) ** 2))
        lowest, highest = _input_limits(ranges, dac.bits)
        meter.inputs += vectors.size
        meter.inputs_clipped += int(np.count_nonzero((vectors < lowest) | (vectors > highest)))
        return y

    def stats(self, ranges: LayerRanges, meter: LayerMeter) -> LayerStats:
        """Return how the layer fared."""
        outputs, rows = self.node.weights.shape
        return LayerStats(
            name=self.name,
            op=self.node.op,
            tiles=len(self.mapped),
            rows=rows,
            columns=2 * outputs,
            mvms=meter.mvms,
            snr_db=meter.snr_db,
            adc_clipped=meter.adc_clipped,
            dac_clipped=meter.dac_clipped,
            polarity=ranges.polarity,
            input_scale=ranges.input_scale,
            r_feedback=ranges.r_feedback,
            adc=ranges.adc,
        )


def _input_limits(ranges: LayerRanges, bits: int) -> tuple[float, float]:
    """Return the smallest and the largest number that the DAC converts within half a step."""
    steps = 2**bits if ranges.polarity == "unipolar" else 2 ** (bits - 1)
    step = ranges.input_scale / steps
    lowest = 0.0 if ranges.polarity == "unipolar" else -ranges.input_scale
    return lowest - step / 2, ranges.input_scale - step / 2
