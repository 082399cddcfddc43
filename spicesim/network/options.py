"""How a network is put on a chip: words for :func:`spicesim.network.compile_network`."""

from collections.abc import Collection
from typing import TypedDict

from spicesim.coding import AdcRange
from spicesim.mapping import Mapper, MappingOptions
from spicesim.network.ranges import AdcFit, InputScale

__all__ = ["CompileOptions"]


class CompileOptions(TypedDict, total=False):
    """All have defaults."""

    digital: Collection[str]
    """Names of nodes that shall stay digital."""
    input_scale: InputScale
    """Whether one number of a layer stands for the DACs' full span ("static"), or the largest magnitude of each vector
    ("vector")."""
    adc_range: AdcFit
    """Whether the converters' ranges cover the chip's percentile of typical outputs ("percentile"), or make the least
    squared error on them ("mse")."""
    input_digit: int | None
    """Bits of an input's magnitude that are driven at a time, 1 for bit-serial inputs; by default all."""
    mapping: MappingOptions
    """How weights become conductances."""
    max_tiles: int | None
    """Tiles that the chip has; by default as many as it takes."""
    mapper: Mapper
    """What makes tiles of weights; by default :func:`spicesim.mapping.map_weights`."""
    converter: type[AdcRange]
    """What quantises outputs: a subclass of :class:`spicesim.coding.AdcRange`, made of its ends and bits."""
