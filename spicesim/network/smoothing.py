"""Smoothing: a few large inputs of a layer made small, and their weights large, so that the others keep their digits.

Inputs are divided by a scale each and weights multiplied by the same, which changes nothing in digital arithmetic
(Xiao et al., SmoothQuant, ICML 2023, arXiv:2211.10438). The division is digital work before the converters, one factor
an input of each layer; it is not folded into what comes before, so that every layer has scales of its own.
"""

from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.network.node import AnalogNode

__all__ = ["find_smoothing", "largest_weights", "smooth_node"]

FARTHEST = 2.0**14
"""Scale at most, and one over the least: an input that was tiny on typical inputs may be larger in use."""


def largest_weights(node: AnalogNode) -> Floats:
    """Return the largest magnitude among the weights of each input, (rows,)."""
    grouped = np.abs(node.weights).reshape(node.groups, node.outputs // node.groups, -1)
    return np.asarray(grouped.max(axis=1).reshape(-1))


def find_smoothing(inputs: Floats, weights: Floats, strength: float) -> tuple[float, ...]:
    """Return the scales by which to divide inputs.

    Parameters
    ----------
    inputs : ndarray of shape (rows,)
        Largest magnitude of each on typical inputs.
    weights : ndarray of shape (rows,)
        Largest magnitude among the weights of each.
    strength : float
        0 makes the largest weights of all inputs equal, 1 the largest inputs, .5 shares between both.

    Returns
    -------
    tuple of float
        Scales, of geometric mean 1; 1 where an input or all of its weights are 0.

    Notes
    -----
    ``inputs**strength / weights**(1 - strength)``, kept within :data:`FARTHEST`.
    """
    used = (inputs > 0) & (weights > 0)
    scales = np.ones(len(inputs))
    if used.any():
        logs = strength * np.log(inputs[used]) - (1 - strength) * np.log(weights[used])
        scales[used] = np.exp(np.clip(logs - logs.mean(), -np.log(FARTHEST), np.log(FARTHEST)))
    return tuple(scales.tolist())


def smooth_node(node: AnalogNode, scales: Floats) -> AnalogNode:
    """Return the node with the weights of each input times its scale, (rows,)."""
    grouped = node.weights.reshape(node.groups, node.outputs // node.groups, -1)
    return replace(node, weights=(grouped * scales.reshape(node.groups, 1, -1)).reshape(node.weights.shape))
