"""Calibrate mismatch: how the parameters of each block follow from the numbers of its devices."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.mismatch import (
    DacMismatch,
    LevelMismatch,
    MismatchModel,
    SenseAmplifierMismatch,
    code_basis,
)
from spicesim.behavioural.response import Response
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.buffer_mismatch import find_buffer_mismatch
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter_mismatch import find_converter_mismatch
from spicesim.calibration.converters import find_comparator
from spicesim.calibration.drawn_hand_over import find_drawn
from spicesim.calibration.hand_over import known_hand_over
from spicesim.calibration.hold_mismatch import find_hold_mismatch
from spicesim.calibration.integrator_mismatch import find_integrator_mismatch
from spicesim.calibration.mismatch_bench import (
    RESISTORS,
    MismatchBench,
    fit_response,
    table_points,
)
from spicesim.calibration.quadratic import Quadratic, find_quadratic, moved_quadratic, with_quadratic
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.ensemble import build_cells

__all__ = ["calibrate_mismatch", "cell_responses"]

COMPONENTS = 5
"""Components of an amplifier's tables; four leave 6e-5 V of 1.65 V on GF180MCU, and one more costs nothing."""

CODES = 12
"""Codes from which the weights of bits follow, at least."""

_CONDITION = 10
"""Of the codes behind the weights of bits, by which errors of the simulator grow at most."""


