"""The settings of all layers of a network, as fitted on typical inputs, and what is to be said about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.coding import AdcRange
from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import PreparedTile
from spicesim.errors import NetworkError
from spicesim.network.compiled import CHUNK, CompiledNetwork, CompileOptions, Inputs
from spicesim.network.gains import Gains
from spicesim.network.pulses import choose_pulses
from spicesim.network.ranges import AdcFit, InputScale, LayerRanges
from spicesim.network.settings import FitWords, Settings, pack_settings, unpack_settings
from spicesim.network.smoothing import find_smoothing, largest_weights

__all__ = ["AllGains", "Tuning"]

AllGains = tuple[tuple[Gains, ...], ...]
"""Of every layer's tiles."""

FIT_VECTORS = 4096
"""Vectors a layer keeps, about, to fit its ranges."""
GAIN_VECTORS = 256
"""Vectors a layer keeps, about, to fit its gains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Activations:
    """What drives one layer on typical inputs: vectors to fit settings on."""

    vectors: Floats
    """A random sample, (batch, rows)."""
    limits: tuple[float, float]
    """Smallest and largest number among all inputs."""


class Tuning:
    """Ranges and gains.

    Parameters
    ----------
    compiled : CompiledNetwork
        The network.
    options : CompileOptions, optional
        Of them those that set converters.

    Raises
    ------
    NetworkError
        If a word is unknown, or the drivers cannot drive such digits.

    Attributes
    ----------
    ranges : tuple of LayerRanges or None
        Settings of the layers, once fitted.
    gains : tuple of tuple of Gains or None
        Digital corrections of every layer's tiles, once fitted.
    typical : array_like or mapping of str to array_like, or None
        Inputs on which ranges were fitted.
    """

    def __init__(self, compiled: CompiledNetwork, options: CompileOptions | None = None) -> None:
        words: CompileOptions = options or {}
        input_scale, adc_range = words.get("input_scale", "static"), words.get("adc_range", "percentile")
        input_digit, converter = words.get("input_digit"), words.get("converter", AdcRange)
        for word, wanted in ((input_scale, get_args(InputScale)), (adc_range, get_args(AdcFit))):
            if word not in wanted:
                raise NetworkError(f"no setting {word!r}; there are: {', '.join(wanted)}")
        self._smooth = words.get("smooth")
        if self._smooth is not None and not 0 <= self._smooth <= 1:
            raise NetworkError(f"smooth must lie in 0..1, got {self._smooth:g}; 0.5 is usual")
        choose_pulses(compiled.chip, input_digit, "bipolar")  # refuses what cannot be before anything is run
        self._compiled = compiled
        self._words = FitWords(scaling=input_scale, adc_fit=adc_range, input_digit=input_digit, converter=converter)
        self._ranges: tuple[LayerRanges, ...] | None = None
        self.gains: AllGains | None = None
        self.typical: Inputs | None = None
        self._range_notes, self._gain_notes = list[str](), list[str]()

    @property
    def ranges(self) -> tuple[LayerRanges, ...] | None:
        """Settings of the layers, once fitted; layers are smoothed as they say."""
        return self._ranges

    @ranges.setter
    def ranges(self, ranges: tuple[LayerRanges, ...] | None) -> None:
        for layer, own in zip(self._compiled.layers, ranges or (), strict=ranges is not None):
            layer.smooth(own.smoothing)
        self._ranges = ranges

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how ranges and gains were fitted."""
        return (*self._range_notes, *self._gain_notes)

    def pack(self, subject: str) -> dict[str, Array]:
        """Return all that was fitted as arrays of numbers, see :func:`spicesim.network.settings.pack_settings`.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        """
        if self.ranges is None:
            raise NetworkError("no ranges fitted yet; call fit_ranges with typical inputs first")
        settings = Settings(
            ranges=self.ranges, gains=self.gains, range_notes=tuple(self._range_notes),
            gain_notes=tuple(self._gain_notes),
        )  # fmt: skip
        return pack_settings(settings, subject)

    def unpack(self, packed: Mapping[str, Array], subject: str) -> None:
        """Take all that was fitted from arrays; `typical` is not among it.

        Raises
        ------
        NetworkError
            If they are no settings, or those of something else; nothing is changed.
        """
        found = unpack_settings(packed, subject, self._compiled.layers, self._compiled.chip, self._words)
        self.ranges, self.gains = found.ranges, found.gains
        self._range_notes, self._gain_notes = list(found.range_notes), list(found.gain_notes)

    def fit_ranges(self, x: Inputs) -> None:
        """Fit ranges on typical inputs, run digitally; gains are forgotten."""
        layers, self.typical = self._compiled.layers, x
        with one_blas_thread():
            self._smooth_layers(x)
            self.ranges = tuple(
                layer.fit(found.vectors, found.limits, **self._words)
                for layer, found in zip(layers, self._collect(x, FIT_VECTORS), strict=True)
            )
        self._range_notes = [
            f"{layer.node.op} {layer.name!r} drives its rows at {ranges.drive:.3g} of the span, "
            "since more overdrives the amplifiers even at their smallest r_feedback"
            for layer, ranges in zip(layers, self.ranges, strict=True)
            if ranges.drive < 1
        ]
        self.clear_gains()

    def _smooth_layers(self, x: Inputs) -> None:
        """Find scales on typical inputs; layers that share an array share them."""
        layers = self._compiled.layers
        for layer in layers:
            layer.smooth(())
        if self._smooth is None:
            return
        largest: dict[str, Floats | float] = dict.fromkeys((layer.array for layer in layers), 0.0)
        for chunk in self._compiled.chunks(self._compiled.check(x)):
            values = self._compiled.trace(chunk)
            for layer in layers:
                for value in values.get(layer.node, []):
                    for vectors in layer.vectors(value):
                        largest[layer.array] = np.maximum(
                            largest[layer.array], np.abs(vectors).max(axis=0, initial=0.0)
                        )
        for layer in layers:
            found = np.broadcast_to(largest[layer.array], layer.node.rows)
            layer.smooth(find_smoothing(found, largest_weights(layer.node), self._smooth))

    def first(self, x: Inputs) -> dict[str, Array]:
        """Return the first inputs of a run, which stand for typical ones where no others are given."""
        arrays = self._compiled.check(x)
        batch = self._compiled.batch or 1
        axes = self._compiled.axes
        return axes.cut(arrays, 0, min(axes.length(arrays), max(CHUNK // batch, 1) * batch))

    def fit_ranges_on_first(self, x: Inputs) -> dict[str, Array]:
        """Fit ranges on the first inputs of a run, note it, and return those inputs."""
        first = self.first(x)
        count = self._compiled.axes.length(first)
        self.fit_ranges(first)
        self._range_notes.append(f"no calibration inputs were given: ranges fitted on the first {count} inputs run")
        return first

    def fit_gains(self, x: Inputs, prepared: Iterable[tuple[PreparedTile, ...]]) -> None:
        """Fit gains on typical inputs, run digitally, with the tiles as an engine prepared them."""
        self.gains = self.find_gains(x, prepared)
        left_out = [sum(own.left_out for own in tiles) for tiles in self.gains]
        self._gain_notes = [
            f"{layer.node.op} {layer.name!r}: {count} outputs of its tiles keep a gain of 1, since too few calibration "
            "vectors pass their converters unclipped"
            for layer, count in zip(self._compiled.layers, left_out, strict=True)
            if count
        ]

    def find_gains(self, x: Inputs, prepared: Iterable[tuple[PreparedTile, ...]]) -> AllGains:
        """Find gains as :meth:`fit_gains` does, and return them only."""
        if self.ranges is None:
            raise NetworkError("no ranges fitted yet; call fit_ranges with typical inputs first")
        layers, activations = self._compiled.layers, self._collect(x, GAIN_VECTORS, seed=1)
        with one_blas_thread():
            return tuple(
                layer.fit_gains(found.vectors, ranges, ready)
                for layer, ranges, ready, found in zip(layers, self.ranges, prepared, activations, strict=True)
            )

    def clear_gains(self) -> None:
        """Forget gains and offsets."""
        self.gains, self._gain_notes = None, []

    def _collect(self, x: Inputs, count: int, *, seed: int = 0) -> list[_Activations]:
        """Collect about `count` vectors that drive each layer, as the digital network makes them, drawn at random."""
        layers, arrays = self._compiled.layers, self._compiled.check(x)
        kept: list[list[Floats]] = [[] for _ in layers]
        limits = [(np.inf, -np.inf) for _ in layers]
        length = self._compiled.axes.length
        generator, total = np.random.default_rng(seed), length(arrays)
        for chunk in self._compiled.chunks(arrays):
            size, values = length(chunk), self._compiled.trace(chunk)
            for k, layer in enumerate(layers):
                found = [value for value in values.get(layer.node, []) if value.size]
                share = count / max(1, sum(map(layer.count, found)) * total / size)
                for value in found:
                    for vectors in layer.vectors(value):
                        numbers = value if self._smooth is None else vectors  # smoothed ones
                        low, high = limits[k]
                        limits[k] = min(low, float(numbers.min())), max(high, float(numbers.max()))
                        picked = generator.random(len(vectors)) < share
                        picked[0] |= not kept[k]  # a fit needs one vector at least
                        kept[k].append(vectors[picked])
        unreached = [layer for layer, vectors in zip(layers, kept, strict=True) if not vectors]
        if unreached:
            raise NetworkError(
                f"{unreached[0].node.op} {unreached[0].name!r} is not reached by the typical inputs, and nothing "
                f"says its ranges; give inputs that reach it, or keep it digital with digital=[{unreached[0].name!r}]"
            )
        return [
            _Activations(vectors=np.concatenate(vectors), limits=limit)
            for vectors, limit in zip(kept, limits, strict=True)
        ]
