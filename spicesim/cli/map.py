"""The map command: which layer of a network sits on which tile of a chip."""

import io
import json
from dataclasses import asdict

import click

from spicesim.calibration.calibration import Calibration
from spicesim.cli.options import chip_option, open_calibration, open_chip
from spicesim.cli.plan_options import mapping_options
from spicesim.cli.tables import format_table
from spicesim.errors import SpecError
from spicesim.experiment.plan import MappingPlan
from spicesim.files import write_bytes, write_text
from spicesim.network import compile_network
from spicesim.network.tile_map import LayerUse, TilePlace, format_cells, layer_uses, place_tiles
from spicesim.network.uncalibrated import UncalibratedChip

__all__ = ["map_network"]


@click.command("map", epilog="example: spicesim map model.onnx --chip chip.toml --tiles --cells cells.csv")
@click.argument("model", metavar="MODEL.onnx")
@chip_option
@click.option(
    "--calibration", "calibration_path", metavar="CAL.json",
    help="Of the chip, for the conductances of whole cells; without it they are those of the devices.",
)  # fmt: skip
@mapping_options
@click.option("--tiles", "every_tile", is_flag=True, help="List every tile with its inputs and outputs.")
@click.option("--cells", "cells_path", metavar="CELLS.csv", help="Write every cell, its conductance and its weight.")
@click.option(
    "--picture",
    "picture_path",
    metavar="MAP.png",
    help="Draw which part of each array a layer takes; .svg and .pdf work, too.",
)
@click.option("--json", "json_path", metavar="OUT.json", help="Write the numbers.")
def map_network(
    model: str,
    chip_path: str | None,
    calibration_path: str | None,
    mapping: MappingPlan,
    every_tile: bool,
    cells_path: str | None,
    picture_path: str | None,
    json_path: str | None,
) -> None:
    """Show which layer of a network sits on which tile, and how much of the arrays it takes."""
    calibration: Calibration | UncalibratedChip
    if calibration_path is None:
        calibration = UncalibratedChip(open_chip(chip_path))
    else:
        calibration = open_calibration(calibration_path)
        if chip_path is not None:
            calibration.require_chip(open_chip(chip_path), calibration_path)
    if picture_path is not None and not picture_path.lower().endswith((".png", ".svg", ".pdf")):
        raise SpecError(f"a picture is a .png, .svg or .pdf file, got {picture_path}")
    network = compile_network(model, calibration, **mapping.options)
    array = calibration.chip.array.rows, calibration.chip.array.columns
    uses, places = layer_uses(network, array), place_tiles(network)
    click.echo(_format_layers(uses, places, array))
    if every_tile:
        click.echo(f"\n{_format_tiles(places)}")
    for note in network.notes:
        click.echo(f"note: {note}")
    if json_path is not None:
        document = {
            "array": array, "tiles": [asdict(place) for place in places], "layers": [asdict(use) for use in uses],
            "notes": network.notes,
        }  # fmt: skip
        write_text(json_path, json.dumps(document, indent=1) + "\n")
    if cells_path is not None:
        write_text(cells_path, format_cells(network))
        click.echo(f"wrote {cells_path}: {sum(use.cells for use in uses if use.array == use.name):,} cells")
    if picture_path is not None:
        from spicesim.plots import plot_tile_map  # drawing takes a second to import

        names = [use.name for use in uses]
        figure = plot_tile_map(
            [names.index(place.layer) for place in places], [place.shape for place in places], array, names
        )
        picture = io.BytesIO()
        figure.savefig(picture, format=picture_path.rpartition(".")[2].lower(), dpi=200)
        write_bytes(picture_path, picture.getvalue())
        click.echo(f"wrote {picture_path}")


def _format_layers(uses: tuple[LayerUse, ...], places: tuple[TilePlace, ...], array: tuple[int, int]) -> str:
    """Format what each layer takes, and all."""
    rows = []
    for use in uses:
        held = [place for place in places if place.layer == use.array]
        numbers = [place.number for place in held]
        shapes = dict.fromkeys(f"{place.shape[0]}x{place.shape[1]}" for place in held)
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        rows.append(
            [
                use.name, use.op, f"{use.weights[1]}x{use.weights[0]}", span,
                " ".join(list(shapes)[:2]) + (" .." if len(shapes) > 2 else ""),
                f"{use.cells:,}", f"{100 * use.share:.1f}", f"{100 * use.useful:.1f}",
            ]
        )  # fmt: skip
    own = [use for use in uses if use.array == use.name]
    cells, weights = sum(use.cells for use in own), sum(use.cells * use.useful for use in own)
    share = cells / (array[0] * array[1] * len(places))
    total = f"{len(places)} tiles"
    rows.append(["network", "", "", total, "", f"{cells:,}", f"{100 * share:.1f}", f"{100 * weights / cells:.1f}"])
    head = ["layer", "op", "weights", "tiles", "rows x columns", "cells", "of arrays [%]", "with weights [%]"]
    return format_table(head, rows)


def _format_tiles(places: tuple[TilePlace, ...]) -> str:
    """Format what each tile holds."""
    rows = [
        [
            f"{place.number}", place.name, f"{place.inputs[0]}-{place.inputs[1]}",
            f"{place.outputs[0]}-{place.outputs[1]}", f"{place.shape[0]}x{place.shape[1]}",
        ]
        for place in places
    ]  # fmt: skip
    return format_table(["tile", "name", "inputs", "outputs", "rows x columns"], rows)
