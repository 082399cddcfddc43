"""The sections on a calibration: its blocks, their errors, and their validity."""

from spicesim.behavioural.cell import AnyCell, SelectorCellModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.cell import HELD_CURRENT
from spicesim.calibration.heldout import HeldOut
from spicesim.calibration.hold import HELD
from spicesim.calibration.integrator import CHARGE, INPUT
from spicesim.chip import Cell
from spicesim.plots import (
    plot_cell,
    plot_cell_bias,
    plot_cell_nonlinearity,
    plot_dac,
    plot_dac_load,
    plot_residuals,
    plot_sense_amplifier_input,
    plot_sense_amplifier_output,
    plot_virtual_ground,
)
from spicesim.report.cost import cost_section
from spicesim.report.dynamics import dynamics_sections
from spicesim.report.hold import hold_section
from spicesim.report.integrator import integrator_section
from spicesim.report.numbers import parts_per_million, quantity, uncertain
from spicesim.report.page import Block, Column, Illustration, Section, Table
from spicesim.report.parameters import parameters_section
from spicesim.report.tiles import tile_section
from spicesim.report.variation import variation_sections

__all__ = ["calibration_sections"]

_NAMES = {"gain": "gain / r_feedback", "offset_in": "input offset", "offset_out": "output offset",
          "r_in": "input resistance", "rail_high": "output at the high rail",
          "rail_low": "output at the low rail"}  # fmt: skip


def calibration_sections(calibration: Calibration) -> tuple[Section, ...]:
    """Tell how well the blocks and whole tiles were calibrated."""
    return (
        tile_section(calibration),
        *(() if calibration.chip.cell.is_gated else (_dac_section(calibration),)),
        _cell_section(calibration),
        _readout_section(calibration),
        *dynamics_sections(calibration),
        *variation_sections(calibration),
        parameters_section(calibration),
        _validity_section(calibration),
        cost_section(calibration),
    )


def _held_out_table(held_out: dict[str, HeldOut], subject: str) -> Table:
    rows = tuple(
        (name, f"{len(points.measured)}", quantity(points.full_scale, points.unit),
         *map(parts_per_million, (points.max_error, points.p99_error, points.rms_error)))
        for name, points in held_out.items()
    )  # fmt: skip
    columns = [Column(title="quantity", text=True), Column(title="points"), Column(title="full scale")]
    columns += [Column(title=title, unit="ppm FS") for title in ("largest error", "99th percentile", "RMS")]
    return Table(
        caption=f"Errors of {subject} at points that took no part in the fit, in millionths of full scale.",
        columns=tuple(columns),
        rows=rows,
    )


def _dac_section(calibration: Calibration) -> Section:
    held_out: dict[str, HeldOut] = {name: calibration.held_out[f"DAC output, {name}"] for name in calibration.dacs}
    blocks: list[Block] = [
        Illustration(
            title="Output against code, unloaded",
            caption="Every code in ngspice (points) beside an ideal converter (thin line); the lower panel shows what "
            "is left of offset, gain error and nonlinearity.",
            figure=plot_dac(calibration.dacs, calibration.chip.dac),
        )
    ]
    for polarity, model in calibration.dacs.items():
        blocks.append(
            Illustration(
                title=f"Droop under load, {polarity}",
                caption="Held-out points of ngspice on the model's lines; the slope is the output resistance and would "
                "soar where the buffer ran out of compliance.",
                figure=plot_dac_load(model, held_out[polarity]),
            )
        )
    worst = max(points.max_error for points in held_out.values())
    blocks.append(
        Illustration(
            title="Held-out errors",
            caption=f"Size of the errors under load; the largest is {parts_per_million(worst)} ppm of the span.",
            figure=plot_residuals(held_out, "load [A]", label="load current"),
        )
    )
    blocks.append(_held_out_table({f"output, {name}": h for name, h in held_out.items()}, "the drivers"))
    return Section(
        anchor="dac",
        title="Word-line drivers (DAC)",
        text="The model is a table of unloaded outputs, one a code, less a droop that depends on code and load.",
        blocks=tuple(blocks),
    )