def _codes(bits: int, *, held_out: bool = False) -> range:
    """Choose some codes from which the weights of all bits follow, or as many between them."""
    for step in range(max(1, 2**bits // CODES) | 1, 0, -2):  # odd steps move every bit
        codes = range(0, 2**bits, step)
        if np.linalg.cond(code_basis(bits)[np.array(codes)]) < _CONDITION:
            break
    return range(step // 2 if held_out else 0, 2**bits, step)


def calibrate_mismatch(calibration: Calibration, campaign: Campaign) -> MismatchModel:
    """Find how a chip's blocks follow from the numbers of their devices.

    Every transistor follows its foundry's statistics, every resistor :data:`RESISTORS`. Of each kind of block some
    further instances with numbers at random are held out, to tell what parameters that are predicted from these leave.

    Raises
    ------
    SpecError
        If R-2R ladders drive floating bit lines.
    """
    if calibration.hold is not None and calibration.chip.dac.is_dac:
        raise SpecError(
            "mismatch of R-2R drivers is found with that of sense amplifiers, and floating bit lines have none; set "
            "dac.kind = bits, or leave the aspect mismatch out"
        )
    held_out, gated = 10 if campaign.quick else 30, calibration.chip.cell.is_gated
    bench = MismatchBench(calibration=calibration, campaign=campaign)
    dacs: dict[Polarity, DacMismatch | LevelMismatch] = {}
    amplifiers: tuple[SenseAmplifierMismatch, ...] = ()
    hold = integrator = buffer = hand_over = None
    if calibration.integrator is not None:
        integrator = find_integrator_mismatch(bench, held_out)
    elif calibration.hold is None:
        middle = calibration.senseamps[len(calibration.senseamps) // 2]
        quadratic = find_quadratic(  # the same with any feedback
            bench, bench.amplifier_devices(middle), lambda planned: bench.amplifier_lines(middle, planned)[:, 1]
        )
        amplifiers = tuple(_amplifier_response(bench, model, quadratic, held_out) for model in calibration.senseamps)
        known = known_hand_over(calibration)
        if known is not None and known.rings:
            hand_over = find_drawn(calibration.chip, known, bench.amplifier_devices(middle), campaign)
    else:
        hold = find_hold_mismatch(bench, held_out)
        buffer = find_buffer_mismatch(bench, held_out) if calibration.chip.hold.is_buffered else None
    for polarity in calibration.chip.polarities:
        dac = calibration.dacs[polarity]
        devices = bench.dac_devices(dac)
        if not calibration.chip.dac.is_dac:
            dacs[polarity] = LevelMismatch.alike(devices) if gated else _level_response(bench, dac, devices, held_out)
            continue
        along = moved_quadratic(quadratic, bench.amplifier_devices(middle), devices)
        dacs[polarity] = _dac_response(bench, dac, devices, along, held_out)
    cell, *other = cell_responses(bench)
    converter, residual = None, None
    if find_comparator(calibration.chip) is not None:
        converter, residual = find_converter_mismatch(bench, held_out)
    return MismatchModel(
        resistors=RESISTORS, dacs=dacs, senseamps=amplifiers, cell=cell, other_half=other[0] if other else None,
        converter=converter, converter_residual=residual, hold=hold, integrator=integrator, buffer=buffer,
        hand_over=hand_over,
    )  # fmt: skip


def _dac_response(
    bench: MismatchBench, dac: DacModel, devices: tuple[str, ...], quadratic: Quadratic, held_out: int
) -> DacMismatch:
    bits = bench.calibration.chip.dac.bits
    codes = _codes(bits)
    design, others = bench.plan(devices, held_out, bench.idle_devices(dac, devices))
    added = bench.dac_voltages(dac, design, codes)
    values = np.linalg.lstsq(code_basis(bits)[np.array(codes)], added.T, rcond=None)[0].T
    names = ("offset [V]", *(f"weight of bit {k} [V]" for k in range(bits)))
    response = with_quadratic(fit_response("xdac", names, design, values), 0, quadratic, design, values[:, 0])
    codes = _codes(bits, held_out=True)
    predicted = response.parameters(others.numbers) @ code_basis(bits)[np.array(codes)].T
    rest = bench.dac_voltages(dac, others, codes) - predicted
    return DacMismatch(response=response, residual=float(np.abs(rest).max()))


def _level_response(bench: MismatchBench, dac: DacModel, devices: tuple[str, ...], held_out: int) -> LevelMismatch:
    """Find the response of the resistances of both levels, loaded by half of the most that the model takes."""
    levels, load = range(2), 0.5 * dac.i_limit
    droop = dac.ports.evaluate(np.full(2, load), np.arange(2))[0]
    design, others = bench.plan(devices, held_out)
    names = tuple(f"resistance of level {k} [1]" for k in levels)
    response = fit_response("xdac", names, design, -bench.dac_voltages(dac, design, levels, load) / droop)
    rest = bench.dac_voltages(dac, others, levels, load) + response.parameters(others.numbers) * droop
    return LevelMismatch(kind="levels", response=response, residual=float(np.abs(rest).max()))


def _amplifier_response(
    bench: MismatchBench, amplifier: SenseAmplifierModel, quadratic: Quadratic, held_out: int
) -> SenseAmplifierMismatch:
    points = table_points(amplifier)
    currents = amplifier.currents[np.array(points)]
    design, others = bench.plan(bench.amplifier_devices(amplifier), held_out)
    lines = bench.amplifier_lines(amplifier, design)
    added = bench.amplifier_tables(amplifier, design, lines, points)
    # a component of unit size is one of the most telling directions in which tables differ
    _, spread, directions = np.linalg.svd(added.reshape(len(design), -1), full_matrices=False)
    count = min(COMPONENTS, int(np.sum(spread > 1e-9 * spread[0])))
    scale = spread[:count, None] / np.sqrt(len(design))
    components = (directions[:count] * scale).reshape(count, 2, -1)
    values = np.concatenate([lines, _sizes(components, added)], axis=1)
    names = ("gain [1]", "offset [V]", *(f"component {k + 1} [1]" for k in range(count)))
    response = with_quadratic(fit_response("xsenseamp", names, design, values), 1, quadratic, design, lines[:, 1])
    predicted = response.parameters(others.numbers)
    tables = bench.amplifier_tables(amplifier, others, predicted[:, :2], points)
    rest = tables - np.einsum("jk,ktp->jtp", predicted[:, 2:], components)
    return SenseAmplifierMismatch(
        r_feedback=amplifier.r_feedback, currents=currents, components=components, response=response,
        residual=float(np.abs(rest).max()),
    )  # fmt: skip


def _sizes(components: Floats, added: Floats) -> Floats:
    """Find the sizes of components in tables (amplifiers, 2, points) by least squares, (amplifiers, components)."""
    flat = components.reshape(len(components), -1)
    return np.asarray(np.linalg.lstsq(flat.T, added.reshape(len(added), -1).T, rcond=None)[0].T)


def cell_responses(bench: MismatchBench) -> list[Response]:
    """Find the response of the resistance in series with a cell, or with each half of a cell of two bit lines."""
    chip = bench.calibration.chip
    netlist = build_cells(chip, range(1), np.full((1, 1 + chip.cell.is_paired), chip.cell.g_max), chip.cell.v_read)
    design, _ = bench.plan(bench.devices(netlist, "xc_0_0"), 0)
    return [fit_response("xc", ("r_series [ohm]",), design, r[:, None]) for r in bench.cell_resistances(design).T]
