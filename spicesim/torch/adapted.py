"""Compiled layers on one drawn chip, cheap enough to train digital adapters of a language model beside them.

A layer on the chip is a matrix (wires, devices and digital gains included), an offset, and noise in place of what its
converters round, its devices read anew, and its blocks bend: all found with the tiles that an engine prepared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh, solve_triangular
from torch import nn

from spicesim.arrays import Floats
from spicesim.calibration.calibration import Calibration
from spicesim.crossbar.blas import one_blas_thread
from spicesim.engine import PreparedTile, TransferEngine
from spicesim.errors import SpecError
from spicesim.network.gains import Gains, fit_tile_gains
from spicesim.network.layer import AnalogLayer
from spicesim.network.ranges import LayerRanges
from spicesim.network.result import LayerMeter
from spicesim.network.workers import start_workers
from spicesim.torch.product import chip_matrix

__all__ = ["AdaptedLinear", "LinearChip", "fit_adapter", "linearise"]

NORMAL = 1.4826
"""Standard deviation of normal numbers over the median of their magnitudes."""

TINY = 1e-30
"""Smallest share of an error, so that none is divided by."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearChip:
    """What a layer does on one chip: ``matrix @ x + scale(x) (offset + noise)``."""

    matrix: Floats
    """Derivative of an output by an input, (outputs, rows)."""
    smoothing: Floats
    """What inputs are divided by before their largest magnitude is taken, (rows,)."""
    input_scale: float
    """Scale over that magnitude, where every vector has its own; else the scale."""
    is_by_vector: bool
    """Whether every vector has its own scale."""
    offset: Floats
    """Offsets over the scale, (outputs,)."""
    noise: Floats
    """Standard deviation of what is left, over the scale, (outputs,)."""


def linearise(
    layer: AnalogLayer, ranges: LayerRanges, prepared: Sequence[PreparedTile], gains: Sequence[Gains] | None,
    vectors: Floats, calibration: Calibration,
) -> LinearChip:  # fmt: skip
    """Find the linear map and the noise of a layer of a compiled network.

    Parameters
    ----------
    layer : AnalogLayer
        The layer, not a convolution.
    ranges : LayerRanges
        Its settings.
    prepared : sequence of PreparedTile
        Its tiles on the chip.
    gains : sequence of Gains or None
        Their digital corrections.
    vectors : ndarray of shape (batch, rows)
        Typical inputs as the node takes them, 32 or more.
    calibration : Calibration
        Of the chip.

    Notes
    -----
    The tiles' linear maps lack the slopes of drivers and amplifiers: a gain and an offset an output are fitted to what
    the layer makes of the vectors. The noise is the spread of the rest, by the median, for a few vectors whose outputs
    are clipped say nothing of the others.
    """
    smoothing = np.array(ranges.smoothing) if ranges.smoothing else np.ones(layer.node.rows)
    with one_blas_thread():
        matrix, _ = chip_matrix(layer, prepared, gains, TransferEngine(calibration))
        matrix /= smoothing
        with start_workers() as workers:
            y = layer.run(vectors, ranges, prepared, LayerMeter(), lambda *_: None, gains, workers=workers)
        if layer.node.bias is not None:
            y = y - layer.node.bias
        scales = ranges.scales(vectors / smoothing)
        y, straight = y / scales, vectors @ matrix.T / scales
        found = fit_tile_gains(straight, y, np.ones(y.shape, bool))
        rest = y - found.apply(straight, np.ones((1, 1)))
    return LinearChip(
        matrix=matrix * found.gain[:, None], smoothing=smoothing, input_scale=ranges.input_scale,
        is_by_vector=ranges.scaling == "vector", offset=found.offset, noise=NORMAL * np.median(np.abs(rest), axis=0),
    )  # fmt: skip


def fit_adapter(error: Floats, vectors: Floats, rank: int, ridge: float = 0.1) -> tuple[Floats, Floats]:
    """Return the adapter that mends most of an error of weights on typical inputs.

    Parameters
    ----------
    error : ndarray of shape (outputs, rows)
        Weights as they are minus weights as they should be.
    vectors : ndarray of shape (batch, rows)
        Typical inputs.
    rank : int
        Of the adapter.
    ridge : float
        Weight of inputs that the typical ones lack, over the mean of those that they have.

    Returns
    -------
    down : ndarray of shape (rows, rank)
    up : ndarray of shape (rank, outputs)
        Of all of this rank, ``sum over x of |(error + (down up)^T) x|^2`` is least, by the largest singular values of
        ``error C^(1/2)`` with the inputs' second moments C.

    Raises
    ------
    SpecError
        If there is no adapter of such a rank.
    """
    outputs, rows = error.shape
    if not 1 <= rank <= min(outputs, rows):
        raise SpecError(
            f"the rank of an adapter of {outputs} x {rows} weights lies in 1..{min(outputs, rows)}, got {rank}"
        )
    with one_blas_thread():
        moments = vectors.T @ vectors / len(vectors)
        moments += ridge * np.trace(moments) / rows * np.eye(rows)
        root = np.linalg.cholesky(moments)
        whole = error @ root
        square = whole @ whole.T if outputs <= rows else whole.T @ whole
        _, most = eigh(square, subset_by_index=(len(square) - rank, len(square) - 1))
        left = most if outputs <= rows else np.linalg.qr(whole @ most)[0]
        right = left.T @ whole
        share = np.sqrt(np.maximum(np.linalg.norm(right, axis=1, keepdims=True), TINY))
        return solve_triangular(root, (right / share).T, trans="T", lower=True), -(left * share.T).T


class AdaptedLinear(nn.Module):
    """A layer on one chip, which stays as it is, with a digital adapter beside it, which learns.

    Parameters
    ----------
    chip : LinearChip
        The layer on the chip.
    down, up : ndarray of shape (rows, rank) and (rank, outputs)
        The adapter to begin with.
    """

    def __init__(self, chip: LinearChip, down: Floats, up: Floats) -> None:
        super().__init__()
        self.input_scale, self.is_by_vector = chip.input_scale, chip.is_by_vector
        for name in ("matrix", "smoothing", "offset", "noise"):
            self.register_buffer(name, torch.as_tensor(getattr(chip, name), dtype=torch.float32), persistent=False)
        self.down = nn.Parameter(torch.as_tensor(down, dtype=torch.float32).clone())
        self.up = nn.Parameter(torch.as_tensor(up, dtype=torch.float32).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the layer, (..., rows) to (..., outputs); noise has no gradient."""
        with torch.no_grad():
            if self.is_by_vector:
                largest = (x / self.smoothing).abs().amax(dim=-1, keepdim=True)
                scale = self.input_scale * torch.where(largest > 0, largest, 1.0)
            else:
                scale = torch.full((*x.shape[:-1], 1), self.input_scale)
            noise = torch.randn(*x.shape[:-1], len(self.noise)).mul_(self.noise).add_(self.offset).mul_(scale)
        y: torch.Tensor = x @ self.matrix.T + (x @ self.down) @ self.up + noise
        return y
