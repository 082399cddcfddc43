"""Buffers of the references of a tile's R-2R drivers: the operational amplifier in unity feedback, one a reference."""

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.netlist.dac import dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import spice_number

__all__ = ["BUFFERS", "build_references", "reference_guesses", "tile_references"]

BUFFERS = ("xbuffer_vlo", "xbuffer_vhi")
"""Their names."""
_BUFFERED = ("vlo", "vhi")


def tile_references(chip: Chip, polarity: Polarity) -> str:
    """Format the two references of a tile's drivers: ideal sources, or buffers behind them."""
    text = dac_references(chip, polarity)
    if not chip.rails.are_buffered:
        return text
    for node in _BUFFERED:
        text = text.replace(f"{node} {node} vref", f"{node} {node}_in vref")
    return "\n".join([text, "* buffers of the references", *(_buffer_line(chip, node) for node in _BUFFERED)])


def _buffer_line(chip: Chip, node: str) -> str:
    rails = chip.rails
    return (
        f"xbuffer_{node} {node}_in {node} {node} vdd 0 opamp ibias={spice_number(rails.reference_current)}"
        f" drive={spice_number(rails.reference_drive)}"
    )


def reference_guesses(chip: Chip, polarity: Polarity) -> dict[str, float]:
    """Return where buffers hold the references of the drivers, by node [V]; nothing where there are none."""
    if not chip.rails.are_buffered:
        return {}
    common, span = chip.sense_amplifier.v_reference, chip.dac.v_span
    return {"vlo": common - (span if polarity == "bipolar" else 0.0), "vhi": common + span}


def build_references(chip: Chip, polarity: Polarity, i_first: float, i_last: float, points: int) -> Netlist:
    """Build a testbench of both buffers, with a swept current from the upper reference to the lower one.

    That is how ladders load them: what the upper reference gives the lower one takes.

    Parameters
    ----------
    chip : Chip
        The chip, with buffered references.
    polarity : {"unipolar", "bipolar"}
        Which references the drivers have.
    i_first, i_last : float
        Ends of the sweep [A].
    points : int
        Points of the sweep.
    """
    step = (i_last - i_first) / (points - 1)
    return build_netlist(
        chip,
        f"buffers of references, {polarity}",
        [
            block_text("opamp", chip),
            supplies(chip),
            tile_references(chip, polarity),
            "* what all ladders take\niload vhi vlo 0",
        ],
        ["v(vhi)", "v(vlo)", "v(vref)", "i(vdd)"],
        notes=["Both references of a tile's drivers against the current of all ladders."],
        analyses=[f".dc iload {spice_number(i_first)} {spice_number(i_last + step / 2)} {spice_number(step)}"],
        nodesets=reference_guesses(chip, polarity),
    )
