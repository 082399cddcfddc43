"""The bend of an offset: a product of two directions in the numbers of a block's devices.

What unequal mirrors do to an offset goes with how unequal other devices are.
"""

from collections.abc import Callable

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.response import Response
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, used_numbers

__all__ = ["find_twist", "moved_twist", "twisted"]

TWISTED = 6
"""Instances behind the bend of an offset, for each number of its devices."""

_TURNS = 20
"""Of a fit of two factors, each in turn."""


def find_twist(bench: MismatchBench, devices: tuple[str, ...], offsets_of: Callable[[Planned], Floats]) -> Floats:
    """Find the two directions whose product an offset bends by, shape (2, 2 devices).

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
    numbers = np.zeros((TWISTED * int(used.sum()), len(used)))
    rng = np.random.default_rng([bench.campaign.seed, len(devices), 1])
    numbers[:, used] = rng.standard_normal((len(numbers), int(used.sum())))
    offsets = offsets_of(Planned(devices=devices, numbers=numbers))
    own = numbers[:, used]
    plain = np.concatenate([np.ones((len(own), 1)), own], axis=1)
    rest = offsets - plain @ np.linalg.lstsq(plain, offsets, rcond=None)[0]
    _, along = np.linalg.eigh((own * rest[:, None]).T @ own)
    first = second = along[:, -1] + along[:, 0]  # a product of two directions has one eigenvalue of either sign
    for _ in range(_TURNS):
        first = second / np.linalg.norm(second)
        basis = np.concatenate([plain, (own @ first)[:, None] * own], axis=1)
        second = np.linalg.lstsq(basis, offsets, rcond=None)[0][plain.shape[1] :]
    twist = np.zeros((2, len(used)))
    twist[:, used] = first, second
    return twist


def moved_twist(twist: Floats, devices: tuple[str, ...], others: tuple[str, ...]) -> Floats:
    """Return the directions of an amplifier for another block that has the same circuit in it, 0 if it has not.

    The circuits are the same if their devices have the same names.
    """
    moved = np.zeros((len(twist), 2 * len(others)))
    circuit = max(_circuits(devices), key=lambda name: len(_within(devices, name)))
    wanted = _within(devices, circuit)
    for name in _circuits(others):
        found = _within(others, name)
        if set(found) == set(wanted):
            for leaf, place in found.items():
                moved[:, 2 * place : 2 * place + 2] = twist[:, 2 * wanted[leaf] : 2 * wanted[leaf] + 2]
            break
    return moved


def _circuits(devices: tuple[str, ...]) -> list[str]:
    """Return the paths of the circuits within a block, in an order that is the same in every process."""
    return sorted({device.rpartition(".")[0] for device in devices} - {""}) or [""]


def _within(devices: tuple[str, ...], circuit: str) -> dict[str, int]:
    """Return the places of the devices of a circuit, by their names in it."""
    split = (device.rpartition(".") for device in devices)
    return {name: place for place, (path, _, name) in enumerate(split) if path == circuit}


def twisted(response: Response, parameter: int, twist: Floats, design: Planned, offsets: Floats) -> Response:
    """Let an offset bend by a product of two directions, instead of along those in which its block moves."""
    count, product = len(response.directions), np.prod(design.numbers @ twist.T, axis=1)
    if not product.any():
        return response
    basis = np.stack([np.ones(len(design)), product], axis=1)
    rest, size = np.linalg.lstsq(basis, offsets, rcond=None)[0]
    bends = np.zeros((len(response.names), count + 2, count + 2))
    bends[:, :count, :count] = response.bends
    bends[parameter] = 0.0
    bends[parameter, count, count + 1] = bends[parameter, count + 1, count] = 0.5 * size
    own = response.rest.copy()
    own[parameter] = rest
    directions = np.concatenate([response.directions, twist])
    return response.model_copy(update={"rest": own, "directions": directions, "bends": bends})
