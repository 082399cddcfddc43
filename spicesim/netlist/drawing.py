"""Drawings of arrays for the heads of netlists, with the names of nodes and elements."""

__all__ = [
    "ADDING_TILE",
    "CROSSBAR",
    "FLOATING_TILE",
    "GATED_TILE",
    "PAIRED",
    "PULSE_TILE",
    "TILE",
    "draw_charge_dac",
    "draw_current_dac",
    "draw_ladder",
]

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

FLOATING_TILE = (
    *(line.replace("current into the virtual ground", "nothing, the line floats") for line in TILE[:-4]),
    "                                          sense_0       sense_1",
    "                                          xhold_0       xhold_1      track high: follow, then low: hold",
    "                                           out_0         out_1       v(out_J): v(sense_J) as the switch keeps it",
    "",
)
"""A tile of floating bit lines, line by line."""

ADDING_TILE = (
    *FLOATING_TILE[:-3],
    "                                          xhold_0       xhold_1      track: a plane; share: with those before",
    "                                           out_0         out_1       v(out_J): sum of 2^k/2^n v(sense_J)",
    "",
)
"""A tile of floating bit lines whose planes are added as charge, line by line."""
PULSE_TILE = (
    *(line.replace("current into the virtual ground", "current into the integrator") for line in TILE[:-4]),
    "                                          sense_0       sense_1      run low: into vref, high: into the capacitor",
    "                                       xintegrator_0 xintegrator_1   rst high: v(out_J) = vref",
    "                                           out_0         out_1       v(out_J) = vref - charge of J / c",
    "",
)
"""A tile of pulses and integrators, line by line."""
GATED_TILE = (
    "",
    "  word line I   read ── vrow_I ── read_I ──[rwl_I_0]──┬──[rwl_I_1]──┬── ..",
    "    nodes                                           wl_I_0        wl_I_1",
    "  gate I        xdac_I ── gate_I ── ..              xc_I_0        xc_I_1      on or off, all cells of the row",
    "    nodes                                           bl_I_0        bl_I_1",
    "                                                  [rbl_I_0]     [rbl_I_1]   down to the next row",
    "                                                      ┆             ┆",
    "  bit line J                                        foot_0        foot_1",
    "                                                   vsense_0      vsense_1    i(vsense_J): current into the "
    "virtual ground",
    "                                                   sense_0       sense_1",
    "                                                 xsenseamp_0   xsenseamp_1",
    "                                                    out_0         out_1       v(out_J) = vref - rf i(vsense_J)",
    "",
)
"""A tile whose inputs drive gates, line by line."""

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


def draw_ladder(bits: int) -> list[str]:
    """Draw the R-2R ladder of a DAC, as comment lines."""
    last = bits - 1
    return [
        "*",
        f"*        vlo ──[rend]── n0 ──[rrung1]── n1 ── .. ──[rrung{last}]── n{last} ── xbuffer ── out",
        f"*                       │               │                   {' ' * len(str(last))}   │",
        f"*                    [rleg0]         [rleg1]                {' ' * len(str(last))}[rleg{last}]",
        f"*                      xsw0            xsw1                 {' ' * len(str(last))} xsw{last}",
        "*                  vlo (b0 low) or vhi (b0 high), and so on",
        "*",
        "* The rungs are r, the legs and the end 2 r; the amplifier follows the ladder's last node.",
        "*",
        "* ports       out, bits from the least significant, vlo vhi vdd vss",
    ]


def draw_charge_dac(bits: int) -> list[str]:
    """Draw the capacitors of a charge-redistribution DAC, as comment lines."""
    last = bits - 1
    return [
        "*",
        "*        top ──┬────────┬────────┬─── .. ───┐",
        f"*             cend      c0       c1         c{last}",
        f"*              │       xsw0     xsw1       xsw{last}",
        "*              v0       v0 (bit low) or v1 (bit high)",
        "*",
    ]


def draw_current_dac(bits: int) -> list[str]:
    """Draw the cells of a current-steering DAC, as comment lines."""
    last = bits - 1
    return [
        "*",
        "*        outp ──┬────────┬─── .. ───┐",
        f"*             xbit0    xbit1      xbit{last}     sinks of 1, 2, .. {2**last} parts, gates vb vc by xbias",
        "*        outn ──┴────────┴─── .. ───┘",
        "*",
    ]