def _cell_law(model: AnyCell) -> str:
    """Say what the model of the cell is."""
    if isinstance(model, SelectorCellModel):
        g_scale, kappa, v_on, v_selector = model.coefficients
        return (
            "The model is a device in series with a selector, whose voltages for a current add up: asinh(kappa I / g) "
            f"/ kappa with kappa = {kappa:.4g} 1/V and g {g_scale:.6g} times the device's conductance, and "
            f"v asinh(I / i0) with v = {quantity(v_selector, 'V')}, which is {quantity(v_on, 'V')} at 1 uA."
        )
    orders = " × ".join(str(count) for count in model.coefficients.shape)  # noqa: RUF001
    return (
        f"The model is a polynomial with {orders} coefficients in the cell's voltage V, the bit line's voltage u "
        f"above the reference, and the conductance g of the device; the last {model.folds} orders of V carry |V|, as "
        "the access transistor changes source and drain at V = 0."
    )


def _departure(cell: Cell) -> str:
    """Say why a cell's current is not that of a linear device."""
    if cell.has_gate:
        return (
            "The access transistor in series bends and lowers the current, the more so the larger the device; an ideal "
            "device would lie at 1."
        )
    if cell.kind == "1s1r":
        return "The selector in series takes nearly all of a small voltage; an ideal device would lie at 1."
    return "A linear device would lie at 1; the bend is the device's own."


def _cell_section(calibration: Calibration) -> Section:
    model, held_out = calibration.cell, calibration.held_out["cell current"]
    return Section(
        anchor="cell",
        title="Memory cell",
        text=f"{_cell_law(model)} Where the bit line is held, errors of a column's cells add up in its output.",
        blocks=(
            Illustration(
                title="Current against voltage at u = 0",
                caption="Lines are the model at five conductances; points are ngspice at random held-out conductances "
                "near u = 0 and take their place between the lines by colour.",
                figure=plot_cell(model, held_out),
            ),
            Illustration(
                title="Departure from a linear device",
                caption=_departure(calibration.chip.cell),
                figure=plot_cell_nonlinearity(model, held_out),
            ),
            Illustration(
                title="Influence of the bit line's voltage",
                caption="What the same cell conducts when its bit line leaves the reference, as it does with wires "
                "and saturated amplifiers.",
                figure=plot_cell_bias(model),
            ),
            Illustration(
                title="Held-out errors",
                caption=f"All {len(held_out.measured)} held-out points, over V, u and g; the largest error is "
                f"{parts_per_million(held_out.max_error)} ppm of {quantity(held_out.full_scale, held_out.unit)}.",
                figure=plot_residuals({"cell current": held_out}, "v [V]", label="voltage across the cell"),
            ),
            _held_out_table({"current": held_out, "bit line held": calibration.held_out[HELD_CURRENT]}, "the cell"),
        ),
    )


def _readout_section(calibration: Calibration) -> Section:
    if calibration.hold is not None:
        return hold_section(calibration.hold, calibration.held_out[HELD])
    if calibration.integrator is not None:
        held_out = calibration.held_out
        return integrator_section(calibration.integrator, held_out[CHARGE], held_out[INPUT])
    return _senseamp_section(calibration)


