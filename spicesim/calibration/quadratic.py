"""The quadratic part of an offset: a form of second order in the numbers of a block's devices, along few directions.

What unequal mirrors do to an offset goes with how unequal other devices are, and with its own square.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.response import Response
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, used_numbers

__all__ = ["Quadratic", "find_quadratic", "moved_quadratic", "with_quadratic"]

INSTANCES = 12
"""Instances behind it, for each number of the devices."""
DIRECTIONS = 6
"""Of it: all but .6 of 8 uV rms of an amplifier of GF180MCU; two, which make one product, leave 2 uV, four .7."""

_TURNS = 20
"""Of a fit of directions and what they are multiplied with, each in turn."""


class Quadratic(NamedTuple):
    """An offset's part of second order: a sum of squares along directions, each of its own sign."""

    directions: Floats
    """Shape (directions, 2 devices)."""
    sizes: Floats
    """Shape (directions,) [V]."""

    def of(self, numbers: Floats) -> Floats:
        """Return what it makes of the numbers of instances (instances, 2 devices), (instances,) [V]."""
        return np.asarray((numbers @ self.directions.T) ** 2 @ self.sizes)


def find_quadratic(
    bench: MismatchBench, devices: tuple[str, ...], offsets_of: Callable[[Planned], Floats]
) -> Quadratic:
    """Find the quadratic part of an offset.

    Of so many devices it is only seen in more instances than a design of all responses has.

    Parameters
    ----------
    bench : MismatchBench
        Gives the seed.
    devices : tuple of str
        Of the block.
    offsets_of : callable
        Finds the offsets of instances, (instances,) [V].
    """
    used = used_numbers(devices)
    count = int(used.sum())
    numbers = np.zeros((INSTANCES * count, len(used)))
    rng = np.random.default_rng([bench.campaign.seed, len(devices), 1])
    own = numbers[:, used] = rng.standard_normal((len(numbers), count))
    offsets = offsets_of(Planned(devices=devices, numbers=numbers))
    plain = np.concatenate([np.ones((len(own), 1)), own], axis=1)
    rest = offsets - plain @ np.linalg.lstsq(plain, offsets, rcond=None)[0]
    sizes, along = _strongest((own * rest[:, None]).T @ own)
    for _ in range(_TURNS):
        products = (own @ along)[:, :, None] * own[:, None, :]
        basis = np.concatenate([plain, products.reshape(len(own), -1)], axis=1)
        factors = np.linalg.lstsq(basis, offsets, rcond=None)[0][plain.shape[1] :].reshape(-1, count)
        half = along @ factors
        sizes, along = _strongest(0.5 * (half + half.T))
    directions = np.zeros((len(sizes), len(used)))
    directions[:, used] = along.T
    return Quadratic(directions, sizes)


def _strongest(form: Floats) -> tuple[Floats, Floats]:
    """Return the eigenvalues of a form that are largest, (directions,), and where they lie, (numbers, directions)."""
    sizes, along = np.linalg.eigh(form)
    chosen = np.argsort(-np.abs(sizes))[:DIRECTIONS]
    return sizes[chosen], along[:, chosen]


def moved_quadratic(quadratic: Quadratic, devices: tuple[str, ...], others: tuple[str, ...]) -> Quadratic:
    """Return that of an amplifier for another block that has the same circuit in it, 0 if it has not.

    The circuits are the same if their devices have the same names.
    """
    moved = np.zeros((len(quadratic.directions), 2 * len(others)))
    circuit = max(_circuits(devices), key=lambda name: len(_within(devices, name)))
    wanted = _within(devices, circuit)
    for name in _circuits(others):
        found = _within(others, name)
        if set(found) == set(wanted):
            for leaf, place in found.items():
                moved[:, 2 * place : 2 * place + 2] = quadratic.directions[:, 2 * wanted[leaf] : 2 * wanted[leaf] + 2]
            break
    return Quadratic(moved, quadratic.sizes)


def _circuits(devices: tuple[str, ...]) -> list[str]:
    """Return the paths of the circuits within a block, in an order that is the same in every process."""
    return sorted({device.rpartition(".")[0] for device in devices} - {""}) or [""]


def _within(devices: tuple[str, ...], circuit: str) -> dict[str, int]:
    """Return the places of the devices of a circuit, by their names in it."""
    split = (device.rpartition(".") for device in devices)
    return {name: place for place, (path, _, name) in enumerate(split) if path == circuit}


def with_quadratic(
    response: Response, parameter: int, quadratic: Quadratic, design: Planned, offsets: Floats
) -> Response:
    """Give an offset its quadratic part, as much as its instances have of it, in place of what a fit found of it."""
    count, form = len(response.directions), quadratic.of(design.numbers)
    if not form.any():
        return response
    basis = np.stack([np.ones(len(design)), form], axis=1)
    rest, size = np.linalg.lstsq(basis, offsets, rcond=None)[0]
    every = count + len(quadratic.sizes)
    bends = np.zeros((len(response.names), every, every))
    bends[:, :count, :count] = response.bends
    bends[parameter] = 0.0
    bends[parameter, count:, count:] = np.diag(size * quadratic.sizes)
    own = response.rest.copy()
    own[parameter] = rest
    directions = np.concatenate([response.directions, quadratic.directions])
    return response.model_copy(update={"rest": own, "directions": directions, "bends": bends})
