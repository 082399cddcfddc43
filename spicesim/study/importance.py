"""How much each axis of a study decides each goal."""

from collections.abc import Sequence

import numpy as np

from spicesim.arrays import Floats
from spicesim.study.search import Record
from spicesim.study.space import Axis, label

__all__ = ["BINS", "importance"]

BINS = 4
"""Parts of a range that stand for its values, with as many points each."""


def importance(records: Sequence[Record], name: str, axis: Axis, values: Floats) -> float:
    """Return the share of a goal's variance that goes with one axis alone, chance taken off (Kelley's epsilon squared).

    Parameters
    ----------
    records : sequence of Record
        Points.
    name : str
        Name of the axis; points without it are a group of their own.
    axis : Axis
        The axis.
    values : ndarray of shape (points,)
        The goal.

    Returns
    -------
    float
        0..1; what axes do only together is in none of them, and in a search axes may go with each other.
    """
    total = float(((values - values.mean()) ** 2).sum())
    groups = _groups(records, name, axis)
    count, within, kinds = len(values), 0.0, 0
    for group in set(groups):
        own = values[[k for k, other in enumerate(groups) if other == group]]
        within += float(((own - own.mean()) ** 2).sum())
        kinds += 1
    if total <= 0 or kinds < 2 or count <= kinds:
        return 0.0
    return max(0.0, 1 - within / (count - kinds) / (total / (count - 1)))


def _groups(records: Sequence[Record], name: str, axis: Axis) -> list[str]:
    """Return the group of each point: its value, or the part of the range that it is in."""
    found = [record.point.get(name) for record in records]
    if axis.choices is not None:
        return [label(value) for value in found]
    numbers = np.array([value for value in found if value is not None], dtype=float)
    if len(np.unique(numbers)) <= 2 * BINS:
        return [label(value) for value in found]
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    return ["" if value is None else str(int(np.searchsorted(edges, value))) for value in found]
