"""The bends of one parameter: products of the numbers of those devices by which it bends.

An offset bends by products of many pairs of numbers, such as what one transistor's threshold does to what another's
adds. Which numbers take part is asked of the instances themselves: those without which each of them is told worse by
all others.
"""

from itertools import combinations

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.response import Response
from spicesim.calibration.mismatch_bench import Planned, used_numbers

__all__ = ["BENT", "QUICK_BENT", "bent"]

BENT, QUICK_BENT = 6, 4
"""Instances behind the bends of a parameter, for each number of its devices, and in a quick calibration."""

_FILLED = 0.7
"""Unknowns for each instance, at most."""
_TELLING = 0.98
"""Of the error that is left, from which on two more numbers together do not matter."""


def bent(response: Response, design: Planned, values: Floats) -> tuple[Response, float]:
    """Let the one parameter of a response bend by products of numbers.

    Parameters
    ----------
    response : Response
        Linear or not; it is replaced but for its names.
    design : Planned
        The instances, of the same devices.
    values : ndarray of shape (instances,)
        Their parameter.

    Returns
    -------
    response : Response
        Whose directions are numbers of devices.
    error : float
        Root mean square of what an instance is off if told by the others.
    """
    used = np.flatnonzero(used_numbers(design.devices))
    own = design.numbers[:, used]
    most = int(_FILLED * len(own))
    chosen: list[int] = []
    error = _left_out(own, chosen, values)
    while True:
        free = [k for k in range(len(used)) if k not in chosen and _unknowns(own, chosen, 1) <= most]
        one, alone = _best(own, chosen, [(k,) for k in free], values)
        if alone < error:
            chosen, error = [*chosen, *one], alone
            continue
        # a number may tell only beside another
        pairs: list[tuple[int, ...]] = list(combinations(free, 2)) if _unknowns(own, chosen, 2) <= most else []
        two, together = _best(own, chosen, pairs, values)
        if together >= _TELLING * error:
            break
        chosen, error = [*chosen, *two], together
    found = np.linalg.lstsq(_basis(own, chosen), values, rcond=None)[0]
    slopes, directions = np.zeros((1, design.numbers.shape[1])), np.zeros((len(chosen), design.numbers.shape[1]))
    slopes[0, used] = found[1 : 1 + len(used)]
    directions[np.arange(len(chosen)), used[np.array(chosen, dtype=int)]] = 1.0
    half = np.zeros((1, len(chosen), len(chosen)))
    half[0][np.triu_indices(len(chosen))] = 0.5 * found[1 + len(used) :]
    return response.model_copy(
        update={
            "rest": found[:1], "slopes": slopes, "directions": directions, "bends": half + half.transpose(0, 2, 1),
            "simulated": len(own),
        }
    ), error  # fmt: skip


def _unknowns(own: Floats, chosen: list[int], more: int) -> int:
    count = len(chosen) + more
    return 1 + int(own.shape[1]) + count * (count + 1) // 2


def _basis(own: Floats, chosen: list[int]) -> Floats:
    """Return 1, all numbers, and the products of those chosen, (instances, unknowns)."""
    a, b = np.triu_indices(len(chosen))
    part = own[:, np.array(chosen, dtype=int)]
    return np.concatenate([np.ones((len(own), 1)), own, part[:, a] * part[:, b]], axis=1)


def _left_out(own: Floats, chosen: list[int], values: Floats) -> float:
    """Return the root mean square of what each instance is off in a fit to all others."""
    columns = np.linalg.qr(_basis(own, chosen))[0]
    rest = values - columns @ (columns.T @ values)
    return float(np.sqrt(np.mean((rest / (1 - (columns**2).sum(axis=1))) ** 2)))


def _best(own: Floats, chosen: list[int], more: list[tuple[int, ...]], values: Floats) -> tuple[tuple[int, ...], float]:
    """Return which numbers to add, and what is left with them, as :func:`_left_out` has it.

    Candidates share what is chosen, so that only their own products are made orthogonal to it, each time.
    """
    if not more:
        return (), np.inf
    columns = np.linalg.qr(_basis(own, chosen))[0]
    rest, free = values - columns @ (columns.T @ values), 1 - (columns**2).sum(axis=1)
    errors = []
    for new in more:
        every = [*chosen, *new]
        pairs = [(a, b) for k, a in enumerate(every) for b in every[: k + 1] if a in new]
        added = np.stack([own[:, a] * own[:, b] for a, b in pairs], axis=1)
        for _ in range(2):  # once leaves what rounding makes of columns that nearly depend on the others
            added = added - columns @ (columns.T @ added)
        added = np.linalg.qr(added)[0]
        left = (rest - added @ (added.T @ rest)) / (free - (added**2).sum(axis=1))
        errors.append(float(np.sqrt(np.mean(left**2))))
    least = int(np.argmin(errors))
    return more[least], errors[least]
