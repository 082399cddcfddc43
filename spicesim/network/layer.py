"""One analog layer: numbers to DAC codes, tiles, ADC codes, and numbers again."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Array, Codes, Floats
from spicesim.behavioural.converter import ConverterModel
from spicesim.behavioural.mismatch import MismatchModel
from spicesim.chip import Chip
from spicesim.coding import AdcRange, Polarity
from spicesim.engine import IdealEngine, PreparedTile, Tile
from spicesim.errors import ConvergenceError, NetworkError
from spicesim.mapping import DEFAULT_OPTIONS, MappedTile, Mapper, MappingOptions, decode_outputs, map_weights
from spicesim.network.gains import Gains, fit_tile_gains
from spicesim.network.node import AnalogNode
from spicesim.network.predistortion import predistort
from spicesim.network.pulses import Pulses
from spicesim.network.ranges import AdcFit, InputScale, LayerRanges, fit_ranges
from spicesim.network.result import LayerMeter, LayerStats
from spicesim.network.smoothing import smooth_node
from spicesim.network.workers import look_ahead

__all__ = ["AnalogLayer", "Calibration", "Observer"]

Observer = Callable[[int, Codes, Floats], None]
"""Called with the number of a tile, its codes (batch, rows) and its volts (batch, columns) [V]."""

BLOCK = 2**17
"""Numbers that one block of vectors may hold, as inputs or as outputs. Larger arrays come from the system each time,
page by page: with 2^19 that was .6 of 1.5 ms an image of LeNet."""
FIT_NUMBERS = 2**24
"""Column currents to fit ranges on, of all planes, at most but for 64 vectors; bounds the memory."""
HEADROOM = 1.0
"""Standard deviations of the thresholds of drawn converters that a narrow span leaves free beside typical outputs; two
cost a residual network more on nominal and drawn chips than what clips with none."""


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

    @property
    def mismatch(self) -> MismatchModel | None:
        """How drawn chips differ; None if that was not calibrated."""
        ...

    def require_converter(self) -> ConverterModel | None:
        """Return the column converters; None if they are ideal."""
        ...


_Product = tuple[float, Codes, Future[tuple[Floats, float]]]
"""Weight of a tile's codes (batch, rows), the codes, and the volts that they will make, with the time it took [s]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """Vectors whose products are under way."""

    vectors: Floats
    """Shape (batch, rows)."""
    overdriven: int
    """Numbers of them that are beyond the DAC's range."""
    products: Sequence[Sequence[_Product]]
    """Of every tile, plane by plane."""


