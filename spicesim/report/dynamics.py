"""The sections on time, noise and energy of a calibration: what its blocks do beyond operating points."""

import numpy as np

from spicesim.behavioural.converter import ConverterModel
from spicesim.behavioural.energy import EnergyModel
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.behavioural.noise import NoiseModel
from spicesim.behavioural.settling import SettlingCheck, SettlingModel
from spicesim.calibration.calibration import Calibration
from spicesim.metrics import largest
from spicesim.plots.dynamics import (
    plot_driver_steps,
    plot_noise_sigma,
    plot_noise_spectrum,
    plot_power,
    plot_settling,
)
from spicesim.report.numbers import percent, quantity
from spicesim.report.page import Block, Column, Illustration, Section, Table

__all__ = ["dynamics_sections"]


def dynamics_sections(calibration: Calibration) -> tuple[Section, ...]:
    """Tell how the blocks settle, how noisy they are and what they draw; nothing of what was not calibrated."""
    sections = []
    if calibration.converter is not None:
        sections.append(_converter_section(calibration.converter, calibration.chip.adc.kind))
    if calibration.settling is not None:
        sections.append(_settling_section(calibration.settling))
    if calibration.noise is not None:
        sections.append(_noise_section(calibration, calibration.noise))
    if calibration.energy is not None:
        sections.append(_energy_section(calibration, calibration.energy))
    return tuple(sections)


def _settling_section(model: SettlingModel) -> Section:
    blocks: list[Block] = []
    if model.checks:
        errors = ("max from 20 %", "RMS from 20 %", "max from 75 %", "max from settling on")
        blocks.append(
            Table(
                caption="Whole tiles in ngspice's .tran after a change of all codes, beside the model; shares are "
                "those of the settling time, after which all outputs stay within 0.2 % of full scale of their ends.",
                columns=(
                    Column(title="tile", text=True), Column(title="change of codes", text=True),
                    Column(title="settling time"), *(Column(title=title, unit="% FS") for title in errors),
                ),
                rows=tuple(
                    (*_names(check), quantity(check.t_settle, "s", 3),
                     *map(percent, (check.max_early, check.rms_early, check.max_late, check.max_settled)))
                    for check in model.checks
                ),
            )
        )  # fmt: skip
        blocks += [_step_illustration(check) for check in _examples(model.checks)]
    blocks.append(
        Illustration(
            title="Word-line drivers after a change of code",
            caption="Steps of one driver without load in ngspice; between these, and with cells and wires as a load, "
            "the model takes shares of the way.",
            figure=plot_driver_steps(model.driver),
        )
    )
    return Section(
        anchor="settling",
        title="Settling",
        text="Drivers follow the calibrated shapes of their steps, the array is a static map with its capacitance "
        "lumped at both ends, and every amplifier is two stages with four states, so that an output that leaves a rail "
        "first waits until the nodes within the amplifier have come back.",
        blocks=tuple(blocks),
    )


def _names(check: SettlingCheck) -> tuple[str, str]:
    tile, _, change = check.name.partition(", ")
    return tile, change


def _examples(checks: tuple[SettlingCheck, ...]) -> list[SettlingCheck]:
    """Return the check with the largest error and the slowest one, if their courses were kept."""
    kept = [check for check in checks if check.columns]
    chosen = [max(kept, key=lambda check: check.max_early), max(kept, key=lambda check: check.t_settle)] if kept else []
    return chosen[:1] if len(chosen) == 2 and chosen[0] is chosen[1] else chosen


def _step_illustration(check: SettlingCheck) -> Illustration:
    tile, change = _names(check)
    return Illustration(
        title=f"{change[:1].upper()}{change[1:]}",
        caption=f"{tile}: ngspice (points) and the model (lines), in the column with the largest error and those "
        "that move the farthest; the broken line is the settling time.",
        figure=plot_settling(check),
    )


_CONVERTERS = {"sar": "Successive approximation", "ramp": "Single slope"}


