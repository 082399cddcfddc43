"""Schedules compared: experts by tiers and grouping, networks without experts by how many converters they share."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.schedule.outcome import Outcome
from spicesim.schedule.placement import GROUPINGS, Grouping, place
from spicesim.schedule.routing import Routing
from spicesim.schedule.simulation import simulate
from spicesim.schedule.stack import Stacks
from spicesim.schedule.work import Workload

__all__ = ["Case", "compare_converters", "compare_groupings", "divisors"]

DRAWS = 3
"""Random groupings of which the mean is taken."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One arrangement, and its schedules: several of random groupings."""

    stacks: Stacks
    """The description."""
    grouping: Grouping | None
    """Which experts share a stack; None without experts."""
    outcomes: tuple[Outcome, ...]
    """The schedules."""

    def mean(self, name: str) -> float:
        """Return the mean of a property of the schedules."""
        return float(np.mean([getattr(one, name) for one in self.outcomes]))

    def document(self) -> dict[str, Any]:
        """Return its numbers as plain data, ready for JSON; SI units."""
        names = ("conflicts", "waiting", "latency", "interval", "energy_per_token", "tier_changes")
        return {
            "tiers": self.stacks.tiers, "grouping": self.grouping, "converters": self.stacks.converters,
            "in_flight": self.stacks.in_flight, "stacks": self.outcomes[0].placement.count,
            **{name: self.mean(name) for name in names},
            "schedules": [one.document() for one in self.outcomes],
        }  # fmt: skip


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, in order; none of 0."""
    return [one for one in range(1, number + 1) if number % one == 0]


def compare_groupings(
    work: Workload, stacks: Stacks, seen: Routing, *,
    tiers: Sequence[int] = (), groupings: Sequence[Grouping] = GROUPINGS, seed: int = 0,
) -> list[Case]:  # fmt: skip
    """Schedule a network with experts in all groupings on stacks of several heights, alone and with tokens in flight.

    Parameters
    ----------
    work : Workload
        The network and its tokens.
    stacks : Stacks
        What there is.
    seen : Routing
        What routers chose of other tokens, for the grouping "apart".
    tiers : sequence of int
        Heights; by default all divisors of the number of experts.
    groupings : sequence of Grouping
        Groupings.
    seed : int
        Of the first random grouping.
    """
    cases = []
    heights = tiers or divisors(work.experts)
    for flight, height in itertools.product(sorted({1, stacks.in_flight}), heights):
        own = stacks.changed(tiers=height, in_flight=flight)
        for grouping in groupings if height > 1 else groupings[:1]:  # on one tier there is nothing to group
            seeds = range(seed, seed + (DRAWS if grouping == "random" else 1))
            placements = [place(work, height, grouping, seen=seen, seed=one) for one in seeds]
            outcomes = tuple(simulate(work, one, own) for one in placements)
            cases.append(Case(stacks=own, grouping=grouping, outcomes=outcomes))
    return cases


def compare_converters(work: Workload, stacks: Stacks, banks: Sequence[int | None] = ()) -> list[Case]:
    """Schedule a network with fewer and fewer banks of converters, for one input at a time and for several in flight.

    Parameters
    ----------
    work : Workload
        The network and its inputs.
    stacks : Stacks
        What there is.
    banks : sequence of int or None
        Banks; by default one a stack, half as many, and so on, to one.
    """
    placement = place(work, stacks.tiers if work.routing is not None else 1)
    counts = list(banks)
    if not counts:
        counts, left = [None], placement.count // 2
        while left:
            counts.append(left)
            left //= 2
    cases = []
    for flight in sorted({1, stacks.in_flight}):
        for count in counts:
            own = stacks.changed(converters=count, in_flight=flight)
            cases.append(Case(stacks=own, grouping=None, outcomes=(simulate(work, placement, own),)))
    return cases
