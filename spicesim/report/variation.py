"""The sections on mismatch and climate: how blocks of one kind differ, and what temperatures and corners change."""

import numpy as np

from spicesim.behavioural.climate import ClimateModel
from spicesim.behavioural.mismatch import LevelMismatch, MismatchModel
from spicesim.calibration.calibration import Calibration
from spicesim.plots.fits import plot_joint
from spicesim.plots.variation import plot_amplifier_spread, plot_climate_errors, plot_driver_spread, plot_temperatures
from spicesim.report.numbers import parts_per_million, percent, quantity
from spicesim.report.page import Block, Column, Illustration, Section, Table

__all__ = ["variation_sections"]


def variation_sections(calibration: Calibration) -> tuple[Section, ...]:
    """Tell how chips and conditions differ; nothing of what was not calibrated."""
    sections = []
    if calibration.mismatch is not None:
        sections.append(_mismatch_section(calibration, calibration.mismatch))
    if calibration.climate is not None:
        sections.append(_climate_section(calibration, calibration.climate))
    return tuple(sections)


def _mismatch_section(calibration: Calibration, model: MismatchModel) -> Section:
    blocks: list[Block] = [
        _spread_table(model),
        *(_driver_spread(model) if calibration.chip.dac.is_dac else ()),
    ]
    joints = {f"driver, {name}": dac.response.distribution for name, dac in model.dacs.items()}
    if model.senseamps:
        amplifier = model.senseamps[len(model.senseamps) // 2]
        joints[f"amplifier, {quantity(amplifier.r_feedback, 'ohm')}"] = amplifier.response.distribution
        blocks.append(
            Illustration(
                title="Amplifiers of one design",
                caption="Standard deviation of the input: the offset between the rails, and where the rails lie "
                "beyond.",
                figure=plot_amplifier_spread(model, calibration.senseamps),
            )
        )
    blocks += [
        Illustration(
            title=f"Correlation between the parameters of a {name}",
            caption="As it follows from independent devices; the blocks of a drawn chip have it.",
            figure=plot_joint(joint),
        )
        for name, joint in joints.items()
    ]
    return Section(
        anchor="mismatch",
        title="Mismatch",
        text="A chip's seed gives every transistor a shift by its foundry's statistics, and every resistor one from a "
        f"Gaussian of {percent(model.resistors)} %. How a few parameters of each block follow from these was found by "
        "simulation; so the model of a drawn chip, as infer --mismatch runs it, and its netlists are the same chip.",
        blocks=tuple(blocks),
    )


def _driver_spread(model: MismatchModel) -> tuple[Block]:
    return (
        Illustration(
            title="Drivers of one design",
            caption="Standard deviation of the unloaded output less the driver's own offset, by code: the weights of "
            "the bits that are on.",
            figure=plot_driver_spread(model),
        ),
    )


def _spread_table(model: MismatchModel) -> Table:
    rows = []
    for polarity, dac in model.dacs.items():
        ends = (float(dac.response.distribution.sigma[k]) for k in (0, -1))
        if isinstance(dac, LevelMismatch):
            what, (offset, weight) = "resistance of the lower level; of the upper", (f"{percent(x)} %" for x in ends)
        else:
            what, (offset, weight) = (
                "offset; weight of the most significant bit",
                (quantity(x, "V", 3) for x in ends),
            )
        rows.append(
            (
                f"driver, {polarity}",
                what,
                f"{offset}; {weight}",
                f"{dac.response.simulated}",
                quantity(dac.residual, "V", 3),
            )
        )
    for kind in model.senseamps:
        resistance, offset = (
            percent(float(kind.response.distribution.sigma[0])),
            quantity(float(kind.response.distribution.sigma[1]), "V", 3),
        )
        rows.append(
            (
                f"amplifier, {quantity(kind.r_feedback, 'ohm')}",
                "feedback resistance; input offset",
                f"{resistance} %; {offset}",
                f"{kind.response.simulated}",
                quantity(kind.residual, "V", 3),
            )
        )
    if (hold := model.hold) is not None:
        rows.append(
            (
                "hold switch",
                f"what it adds to a line of {hold.rows[0]}; of {hold.rows[-1]} cells, at the reference",
                "; ".join(quantity(hold.sigma(count), "V", 3) for count in (hold.rows[0], hold.rows[-1])),
                f"{hold.response.simulated}",
                quantity(hold.residual, "V", 3),
            )
        )
    if (buffer := model.buffer) is not None:
        rows.append(
            (
                "buffer",
                "offset",
                quantity(float(buffer.response.distribution.sigma[0]), "V", 3),
                f"{buffer.response.simulated}",
                quantity(buffer.residual, "V", 3),
            )
        )
    if (own_integrator := model.integrator) is not None:
        spread = percent(float(own_integrator.response.distribution.sigma[0]))
        rows.append(
            (
                "integrator",
                "gain; input offset",
                f"{spread} %; {quantity(own_integrator.sigma, 'V', 3)}",
                f"{own_integrator.response.simulated}",
                quantity(own_integrator.residual, "V", 3),
            )
        )
    if (handed := model.hand_over) is not None:
        sigma, left = quantity(handed.sigma, "V", 3), quantity(handed.residual, "V", 3)
        rows.append(("hand-over", "what arrays get of equal outputs", sigma, f"{handed.simulated}", left))
    resistance = quantity(float(model.cell.distribution.sigma[0]), "ohm", 3)
    rows.append(("cell", "resistance in series", resistance, f"{model.cell.simulated}", ""))
    if (own := model.converter) is not None:
        sigma = quantity(float(own.distribution.sigma[0]), "V", 3)
        left = "" if model.converter_residual is None else quantity(model.converter_residual, "V", 3)
        rows.append(("converter", "threshold of its comparator", sigma, f"{own.simulated}", left))
    columns = (Column(title="block", text=True), Column(title="parameter", text=True))
    return Table(
        caption="Standard deviations, the simulated blocks behind them, and the largest error that parameters which "
        "follow from the devices leave in drivers and amplifiers that took no part in the fit.",
        columns=(
            *columns, Column(title="standard deviation"), Column(title="simulated"), Column(title="largest error left")
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _read_outs(calibration: Calibration) -> dict[str, float]:
    """Return a few quantities that a condition changes."""
    cell, dac = calibration.chip.cell, calibration.dacs["unipolar"]
    if (hold := calibration.hold) is not None:
        read_out = {"line of all rows, capacitance": hold.c_hold + hold.rows[-1] * hold.c_cell}
    elif (integrator := calibration.integrator) is not None:
        read_out = {
            "integrator, input resistance": integrator.port.parameters["r_in"].value,
            "integrator, output over charge": integrator.laws["unipolar"].gain,
        }
    else:
        read_out = {"amplifier, swing to its low rail": float(calibration.senseamps[0].v_out.max())}
    return {
        f"cell, device of {quantity(cell.g_max, 'S', 3)}": float(calibration.cell.current(cell.g_max, cell.v_read)),
        f"cell, device of {quantity(cell.g_min, 'S', 3)}": float(calibration.cell.current(cell.g_min, cell.v_read)),
        "driver, full scale": float(dac.v_open[-1] - dac.v_open[0]),
        **read_out,
    }


def _climate_section(calibration: Calibration, model: ClimateModel) -> Section:
    own = _read_outs(calibration)
    temperatures = np.linspace(*model.limits, 34)
    found = [_read_outs(calibration.at(temperature_c=float(t))) for t in temperatures]
    courses = {name: np.array([at[name] / value - 1 for at in found]) for name, value in own.items()}
    nodes = np.sort((model.temperature_c, *model.temperatures_c))
    blocks: list[Block] = [
        Illustration(
            title="What temperature changes",
            caption="Relative to the chip's own temperature; dots are calibrated temperatures, lines the polynomial "
            "through them, by which every number of every block is interpolated.",
            figure=plot_temperatures(temperatures, courses, nodes),
        )
    ]
    if model.held_out_errors:
        blocks.append(
            Illustration(
                title="Largest errors of whole tiles",
                caption="Both codings, linear and saturating columns, in ngspice beside the model; dashed lines are "
                "calibrated temperatures, and no tile was part of any fit.",
                figure=plot_climate_errors(model),
            )
        )
        where = [
            (f"{t:g} °C".replace("-", "\N{MINUS SIGN}"), e)
            for t, e in zip(model.held_out_c, model.held_out_errors, strict=True)
        ]
        where += [(f"corner {name}", e) for name, e in model.corner_errors.items()]
        columns = [Column(title="condition", text=True), Column(title="largest error", unit="ppm FS")]
        rows: list[tuple[str, ...]] = [(name, parts_per_million(error)) for name, error in where]
        if model.hand_over_errors is not None:
            columns.append(Column(title="hand-overs in no table", unit="mV"))
            rows = [(*row, f"{1e3 * e:.3f}") for row, e in zip(rows, model.hand_over_errors, strict=True)]
        caption = "The same in numbers."
        blocks.append(Table(caption=caption, columns=tuple(columns), rows=tuple(rows), wide=False))
    if model.corners:
        at = {name: _read_outs(calibration.at(corner=name)) for name in model.corners}
        blocks.append(
            Table(
                caption="What corners of the process change, relative to the chip's own.",
                columns=(Column(title="quantity", text=True), *(Column(title=name, unit="%") for name in at)),
                rows=tuple(
                    (name, *(f"{100 * (found[name] / value - 1):+.2f}".replace("-", "\N{MINUS SIGN}")
                             for found in at.values()))
                    for name, value in own.items()
                ),
                wide=False,
            )
        )  # fmt: skip
    low, high = model.limits
    return Section(
        anchor="climate",
        title="Temperature and corners",
        text=f"The blocks again at {len(model.temperatures_c)} temperatures beside the chip's own "
        f"{model.temperature_c:g} °C, and at the corners of the process. The calibration of the chip at any "
        f"temperature from {quantity(low, '')} to {quantity(high, '')} °C follows, as infer --temperature and "
        "--corner use it.",
        blocks=tuple(blocks),
    )