class AnalogLayer:
    """A node of the network on arrays.

    Parameters
    ----------
    node : AnalogNode
        The node.
    calibration : Calibration
        The chip.
    options : MappingOptions
        How weights become conductances.
    owner : AnalogLayer, optional
        The layer whose arrays hold the weights, if they are another's, too; by default its own.
    mapper : callable
        Makes tiles of weights, as :func:`spicesim.mapping.map_weights` does.

    Raises
    ------
    MappingError
        If the weights cannot be mapped.
    """

    def __init__(
        self, node: AnalogNode, calibration: Calibration, options: MappingOptions = DEFAULT_OPTIONS, *,
        owner: "AnalogLayer | None" = None, mapper: Mapper = map_weights,
    ) -> None:  # fmt: skip
        self.node = node
        self.array: str = node.name if owner is None else owner.array
        self._calibration, self._options, self._owner, self._mapper = calibration, options, owner, mapper
        self._chip = calibration.chip
        self._smoothing: tuple[float, ...] = ()
        self._product = node  # with the weights that are mapped
        self.mapped: tuple[MappedTile, ...]
        self.programmed: tuple[MappedTile, ...]
        self._sums: tuple[Floats, ...]
        self._map()

    def _map(self) -> None:
        """Put the weights of the product on tiles; those of another layer's are there already."""
        calibration, options, node, owner = self._calibration, self._options, self._product, self._owner
        if owner is not None:
            self.mapped, self.programmed, self._sums = owner.mapped, owner.programmed, owner._sums
            return
        self.mapped = self._mapper(
            node.weights, self._chip.array, calibration.conductance_range, name=repr(node.name), groups=node.groups,
            options=options,
        )  # fmt: skip
        self._sums = tuple(mapped.weights.sum(axis=0) for mapped in self.mapped)
        if self._chip.cell.is_paired:
            _require_pairs(self.mapped, node.name)
        self.programmed = self.mapped
        if options.predistort:
            self.programmed = tuple(
                predistort(mapped, self._chip.array, calibration.conductance_range, paired=self._chip.cell.is_paired)
                for mapped in self.mapped
            )

    def smooth(self, scales: tuple[float, ...]) -> None:
        """Divide inputs by scales, one a row, and map the weights times these; empty to leave both as they are."""
        if scales == self._smoothing:
            return
        self._smoothing = scales
        self._product = smooth_node(self.node, np.array(scales)) if scales else self.node
        self._map()

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.node.name

    @property
    def own_tiles(self) -> int:
        """Arrays that it takes beside those of other layers: none where its weights are on another's."""
        return len(self.mapped) if self.array == self.name else 0

    @property
    def columns(self) -> int:
        """Bit lines of all outputs, over all column splits; reference columns left out."""
        return self._options.columns * self.node.outputs

    def vectors(self, x: Array) -> Iterator[Floats]:
        """Cut a batch of inputs into blocks of vectors (batch, rows), smoothed; the block size is bounded.

        Raises
        ------
        NetworkError
            If the inputs have another size than the weights, or are not finite.
        """
        for vectors in self.node.vectors(x, max(1, BLOCK // max(self.node.rows, self.columns))):
            yield vectors / np.array(self._smoothing) if self._smoothing else vectors

    def count(self, x: Array) -> int:
        """Return the number of vectors that :meth:`vectors` makes of a batch."""
        return self.node.count(x)

    def fit(
        self,
        vectors: Floats,
        limits: tuple[float, float],
        *,
        scaling: InputScale = "static",
        adc_fit: AdcFit = "percentile",
        input_digit: int | None = None,
        converter: type[AdcRange] = AdcRange,
    ) -> LayerRanges:
        """Choose the settings on typical inputs; see :func:`spicesim.network.ranges.fit_ranges`.

        Raises
        ------
        CalibrationError
            If the chip has converters that were not calibrated.
        NetworkError
            If it has some, and others are asked for; or as :func:`~spicesim.network.ranges.fit_ranges`.
        """
        columns, bits = sum(mapped.g.shape[1] for mapped in self.mapped), self._chip.dac.bits
        engine, most = IdealEngine(self._chip), vectors[: max(64, FIT_NUMBERS // columns)]

        def multiply(codes: Codes, polarity: Polarity, pulses: Pulses) -> Floats:
            kept = codes[: max(64, FIT_NUMBERS // (columns * pulses.count(bits, polarity)))]
            tiles = [
                engine.prepare(Tile(name="", g=m.g, polarity=pulses.levels(polarity), r_feedback=1.0))
                for m in self.mapped
            ]
            parts = [
                tile.mvm(plane[:, m.rows])
                for _, plane in pulses.planes(kept, bits, polarity)
                for tile, m in zip(tiles, self.mapped, strict=True)
            ]
            return np.concatenate(parts, axis=1)

        real = self._calibration.require_converter()

        def swing(r_feedback: float, polarity: Polarity) -> float:
            found = self._calibration.linear_swing(r_feedback)
            return found if real is None else min(found, real.reach(polarity))

        self._require_own(converter)
        try:
            ranges = fit_ranges(
                most, limits, self._chip, swing, multiply, scaling=scaling, adc_fit=adc_fit, input_digit=input_digit
            )
        except NetworkError as error:
            raise NetworkError(f"{self.node.op} {self.name!r}: {error}") from None
        span = None if real is None or len(real.spans) == 1 else self._narrowest(real, ranges)
        return self.converted(replace(ranges, smoothing=self._smoothing, span=span), converter)

    def _narrowest(self, converters: ConverterModel, ranges: LayerRanges) -> float:
        """Return the narrowest span that reaches the outputs of ranges on nearly all chips, or the widest [V]."""
        mismatch = self._calibration.mismatch
        spread = 0.0 if mismatch is None else mismatch.threshold_spread
        wanted = max(abs(ranges.adc.low), abs(ranges.adc.high)) * (1 - 1e-9) + HEADROOM * spread
        reaching = [span for span in converters.spans if converters.over(span).reach(ranges.levels) >= wanted]
        return min(reaching, default=converters.spans[0])

    def _require_own(self, converter: type[AdcRange]) -> None:
        if self._calibration.require_converter() is not None and converter is not AdcRange:
            raise NetworkError(
                f"the chip has calibrated converters, adc.kind = {self._chip.adc.kind}, where {converter.__name__} was "
                "asked for; leave that out, or set adc.kind = ideal"
            )

    def converted(self, ranges: LayerRanges, converter: type[AdcRange]) -> LayerRanges:
        """Return ranges whose converters are the chip's, if it has some that were calibrated, or of a class.

        Raises
        ------
        CalibrationError
            If the chip has converters that were not calibrated, or not with their span.
        """
        real, adc = self._calibration.require_converter(), ranges.adc
        if real is not None:
            return replace(ranges, adc=real.over(ranges.span or real.span).range(ranges.levels))
        return replace(ranges, adc=converter(low=adc.low, high=adc.high, bits=adc.bits))

    def fit_gains(self, vectors: Floats, ranges: LayerRanges, prepared: Sequence[PreparedTile]) -> tuple[Gains, ...]:
        """Fit a gain and an offset for every output of every tile on typical inputs (batch, rows)."""
        bits, scales = self._chip.dac.bits, ranges.scales(vectors)
        (codes, _), overdriven = ranges.codes(vectors, bits), ranges.overdriven(vectors, bits)
        found = []
        for k, (mapped, ready) in enumerate(zip(self.mapped, prepared, strict=True)):
            share = self._constant(k, ranges, np.ones((len(vectors), 1)))
            usable = np.repeat(~overdriven[:, mapped.rows].any(axis=1, keepdims=True), share.shape[1], axis=1)
            for weight, plane in ranges.pulses.planes(codes[:, mapped.rows], bits, ranges.polarity):
                plane = np.ascontiguousarray(plane)
                volts = ready.read(plane, self._volts(k, plane, ready))
                usable &= ~mapped.any_column(ranges.clipped(volts))
                seen, _ = ranges.read(ready.received(plane, volts), ready.adc)
                share += weight * self._decode(seen, ready, plane, self.programmed[k], ranges, 1.0)
            target = vectors[:, mapped.rows] @ mapped.weights
            found.append(fit_tile_gains(share, target / scales, usable))
        return tuple(found)

    def tiles(self, ranges: LayerRanges) -> tuple[Tile, ...]:
        """Return the tiles, to be prepared by an engine."""
        return tuple(
            Tile(
                name=f"{self.name}:{k}",
                g=own.g,
                polarity=ranges.levels,
                r_feedback=ranges.r_feedback,
                adc=ranges.adc,
                array=f"{self.array}:{k}",
            )
            for k, own in enumerate(self.programmed)
        )

    def run(
        self,
        x: Array,
        ranges: LayerRanges,
        prepared: Sequence[PreparedTile],
        meter: LayerMeter,
        observe: Observer,
        gains: Sequence[Gains] | None = None,
        *,
        workers: Executor,
    ) -> Array:
        """Compute the layer's output.

        Parameters
        ----------
        x : ndarray
            Inputs: (images, channels, [height,] width) for a convolution, else (..., rows).
        ranges : LayerRanges
            The settings.
        prepared : sequence of PreparedTile
            The tiles, prepared by an engine.
        meter : LayerMeter
            Sums to add to.
        observe : callable
            Told of every product.
        gains : sequence of Gains, optional
            Digital corrections, one a tile.
        workers : Executor
            Do the products of tiles; all else is done in order, so that the result does not depend on them.

        Returns
        -------
        ndarray of the dtype of `x`
            What the node would make of `x`, up to the errors of the hardware.
        """
        blocks = look_ahead(self._start(v, ranges, prepared, workers) for v in self.vectors(x))
        y = [self._finish(block, ranges, prepared, meter, observe, gains) for block in blocks]
        return self.node.finish(np.concatenate([np.zeros((0, self.node.outputs)), *y]), x)

    def _start(
        self, vectors: Floats, ranges: LayerRanges, prepared: Sequence[PreparedTile], workers: Executor
    ) -> "_Block":
        """Set the products of a block of vectors (batch, rows) going."""
        bits = self._chip.dac.bits
        codes, overdriven = ranges.codes(vectors, bits)
        products: list[list[_Product]] = [[] for _ in prepared]
        for k, (mapped, ready) in enumerate(zip(self.mapped, prepared, strict=True)):
            for weight, plane in ranges.pulses.planes(codes[:, mapped.rows], bits, ranges.polarity):
                plane = np.ascontiguousarray(plane)
                products[k].append((weight, plane, workers.submit(self._timed, k, plane, ready)))
        return _Block(vectors=vectors, overdriven=overdriven, products=products)

    def _finish(
        self,
        block: "_Block",
        ranges: LayerRanges,
        prepared: Sequence[PreparedTile],
        meter: LayerMeter,
        observe: Observer,
        gains: Sequence[Gains] | None,
    ) -> Floats:
        """Make outputs (batch, outputs) of the products of a block."""
        vectors, scales = block.vectors, ranges.scales(block.vectors)
        y = np.zeros((len(vectors), self.node.outputs))
        for k, (mapped, ready) in enumerate(zip(self.mapped, prepared, strict=True)):
            share = self._constant(k, ranges, scales)
            for weight, plane, product in block.products[k]:
                volts, seconds = product.result()
                observe(k, plane, volts)
                volts = ready.received(plane, ready.read(plane, volts))
                seen, clipped = ranges.read(volts, ready.adc)
                share += weight * self._decode(seen, ready, plane, self.programmed[k], ranges, scales)
                meter.mvms += len(plane)
                meter.seconds += seconds
                meter.volts += volts.size
                meter.volts_clipped += clipped
            y[:, mapped.outputs] += share if gains is None else gains[k].apply(share, scales)
        digital = self._product.multiply(vectors)
        meter.signal += float(np.sum(digital**2))
        meter.error += float(np.sum((y - digital) ** 2))
        meter.inputs += vectors.size
        meter.inputs_clipped += block.overdriven
        return y

    def _constant(self, k: int, ranges: LayerRanges, scales: Floats) -> Floats:
        """Return what the planes of inputs lack in the outputs of tile `k`, for scales (batch, 1)."""
        return np.asarray(scales * (ranges.pulses.constant(self._chip.dac.bits, ranges.polarity) * self._sums[k]))

    def _timed(self, k: int, codes: Codes, ready: PreparedTile) -> tuple[Floats, float]:
        """Return the amplifier outputs of tile `k` [V], and the time its processor took [s]."""
        start = time.thread_time()
        return self._volts(k, codes, ready), time.thread_time() - start

    def _volts(self, k: int, codes: Codes, ready: PreparedTile) -> Floats:
        """Return the amplifier outputs of tile `k` [V], checked."""
        volts, columns = ready.mvm(codes), self.mapped[k].g.shape[1]
        if volts.shape != (len(codes), columns) or not np.isfinite(volts).all():
            raise ConvergenceError(
                f"{type(ready).__name__} gave outputs of shape {volts.shape}, not all finite or not "
                f"{(len(codes), columns)}, for tile {self.name}:{k}; try another engine"
            )
        return volts

    def _decode(
        self,
        seen: Floats,
        ready: PreparedTile,
        codes: Codes,
        mapped: MappedTile,
        ranges: LayerRanges,
        scales: npt.ArrayLike,
    ) -> Floats:
        """Make numbers (batch, outputs) of what codes of outputs stand for [V], times the tile's factor."""
        dac, digital_reference = self._chip.inputs, mapped.reference and not mapped.reference_column
        factor, lines = ready.compensation, self._chip.held_lines(mapped.g)
        if (lines != 1).any():
            seen = seen * lines
        return decode_outputs(
            seen if factor == 1 else factor * seen,
            mapped,
            r_feedback=ranges.r_feedback,
            volts_per_input=dac.v_span / np.asarray(scales),
            volts_in=dac.volts(codes, ranges.levels) if digital_reference else None,
        )

    def stats(self, ranges: LayerRanges, meter: LayerMeter, gains: Sequence[Gains] | None = None) -> LayerStats:
        """Return how the layer fared."""
        factors = None if gains is None else np.concatenate([own.gain for own in gains])
        return LayerStats(
            name=self.name,
            op=self.node.op,
            tiles=len(self.mapped),
            array=self.array,
            rows=self.node.rows,
            columns=self.columns,
            pulses=ranges.pulses.count(self._chip.dac.bits, ranges.polarity),
            mvms=meter.mvms,
            snr_db=meter.snr_db,
            adc_clipped=meter.adc_clipped,
            dac_clipped=meter.dac_clipped,
            polarity=ranges.polarity,
            input_scale=ranges.input_scale,
            r_feedback=ranges.r_feedback,
            adc=ranges.adc,
            input_scaling=ranges.scaling,
            adc_fit=ranges.adc_fit,
            gain=None if factors is None else (float(factors.min()), float(np.median(factors)), float(factors.max())),
            forms=meter.forms,
            promised_error=meter.promised,
            held=meter.held,
            seconds=meter.seconds,
        )


def _require_pairs(tiles: Sequence[MappedTile], name: str) -> None:
    """Refuse tiles whose columns 2k and 2k + 1 are not the two signs of a weight."""
    for tile in tiles:
        if tile.reference or any(factor * (-1) ** place <= 0 for place, factor in enumerate(tile.factors)):
            raise NetworkError(
                f"layer {name!r}: a 2t2r cell holds the two signs of a weight on its bit lines, and these weights "
                "are mapped otherwise; map them with signs = differential, or take 1t1r cells"
            )
