"""Lines of one slope through several groups of points, some of which are odd: by Theil and Sen."""

from collections.abc import Sequence

import numpy as np

from spicesim.arrays import Floats

__all__ = ["parallel_lines"]


def parallel_lines(groups: Sequence[tuple[Floats, Floats]]) -> tuple[float, list[float]]:
    """Return the slope of lines through groups of points, and the intercept of each.

    The slope is the median of those between every two points of a group, an intercept that of what its points have
    beyond the slope (Theil 1950, Sen 1968, 10.1080/01621459.1968.10480934). Odd points, up to two in seven of many,
    move neither.

    Parameters
    ----------
    groups : sequence of (ndarray, ndarray)
        Of each group where its points are, all in other places, and how high, both of shape (points,); at least two in
        one of them, at least one in each.
    """
    slopes = []
    for x, y in groups:
        first, second = np.triu_indices(len(x), 1)
        slopes.append((y[second] - y[first]) / (x[second] - x[first]))
    slope = float(np.median(np.concatenate(slopes)))
    return slope, [float(np.median(y - slope * x)) for x, y in groups]
