"""Drawings of arrays for the heads of netlists, with the names of nodes and elements."""

__all__ = ["CROSSBAR", "PAIRED", "TILE"]

TILE = (
    "",
    "  word line I   xdac_I ── dac_I ──[rwl_I_0]──┬──[rwl_I_1]──┬── ..",
    "    nodes                                  wl_I_0        wl_I_1",
    "    cells                                  xc_I_0        xc_I_1",
    "    nodes                                  bl_I_0        bl_I_1",
    "                                         [rbl_I_0]     [rbl_I_1]   down to the next row",
    "                                             ┆             ┆",
    "  bit line J                               foot_0        foot_1",
    "                                          vsense_0      vsense_1    i(vsense_J): current into the virtual ground",
    "                                          sense_0       sense_1",
    "                                        xsenseamp_0   xsenseamp_1",
    "                                           out_0         out_1       v(out_J) = vref - rf i(vsense_J)",
    "",
)
"""A tile, line by line."""

CROSSBAR = (
    "",
    "  word line I   vin_I ── in_I ──[rwl_I_0]──┬──[rwl_I_1]──┬── ..",
    "    nodes                                wl_I_0        wl_I_1",
    "    cells                                xc_I_0        xc_I_1",
    "    nodes                                bl_I_0        bl_I_1",
    "                                       [rbl_I_0]     [rbl_I_1]   down to the next row",
    "                                           ┆             ┆",
    "  bit line J                             foot_0        foot_1",
    "                                        vsense_0      vsense_1    i(vsense_J): current into the virtual ground",
    "                                          vref          vref",
    "",
)
"""An array between ideal sources and virtual grounds, line by line."""

PAIRED = ("differential cells: xc_I_K lies between wl_I_2K and the bit lines of columns 2K (gp) and 2K + 1 (gn)",)
"""What a drawing needs for cells of two columns."""
