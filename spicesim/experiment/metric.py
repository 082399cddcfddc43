"""How good the outputs of a network are: accuracy, and a metric of the user's own with its interval over inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.bound import CONFIDENCE
from spicesim.errors import SpecError
from spicesim.own_code import load_own

__all__ = ["Estimate", "Metric", "Verdict", "accuracy_of", "judge", "load_metric", "missing_accuracy"]

RESAMPLES = 400
"""Of inputs, with replacement (bootstrap)."""


def accuracy_of(scores: Array, answers: Array | None, labels: Array | None) -> float | None:
    """Return the fraction of inputs that are answered right.

    Parameters
    ----------
    scores : ndarray of shape (batch, classes)
        The largest of which is the answer, where there are no others.
    answers : ndarray of shape (batch,), optional
        Classes that the network names itself, numbers or texts.
    labels : ndarray of shape (batch,), optional
        The right ones.

    Returns
    -------
    float or None
        None where shapes or types are others: :func:`missing_accuracy` says why.
    """
    if labels is None or missing_accuracy(scores, answers, labels) is not None:
        return None
    if answers is None:
        return float(np.mean(np.argmax(scores, axis=1) == labels))
    if answers.dtype.kind in "OUS" or labels.dtype.kind in "OUS":
        answers, labels = answers.astype(str), labels.astype(str)
    return float(np.mean(answers.reshape(len(labels)) == labels))


def missing_accuracy(scores: Array, answers: Array | None, labels: Array | None) -> str | None:
    """Say why there is no accuracy although there are labels; None if there is one, or there are no labels."""
    if labels is None:
        return None
    if labels.ndim != 1:
        return f"no accuracy: y has shape {labels.shape}, not one class an input; name a metric (--metric)"
    if answers is not None:
        if answers.size == len(labels):
            return None
        return f"no accuracy: the network answers in shape {answers.shape}, not one class an input; name a metric"
    if labels.dtype.kind in "OUS":
        return "no accuracy: y holds texts, the network scores; give the numbers of the classes, or name a metric"
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        return "no accuracy: y holds no classes but other numbers; name a metric (--metric)"
    if scores.ndim != 2 or scores.shape[1] < 2:
        return (
            f"no accuracy: the first output of numbers has shape {scores.shape}, not (inputs, classes); keep another "
            "output, or name a metric (--metric)"
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval over inputs."""

    value: float
    """Of all inputs."""
    low: float | None
    """Where the interval begins; None if a tenth of the draws of inputs or more have no finite value."""
    high: float | None
    """Where it ends."""

    def format(self) -> str:
        """Format it in a line."""
        if self.low is None:
            return f"{self.value:.6g}, no interval: it is not finite on many draws of the inputs"
        return f"{self.value:.6g}, {CONFIDENCE:.0%} confidence {self.low:.6g}..{self.high:.6g}"

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {"value": self.value, "interval": None if self.low is None else [self.low, self.high]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a metric says of a run, and of the same inputs digitally."""

    name: str
    """Of the metric."""
    analog: Estimate
    """Of the run."""
    digital: Estimate
    """Of the digital outputs."""
    difference: Estimate
    """Of the first less the second, both on the same draws of inputs."""

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {
            "name": self.name, "confidence": CONFIDENCE, **self.analog.document(), "digital": self.digital.document(),
            "difference": self.difference.document(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A function of the user's own."""

    name: str
    """What it is called, package.module:Name."""
    function: Callable[[Array, Array | None], float]
    """Of outputs, the batch first, and labels as the data have them."""

    def __call__(self, outputs: Array, labels: Array | None) -> float:
        """Return the metric.

        Raises
        ------
        SpecError
            If the function fails or returns no number.
        """
        try:
            return float(self.function(outputs, labels))
        except Exception as error:  # it is the user's, and may raise anything
            text = " ".join(str(error).split())[:200]
            raise SpecError(
                f"the metric {self.name!r} fails on outputs of shape {outputs.shape} and y "
                f"{'missing' if labels is None else f'of shape {labels.shape}'}: {type(error).__name__}: {text}; it is "
                "called with (outputs, y) and returns a number"
            ) from error


def load_metric(word: str | None) -> Metric | None:
    """Import the metric that a word names; None without a word.

    Raises
    ------
    SpecError
        If there is none.
    """
    if word is None:
        return None
    function = load_own(word)
    if not callable(function):
        raise SpecError(f"{word!r} must be a function of outputs and labels, got {type(function).__name__}")
    return Metric(name=word, function=function)


def judge(metric: Metric, analog: Array, digital: Array, labels: Array | None, *, seed: int) -> Verdict:
    """Tell what a metric says of a run, with intervals over inputs.

    Parameters
    ----------
    metric : Metric
        The metric.
    analog, digital : ndarray
        Outputs, the batch first.
    labels : ndarray, optional
        Labels, the batch first.
    seed : int
        Of the draws of inputs.

    Raises
    ------
    SpecError
        If the metric fails, or is not finite on all inputs.
    """
    values = np.array([metric(analog, labels), metric(digital, labels)])
    if not np.isfinite(values).all():
        raise SpecError(f"the metric {metric.name!r} of all inputs is {values[0]:g}, digital {values[1]:g}, not finite")
    generator, draws = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(analog), size=len(analog))
        own = None if labels is None else labels[rows]
        draws.append(_try_both(metric, analog[rows], digital[rows], own))
    found = np.array(draws)

    def estimate(value: float, drawn: Floats) -> Estimate:
        finite = drawn[np.isfinite(drawn)]
        if len(finite) <= 0.9 * RESAMPLES:
            return Estimate(value=value, low=None, high=None)
        tail = 50 * (1 - CONFIDENCE)
        low, high = np.percentile(finite, [tail, 100 - tail])
        return Estimate(value=value, low=float(low), high=float(high))

    return Verdict(
        name=metric.name,
        analog=estimate(float(values[0]), found[:, 0]),
        digital=estimate(float(values[1]), found[:, 1]),
        difference=estimate(float(values[0] - values[1]), found[:, 0] - found[:, 1]),
    )


def _try_both(metric: Metric, analog: Array, digital: Array, labels: Array | None) -> tuple[float, float]:
    """Return a metric of both; NaN where a draw of inputs has none, as one that lacks a class may."""
    try:
        return metric(analog, labels), metric(digital, labels)
    except SpecError:
        return np.nan, np.nan