def _converter_section(converter: ConverterModel, kind: str) -> Section:
    rows = tuple(
        (polarity, quantity(own.span, "V"), str(check.conversions), percent(check.identical),
         "forgotten" if check.in_turn is None else percent(check.in_turn), f"{check.worst} LSB",
         quantity(own.range(polarity).low, "V", 4), quantity(own.range(polarity).high, "V", 4))
        for own in map(converter.over, converter.spans)
        for polarity, check in own.checks.items()
    )  # fmt: skip
    spans = " or ".join(quantity(span, "V") for span in converter.spans)
    spans += ", as each layer chooses" if len(converter.spans) > 1 else ""
    blocks: list[Block] = []
    if converter.hand_over is not None:
        blocks.append(_hand_over_table(converter.hand_over))
    words = {"sampling": "kT/C"}
    noise = ", ".join(f"{words.get(what, what)} {quantity(rms, 'V', 3)}" for what, rms in converter.noises.items())
    return Section(
        anchor="converter",
        title="Converter",
        text=f"{_CONVERTERS.get(kind, f'Converters {kind}')} of {converter.bits} bits over "
        f"{spans}, calibrated on conversions of known voltages. Comparators, switches and "
        "capacitors are transistors and capacitors of the netlist; the logic is behavioural, and a source without "
        f"impedance drives the input. Noise of a conversion: {noise or 'not known'}.",
        blocks=(
            Table(
                caption="Conversions at transistor level that took no part in the fit, and the voltages that the first "
                "and the last code stand for, by a straight line. The model's arrays held the reference before; in "
                "turn are conversions right after each other, where arrays have not forgotten the one before.",
                columns=(Column(title="range", text=True), Column(title="span"), Column(title="held out"),
                         Column(title="same code", unit="%"), Column(title="in turn", unit="%"), Column(title="worst"),
                         Column(title="first code"), Column(title="last code")),
                rows=rows,
                wide=False,
            ),
            *blocks,
        ),
    )  # fmt: skip


def _hand_over_table(model: HandOverModel) -> Table:
    needed, lacking = model.needed.max(axis=0), model.largest_errors
    rows = tuple(
        (
            f"{load:g}" if len(model.loads) > 1 else "any",
            f"{'> ' if time >= model.watched else ''}{quantity(time, 's', 3)}",
            quantity(volts, "V", 3),
        )
        for load, time, volts in zip(model.loads, needed, lacking, strict=True)
    )
    known = (
        ""
        if model.held_out is None
        else f" {len(model.held_out)} others, held out: within {quantity(largest(model.held_out), 'V', 3)}."
    )
    return Table(
        caption="Arrays on outputs, all of them transistors: how long one must be sampled until it "
        "is within a quarter of a step, whatever it held before, and what one that held the reference is away by at "
        f"the end of the {quantity(model.sample, 's', 3)} that converters sample for. Codes of runs have that in them."
        f"{known}",
        columns=(Column(title="feedback x conductance of the column"), Column(title="sampling time needed"),
                 Column(title="largest error")),
        rows=rows,
        wide=False,
    )  # fmt: skip


def _noise_section(calibration: Calibration, noise: NoiseModel) -> Section:
    chip = calibration.chip
    rows, whole = chip.array.rows, float(noise.amplifiers[0].conductances[-1])
    columns = [Column(title="r_feedback")]
    totals = {"a quarter of the cells' largest conductance": 0.25 * whole, "all of it": whole}
    for title in totals:
        columns += [Column(title=f"{title}: amplifier and cells", unit="µV"), Column(title="drivers", unit="µV"),
                    Column(title="all", unit="µV"), Column(title="all", unit="LSB")]  # fmt: skip
    cells = []
    for model in noise.amplifiers:
        r, row = model.r_feedback, [quantity(model.r_feedback, "ohm")]
        lsb = calibration.senseamp(r).full_scale / 2**chip.adc.bits
        for total in totals.values():
            own = float(noise.sigma(total, r))
            every = float(noise.sigma(total, r, g_squares=total**2 / rows))
            row += [f"{1e6 * s:.1f}" for s in (own, np.sqrt(every**2 - own**2), every)] + [f"{every / lsb:.4f}"]
        cells.append(tuple(row))
    blocks: list[Block] = [
        Table(
            caption=f"Sigma of a sample below a column of {rows} equal cells, in all and by source; an LSB is that of "
            f"{chip.adc.bits} bit over the swing to a rail.",
            columns=tuple(columns),
            rows=tuple(cells),
        ),
        Illustration(
            title="Sigma against the column's conductance",
            caption="The more a column conducts, the more of the amplifier's own noise reaches its output.",
            figure=plot_noise_sigma(noise, rows),
        ),
    ]
    if all(model.frequencies.size for model in noise.amplifiers):
        blocks.append(
            Illustration(
                title="Spectrum of the output noise",
                caption=f"Below a column of {quantity(noise.amplifiers[0].spectrum_conductance, 'S', 3)}, in ngspice; "
                "dotted lines are the thermal noise of the feedback resistors alone.",
                figure=plot_noise_spectrum(noise),
            )
        )
    return Section(
        anchor="noise",
        title="Noise",
        text=f"Thermal and flicker noise at {noise.temperature_c:g} °C of amplifier, feedback resistor, cells and "
        f"drivers, integrated from {quantity(noise.f_low, 'Hz')} on: what is slower counts as drift. Sigma at held-out "
        f"conductances is right within {percent(noise.max_error)} %. Read noise of devices is no part of it.",
        blocks=tuple(blocks),
    )


