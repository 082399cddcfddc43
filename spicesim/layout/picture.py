"""A picture of a layout, drawn by klayout without a screen."""

from pathlib import Path

import klayout.db as db
import klayout.lay as lay

from spicesim.files import write_bytes
from spicesim.layout.technology import Technology

__all__ = ["COLOURS", "write_picture"]

COLOURS = {
    "nplus": (0xCFE8CF, 1),
    "pplus": (0xF0DCC0, 1),
    "active": (0x3C9D3C, 5),
    "poly": (0xD03030, 5),
    "contact": (0x202020, 0),
    "metal1": (0x4A78C8, 5),
    "via1": (0x102060, 0),
    "metal2": (0xB060C0, 9),
    "metal3": (0xE09020, 3),
    "device": (0x000000, 0),
}
"""Colour and pattern of each layer, from the lowest to the uppermost."""


def write_picture(layout: db.Layout, technology: Technology, path: str | Path, width: int = 1600) -> None:
    """Write a picture as PNG.

    Parameters
    ----------
    layout : klayout.db.Layout
        The layout.
    technology : Technology
        Says which layers are which.
    path : str or Path
        Of the PNG file.
    width : int
        Its longer side in pixels.
    """
    shown_layout = layout.dup()
    for pair in technology.pins.values():
        shapes = shown_layout.top_cell().shapes(shown_layout.layer(*pair))
        for shape in [one for one in shapes.each() if one.is_text() and "." in one.text_string]:
            shapes.erase(shape)  # nodes within cells, too many to read
    view = lay.LayoutView()
    view.show_layout(shown_layout, False)
    view.max_hier()
    view.set_config("background-color", "#ffffff")
    view.set_config("grid-visible", "false")
    view.set_config("text-visible", "true")
    view.clear_layers()
    for name, (colour, pattern) in COLOURS.items():
        shown = lay.LayerPropertiesNode()
        shown.source = "{}/{}".format(*technology.layers[name])
        shown.fill_color = shown.frame_color = colour
        shown.dither_pattern = pattern
        shown.width = 1
        view.insert_layer(view.end_layers(), shown)
    for pair in technology.pins.values():
        shown = lay.LayerPropertiesNode()
        shown.source = "{}/{}".format(*pair)
        shown.fill_color = shown.frame_color = 0x303030
        shown.dither_pattern = 1
        view.insert_layer(view.end_layers(), shown)
    view.zoom_fit()
    box = layout.top_cell().dbbox()
    scale = width / max(box.width(), box.height())
    size = [max(200, round(side * scale)) for side in (box.width(), box.height())]
    write_bytes(path, view.get_pixels(*size).to_png_data())
