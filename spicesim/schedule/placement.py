"""Which tile sits on which tier of which stack, and which experts share a stack."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from spicesim.arrays import Floats, Integers
from spicesim.errors import SpecError
from spicesim.schedule.routing import Routing
from spicesim.schedule.work import Workload

__all__ = ["GROUPINGS", "Grouping", "Placement", "group_experts", "place"]

Grouping = Literal["number", "random", "apart", "blocks"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
"""Which experts share a stack: of one block, by number, at random, or those seldom chosen together; or those of one
number of several blocks."""
STARTS = 20
"""Random groupings from which the search for the best begins."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """Where every tile is."""

    stacks: Integers
    """Stack of each tile, shape (tiles,)."""
    tiers: Integers
    """Its tier, counted from 0, shape (tiles,)."""
    groups: Integers
    """Group that each expert is in, shape (blocks, experts): those of one group share their stacks."""

    @property
    def count(self) -> int:
        """Stacks."""
        return int(self.stacks.max(initial=-1)) + 1


def place(
    work: Workload, tiers: int, grouping: Grouping = "number", *, seen: Routing | None = None, seed: int = 0
) -> Placement:
    """Place the tiles of a network: those of experts on stacks of as many tiers, all others on one each.

    The first tiles of the experts of a group share a stack, their second ones the next, and so on, so that all tiles of
    an expert can work at a time.

    Parameters
    ----------
    work : Workload
        The network.
    tiers : int
        Arrays of a stack; a divisor of the number of all experts.
    grouping : {"number", "random", "apart", "blocks"}
        Which experts share a stack.
    seen : Routing, optional
        What routers chose of other tokens, for "apart".
    seed : int
        Of "random" groupings.

    Raises
    ------
    SpecError
        If tiers do not divide the experts.
    """
    blocks, experts = work.blocks, work.experts
    groups = group_experts((blocks, experts), tiers, grouping, seen=seen, seed=seed)
    stacks, heights = np.zeros(work.tiles, dtype=np.int64), np.zeros(work.tiles, dtype=np.int64)
    taken: dict[tuple[int, int], int] = {}
    owners: dict[int, tuple[int, int]] = {}
    for layer in work.layers:
        if layer.expert is not None:
            owners.update(dict.fromkeys(layer.tiles, layer.expert))
    slots = dict.fromkeys(itertools.product(range(blocks), range(experts)), 0)
    members: dict[int, list[tuple[int, int]]] = {}
    for key in slots:
        members.setdefault(int(groups[key]), []).append(key)
    for tile in range(work.tiles):
        owner = owners.get(tile)
        place_of = (-1, tile) if owner is None else (int(groups[owner]), slots[owner])
        stacks[tile] = taken.setdefault(place_of, len(taken))
        if owner is not None:
            heights[tile] = members[int(groups[owner])].index(owner)
            slots[owner] += 1
    return Placement(stacks=stacks, tiers=heights, groups=groups)


def group_experts(
    shape: tuple[int, int], tiers: int, grouping: Grouping, *, seen: Routing | None = None, seed: int = 0
) -> Integers:
    """Return the group that each expert is in, shape (blocks, experts); see :func:`place`."""
    blocks, experts = shape
    numbers = np.arange(blocks * experts).reshape(blocks, experts)
    if not blocks * experts:
        return numbers
    if grouping == "blocks":
        if (blocks * experts) % tiers:
            raise SpecError(f"{tiers} tiers do not divide {blocks * experts} experts; take 1, 2, 4, ..")
        return np.asarray(np.arange(blocks * experts).reshape(experts, blocks).T // tiers)
    if experts % tiers:
        raise SpecError(f"{tiers} tiers do not divide {experts} experts of a block; take a divisor")
    found = numbers // tiers
    if grouping == "random":
        generator = np.random.default_rng(seed)
        return np.stack([generator.permutation(row) for row in found])
    if grouping == "apart":
        if seen is None or not len(seen):
            raise SpecError("grouping 'apart' wants what routers chose of some tokens before; give more inputs")
        return np.stack([_least_together(pairs, row) for pairs, row in zip(seen.together(), found, strict=True)])
    return found


def _least_together(pairs: Floats, groups: Integers) -> Integers:
    """Return the groups whose members are chosen together least, by swaps of two from several starts."""
    generator = np.random.default_rng(0)
    starts = [groups, *(generator.permutation(groups) for _ in range(STARTS))]
    return min((_swapped(pairs, start.copy()) for start in starts), key=lambda found: _within(pairs, found))


def _within(pairs: Floats, groups: Integers) -> float:
    """Return how often two of a group are chosen by one token."""
    same = groups[:, None] == groups[None]
    return float(pairs[same & ~np.eye(len(groups), dtype=bool)].sum() / 2)


def _swapped(pairs: Floats, groups: Integers) -> Integers:
    """Swap two experts as long as that helps."""
    best = _within(pairs, groups)
    while True:
        swaps: Sequence[tuple[float, int, int]] = [
            (_within(pairs, _swap(groups, i, j)), i, j)
            for i, j in itertools.combinations(range(len(groups)), 2)
            if groups[i] != groups[j]
        ]
        least, i, j = min(swaps, default=(best, 0, 0))
        if least >= best - 1e-12:
            return groups
        best, groups = least, _swap(groups, i, j)


def _swap(groups: Integers, i: int, j: int) -> Integers:
    found = groups.copy()
    found[[i, j]] = groups[[j, i]]
    return found
