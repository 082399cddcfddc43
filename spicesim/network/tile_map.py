"""Which layer sits on which tile, how much of the arrays it takes, and what every cell is for."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from spicesim.network.network import Network

__all__ = ["LayerUse", "TilePlace", "format_cells", "layer_uses", "place_tiles"]

HEAD = ("tile", "row", "column", "conductance", "layer", "output", "input", "sign", "slice")


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlace:
    """What one array holds."""

    number: int
    """Of the tile, counted over all layers."""
    name: str
    """Of the tile: its layer, a colon, its number within the layer."""
    layer: str
    """Name of the layer."""
    inputs: tuple[int, int]
    """First and last input of the layer that drive its word lines."""
    outputs: tuple[int, int]
    """First and last output of the layer to which it contributes."""
    shape: tuple[int, int]
    """Word lines and bit lines taken, in the corner nearest to drivers and amplifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """What a layer takes of the chip."""

    name: str
    """Name of the layer."""
    op: str
    """Its operator."""
    array: str
    """Name of the layer whose arrays these are: its own, or an earlier one with the same weights."""
    weights: tuple[int, int]
    """Outputs, and inputs of each."""
    tiles: int
    """Arrays it takes."""
    cells: int
    """Cells it takes."""
    share: float
    """Of all cells of these arrays."""
    useful: float
    """Of the cells taken, those that hold a weight of the network; the others are between groups, or a reference."""


def place_tiles(network: Network) -> tuple[TilePlace, ...]:
    """Return what every tile holds, in the order of execution."""
    places: list[TilePlace] = []
    for layer in network.layers:
        for k, mapped in enumerate(layer.programmed[: layer.own_tiles]):
            places.append(
                TilePlace(
                    number=len(places),
                    name=f"{layer.name}:{k}",
                    layer=layer.name,
                    inputs=(mapped.rows.start, mapped.rows.stop - 1),
                    outputs=(mapped.outputs.start, mapped.outputs.stop - 1),
                    shape=(mapped.g.shape[0], mapped.g.shape[1]),
                )
            )
    return tuple(places)


def layer_uses(network: Network, array: tuple[int, int]) -> tuple[LayerUse, ...]:
    """Return what every layer takes of arrays (rows, columns)."""
    uses = []
    for layer in network.layers:
        cells = sum(mapped.g.size for mapped in layer.mapped)
        weights = layer.node.weights
        uses.append(
            LayerUse(
                name=layer.name,
                op=layer.node.op,
                array=layer.array,
                weights=(weights.shape[0], weights.shape[1]),
                tiles=len(layer.mapped),
                cells=cells,
                share=cells / (array[0] * array[1] * len(layer.mapped)),
                useful=weights.size * layer.columns / layer.node.outputs / cells,
            )
        )
    return tuple(uses)


def format_cells(network: Network) -> str:
    """Format a table of all cells as CSV: where each is, its conductance wanted [S], and the weight it is for.

    Tiles, rows and columns count from 0, the first row farthest from the amplifiers, the first column nearest to the
    drivers. The output of a reference column is "all".
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    number = 0
    for layer in network.layers:
        for mapped in layer.programmed[: layer.own_tiles]:
            owners = [mapped.whose(j) for j in range(mapped.g.shape[1])]
            for i, j in np.ndindex(mapped.g.shape):
                output, sign, digit = owners[j]
                whose = "all" if output is None else output
                place = mapped.rows.start + i
                writer.writerow([number, i, j, repr(float(mapped.g[i, j])), layer.name, whose, place, sign, digit])
            number += 1
    return file.getvalue()
