"""The schedule as a discrete-event simulation: products ask for stacks and converters, first come, first served.

A token's layer waits for the layers whose outputs it takes. Its bytes, in and out, pass a channel of the memory; then
each of its tiles asks for its stack and, having that, for a bank of converters, changes the tier if another one is
active, and does its vectors one after the other. Stack and bank are held until the last conversion. What all tiles gave
goes through a digital unit. Tokens enter in their order, as many at a time as are in flight. A stack begins on its
lowest tier. Nothing is broken off once it has begun. Whoever asks first is served first, in the order of layers and
tiles if several ask at a time. So a schedule is the same every time.
"""

from collections.abc import Generator
from typing import Any, TypeAlias

import numpy as np
import simpy

from spicesim.errors import SpecError
from spicesim.schedule.outcome import Jobs, Outcome
from spicesim.schedule.placement import Placement
from spicesim.schedule.stack import Stacks
from spicesim.schedule.work import WorkLayer, Workload

__all__ = ["simulate"]

Request: TypeAlias = simpy.resources.resource.Request
Process: TypeAlias = Generator[simpy.Event, Any, None]


class _Chip:
    """What works, and who has it."""

    def __init__(self, work: Workload, placement: Placement, stacks: Stacks) -> None:
        self.time = simpy.Environment()
        self.work, self.placement, self.description = work, placement, stacks
        self.stacks = [simpy.Resource(self.time) for _ in range(placement.count)]
        self.tier = [0] * placement.count
        self.banks = None if stacks.converters is None else simpy.Resource(self.time, stacks.converters)
        self.units = simpy.Resource(self.time, stacks.digital_units)
        self.channels = simpy.Resource(self.time, stacks.memory_channels)
        self.flight = simpy.Resource(self.time, stacks.in_flight)
        self.jobs: list[tuple[int, int, int, float, float, float, bool]] = []
        self.tokens = np.zeros((work.tokens, 2))
        self.operations = self.bytes = self.t_digital = self.t_memory = 0.0

    def tokens_enter(self) -> Process:
        """Let tokens in, in their order."""
        for token in range(self.work.tokens):
            place = self.flight.request()
            yield place
            self.time.process(self.token(token, place))

    def token(self, token: int, place: Request) -> Process:
        """Do all layers of a token."""
        self.tokens[token, 0] = self.time.now
        done: dict[int, simpy.Event] = {}
        for number, waits in self.work.taken(token).items():
            before = [done[other] for other in sorted(waits)]
            done[number] = self.time.process(self.layer(token, number, before))
        yield self.time.all_of(done.values())
        self.tokens[token, 1] = self.time.now
        self.flight.release(place)

    def layer(self, token: int, number: int, before: list[simpy.Event]) -> Process:
        """Do a layer of a token."""
        layer, stacks = self.work.layers[number], self.description
        yield self.time.all_of(before)
        self.bytes += layer.bytes
        if layer.bytes:
            with self.channels.request() as channel:
                yield channel
                yield self.time.timeout(layer.bytes / stacks.memory_rate)
                self.t_memory += layer.bytes / stacks.memory_rate
        yield self.time.all_of([self.time.process(self.product(token, number, layer, tile)) for tile in layer.tiles])
        self.operations += layer.operations
        if layer.operations:
            with self.units.request() as unit:
                yield unit
                yield self.time.timeout(layer.operations / stacks.digital_rate)
                self.t_digital += layer.operations / stacks.digital_rate

    def product(self, token: int, number: int, layer: WorkLayer, tile: int) -> Process:
        """Do all vectors of a layer of a token on one tile."""
        stack, tier = int(self.placement.stacks[tile]), int(self.placement.tiers[tile])
        asked = self.time.now
        with self.stacks[stack].request() as own:
            yield own
            bank = None if self.banks is None else self.banks.request()
            if bank is not None:
                yield bank
            begun, changes = self.time.now, self.tier[stack] != tier
            if changes:
                yield self.time.timeout(self.description.t_tier)
                self.tier[stack] = tier
            yield self.time.timeout(layer.vectors * layer.t_product)
            self.jobs.append((token, number, tile, asked, begun, self.time.now, changes))
            if bank is not None and self.banks is not None:
                self.banks.release(bank)


def simulate(work: Workload, placement: Placement, stacks: Stacks) -> Outcome:
    """Run the tokens of a network on stacks; the module says how.

    Parameters
    ----------
    work : Workload
        What is to be done.
    placement : Placement
        Where the tiles are.
    stacks : Stacks
        What there is, and how many tokens are under way at a time.

    Raises
    ------
    SpecError
        If the placement is of another network.
    """
    if len(placement.stacks) != work.tiles:
        raise SpecError(f"the placement is of {len(placement.stacks)} tiles, the network has {work.tiles}")
    chip = _Chip(work, placement, stacks)
    chip.time.process(chip.tokens_enter())
    chip.time.run()
    return Outcome(
        work=work, placement=placement, stacks=stacks, jobs=Jobs.of(chip.jobs), tokens=chip.tokens,
        operations=chip.operations, bytes=chip.bytes, t_digital=chip.t_digital, t_memory=chip.t_memory,
    )  # fmt: skip