def _senseamp_section(calibration: Calibration) -> Section:
    models = calibration.senseamps

    def points(side: str) -> dict[float, HeldOut]:
        return {m.r_feedback: calibration.held_out[f"TIA {side}, {m.r_feedback / 1e3:g} kohm"] for m in models}

    sides = {side: points(side) for side in ("output", "input")}
    named = {
        f"{side}, {quantity(r, 'ohm')}": (held_out, r) for side, found in sides.items() for r, held_out in found.items()
    }
    worst = max(held_out.max_error for held_out, _ in named.values())
    output = {quantity(r, "ohm"): held_out for r, held_out in sides["output"].items()}
    scales = {quantity(r, "ohm"): r for r in sides["output"]}
    names = list(dict.fromkeys(name for model in models for name in model.parameters))
    rows = tuple(
        (_NAMES.get(name, name), *(
            uncertain(m.parameters[name].value, m.parameters[name].standard_error, m.parameters[name].unit)
            if name in m.parameters else "" for m in models))
        for name in names
    )  # fmt: skip
    linear: list[Block] = []
    if calibration.parameters is None:  # they say the same, and more
        linear.append(
            Table(
                caption="Parameters of the linear range, each with its standard error; voltages of the input count "
                "from the reference upwards, those of the output downwards.",
                columns=(
                    Column(title="parameter", text=True),
                    *(Column(title="r_feedback " + quantity(m.r_feedback, "ohm")) for m in models),
                ),
                rows=rows,
            )
        )
    return Section(
        anchor="senseamp",
        title="Sense amplifiers (TIA)",
        text="The model is a pair of tables against the current, for the amplifier's input and for its output; "
        "lines are these tables, points are ngspice at held-out currents.",
        blocks=(
            Illustration(
                title="Output against current",
                caption="The output follows r_feedback × current until a rail stops it.",  # noqa: RUF001
                figure=plot_sense_amplifier_output(models, sides["output"]),
            ),
            Illustration(
                title="Input against current",
                caption="The virtual ground holds while the output can move; beyond a rail the input runs away and "
                "disturbs the other columns.",
                figure=plot_sense_amplifier_input(models, sides["input"]),
            ),
            Illustration(
                title="The virtual ground in the linear range",
                caption="The same input, magnified: its value at zero current is the offset, its slope the input "
                "resistance.",
                figure=plot_virtual_ground(models, sides["input"]),
            ),
            Illustration(
                title="Held-out errors of the output",
                caption=f"Errors peak at the knees where an output meets its rail; the largest of outputs and inputs "
                f"is {parts_per_million(worst)} ppm of the swing, and those below 0.0001 ppm are drawn there.",
                figure=plot_residuals(
                    output, "current [A]", label="current · r_feedback [V]", scales=scales
                ),
            ),
            *linear,
            _held_out_table({name: held_out for name, (held_out, _) in named.items()}, "the amplifiers"),
        ),
    )  # fmt: skip


def _validity_section(calibration: Calibration) -> Section:
    cell = calibration.cell
    boxes = [
        ("cell", "voltage across the cell", *cell.v_limits, "V"),
        ("cell", "bit line above the reference", *cell.u_limits, "V"),
        ("cell", "device conductance", *cell.g_limits, "S"),
        ("cell", f"cell conductance at {quantity(cell.v_read, 'V')}", *cell.conductance_range, "S"),
    ]
    for polarity, dac in calibration.dacs.items():
        boxes.append((f"DAC, {polarity}", "load current", -dac.i_limit, dac.i_limit, "A"))
    for model in calibration.senseamps:
        name = f"TIA, {quantity(model.r_feedback, 'ohm')}"
        boxes.append((name, "current into the virtual ground", -model.i_limit, model.i_limit, "A"))
        boxes.append((name, "output of the linear range, below the reference", *model.linear_limits, "V"))
    columns = (Column(title="block", text=True), Column(title="quantity", text=True))
    if (hold := calibration.hold) is not None:
        boxes.append(("hold switch", "line off the reference", -hold.v_limit, hold.v_limit, "V"))
    table = Table(
        caption="A solution with any current or voltage outside these limits is refused, never extrapolated; the "
        "linear range alone is no limit, since amplifiers are modelled up to their rails and beyond.",
        columns=(*columns, Column(title="from"), Column(title="to")),
        rows=tuple((b, q, quantity(low, unit), quantity(high, unit)) for b, q, low, high, unit in boxes),
    )
    return Section(anchor="validity", title="Where the models hold", blocks=(table,))
