"""What a tile is told to do, and what an engine has to offer."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.arrays import Floats
from spicesim.coding import AdcRange, Polarity

__all__ = ["Engine", "Tile"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """What one array is programmed to do."""

    name: str
    """Name, unique within a network."""
    g: Floats
    """Conductances wanted of the cells, access transistor included, at the read voltage; (rows, columns) [S]."""
    polarity: Polarity
    """Coding of the inputs."""
    r_feedback: float
    """Feedback resistance of the sense amplifiers [ohm]."""
    adc: AdcRange | None = None
    """Range of the converters that read it, if they are known; engines may err where these cannot see it."""


class Engine(Protocol):
    """Anything that multiplies a vector by a tile."""

    name: str
    """Word by which users ask for it."""

    def prepare(self, tile: Tile) -> Any:
        """Do all the work that does not depend on the inputs."""
        ...

    def mvm(self, prepared: Any, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply.

        Parameters
        ----------
        prepared : object
            What :meth:`prepare` returned.
        codes : ndarray of int, shape (batch, rows)
            DAC codes.

        Returns
        -------
        ndarray of shape (batch, columns)
            Amplifier outputs below the reference, ``v_reference - v_out`` [V]: positive for current into the
            virtual ground.
        """
        ...
