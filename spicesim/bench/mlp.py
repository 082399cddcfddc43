"""A whole network: 784-256-10 on tiles of 128 rows with linear cells, against the matrices it stands for."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spicesim.arrays import Array, Reals, Singles
from spicesim.bench.measurement import median_seconds
from spicesim.bench.work import G_MAX, G_MIN, R_WIRE, V_SPAN
from spicesim.crossbar import Crossbar

__all__ = ["NetworkMeasurement", "run_network"]

LAYERS, TILE_ROWS, TILE_COLUMNS, INPUTS = (784, 256, 10), 128, 128, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkMeasurement:
    """The network of this benchmark."""

    tiles: int
    """Arrays, at most 128x128; each weight is a pair of cells."""
    prepare_seconds: float
    """Transfer matrices of all tiles [s]."""
    run_seconds: float
    """1000 inputs [s]."""
    ideal_seconds: float
    """The same without wires, by numpy in float32 [s]."""
    max_error: float
    """Against exact nodal solutions of all tiles, of the largest output."""


class _Layer:
    """One layer: tiles by (rows, columns), positive and negative columns alternating."""

    def __init__(self, weights: Singles) -> None:
        span = G_MAX - G_MIN
        pair = np.stack([np.maximum(weights, 0), np.maximum(-weights, 0)], axis=2).reshape(len(weights), -1)
        g = G_MIN + span * pair / np.abs(weights).max()
        self.blocks = [
            [
                Crossbar(g[top : top + TILE_ROWS, left : left + TILE_COLUMNS], R_WIRE, R_WIRE)
                for left in range(0, g.shape[1], TILE_COLUMNS)
            ]
            for top in range(0, len(g), TILE_ROWS)
        ]
        self.ideal = (span / np.abs(weights).max() * weights).astype(np.float32)

    def prepare(self) -> None:
        """Find one matrix for all tiles: pairs subtract and rows of tiles add, which is linear, too."""
        rows = [np.concatenate([tile.transfer_matrix() for tile in row]).T for row in self.blocks]
        self.matrix = np.concatenate([row[:, 0::2] - row[:, 1::2] for row in rows]).astype(np.float32)

    @property
    def tiles(self) -> list[Crossbar]:
        """All tiles."""
        return [tile for row in self.blocks for tile in row]

    def forward(self, v: Singles) -> Singles:
        """Return the currents of all pairs [A]."""
        return np.asarray(v @ self.matrix)

    def forward_exactly(self, v: Reals) -> Reals:
        """Do the same by nodal solutions."""
        total = sum(
            np.concatenate([tile.solve(v[:, k * TILE_ROWS : (k + 1) * TILE_ROWS]).currents for tile in row], axis=1)
            for k, row in enumerate(self.blocks)
        )
        return np.asarray(np.asarray(total)[:, 0::2] - np.asarray(total)[:, 1::2])


def _hidden(i: Array, scale: float) -> Array:
    """Rectify currents and turn them to voltages."""
    return np.asarray(np.maximum(i, 0) * i.dtype.type(V_SPAN / scale))


def run_network(repeats: int) -> NetworkMeasurement:
    """Prepare and run it.

    Parameters
    ----------
    repeats : int
        Least number of repeats.
    """
    rng = np.random.default_rng(7)
    matrices = [rng.normal(size=shape).astype(np.float32) for shape in pairwise(LAYERS)]
    v = rng.uniform(0, V_SPAN, (INPUTS, LAYERS[0])).astype(np.float32)

    def build() -> list[_Layer]:
        layers = [_Layer(matrix) for matrix in matrices]
        for layer in layers:
            layer.prepare()
        return layers

    (prepare,), layers = median_seconds(build, repeats=min(repeats, 3)), build()
    first, second = layers
    scale = float(np.maximum(v @ first.ideal, 0).max())

    def run() -> Reals:
        return second.forward(_hidden(first.forward(v), scale))

    def ideal() -> Reals:
        return np.asarray(_hidden(v @ first.ideal, scale) @ second.ideal)

    seconds, ideal_seconds = median_seconds(run, ideal, repeats=repeats)
    few = v[:2].astype(float)
    exact = second.forward_exactly(_hidden(first.forward_exactly(few), scale))
    error = np.abs(run()[:2] - exact).max() / np.abs(exact).max()
    return NetworkMeasurement(
        tiles=sum(len(layer.tiles) for layer in layers),
        prepare_seconds=prepare,
        run_seconds=seconds,
        ideal_seconds=ideal_seconds,
        max_error=float(error),
    )
