"""How many points an analysis has to give, and how far its sweep has to go: a result of another size is none."""

import math

import numpy as np

from spicesim.errors import SpecError
from spicesim.netlist.expression import read_number
from spicesim.ngspice.rawfile import Plot

__all__ = ["find_misfit"]

_SLACK = 1000 * np.finfo(float).eps
"""By how much ngspice lets a swept source pass its end [V or A]."""
_CLOSE = 1e-6
"""Relative error of the ends of a sweep in time or frequency; steps are larger."""


def find_misfit(card: str, plot: Plot) -> str:
    """Compare what came back with what an analysis card asks for.

    Parameters
    ----------
    card : str
        The analysis, in ngspice's words.
    plot : Plot
        Its results; time or frequency are compared where they are among them.

    Returns
    -------
    str
        What is wrong, such as "gave 40 points instead of 41"; empty if the sizes fit.
    """
    sizes = {len(vector) for vector in plot.vectors.values()}
    if len(sizes) != 1 or any(vector.ndim != 1 for vector in plot.vectors.values()):
        return f"gave vectors of different sizes, {', '.join(map(str, sorted(sizes)))}"
    try:
        return _compare(card.lower().split(), plot)
    except SpecError:  # an expression, which only ngspice can evaluate
        return ""


def _compare(words: list[str], plot: Plot) -> str:
    kind, *words = words
    if kind == ".op":
        return _count(plot, 1)
    if kind == ".dc":
        sweeps = [tuple(map(read_number, words[k + 1 : k + 4])) for k in range(0, len(words), 4)]
        return _count(plot, math.prod(_points(*sweep) for sweep in sweeps if len(sweep) == 3))
    if kind == ".tran":
        return _reach(plot, "time", read_number(words[1]) * (1 - _CLOSE))
    *_, scale, count, low, high = words  # .ac, and .noise, which has more words before
    if scale == "lin":
        return _count(plot, int(read_number(count)))
    per_step = (10 if scale == "dec" else 2) ** (1 / read_number(count))
    # the last step may be a whole one, or what is left to the end: versions of ngspice differ
    return _reach(plot, "frequency", max(read_number(low) * (1 - _CLOSE), read_number(high) / per_step * (1 + _CLOSE)))


def _points(start: float, stop: float, step: float) -> int:
    """Count the points of a swept source as ngspice does, which adds step to step."""
    if step == 0 or not math.isfinite((stop - start) / step):
        return 1
    steps = np.full(max(1, int((stop - start) / step) + 3), step)
    steps[0] = start
    return int(np.count_nonzero(math.copysign(1.0, step) * (np.cumsum(steps) - stop) <= _SLACK))


def _count(plot: Plot, wanted: int) -> str:
    return "" if plot.points == wanted else f"gave {plot.points} points instead of {wanted}"


def _reach(plot: Plot, name: str, end: float) -> str:
    scale = next((plot.vectors[own] for own in (name, f"v({name})") if own in plot.vectors), None)
    if scale is None:
        return "" if plot.points else "gave no points"
    last = float(scale[-1].real)
    return "" if last >= end else f"ended at a {name} of {last:g} instead of {end:g}"
