"""Mistakes in the data of an array that show: units, signs, and the order of rows, columns and vectors."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from spicesim.arrays import Floats
from spicesim.errors import CalibrationError, SpecError
from spicesim.metrics import rms

__all__ = ["Table", "refuse_gain", "refuse_misfit", "refuse_mistakes"]

_PREFIXES = {0: "", 3: "milli", 6: "micro", 9: "nano"}
_USUAL = {"voltages": ("volt", 3e-3, 10.0), "conductances": ("siemens", 1e-9, 1e-2), "currents": ("ampere", 1e-9, 3e-2)}
"""Unit, and between which the largest of them lies in a usual array."""
_RARE = 0.7
"""Decades out of the usual that are as odd as one more mistaken unit."""
_EVIDENCE = 20.0
"""Gain in log likelihood, beyond the logarithm of the number of ways to try, that proves a mistake."""
_BETTER = 0.5
"""Ratio of the residuals that it takes, too."""
_RIGHT = 0.1
"""Residuals, relative to the currents, that the right reading leaves at most."""
_LEAST = 1e-3
"""Residuals, relative to the currents, below which no mistake is looked for."""
_LIMIT = 0.3
"""The same from which on a fit means nothing."""
_BENT = (1 / 30, 30.0)
"""Currents relative to those of ideal wires and linear cells, beyond which units are suspected if the fit is bad."""
_HOPELESS = (1e-2, 1e2)
"""The same beyond which no fit persuades: wires that take 99 % of all voltages are none."""


_MOST_VECTORS = 1000
"""Most vectors whose order is looked at."""


class Table(NamedTuple):
    """Data of an array."""

    g: Floats
    """Conductances, shape (rows, columns) [S]."""
    v: Floats
    """Source voltages, shape (vectors, rows) [V]."""
    currents: Floats
    """Currents, shape (vectors, columns) [A]; NaN where there is none."""

    def gain(self) -> float:
        """Return the best common factor, at least 0, of the currents of ideal wires and linear cells."""
        ideal, valid = self.v @ self.g, np.isfinite(self.currents)
        return max(0.0, float(ideal[valid] @ self.currents[valid])) / (float(ideal[valid] @ ideal[valid]) or 1.0)

    def ideal_misfit(self) -> float:
        """Return the RMS of what these currents, with that factor, leave [A]."""
        left = self.currents - self.gain() * (self.v @ self.g)
        return rms(left[np.isfinite(left)])


def refuse_mistakes(table: Table, fit: Callable[[Table], Floats | None]) -> None:
    """Refuse data that no array can have given, or that another reading of them explains far better.

    Parameters
    ----------
    table : Table
        As given.
    fit : callable
        Gives the residuals (vectors, columns) of the fit to a table [A]; None if there is no fit.

    Raises
    ------
    SpecError
        If a mistake explains the data; the message names it.
    CalibrationError
        If the fit leaves too much, and nothing is known that explains it.
    """
    measured = table.currents[np.isfinite(table.currents)]
    if not (np.any(table.v) and np.any(table.g) and np.any(measured)):
        raise CalibrationError("all voltages, conductances or currents are 0; wanted those of an array in use")
    sizes = {"voltages": _top(table.v), "conductances": _top(table.g), "currents": _top(measured)}
    negated = table._replace(currents=-table.currents)
    gain = max(table.gain(), negated.gain())
    refuse_gain(gain, sizes, _HOPELESS)  # before the fit, which takes minutes where cells overflow
    residuals = fit(table)
    share = math.inf if residuals is None else _share(residuals, table.currents)
    if share < _LEAST:
        return
    size = rms(measured) if residuals is None else rms(residuals[np.isfinite(residuals)])
    given = table.ideal_misfit()
    for text, tried, chances in _readings(table):
        found = fit(tried) if tried.ideal_misfit() < given else None
        left = math.inf if found is None else rms(found[np.isfinite(found)])
        convinces = left <= min(_BETTER * size, _RIGHT * rms(measured))
        if convinces and len(measured) * math.log(size / max(left, 1e-300)) >= _EVIDENCE + chances:
            raise SpecError(f"{text}: the residuals fall from {size / rms(measured):.2g} to {left / rms(measured):.2g} "
                            "of the currents; mend the table or the conductances")  # fmt: skip
    if share > _LIMIT:
        refuse_gain(gain, sizes, _BENT)
    refuse_misfit(share)


def refuse_gain(gain: float, sizes: Mapping[str, float], bounds: tuple[float, float] = _BENT) -> None:
    """Refuse currents that are out of proportion to voltages and conductances.

    Parameters
    ----------
    gain : float
        Currents relative to those of ideal wires and linear cells.
    sizes : mapping of str to float
        The largest of the voltages, conductances and currents.
    bounds : (float, float)
        Between which there is no objection.

    Raises
    ------
    SpecError
        With the units that are likeliest.
    """
    if gain == 0.0 or bounds[0] < gain < bounds[1]:
        return
    said = f"the currents are {gain:.2g} times what the voltages and conductances allow"
    resistive = gain * sizes["conductances"] ** 2
    if sizes["conductances"] > 1 and _BENT[0] < resistive < _BENT[1] * 1e2:
        raise SpecError(f"{said}: the conductances look like resistances in ohm; give 1/R in siemens")
    power = 3 * round(math.log10(gain) / 3)
    found: dict[float, list[str]] = {}
    for exponents in itertools.product(_PREFIXES, repeat=3):
        parts = dict(zip(_USUAL, exponents, strict=True))
        if parts["currents"] - parts["voltages"] - parts["conductances"] != power:
            continue
        odd = sum(_oddity(name, sizes[name] * 10.0**-shift) for name, shift in parts.items())
        looks = [f"the {name} look like {_PREFIXES[s]}{_USUAL[name][0]}" for name, s in parts.items() if s]
        looks = [text if text.endswith("siemens") else f"{text}s" for text in looks]
        found.setdefault(round(odd + _RARE * len(looks), 6), []).append(" and ".join(looks))
    guesses = found[min(found)] if found else []
    likely = " or ".join(guesses[:3]) or "are the units right?"
    raise SpecError(f"{said}: {likely}; wanted volts, siemens and amperes, or columns named by their unit, as v_0_mV")


def refuse_misfit(share: float) -> None:
    """Refuse a fit whose residuals are too large a share of what was measured."""
    if share > _LIMIT:
        much = f"the residuals are {100 * share:.0f} % of what was measured" if math.isfinite(share) else "no fit ends"
        raise CalibrationError(
            f"{much}, so the parameters mean nothing; look at units and signs, at the order of rows, columns and "
            "vectors, and at the law of the cells"
        )


def _readings(table: Table) -> Iterator[tuple[str, Table, float]]:
    """Yield other ways to read the data, with the logarithm of how many there are of their kind."""
    g, v, currents = table
    yield "the currents look negative; they count positive into the virtual ground", Table(g, v, -currents), 0.0
    if g.shape[0] == g.shape[1]:
        yield "the conductances look transposed; wanted (rows, columns)", Table(g.T, v, currents), 0.0
    yield "the rows look reversed; row 0 is the farthest from the virtual grounds", Table(g, v[:, ::-1], currents), 0.0
    yield "the columns look reversed; column 0 is next to the drivers", Table(g, v, currents[:, ::-1]), 0.0
    ideal, valid = v @ g, np.isfinite(currents)
    scaled = ideal * (rms(currents[valid]) / (rms(ideal[valid]) or 1.0))
    order = _assign(currents.T, scaled.T)
    text = f"the columns look permuted: i_0 and on are given as {_listed(order)}"
    yield text, Table(g, v, currents[:, order]), _ways(order)
    if len(v) <= _MOST_VECTORS:
        order = _assign(currents, scaled)
        text = f"the vectors look permuted: the currents of vector 0 and on are given as {_listed(order)}"
        yield text, Table(g, v, currents[order]), _ways(order)
    if valid.all() and np.linalg.matrix_rank(v) == len(g):
        seen = np.asarray(np.linalg.lstsq(v, currents, rcond=None)[0], dtype=float)
        order = _assign(g * (rms(seen) / rms(g)), seen)
        text = f"the rows of the conductances look permuted: row 0 and on are given as {_listed(order)}"
        yield text, Table(g[order], v, currents), _ways(order)


def _assign(these: Floats, those: Floats) -> list[int]:
    """Return which of these is each of those, by the least sum of squares."""
    there = np.isfinite(these)
    filled = np.where(there, these, 0.0)
    cost = np.sum(filled**2, axis=1)[:, None] - 2 * filled @ those.T + there.astype(float) @ (those**2).T
    rows, columns = linear_sum_assignment(cost)
    return [int(k) for k in rows[np.argsort(columns)]]


def _ways(order: list[int]) -> float:
    return math.lgamma(len(order) + 1)


def _listed(order: list[int]) -> str:
    return ", ".join(map(str, order[:8])) + (", .." if len(order) > 8 else "")


def _share(residuals: Floats, currents: Floats) -> float:
    """Return the residuals relative to the currents, or to their changes, if offsets of columns leave less of these."""
    valid = np.isfinite(currents)
    shares = [rms(residuals[valid]) / rms(currents[valid])]
    if len(currents) >= 4:
        counts = np.maximum(valid.sum(axis=0), 1)
        left, signal = ((x - np.where(valid, x, 0.0).sum(axis=0) / counts)[valid] for x in (residuals, currents))
        shares.append(rms(left) / (rms(signal) or 1.0))
    return min(shares)


def _top(values: Floats) -> float:
    return float(np.abs(values).max())


def _oddity(name: str, size: float) -> float:
    """Return by how many decades a size is out of the usual."""
    _, low, high = _USUAL[name]
    return max(0.0, math.log10(low / size), math.log10(size / high))
