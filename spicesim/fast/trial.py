"""Trials: inputs held out from the making of a form, what a form errs on them, and what it promises for all others."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from spicesim.arrays import Array, Floats, Reals
from spicesim.errors import SpecError
from spicesim.fast.numbers import Numbers, take

__all__ = [
    "MARGIN",
    "Adversary",
    "Trial",
    "adversarial_inputs",
    "held_out_inputs",
    "measure",
    "promise",
    "read_trials",
    "write_trials",
]

Values = Callable[[Floats], Floats]
Formed = Callable[[Floats, Floats], Floats]
"""Gives a form's values of inputs whose exact values it is told, for those that it leaves to the exact solution."""
_FORMS = TypeAdapter(list[str])

RANDOM = 24
"""Random inputs of a trial."""
MARGIN = 2.0
"""What a form promises over the largest error that its trial found. In 978 arrays searches of hundreds of times the
work found at most 1.98 times that, and more than 1.5 times in 11: long columns, or lines that take half the input."""
ROUNDING = 1e-6
"""What single precision may add to the error of an input that no trial saw, as a fraction of full scale."""
BANDS = 4
"""Parts of the rows whose edges the bands of adversarial inputs take."""
GROUPS, ROUNDS = 16, 2
"""Groups of rows that are turned over one by one, and how often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Errors of one form against the exact solution, as fractions of full scale."""

    form: str
    """Which."""
    cost: int
    """Products of a (batch, rows) by a (rows, columns) matrix."""
    max_error: float
    """What no input exceeds: :data:`MARGIN` times the largest that was found, and what rounding may add."""
    rms_error: float
    """Root of the mean square over random and structured inputs; adversarial ones count in the largest only."""


def write_trials(trials: Sequence[Trial]) -> dict[str, Array]:
    """Return trials as arrays by name, for :func:`read_trials`."""
    return {
        "trials": np.array([[trial.cost, trial.max_error, trial.rms_error] for trial in trials]).reshape(-1, 3),
        "tried": np.frombuffer(json.dumps([trial.form for trial in trials]).encode(), np.uint8),
    }


def read_trials(numbers: Numbers) -> tuple[Trial, ...]:
    """Return the trials of :func:`write_trials`.

    Raises
    ------
    SpecError
        If there are none.
    """
    try:
        forms = _FORMS.validate_json(numbers["tried"].tobytes())
    except (KeyError, ValueError):
        raise SpecError("'tried' is not what was kept of a tile") from None
    table = take(numbers, "trials", (len(forms), 3))
    return tuple(
        Trial(form=form, cost=int(cost), max_error=float(most), rms_error=float(rms))
        for form, (cost, most, rms) in zip(forms, table, strict=True)
    )


