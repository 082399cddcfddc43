"""What makes one chip differ from the next: standard normal numbers of its devices, by seed, tile and place."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats

__all__ = ["AMPLIFIER", "CAPACITOR", "CONVERTER", "ChipDraw"]

AMPLIFIER, CONVERTER, CAPACITOR = "xsenseamp", "xconverter", "xdac.c"
"""Names of a tile's amplifiers and column converters, without their index, and of a bit's capacitor in one of the
latter, without the bit."""

_PLACE = re.compile(r"(?P<stream>x\w+)_(?P<index>\d+)\.(?P<device>.+)")


@dataclass(frozen=True, slots=True)
class ChipDraw:
    """The numbers of all devices of one tile of one chip; two of each device, of a threshold and of a gain.

    They are a pure function of seed, tile and path. The last index of a block counts along a stream of the device's
    own: ``m1`` of ``xdac_3`` has the fourth pair of its stream, ``m1`` of the cell ``xc_3_7`` the eighth of those of
    its row. So the draw is the same on every machine, neither another device nor the size of a tile changes it, and
    the numbers of all instances of a block are one array.
    """

    seed: int
    """Of the chip."""
    tile: str = ""
    """Name of the tile; tiles of other names have other devices."""

    def numbers(self, stream: str, device: str, count: int) -> Floats:
        """Return the numbers of one device of the first instances of a block, shape (count, 2).

        Parameters
        ----------
        stream : str
            The block without its last index, such as ``"xdac"`` or ``"xc_3"``.
        device : str
            Path within the block, such as ``"xsw0.m1"``.
        count : int
            Instances.
        """
        key = "\n".join((str(self.seed), self.tile, stream, device)).encode()
        return np.random.default_rng(list(hashlib.sha256(key).digest())).standard_normal((count, 2))

    def within(self, block: str) -> Callable[[str], tuple[float, float]]:
        """Return what gives the numbers of devices by their paths within one block, such as ``"xconverter_3"``."""
        return lambda path: self(f"{block}.{path}")

    def __call__(self, path: str) -> tuple[float, float]:
        """Return the numbers of the device at a path of the tile's netlist."""
        place = _PLACE.fullmatch(path.lower())
        if place is None:
            first, second = self.numbers("", path.lower(), 1)[0]
        else:
            first, second = self.numbers(place["stream"], place["device"], int(place["index"]) + 1)[-1]
        return float(first), float(second)
