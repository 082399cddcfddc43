"""What was asked of a calibration, what it reached on cells and on whole tiles, and what it may therefore claim."""

from collections.abc import Mapping, Sequence

import numpy as np

from spicesim.behavioural.arrays import Model

__all__ = ["CHARGE_ERRORS", "DEFAULT_ERROR", "MARGIN", "QUICK_ERROR", "Reached", "Verdict", "judge"]

DEFAULT_ERROR = 1e-4
"""Largest error of an output that a calibration is asked for, as a fraction of full scale. A column of 128
of the largest cells of the presets on 160 kohm makes a thousand volts of a volt: 40 uV of 1.2 V there are 40 nV of a
word line, and twice what is found is claimed."""
QUICK_ERROR = 2e-4
"""The same of a quick one."""
CHARGE_ERRORS = {"voltage": 5e-4, "integrator": 1e-3}
"""The same of either, where a read-out of this kind holds what is read: it depends on charges of some femtocoulombs,
and full columns of 128 cells bend integrators."""
MARGIN = 2.0
"""What is claimed, relative to the largest error that was found: vectors that nobody tried may be worse."""


class Reached(Model):
    """The largest error of a kind."""

    error: float
    """As a fraction of full scale."""
    where: str
    """Where it was found."""


class Verdict(Model):
    """What was asked, reached and accepted; all errors are fractions of full scale, the swing to the nearer rail."""

    asked: float
    """Largest error of an output that was asked for."""
    tiles: Reached
    """Largest error of whole tiles at transistor level, adversarial vectors among them."""
    cells: Reached
    """Bound for what cells on held bit lines add to an output: rows x largest cell error x feedback."""
    climates: Reached | None = None
    """Largest error of whole tiles at other temperatures and corners."""
    accepted: str | None = None
    """Why the calibration is used although it misses what was asked."""

    @property
    def claim(self) -> float:
        """What outputs of any tile of this chip err by at most."""
        return max(MARGIN * self.tiles.error, self.cells.error)

    @property
    def claim_elsewhere(self) -> float:
        """The same at other temperatures and corners."""
        return self.claim if self.climates is None else max(self.claim, MARGIN * self.climates.error)

    @property
    def is_met(self) -> bool:
        """Whether the claim is within what was asked, at the chip's own condition."""
        return self.claim <= self.asked

    @property
    def is_met_elsewhere(self) -> bool:
        """Whether it is at other temperatures and corners, too."""
        return self.claim_elsewhere <= self.asked

    @property
    def missed(self) -> str:
        """What misses the error asked for, in words; empty if nothing does."""
        found = {
            "whole tiles": (MARGIN * self.tiles.error, self.tiles.where),
            "the cells of a column": (self.cells.error, self.cells.where),
        }
        return "; ".join(
            f"{what} may err by {_percent(error)} of full scale ({where})"
            for what, (error, where) in found.items()
            if error > self.asked
        )

    def format(self) -> str:
        """Format the verdict in a line."""
        elsewhere = f", {_percent(self.claim_elsewhere)} in other climates" if self.climates else ""
        if self.climates and not self.is_met_elsewhere:
            elsewhere += f" (MISSED there: {self.climates.where})"
        claim = (
            f"claim: outputs within {_percent(self.claim)} of full scale{elsewhere}; asked: {_percent(self.asked)}; "
            f"found: tiles {_percent(self.tiles.error)} ({self.tiles.where}), "
            f"cells of a column together {_percent(self.cells.error)}"
        )
        if self.is_met:
            return claim
        return f"{claim}; MISSED" + (f", accepted: {self.accepted}" if self.accepted else "")


def judge(
    *,
    asked: float,
    tiles: Mapping[str, float],
    cells: float,
    columns: str,
    climates: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge a calibration.

    Parameters
    ----------
    asked : float
        Largest error of an output that was asked for.
    tiles : mapping of str to float
        Largest error of each whole tile, by its name.
    cells : float
        Bound for what the cells of a column add to an output.
    columns : str
        The column that it holds for, in words.
    climates : mapping of str to float, optional
        Largest error of whole tiles in each other climate, by its name.
    """
    return Verdict(
        asked=asked,
        tiles=_worst(tiles),
        cells=Reached(error=cells, where=columns),
        climates=_worst(climates) if climates else None,
    )


def _worst(errors: Mapping[str, float]) -> Reached:
    names: Sequence[str] = list(errors)
    worst = names[int(np.argmax([errors[name] for name in names]))]
    return Reached(error=errors[worst], where=worst)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2g} %"
