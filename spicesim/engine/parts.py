"""Converters with some of their imperfections: their steps, what calibrated ones err by, what drawn ones add."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.coding import AdcRange
from spicesim.engine.protocol import Engine, PreparedTile, Tile, TileAround

__all__ = ["CONVERTER_PARTS", "PartialConverterEngine", "PartialRange"]

CONVERTER_PARTS = ("output bits", "converters", "converter mismatch")
"""Imperfections of converters that can be taken away."""
FINE = 16
"""Bits of converters whose steps are taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialRange(AdcRange):
    """A uniform quantiser of outputs as they are read with the errors of some others, whose steps are no matter."""

    errs: tuple[tuple[ConverterRange, ConverterRange | None], ...]
    """What errs, and what it is compared with, None for ideal ones."""

    def codes(self, volts: npt.ArrayLike) -> Codes:
        """Convert outputs below the reference, (..., columns) if what errs is drawn [V]."""
        array = np.asarray(volts, dtype=float)
        error = np.zeros(())
        for one, other in self.errs:
            error = error + _read(one, array) - (_within(one, array) if other is None else _read(other, array))
        return AdcRange.codes(self, array + error)


def _read(converter: ConverterRange, volts: Floats) -> Floats:
    """Return what a converter without steps makes of outputs [V]."""
    return np.asarray(converter.low + converter.lsb * converter.places(volts))


def _within(converter: AdcRange, volts: Floats) -> Floats:
    """Return what an ideal converter without steps makes of outputs, to half a step beyond its range [V]."""
    return np.asarray(np.clip(volts, converter.low - 0.5 * converter.lsb, converter.high + 0.5 * converter.lsb))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartialTile(TileAround):
    """A tile that is read by such converters."""

    tile: Tile
    """What was wanted."""
    under: PreparedTile
    """What the engine beneath prepared of it."""
    converters: PartialRange
    """The converters."""
    hands_over: bool
    """Whether they have what is beneath hands over, or all."""

    def received(self, codes: Codes, volts: Floats) -> Floats:
        """Hand over as what is beneath, or all."""
        return self.under.received(codes, volts) if self.hands_over else volts

    @property
    def adc(self) -> PartialRange:
        """The tile's converters."""
        return self.converters


class PartialConverterEngine(Engine):
    """An engine whose converters have some of their imperfections only.

    Those of kinds that were not calibrated have but their steps.

    Parameters
    ----------
    engine : Engine
        What multiplies, its converters as they are.
    parts : collection of str
        Of :data:`CONVERTER_PARTS`, what to keep.
    """

    def __init__(self, engine: Engine, parts: Collection[str]) -> None:
        self.name = engine.name
        self._engine, self._parts = engine, frozenset(parts)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the engine beneath."""
        return self._engine.notes

    def prepare(self, tile: Tile) -> PreparedTile:
        """Prepare a tile beneath, and take away of its converters what is not kept."""
        under = self._engine.prepare(tile)
        adc = under.adc
        if adc is None:
            return under
        errs: list[tuple[ConverterRange, ConverterRange | None]] = []
        if isinstance(adc, ConverterRange):
            nominal = replace(adc, drawn=None)
            if "converters" in self._parts:
                errs.append((nominal, None))
            if "converter mismatch" in self._parts and adc.drawn is not None:
                errs.append((adc, nominal))
        bits = adc.bits if "output bits" in self._parts else max(FINE, adc.bits)
        return PartialTile(
            tile=tile, under=under, converters=PartialRange(low=adc.low, high=adc.high, bits=bits, errs=tuple(errs)),
            hands_over="converters" in self._parts,
        )  # fmt: skip
