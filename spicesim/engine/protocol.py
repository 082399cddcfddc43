"""What a tile is told to do, and what an engine has to offer.

An engine is a value: it prepares a tile once, and the prepared tile multiplies itself, many times. Wrappers are engines
like any other: they prepare the tile beneath, and their prepared tile forwards what it does not change.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from spicesim.arrays import Codes, Floats
from spicesim.coding import AdcRange, Polarity

__all__ = ["Codes", "Engine", "PreparedTile", "Tile", "TileAround"]


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
    """Feedback resistance of the sense amplifiers [ohm]; of floating bit lines 1."""
    adc: AdcRange | None = None
    """Range of the converters that read it, if they are known; engines may err where these cannot see it."""
    array: str | None = None
    """Name of the physical array that holds it, by which its devices and blocks are drawn; by default :attr:`name`.
    A network that uses a weight twice uses one array twice."""

    @property
    def place(self) -> str:
        """Name of the physical array."""
        return self.name if self.array is None else self.array


class PreparedTile(ABC):
    """A tile on the chip of an engine, ready to multiply.

    Attributes
    ----------
    tile : Tile
        What was wanted; its conductances are those that the cells have, if an engine draws devices.
    """

    tile: Tile

    @abstractmethod
    def mvm(self, codes: Codes) -> Floats:
        """Multiply.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            DAC codes.

        Returns
        -------
        ndarray of shape (batch, columns)
            Outputs [V], positive for positive products: of amplifiers below the reference, ``v_reference - v_out``, for
            currents into their virtual grounds; of floating bit lines what is held above it.
        """

    def read(self, codes: Codes, volts: Floats) -> Floats:
        """Return outputs as one sample of the converters finds them, noise and all; by default as they are.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            What was driven. Batches of a tile come in the order of time.
        volts : ndarray of shape (batch, columns)
            What :meth:`mvm` returned [V].
        """
        return volts

    def received(self, codes: Codes, volts: Floats) -> Floats:
        """Return what converters have of outputs as they begin to convert; by default all.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            What was driven.
        volts : ndarray of shape (batch, columns)
            Outputs, with noise or without [V].
        """
        return volts

    @property
    def adc(self) -> AdcRange | None:
        """Converters that read it, if they are known; by default those that the tile names."""
        return self.tile.adc

    @property
    def compensation(self) -> float:
        """Factor by which outputs are multiplied digitally, against drift."""
        return 1.0

    @property
    def linear_map(self) -> Floats | None:
        """Currents for source voltages, (columns, rows) [S], where that is all the tile does; None otherwise."""
        return None

    @property
    def form(self) -> str:
        """How products are computed, for those who ask which tiles took which way; by default nothing to tell."""
        return ""

    @property
    def error(self) -> float | None:
        """Largest error of an output next to the exact tile, as a share of its converter's range; None if unknown."""
        return None

    @property
    def history(self) -> Any:
        """What it keeps of the reads before, such as where its noise stands; by default nothing."""
        return None

    def resume(self, history: Any) -> None:  # noqa: B027 -- most tiles remember nothing
        """Go on where the same tile stood that had this history, and was let go since."""


class TileAround(PreparedTile):
    """A prepared tile around another: it forwards what it does not change.

    Attributes
    ----------
    under : PreparedTile
        The other.
    """

    under: PreparedTile

    def mvm(self, codes: Codes) -> Floats:
        """Multiply as what is beneath."""
        return self.under.mvm(codes)

    def read(self, codes: Codes, volts: Floats) -> Floats:
        """Read as what is beneath."""
        return self.under.read(codes, volts)

    def received(self, codes: Codes, volts: Floats) -> Floats:
        """Hand over as what is beneath."""
        return self.under.received(codes, volts)

    @property
    def adc(self) -> AdcRange | None:
        """Converters of what is beneath."""
        return self.under.adc

    @property
    def compensation(self) -> float:
        """Factor of what is beneath."""
        return self.under.compensation

    @property
    def linear_map(self) -> Floats | None:
        """Matrix of what is beneath."""
        return self.under.linear_map

    @property
    def form(self) -> str:
        """Form of what is beneath."""
        return self.under.form

    @property
    def error(self) -> float | None:
        """Error of what is beneath."""
        return self.under.error

    @property
    def history(self) -> Any:
        """History of what is beneath."""
        return self.under.history

    def resume(self, history: Any) -> None:
        """Resume what is beneath."""
        self.under.resume(history)


class Engine(ABC):
    """Anything that multiplies vectors by tiles.

    Attributes
    ----------
    name : str
        Word by which users ask for it.
    """

    name: str

    @abstractmethod
    def prepare(self, tile: Tile) -> PreparedTile:
        """Do all the work that does not depend on the inputs; called from several threads."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the tiles that were prepared could not do as one might expect."""
        return ()