def _energy_section(calibration: Calibration, energy: EnergyModel) -> Section:
    rows = []
    for polarity, dac in energy.dacs.items():
        codes = np.arange(len(dac.power_open))
        power, switching = (
            quantity(float(dac.power_open.mean()), "W"),
            quantity(float(dac.switching(codes).mean()), "J"),
        )
        rows.append((f"word-line driver, {polarity}", "mean of all codes, no load", power, f"{switching} a code"))
    for amplifier in energy.amplifiers:
        power = quantity(float(amplifier.at(np.zeros(1))[0]), "W")
        charge = f"{quantity(amplifier.charge, 'J')} a volt"
        rows.append((f"sense amplifier, {quantity(amplifier.r_feedback, 'ohm')}", "no current", power, charge))
    if energy.hold is not None:
        block, each = (
            ("hold switch", "a sample") if calibration.integrator is None else ("integrator's switches", "a product")
        )
        rows.append((block, "opened and closed once", "", f"{quantity(energy.hold, 'J')} {each}"))
    if energy.buffer is not None:
        rows.append(("buffer behind a hold switch", "mean of what it holds", quantity(energy.buffer, "W"), ""))
    if energy.bias is not None:
        rows.append(("bias generator of a tile", "its mirrors not counted", quantity(energy.bias, "W"), ""))
    if (adc := energy.adc) is not None:
        rows.append((f"ADC, {adc.bits} bit", f"{quantity(adc.time, 's')} a conversion", "",
                     f"{quantity(adc.energy, 'J')} a conversion"))  # fmt: skip
        if adc.logic is not None and adc.leakage is not None:
            rows.append(("its logic, of cells", "a part of it", quantity(adc.leakage, "W"),
                         f"{quantity(adc.logic, 'J')} a conversion"))  # fmt: skip
    blocks: list[Block] = [
        Table(
            caption="What blocks draw from all their supplies: at rest, and beyond it for each change.",
            columns=(Column(title="block", text=True), Column(title="condition", text=True),
                     Column(title="power at rest"), Column(title="for a change")),
            rows=tuple(rows),
            wide=False,
        ),
    ]  # fmt: skip
    if energy.amplifiers:
        blocks.append(
            Illustration(
                title="Power of a sense amplifier against its current",
                caption="At rest; beyond a rail the output stage gives what it can.",
                figure=plot_power(energy.amplifiers),
            )
        )
    if balance := [
        check for check in _checks(calibration) if check.energy is not None and check.energy_error is not None
    ]:
        blocks.append(
            Table(
                caption="The sum over blocks beside the charge that the supplies of whole tiles delivered, in the "
                "transients of the settling check.",
                columns=(
                    Column(title="tile", text=True), Column(title="change of codes", text=True), Column(title="time"),
                    Column(title="supplies"), Column(title="error of the sum", unit="%"),
                ),
                rows=tuple(
                    (*_names(check), quantity(float(check.times[-1]), "s", 3), quantity(check.energy or 0.0, "J"),
                     f"{100 * (check.energy_error or 0.0):+.3f}".replace("-", "\N{MINUS SIGN}"))
                    for check in balance
                ),
            )
        )  # fmt: skip
    return Section(
        anchor="energy",
        title="Energy",
        text="Every source of a tile belongs to one block, so the sum over blocks is what the supplies deliver; what "
        "the array dissipates comes through the drivers.",
        blocks=tuple(blocks),
    )


def _checks(calibration: Calibration) -> tuple[SettlingCheck, ...]:
    return () if calibration.settling is None else calibration.settling.checks
