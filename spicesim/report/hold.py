"""The section on hold switches of floating bit lines."""

from spicesim.behavioural.buffer import BufferModel
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.plane_adder import PlaneAdder
from spicesim.calibration.heldout import HeldOut
from spicesim.plots.blocks import plot_residuals
from spicesim.plots.hold import plot_pedestals
from spicesim.report.numbers import parts_per_million, quantity
from spicesim.report.page import Column, Illustration, Section, Table

__all__ = ["hold_section"]


def _adder_words(adder: PlaneAdder) -> str:
    """Say how planes are added, and what each counts."""
    new, old = adder.joins[1, 0] / adder.v_limit, adder.joins[0, 1] / adder.v_limit
    return (
        f" The {adder.bits} bits of an input are driven one after the other, the least first, and added as charge: a "
        f"second capacitor of {quantity(adder.c_plane, 'F')} is joined with the first for "
        f"{quantity(adder.share, 's')} after each, so the new bit counts {new:.4f} and those before {old:.4f}. What is "
        "converted, once an input, is their sum."
    )


def _buffer_words(buffer: BufferModel) -> str:
    """Say what stands between the capacitor and the converter."""
    return (
        f" An amplifier in unity feedback puts it out, {quantity(buffer.settle, 's')} later, with an offset of "
        f"{quantity(float(buffer.added[0]), 'V')}, a gain of {1 + buffer.added[1] / buffer.v_limit:.5f} and noise of "
        f"{quantity(buffer.noise, 'V')}; the charge that its gate takes is in all of this."
    )


def hold_section(model: HoldModel, held_out: HeldOut) -> Section:
    """Tell what switches keep of the voltages of their lines, and how well that is known."""
    rows = tuple(
        (f"{cells}", quantity(float(model.held(0.0, cells * model.g_cell / 4, cells)), "V"),
         quantity(float(model.time_constants(cells * model.g_cell / 4, cells)), "s"),
         f"{100 * float(model.unsettled(cells * model.g_cell / 4, cells)):.2g}")
        for cells in model.rows
    )  # fmt: skip
    return Section(
        anchor="hold",
        title="Hold switches",
        text="No amplifier holds the bit lines: they float to the mean of their inputs, weighed by conductances. A "
        f"switch keeps that voltage {quantity(model.settle, 's')} after the inputs have changed, and adds the charge "
        "of its own gates, as the capacitances of line and capacitor share it."
        + ("" if model.adder is None else _adder_words(model.adder))
        + ("" if model.buffer is None else _buffer_words(model.buffer)),
        blocks=(
            Illustration(
                title="What a switch adds",
                caption="Lines are the model, with cells in the middle of their range; points are held-out columns in "
                "ngspice, in the colour of the nearest number of cells.",
                figure=plot_pedestals(model, held_out),
            ),
            Illustration(
                title="Held-out errors",
                caption=f"The largest is {parts_per_million(held_out.max_error)} ppm of the inputs' span, "
                f"{quantity(held_out.full_scale, 'V')}.",
                figure=plot_residuals({"held line": held_out}, "line [V]", label="line above the reference"),
            ),
            Table(
                caption="Lines of cells of a quarter of the largest conductance.",
                columns=(Column(title="cells a line"), Column(title="added at the reference"),
                         Column(title="time constant"), Column(title="of the way left", unit="%")),
                rows=rows,
                wide=False,
            ),
        ),
    )  # fmt: skip