def held_out_inputs(rows: int, low: float, high: float, seed: int, random: int = RANDOM) -> Floats:
    """Draw inputs: structured ones, which err most, and random ones.

    All on, half on near and far from the sense amplifiers, every second on, ramps, sparse, random bits, nothing, each
    with 0 V for off if the range has it; for a range of both signs also all and half at the lowest and the full ramp.

    Parameters
    ----------
    rows : int
        Word lines.
    low, high : float
        Range [V].
    seed : int
        Of the random ones.

    Returns
    -------
    ndarray of shape (inputs, rows)
        Source voltages [V].
    """
    rng = np.random.default_rng([seed, rows])
    row = np.arange(rows)
    ramp = row / max(1, rows - 1)
    off = min(max(0.0, low), high)
    patterns = [
        np.full(rows, high),
        np.where(row < rows // 2, high, off),
        np.where(row >= rows // 2, high, off),
        np.where(row % 2 == 1, high, off),
        off + (high - off) * ramp,
        off + (high - off) * ramp[::-1],
        *(np.where(rng.random(rows) < share, rng.uniform(low, high, rows), off) for share in (0.15, 0.15, 0.4)),
        *(np.where(rng.random(rows) < share, high, low) for share in (0.3, 0.5, 0.7)),
        np.full(rows, off),
    ]
    if low < off:
        patterns += [
            np.full(rows, low),
            np.where(row < rows // 2, high, low),
            np.where(row < rows // 2, off, low),
            low + (high - low) * ramp,
        ]
    return np.concatenate([patterns, rng.uniform(low, high, (random, rows))])


def adversarial_inputs(rows: int, low: float, high: float) -> Floats:
    """Return inputs that forms err most on: rails in bands of rows, in single rows and in every second row.

    Forms follow what one row does to another by a few features of a column; bands are what the features leave out.

    Parameters
    ----------
    rows : int
        Word lines.
    low, high : float
        Range [V]; between its ends and 0 V, if the range has that within.

    Returns
    -------
    ndarray of shape (inputs, rows)
        Source voltages [V].
    """
    row, off = np.arange(rows), min(max(0.0, low), high)
    edges = np.unique(np.arange(BANDS + 1) * rows // BANDS)
    alone = row == np.unique([0, rows // 2, rows - 1])[:, None]
    bands = [(row >= first) & (row < last) for k, first in enumerate(edges) for last in edges[k + 1 :]]
    masks = np.concatenate([bands, alone, [row % 2 == 0]])
    chosen = np.unique(np.concatenate([masks, ~masks]), axis=0)
    pairs = [(high, low)] if low == off else [(high, low), (high, off), (off, low)]
    return np.concatenate([np.where(chosen, one, other) for one, other in pairs])


def _random_levels(rows: int, low: float, high: float, count: int, seed: int) -> Floats:
    """Draw inputs (count, rows) of two of the levels low, 0 and high, from few rows at one of them to all."""
    rng = np.random.default_rng([seed, rows, count])
    levels = np.array([low, min(max(0.0, low), high), high])
    one, other = levels[rng.permuted(np.tile(np.arange(3), (count, 1)), axis=1)[:, :2]].T[:, :, None]
    return np.asarray(np.where(rng.random((count, rows)) < rng.random((count, 1)), one, other))


class Adversary:
    """Looks for the inputs on which forms err most: adversarial ones, and what is near the worst of them.

    Parameters
    ----------
    solve : callable
        Gives the exact values (inputs, columns) of inputs (inputs, rows), not a number where there are none.
    rows : int
        Word lines.
    low, high : float
        Range of the inputs.
    zero : float
        Input that stands for 0 V.
    random : int
        Random inputs besides, of two levels each: where forms leave out inputs on the way, a search does not get far.
    seed : int
        Of these.
    """

    def __init__(
        self, solve: Values, rows: int, low: float, high: float, zero: float = 0.0, *, random: int = 0, seed: int = 0
    ) -> None:
        self._solve, self._both = solve, low + high
        drawn = _random_levels(rows, low - zero, high - zero, random, seed)
        self._inputs = zero + np.concatenate([adversarial_inputs(rows, low - zero, high - zero), drawn])
        count = min(GROUPS, rows)
        self._groups = np.arange(rows) * count // rows == np.arange(count)[:, None]

    @cached_property
    def _exact(self) -> Floats:
        return self._solve(self._inputs)

    def attack(self, evaluate: Formed, limit: float) -> float:
        """Return the largest error found of a form's values; the search ends beyond the limit.

        From the worst input, groups of rows are turned over, low for high and high for low: each alone, then the best
        of them, the better third and all that made it worse together.
        """
        found = _errors(evaluate, self._inputs, self._exact)
        item, column = (int(k) for k in np.unravel_index(np.argmax(np.abs(found)), found.shape))
        vector, sign = self._inputs[item], np.sign(found[item, column])
        worst = largest = abs(float(found[item, column]))
        for _ in range(ROUNDS):
            if not 0 < largest <= limit:
                break
            one = self._turned(evaluate, vector, self._groups)[1]
            largest = max(largest, float(np.abs(one).max()))
            gains = sign * one[:, column] - worst
            order = np.argsort(-gains)[: int(np.count_nonzero(gains > 0))]
            if not len(order):
                break
            several = [self._groups[order[:k]].any(axis=0) for k in (1, (len(order) + 2) // 3, len(order))]
            steps, many = self._turned(evaluate, vector, several)
            largest = max(largest, float(np.abs(many).max()))
            best = int(np.argmax(sign * many[:, column]))
            vector, worst = steps[best], float(sign * many[best, column])
        return largest

    def _turned(self, evaluate: Formed, vector: Floats, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Turn rows over, (inputs, rows) of bool; return the inputs and their errors."""
        inputs = np.where(rows, self._both - vector, vector)
        return inputs, _errors(evaluate, inputs, self._solve(inputs))


def _errors(evaluate: Formed, inputs: Floats, exact: Floats) -> Floats:
    """Return errors (inputs, columns): none where there is no exact value, infinite where a form gives no number."""
    errors = np.zeros_like(exact)
    solved = np.isfinite(exact).all(axis=1)
    errors[solved] = evaluate(inputs[solved], exact[solved]) - exact[solved]
    return np.where(np.isfinite(errors), errors, np.inf)


def promise(largest: float, truth: float = 0.0) -> float:
    """Return what no input exceeds, as a fraction of full scale.

    Parameters
    ----------
    largest : float
        Largest error that was found.
    truth : float
        Error of what it was held against.
    """
    return MARGIN * largest + ROUNDING + truth


def measure(values: Reals, exact: Floats, full_scale: float) -> tuple[float, float]:
    """Return the largest and the root-mean-square error as fractions of full scale; infinite if one is no number."""
    if full_scale == 0:
        return 0.0, 0.0
    error = (values - exact) / full_scale
    if not np.isfinite(error).all():
        return np.inf, np.inf
    return float(np.abs(error).max(initial=0.0)), float(np.sqrt(np.mean(error**2)))
