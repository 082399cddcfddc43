"""Engines: one protocol for everything that can multiply a vector by a tile.

``prepare`` once a tile, ``mvm`` many times. An engine is the analog part of a macro, from DAC codes to the output
of the sense amplifiers; the ADC that follows is the same for all (:class:`spicesim.behavioural.converter.AdcRange`).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spicesim.behavioural.converter import Polarity, dac_voltages
from spicesim.chip import Chip

__all__ = ["Engine", "IdealEngine", "Tile"]

Floats = npt.NDArray[np.float64]


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


class IdealEngine:
    """Ideal converters around an ideal dot product: no wires, no transistors, no rails."""

    name = "ideal"

    def __init__(self, chip: Chip) -> None:
        self._dac = chip.dac

    def prepare(self, tile: Tile) -> Tile:
        """Return the tile; there is nothing to prepare."""
        return tile

    def mvm(self, prepared: Tile, codes: npt.NDArray[np.integer[Any]]) -> Floats:
        """Multiply; see :meth:`Engine.mvm`."""
        v = dac_voltages(codes, self._dac.bits, self._dac.v_span, prepared.polarity)
        return np.asarray(prepared.r_feedback * (v @ prepared.g))
