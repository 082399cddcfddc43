"""Weights on arrays: signed weights as columns of conductances, one tile an array, and the numbers read back.

A weight matrix (outputs, inputs) becomes tiles no larger than the chip's array. Output k of a tile owns some
neighbouring columns, by default a pair: 2k carries its positive, 2k + 1 its negative weights. Inputs that do not fit
one array are split evenly over several, whose results are added digitally.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Bools, Floats
from spicesim.chip import Array
from spicesim.errors import MappingError

__all__ = [
    "MappedTile",
    "Mapper",
    "MappingOptions",
    "Signs",
    "WeightScale",
    "decode_outputs",
    "map_weights",
    "split_digits",
    "split_evenly",
]

Signs = Literal["differential", "reference", "offset"]
"""How weights have signs. differential: a column for the positive and one for the negative part of an output;
reference: a column an output, its zero in the middle of the conductances, which a last column holds for all outputs;
offset: the same without that column, as the sum of the inputs times the middle is subtracted digitally."""

WeightScale = Literal["column", "tile", "layer"]
"""What shares the weight that stands for the highest conductance: an output within a tile, a tile, or the layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingOptions:
    """How weights become conductances."""

    signs: Signs = "differential"
    """How weights have signs."""
    scale: WeightScale = "column"
    """What shares a scale."""
    clip: float = 100.0
    """Percentile of the magnitudes of the weights, zeros left out, that a scale covers; larger ones are clipped [%]."""
    slices: int = 1
    """Columns over which the digits of a weight are spread; more than 1 need `cell_bits`."""
    cell_bits: int | None = None
    """Bits of a cell, whose conductance then takes 2^bits equidistant levels; by default it takes any."""
    predistort: bool = False
    """Whether conductances make up for what wires take; only networks do that, and then no cell keeps to levels."""
    tile_rows: int | None = None
    """Word lines of an array that a tile takes at most, all by default. A bit line that floats gives the mean over
    its rows, so that fewer rows make larger signals, and so do fewer groups of a depthwise convolution on a tile."""

    def __post_init__(self) -> None:
        for word, wanted in ((self.signs, get_args(Signs)), (self.scale, get_args(WeightScale))):
            if word not in wanted:
                raise MappingError(f"no way of mapping {word!r}; there are: {', '.join(wanted)}")
        if not 50 <= self.clip <= 100:
            raise MappingError(f"the percentile of weights to cover must lie in 50..100 %, got {self.clip:g}")
        if self.tile_rows is not None and self.tile_rows < 1:
            raise MappingError(f"a tile takes a word line at least, got tile_rows = {self.tile_rows}")
        bits = self.cell_bits
        if (
            self.slices < 1
            or (bits is None and self.slices > 1)
            or (bits is not None and not 1 <= bits * self.slices <= 24)
        ):
            raise MappingError(
                f"slices need the bits of a cell, 24 bits in all at most; got {self.slices} slices of {bits} bits"
            )
        if self.predistort and bits is not None:
            raise MappingError(
                "cells of a few levels cannot make up for the wires; leave out predistort or the cell's bits"
            )

    @property
    def columns(self) -> int:
        """Columns of an output."""
        return self.slices * (2 if self.signs == "differential" else 1)

    def outputs(self, columns: int) -> int:
        """Return how many outputs fit an array of so many columns."""
        return (columns - (self.signs == "reference")) // self.columns

    def rows(self, rows: int) -> int:
        """Return how many word lines of so many a tile takes at most."""
        return rows if self.tile_rows is None else min(rows, self.tile_rows)


