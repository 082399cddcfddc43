"""How a network is put on the chip: options that several commands share."""

import functools
from collections.abc import Callable
from typing import Any, get_args

import click

from spicesim.mapping import MappingOptions, Signs, WeightScale
from spicesim.network.ranges import AdcFit, InputScale

__all__ = ["mapping_options"]

_OPTIONS = (
    click.option(
        "--input-scale", type=click.Choice(get_args(InputScale)), default="static",
        help="What drives a DAC to its full span: a number of the layer, or each vector's largest magnitude.",
    ),
    click.option(
        "--input-digit", metavar="BITS", type=click.IntRange(1),
        help="Drive inputs so many bits at a time, 1 for bit-serial.  [default: all at once]",
    ),
    click.option(
        "--adc-range", type=click.Choice(get_args(AdcFit)), default="percentile",
        help="What ADCs cover: the chip's percentile of typical outputs, or what makes their squared error least.",
    ),
    click.option(
        "--signs", type=click.Choice(get_args(Signs)), default="differential",
        help="Signs of weights: by a pair of columns, one reference column a tile, or an offset taken off digitally.",
    ),
    click.option(
        "--weight-scale", type=click.Choice(get_args(WeightScale)), default="column",
        help="What shares the weight that takes the highest conductance: an output of a tile, a tile, the layer.",
    ),
    click.option(
        "--weight-clip", metavar="P", type=float, default=100.0,
        help="Percentile of a scale's weights that it covers; larger ones are clipped.",
    ),
    click.option("--slices", metavar="N", type=int, default=1, help="Columns over which a weight's digits are spread."),
    click.option("--cell-bits", metavar="BITS", type=int, help="Levels of a cell, 2^BITS.  [default: any conductance]"),
    click.option("--predistort", is_flag=True, help="Program conductances that make up for what the wires take."),
    click.option("--max-tiles", metavar="N", type=click.IntRange(1), help="Refuse a network that takes more tiles."),
    click.option("--digital", metavar="NODE", multiple=True, help="Keep a node of the network digital; repeatable."),
)  # fmt: skip


def mapping_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of this module to a command, which gets them as `mapping`, words for `compile_network`."""

    @functools.wraps(command)
    def collect(
        *, input_scale: InputScale, input_digit: int | None, adc_range: AdcFit, signs: Signs, weight_scale: WeightScale,
        weight_clip: float, slices: int, cell_bits: int | None, predistort: bool, max_tiles: int | None,
        digital: tuple[str, ...], **others: Any,
    ) -> None:  # fmt: skip
        weights = MappingOptions(
            signs=signs, scale=weight_scale, clip=weight_clip, slices=slices, cell_bits=cell_bits,
            predistort=predistort,
        )  # fmt: skip
        command(
            mapping={
                "input_scale": input_scale, "input_digit": input_digit, "adc_range": adc_range, "mapping": weights,
                "max_tiles": max_tiles, "digital": digital,
            },
            **others,
        )  # fmt: skip

    for option in reversed(_OPTIONS):
        collect = option(collect)
    return collect
