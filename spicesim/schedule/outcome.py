"""What came out of a schedule: when each product ran, and from that latency, use, conflicts and energy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from spicesim.arrays import Bools, Floats, Integers
from spicesim.schedule.placement import Placement
from spicesim.schedule.stack import Stacks
from spicesim.schedule.work import Workload

__all__ = ["Jobs", "Outcome"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jobs:
    """All products, each the vectors of a layer of a token on one tile, in the order in which they ended."""

    token: Integers
    """Number of the token."""
    layer: Integers
    """Number of the layer."""
    tile: Integers
    """Number of the tile."""
    asked: Floats
    """When its stack was asked for [s]."""
    begun: Floats
    """When it had its stack and converters [s]."""
    ended: Floats
    """When its last column was converted [s]."""
    changes: Bools
    """Whether the tier had to be changed for it."""

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, float, float, float, bool]]) -> "Jobs":
        """Take down a table of the fields in their order."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * 7
        kinds = (np.int64,) * 3 + (np.float64,) * 3 + (np.bool_,)
        names = ("token", "layer", "tile", "asked", "begun", "ended", "changes")
        return cls(**{name: np.array(c, dtype=k) for name, c, k in zip(names, columns, kinds, strict=True)})

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.token)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A schedule."""

    work: Workload
    """What was done."""
    placement: Placement
    """Where."""
    stacks: Stacks
    """With what."""
    jobs: Jobs
    """Products on tiles."""
    tokens: Floats
    """When each token entered and was done [s], shape (tokens, 2)."""
    operations: float
    """Digital operations."""
    bytes: float
    """To and from the memory."""
    t_digital: float
    """Time in which digital units worked, added up [s]."""
    t_memory: float
    """The same of the memory's channels [s]."""

    @property
    def makespan(self) -> float:
        """From the first token's entry to the last one's end [s]."""
        return float(self.tokens[:, 1].max(initial=0.0))

    @property
    def latencies(self) -> Floats:
        """Of each token [s]."""
        return np.asarray(self.tokens[:, 1] - self.tokens[:, 0])

    @property
    def latency(self) -> float:
        """Mean of the tokens [s]; 0 without any."""
        return float(self.latencies.mean()) if len(self.tokens) else 0.0

    @property
    def interval(self) -> float:
        """Time between the ends of two tokens while as many as may be are under way [s].

        That is from when as many have ended until the last one enters; of too few tokens, all their time by their
        number.
        """
        ends, flight = np.sort(self.tokens[:, 1]), self.stacks.in_flight
        first, last = flight - 1, len(ends) - flight - 1
        if last > first:
            return float(ends[last] - ends[first]) / (last - first)
        return self.makespan / len(ends) if len(ends) else 0.0

    @cached_property
    def products(self) -> float:
        """Products of a vector with a tile."""
        return float(np.array([layer.vectors for layer in self.work.layers])[self.jobs.layer].sum())

    @cached_property
    def tier_changes(self) -> int:
        """Changes of tier."""
        return int(self.jobs.changes.sum())

    @cached_property
    def energy(self) -> dict[str, float]:
        """Of all tokens, by what took it [J]."""
        layers = self.work.layers
        each = np.array([layer.vectors * layer.e_product for layer in layers])
        return {
            "products": float(each[self.jobs.layer].sum()),
            "changes of tier": self.tier_changes * self.stacks.e_tier,
            "digital units": self.operations * self.stacks.digital_energy,
            "memory": self.bytes * self.stacks.memory_energy,
        }

    @property
    def energy_per_token(self) -> float:
        """Of one token, the mean [J]; 0 without any."""
        return sum(self.energy.values()) / len(self.tokens) if len(self.tokens) else 0.0

    @property
    def change_energy(self) -> float:
        """Of the changes of tier of one token, the mean [J]; 0 without any."""
        return self.energy["changes of tier"] / len(self.tokens) if len(self.tokens) else 0.0

    @cached_property
    def busy(self) -> Floats:
        """Time in which each stack worked, changes of tier among it [s]."""
        spent = self.jobs.ended - self.jobs.begun
        found = np.bincount(self.placement.stacks[self.jobs.tile], spent, minlength=self.placement.count)
        return np.asarray(found, dtype=float)

    @property
    def use(self) -> dict[str, float]:
        """Share of the time in which stacks, converters, digital units and channels worked; 0 without any time."""
        whole, stacks = self.makespan, self.stacks
        if not whole:
            return dict.fromkeys(("stacks", "converters", "digital units", "memory"), 0.0)
        busy, banks = float(self.busy.sum()), stacks.converters or self.placement.count
        return {
            "stacks": busy / (whole * self.placement.count),
            "converters": busy / (whole * banks),
            "digital units": self.t_digital / (whole * stacks.digital_units),
            "memory": self.t_memory / (whole * stacks.memory_channels),
        }

    @property
    def conflicts(self) -> float:
        """Share of (token, block) of which two chosen experts share their stacks."""
        routing = self.work.routing
        return 0.0 if routing is None else routing.conflicts(self.placement.groups)

    @property
    def waiting(self) -> float:
        """Share of products that had to wait for their stack or for converters."""
        return float((self.jobs.begun > self.jobs.asked).mean()) if len(self.jobs) else 0.0

    def document(self) -> dict[str, Any]:
        """Return its numbers as plain data, ready for JSON; SI units."""
        return {
            "stacks": self.placement.count, "tokens": len(self.tokens), "products": self.products,
            "tier_changes": self.tier_changes, "makespan": self.makespan, "latency": self.latency,
            "latency_longest": float(self.latencies.max(initial=0.0)), "interval": self.interval,
            "energy": self.energy, "energy_per_token": self.energy_per_token, "use": self.use,
            "conflicts": self.conflicts, "waiting": self.waiting, "description": self.stacks.model_dump(),
        }  # fmt: skip
