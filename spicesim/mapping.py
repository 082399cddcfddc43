"""Weights on arrays: differential pairs of conductances, one tile an array, and the numbers read back.

A weight matrix (outputs, inputs) becomes tiles no larger than the chip's array. Output k of a tile owns the
physical columns 2k and 2k + 1, which carry its positive and its negative weights; inputs that do not fit one
array are split evenly over several, whose results are added digitally.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from spicesim.chip import Array
from spicesim.errors import MappingError

__all__ = ["MappedTile", "decode_outputs", "map_weights", "split_evenly"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedTile:
    """The part of a weight matrix that one array holds."""

    rows: slice
    """Inputs of the matrix that drive this tile's word lines."""
    outputs: slice
    """Outputs of the matrix to which this tile contributes."""
    g: Floats
    """Conductances, (rows, 2 outputs) [S]; column 2k is g_pos of output k, column 2k + 1 its g_neg."""
    weight_per_siemens: Floats
    """What a difference ``g_pos - g_neg`` stands for, (outputs,) [1/S]."""

    @property
    def weights(self) -> Floats:
        """The weights that the conductances stand for, (rows, outputs)."""
        return np.asarray((self.g[:, 0::2] - self.g[:, 1::2]) * self.weight_per_siemens)


def split_evenly(count: int, limit: int) -> list[slice]:
    """Split ``range(count)`` into the fewest slices of at most `limit`, their lengths equal but for one."""
    pieces = -(-count // limit)
    edges = [count * k // pieces for k in range(pieces + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def map_weights(
    weights: npt.ArrayLike, array: Array, conductance_range: tuple[float, float], *, name: str, groups: int = 1
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

    Returns
    -------
    tuple of MappedTile
        Tiles, row split by row split, of one group after the other where a group does not fit one array.

    Raises
    ------
    MappingError
        If the weights are not a finite matrix, or the array or the conductances cannot hold a pair.

    Notes
    -----
    With s the largest magnitude of the weights w of one output within one tile,
    ``g_pos = g_low + (g_high - g_low) max(w, 0) / s``, and g_neg is the same of -w. A tile smaller than the
    array takes the corner nearest to drivers and amplifiers, as if the rest were absent.
    """
    w = np.asarray(weights, dtype=float)
    if w.ndim != 2 or w.size == 0:
        raise MappingError(f"layer {name}: weights must be a matrix (outputs, inputs), got shape {w.shape}")
    bad = w.size - int(np.isfinite(w).sum())
    if bad:
        raise MappingError(f"layer {name}: {bad} of {w.size} weights are NaN or infinite; export it again")
    if array.columns < 2:
        raise MappingError(f"layer {name}: a differential pair needs array.columns >= 2, got {array.columns}")
    g_low, g_high = conductance_range
    if not 0 <= g_low < g_high:
        raise MappingError(f"conductance range must satisfy 0 <= low < high, got {g_low:g}..{g_high:g} S")
    if groups < 1 or w.shape[0] % groups:
        raise MappingError(f"layer {name}: {w.shape[0]} outputs do not fall into {groups} equal groups")
    inputs, outputs = w.shape[1], w.shape[0] // groups  # of a group
    fit = min(array.rows // inputs, array.columns // 2 // outputs)
    if fit > 1:
        blocks = [
            (_scale(own, inputs), _scale(own, outputs), _diagonal(w[_scale(own, outputs)], own.stop - own.start))
            for own in split_evenly(groups, fit)
        ]
    else:
        blocks = [
            (_shift(rows, k * inputs), _shift(columns, k * outputs), w[_shift(columns, k * outputs), rows].T)
            for k in range(groups)
            for rows in split_evenly(inputs, array.rows)
            for columns in split_evenly(outputs, array.columns // 2)
        ]
    return tuple(_map_tile(part, rows, columns, g_low, g_high) for rows, columns, part in blocks)


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


def _map_tile(part: Floats, rows: slice, outputs: slice, g_low: float, g_high: float) -> MappedTile:
    """Fill one tile with weights (rows, outputs)."""
    scale = np.abs(part).max(axis=0)
    scale[scale == 0] = 1.0  # an output without weights stays at g_low
    share = part / scale
    g = np.empty((part.shape[0], 2 * part.shape[1]))
    g[:, 0::2] = np.maximum(share, 0)
    g[:, 1::2] = np.maximum(-share, 0)
    g *= g_high - g_low
    g += g_low
    return MappedTile(
        rows=rows, outputs=outputs, g=np.clip(g, g_low, g_high), weight_per_siemens=scale / (g_high - g_low)
    )


def decode_outputs(
    volts: npt.ArrayLike, tile: MappedTile, *, r_feedback: float, volts_per_input: npt.ArrayLike
) -> Floats:
    """Turn amplifier outputs into the numbers they stand for.

    Parameters
    ----------
    volts : array_like of shape (batch, 2 outputs)
        Amplifier outputs below the reference [V].
    tile : MappedTile
        The tile that made them.
    r_feedback : float
        Feedback resistance of the amplifiers [ohm].
    volts_per_input : float or array_like of shape (batch, 1)
        Word-line voltage that stands for an input of one [V].

    Returns
    -------
    ndarray of shape (batch, outputs)
        This tile's share of ``inputs @ weights.T``.
    """
    v = np.asarray(volts, dtype=float)
    return np.asarray(
        (v[:, 0::2] - v[:, 1::2]) * (tile.weight_per_siemens / (r_feedback * np.asarray(volts_per_input)))
    )
