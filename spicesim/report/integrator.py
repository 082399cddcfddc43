"""The section on integrators of pulses."""

from spicesim.behavioural.integration import IntegratorModel
from spicesim.calibration.heldout import HeldOut
from spicesim.plots.blocks import plot_residuals
from spicesim.report.numbers import parts_per_million, quantity
from spicesim.report.page import Column, Illustration, Section, Table

__all__ = ["integrator_section"]


def integrator_section(model: IntegratorModel, charge: HeldOut, held: HeldOut) -> Section:
    """Tell what integrators make of charge, how they hold their lines, and how well that is known."""
    rows = tuple(
        (polarity, f"{law.gain:.6f}", quantity(law.window, "s"), quantity(model.product(polarity), "s"),
         quantity(law.excess, "s"), quantity(float(law.pedestals[:, 0].min()), "V"),
         quantity(float(law.pedestals.sum(axis=1).max()), "V"))
        for polarity, law in model.laws.items()
    )  # fmt: skip
    return Section(
        anchor="integrator",
        title="Integrators",
        text="Rows are driven by pulses, and an integrator a bit line adds up their charge. It holds its line with "
        f"{quantity(model.port.parameters['r_in'].value, 'ohm')} at small currents, calibrated to "
        f"{quantity(model.port.i_limit, 'A')}; the largest output is {quantity(model.swing, 'V')}. What switches add "
        "goes with the cells of a line and their conductance.",
        blocks=(
            Illustration(
                title="Held-out charges",
                caption=f"Columns of cells whose pulses are all of one length; the largest error is "
                f"{parts_per_million(charge.max_error)} ppm of {quantity(charge.full_scale, 'V')}.",
                figure=plot_residuals({"integrated charge": charge}, "cell [S]", label="conductance of a cell"),
            ),
            Illustration(
                title="Held-out inputs",
                caption=f"Steady currents; the largest error is {parts_per_million(held.max_error)} ppm of "
                f"{quantity(held.full_scale, 'V')}, the span of the inputs.",
                figure=plot_residuals({"integrator input": held}, "current [A]", label="current"),
            ),
            Table(
                caption="What it makes of charge, by the coding of inputs; the capacitor as drawn has a gain of 1.",
                columns=(Column(title="inputs", text=True), Column(title="gain"), Column(title="window"),
                         Column(title="product"), Column(title="excess of pulses"), Column(title="least pedestal"),
                         Column(title="largest pedestal")),
                rows=rows,
            ),
        ),
    )  # fmt: skip