DEFAULT_OPTIONS = MappingOptions()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedTile:
    """The part of a weight matrix that one array holds."""

    rows: slice
    """Inputs of the matrix that drive this tile's word lines."""
    outputs: slice
    """Outputs of the matrix to which this tile contributes."""
    g: Floats
    """Conductances, (rows, columns) [S]: those of output 0, of output 1, ..., and the reference column, if any."""
    weight_per_siemens: Floats
    """What a conductance stands for, times the factor of its column, (outputs,) [1/S]."""
    factors: tuple[float, ...] = (1.0, -1.0)
    """Of the columns of an output: their sums, times these, make the output."""
    reference: float = 0.0
    """Conductance that stands for a weight of 0 [S]; 0 for differential columns."""
    reference_column: bool = False
    """Whether the last column holds the reference; else it is subtracted digitally."""

    @property
    def weights(self) -> Floats:
        """The weights that the conductances stand for, (rows, outputs)."""
        return np.asarray((self._sums(self.g) - self.reference) * self.weight_per_siemens)

    def whose(self, column: int) -> tuple[int | None, int, int]:
        """Return the output of a column, None for the reference of all, its sign, and its slice."""
        own, place = divmod(column, len(self.factors))
        if own == len(self.weight_per_siemens):
            return None, -1, 0
        return self.outputs.start + own, 1 if self.factors[place] > 0 else -1, place // (1 if self.reference else 2)

    def any_column(self, flags: Bools) -> Bools:
        """Tell for which outputs any column is flagged: (batch, columns) to (batch, outputs)."""
        found = self._columns(flags, 0)
        for place in range(1, len(self.factors)):
            found = found | self._columns(flags, place)
        return found | flags[:, -1:] if self.reference_column else found

    def _columns(self, array: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
        """Return one column of every output."""
        count = len(self.factors)
        return array[:, place : count * len(self.weight_per_siemens) : count]

    def _sums(self, array: Floats) -> Floats:
        """Sum the columns of every output, times their factors."""
        if self.factors == (1.0, -1.0):
            return np.asarray(self._columns(array, 0) - self._columns(array, 1))
        parts = (factor * self._columns(array, place) for place, factor in enumerate(self.factors))
        return np.asarray(sum(parts, np.zeros(())))


def split_evenly(count: int, limit: int) -> list[slice]:
    """Split ``range(count)`` into the fewest slices of at most `limit`, their lengths equal but for one."""
    pieces = -(-count // limit)
    edges = [count * k // pieces for k in range(pieces + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def split_digits(shares: Floats, bits: int, slices: int) -> list[Floats]:
    """Write numbers 0..1, rounded to ``2^(bits slices)`` levels, in digits of so many bits, the least one first."""
    base = 2**bits
    whole = np.rint(shares * (base**slices - 1)).astype(np.int64)
    return [(whole // base**k % base).astype(float) for k in range(slices)]


class Mapper(Protocol):
    """Anything that makes tiles of weights."""

    def __call__(
        self, weights: npt.ArrayLike, array: Array, conductance_range: tuple[float, float], *, name: str, groups: int,
        options: MappingOptions,
    ) -> tuple["MappedTile", ...]:  # fmt: skip
        """Map; see :func:`map_weights`."""
        ...


def map_weights(
    weights: npt.ArrayLike,
    array: Array,
    conductance_range: tuple[float, float],
    *,
    name: str,
    groups: int = 1,
    options: MappingOptions = DEFAULT_OPTIONS,
) -> tuple[MappedTile, ...]:
    """Map a weight matrix to tiles.

    Parameters
    ----------
    weights : array_like of shape (outputs, inputs of a group)
        Weights.
    array : Array
        The chip's array, which bounds the size of a tile.
    conductance_range : tuple of float
        Lowest and highest conductance of a whole cell [S].
    name : str
        Name of the layer, for messages.
    groups : int
        Equal groups into which outputs and inputs fall, in order; an output has weights for its own group's inputs.
    options : MappingOptions
        How weights become conductances.

    Returns
    -------
    tuple of MappedTile
        Tiles, row split by row split, of one group after the other where a group does not fit one array.

    Raises
    ------
    MappingError
        If the weights are not a finite matrix, or the array or the conductances cannot hold an output.

    Notes
    -----
    With s the scale, by default the largest magnitude of the weights w of one output within one tile, and differential
    columns, ``g_pos = g_low + (g_high - g_low) max(w, 0) / s``, and g_neg is the same of -w; with a reference,
    ``g = g_low + (g_high - g_low) (1 + w/s) / 2``. With slices, what stands behind ``(g_high - g_low)`` is rounded and
    written in base ``2^cell_bits``, one digit a column. A tile smaller than the array takes the corner nearest to
    drivers and amplifiers, as if the rest were absent.
    """
    w = np.asarray(weights, dtype=float)
    if w.ndim != 2 or w.size == 0:
        raise MappingError(f"layer {name}: weights must be a matrix (outputs, inputs), got shape {w.shape}")
    bad = w.size - int(np.isfinite(w).sum())
    if bad:
        raise MappingError(f"layer {name}: {bad} of {w.size} weights are NaN or infinite; export it again")
    most = options.outputs(array.columns)
    if most < 1:
        least = options.columns + (options.signs == "reference")
        raise MappingError(f"layer {name}: an output needs array.columns >= {least}, got {array.columns}")
    g_low, g_high = conductance_range
    if not 0 <= g_low < g_high:
        raise MappingError(f"conductance range must satisfy 0 <= low < high, got {g_low:g}..{g_high:g} S")
    if groups < 1 or w.shape[0] % groups:
        raise MappingError(f"layer {name}: {w.shape[0]} outputs do not fall into {groups} equal groups")
    inputs, outputs = w.shape[1], w.shape[0] // groups  # of a group
    rows_of_tile = options.rows(array.rows)
    fit = min(rows_of_tile // inputs, most // outputs)
    if fit > 1:
        blocks = [
            (_scale(own, inputs), _scale(own, outputs), _diagonal(w[_scale(own, outputs)], own.stop - own.start))
            for own in split_evenly(groups, fit)
        ]
    else:
        blocks = [
            (_shift(rows, k * inputs), _shift(columns, k * outputs), w[_shift(columns, k * outputs), rows].T)
            for k in range(groups)
            for rows in split_evenly(inputs, rows_of_tile)
            for columns in split_evenly(outputs, most)
        ]
    whole = _largest(w, options.clip) if options.scale == "layer" else None
    return tuple(_map_tile(part, rows, columns, (g_low, g_high), options, whole) for rows, columns, part in blocks)


def _shift(of: slice, by: int) -> slice:
    return slice(of.start + by, of.stop + by)


def _scale(of: slice, by: int) -> slice:
    return slice(of.start * by, of.stop * by)


def _diagonal(w: Floats, groups: int) -> Floats:
    """Return the matrix (all inputs, all outputs) of grouped weights (all outputs, inputs of a group)."""
    outputs, inputs = w.shape[0] // groups, w.shape[1]
    matrix = np.zeros((groups, inputs, groups, outputs))
    matrix[np.arange(groups), :, np.arange(groups), :] = w.reshape(groups, outputs, inputs).transpose(0, 2, 1)
    return matrix.reshape(groups * inputs, groups * outputs)


def _largest(weights: Floats, clip: float) -> float:
    """Return the magnitude that a scale has to cover."""
    magnitudes = np.abs(weights)
    if clip == 100:
        return float(magnitudes.max())
    magnitudes = magnitudes[magnitudes > 0]
    return float(np.percentile(magnitudes, clip)) if magnitudes.size else 0.0


def _map_tile(
    part: Floats,
    rows: slice,
    outputs: slice,
    conductance_range: tuple[float, float],
    options: MappingOptions,
    whole: float | None,
) -> MappedTile:
    """Fill one tile with weights (rows, outputs); `whole` is the scale of the layer, if that is wanted."""
    g_low, g_high = conductance_range
    count = part.shape[1]
    if whole is not None:
        scale = np.full(count, whole)
    elif options.scale == "tile":
        scale = np.full(count, _largest(part, options.clip))
    elif options.clip == 100:
        scale = np.abs(part).max(axis=0)
    else:
        scale = np.array([_largest(column, options.clip) for column in part.T])
    scale[scale == 0] = 1.0  # an output without weights stays at zero
    share = part / scale
    np.clip(share, -1, 1, out=share)
    differential = options.signs == "differential"
    sides = [np.maximum(share, 0), np.maximum(-share, 0)] if differential else [(1 + share) / 2]
    signs = (1.0, -1.0) if differential else (1.0,)
    middle = 0.0 if differential else (g_low + g_high) / 2
    filled = [sides]
    factors: tuple[float, ...] = signs
    if options.cell_bits is not None:
        top, total = 2**options.cell_bits - 1, 2 ** (options.cell_bits * options.slices) - 1
        digits = [split_digits(side, options.cell_bits, options.slices) for side in sides]
        filled = [[own[k] / top for own in digits] for k in range(options.slices)]
        factors = tuple(
            sign * 2.0 ** (options.cell_bits * k) * top / total for k in range(options.slices) for sign in signs
        )
    g = np.zeros((part.shape[0], options.columns * count + (options.signs == "reference")))
    for place, columns in enumerate(side for slice_ in filled for side in slice_):
        g[:, place : options.columns * count : options.columns] = columns
    g *= g_high - g_low
    g += g_low
    if options.signs == "reference":
        g[:, -1] = middle
    return MappedTile(
        rows=rows,
        outputs=outputs,
        g=np.clip(g, g_low, g_high, out=g),
        weight_per_siemens=scale * ((1 if differential else 2) / (g_high - g_low)),
        factors=factors,
        reference=middle,
        reference_column=options.signs == "reference",
    )


def decode_outputs(
    volts: npt.ArrayLike,
    tile: MappedTile,
    *,
    r_feedback: float,
    volts_per_input: npt.ArrayLike,
    volts_in: npt.ArrayLike | None = None,
) -> Floats:
    """Turn amplifier outputs into the numbers they stand for.

    Parameters
    ----------
    volts : array_like of shape (batch, columns)
        Amplifier outputs below the reference [V].
    tile : MappedTile
        The tile that made them.
    r_feedback : float
        Feedback resistance of the amplifiers [ohm].
    volts_per_input : float or array_like of shape (batch, 1)
        Word-line voltage that stands for an input of one [V].
    volts_in : array_like of shape (batch, rows), optional
        Word-line voltages meant [V]; needed where the reference is subtracted digitally.

    Returns
    -------
    ndarray of shape (batch, outputs)
        This tile's share of ``inputs @ weights.T``.
    """
    v = np.asarray(volts, dtype=float)
    sums = tile._sums(v)
    if tile.reference_column:
        sums -= v[:, -1:]
    elif tile.reference:
        if volts_in is None:
            raise MappingError(
                "weights without a reference column are decoded with the word lines' voltages; give volts_in"
            )
        sums -= r_feedback * tile.reference * np.sum(volts_in, axis=1, keepdims=True)
    return np.asarray(sums * (tile.weight_per_siemens / (r_feedback * np.asarray(volts_per_input))))
