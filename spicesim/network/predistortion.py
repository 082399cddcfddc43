"""Conductances that make up beforehand for what the wires of an array take."""

from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.chip import Array
from spicesim.crossbar import Crossbar
from spicesim.mapping import MappedTile

__all__ = ["predistort"]

ROUNDS = 5
"""Corrections; each leaves about a tenth of the error."""


def predistort(
    mapped: MappedTile, array: Array, conductance_range: tuple[float, float], *, paired: bool = False
) -> MappedTile:
    """Return the tile with conductances whose array, wires included, does what the tile's would do without wires.

    Parameters
    ----------
    mapped : MappedTile
        What is wanted.
    array : Array
        The chip's array, for the resistance of its wires.
    conductance_range : tuple of float
        Lowest and highest conductance of a whole cell [S].
    paired : bool
        Whether columns 2k and 2k + 1 share their word-line nodes.

    Notes
    -----
    With linear cells an array is its transfer matrix T, less than its conductances by what a cell's voltage lacks. The
    larger conductance of a pair, or every one where there is a reference, is multiplied by what T lacks there, again
    and again. The largest cannot grow, so all others shrink: the signal falls by a factor, of each output or, with a
    reference, of the tile, by which the decoding grows.
    """
    low, high = conductance_range
    wanted, g = mapped.g, mapped.g.copy()
    count, outputs = len(mapped.factors), len(mapped.weight_per_siemens)
    signed = not mapped.reference
    # the column that each is told from: the other of its pair
    other = np.arange(wanted.shape[1]) ^ 1
    smaller = wanted <= wanted[:, other] if signed else np.zeros(wanted.shape, bool)
    owner = np.minimum(np.arange(wanted.shape[1]) // count, outputs - 1)
    factor = np.ones(outputs)
    for _ in range(ROUNDS):
        transfer = _transfer(g, array, paired)
        if signed:
            aim = np.where(smaller, transfer, transfer[:, other] + factor[owner] * (wanted - wanted[:, other]))
        else:
            aim = factor[owner] * wanted
        g = g * np.where(transfer > 0, aim / np.where(transfer > 0, transfer, 1.0), 1.0)
        excess = np.maximum(np.maximum.reduceat(g.max(axis=0), count * np.arange(outputs)) / high, 1.0)
        factor /= excess if signed else excess.max()
        g = np.clip(g, low, high)
    return replace(
        mapped,
        g=g,
        weight_per_siemens=mapped.weight_per_siemens / factor,
        reference=mapped.reference * float(factor[0]),
    )


def _transfer(g: Floats, array: Array, paired: bool) -> Floats:
    """Return what the array makes of each input, (rows, columns) [S]."""
    crossbar = Crossbar(g, array.word_line_segments(*g.shape, paired=paired), array.r_bit_line)
    return np.asarray(crossbar.transfer_matrix().T)
