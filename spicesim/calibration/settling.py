"""Calibrate how drivers and amplifiers settle: steps of drivers, sweeps and small signals of the amplifier's stages."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.settling import AmplifierStages, DriverShapes, SettlingModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.charges import FREQUENCY, find_charge
from spicesim.calibration.transients import build_step_cases, check_steps
from spicesim.chip import Chip
from spicesim.errors import CalibrationError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.stages import (
    build_cell_response,
    build_feedback_response,
    build_stage_response,
    build_stage_sweep,
)
from spicesim.netlist.step import STEP_TIME
from spicesim.netlist.step_benches import build_dac_steps
from spicesim.ngspice.outcome import Results

__all__ = ["calibrate_settling", "find_passives", "find_settling"]

_NODES = (-0.3, 0.3, 50e-3)
"""How far the inner nodes are swept below ground and above the supply, and the step [V]."""
_INPUTS = (-0.6, 0.6, 10e-3)
"""How far the input is swept around the reference, and the step [V]."""
_CAPACITANCES = 12
"""Voltages at which capacitances are taken."""
_HIGH = (100e6, 300e6)
"""Frequencies at which the resistors in series with the compensation show [Hz]."""
_LOADS = (0.0, 0.05, 0.25, 1.0, 2.0)
"""Loads of the drivers, as a fraction of a row of cells of half the largest conductance."""
_STEPS = (1.0, 0.5, 0.25, 0.05)
"""Steps of the drivers, either way, as a fraction of all they can make."""
_STOP, _SPAN = 60e-9, 0.5
"""Time to watch drivers [s], and the span up to which that is enough [V]: for larger ones they slew as much longer."""


def calibrate_settling(calibration: Calibration, campaign: Campaign) -> SettlingModel:
    """Find what it takes to follow tiles of a chip in time, and hold it against whole tiles."""
    model = find_settling(calibration, campaign)
    cases = build_step_cases(calibration, 8 if campaign.quick else 16, campaign.seed, 1 if campaign.quick else 3)
    return model.model_copy(update={"checks": check_steps(calibration, model, campaign, cases)})


def find_settling(calibration: Calibration, campaign: Campaign) -> SettlingModel:
    """Find what it takes to follow tiles of a chip in time."""
    chip = calibration.chip
    supply = chip.process.supply
    axis = (_NODES[0], supply + _NODES[1], _NODES[2])
    reference = chip.sense_amplifier.v_reference
    inputs = (reference + _INPUTS[0], reference + _INPUTS[1], _INPUTS[2])
    sweeps = [
        build_stage_sweep(chip, "input", inputs, axis),
        *(build_stage_sweep(chip, name, axis, axis) for name in ("mesh", "upper", "lower")),
    ]
    codes, longer = _codes(chip), max(1.0, chip.dac.v_span / _SPAN)
    cells = 0.5 * chip.cell.g_max * chip.array.columns
    c_word = chip.array.c_word_line / (1 + chip.cell.is_paired)  # the two halves of a pair share a segment
    steps = [
        build_dac_steps(
            chip,
            "bipolar",
            codes,
            load=load * cells,
            capacitance=load * chip.array.columns * c_word,
            stop=longer * _STOP,
        )
        for load in _LOADS
    ]
    cell = build_cell_response(chip, 0.5 * chip.cell.g_max, FREQUENCY)
    passives = _build_passives(chip)
    found = campaign.run([*sweeps, *steps, cell, *passives], "calibrate settling")
    c_feedback, c_resistor = find_passives(chip, found[-1]) if passives else (chip.sense_amplifier.c_feedback, None)
    nodes, volts = _grid(axis), _grid(inputs)
    shape = len(nodes), len(nodes)
    if not all(_current(found[1], node).any() for node in ("p", "n")):
        raise CalibrationError(
            "the chip's opamp.cir has no inner nodes p and n, which its settling is calibrated by; name the gates of "
            "its output transistors so, or leave the aspect settling out"
        )
    # the first of two sources is the inner loop
    mesh_p, mesh_n = (_current(found[1], node).reshape(shape).T for node in ("p", "n"))
    upper, lower = (_current(results, "out").reshape(shape).T for results in found[2:4])
    input_p = _current(found[0], "p").reshape(len(nodes), len(volts)).T
    at_reference = np.array([np.interp(reference, volts, column) for column in input_p.T])
    c_nodes, c_inputs, charges, (compensation, lead) = _capacitances(chip, campaign, nodes, mesh_n)
    return SettlingModel(
        amplifier=AmplifierStages(
            v_reference=reference, inputs=volts, nodes=nodes,
            input_p=_short(input_p - at_reference), mesh_p=_short(mesh_p), mesh_n=_short(mesh_n),
            upper=_short(upper), lower=_short(lower),
            c_nodes=c_nodes, c_inputs=c_inputs,
            upper_c=_short(charges[0]), lower_c=_short(charges[1]), input_c=_short(charges[2]),
            compensation=compensation, lead=lead,
        ),
        c_feedback=c_feedback, c_resistor=c_resistor,
        driver=_shapes(np.array(_LOADS) * cells, codes, found[4 : 4 + len(steps)], longer),
        c_word_line=c_word,
        c_bit_line=chip.array.c_bit_line + find_charge(found[4 + len(steps)], "bit"),
    )  # fmt: skip


def _build_passives(chip: Chip) -> list[Netlist]:
    """Return a testbench of the feedback, if it is of the process's resistors or capacitors."""
    if chip.process.resistor is None and chip.process.capacitor is None:
        return []
    return [build_feedback_response(chip, max(chip.settings), FREQUENCY)]


def find_passives(chip: Chip, results: Results) -> tuple[float, float]:
    """Return the feedback capacitor [F], and what a resistor has to ground at either end, by its resistance [F/ohm]."""
    across = -find_charge(results, "out")
    return across, (find_charge(results, "in") - across) / max(chip.settings)


def _grid(axis: tuple[float, float, float]) -> Floats:
    start, end, step = axis
    return np.asarray(start + step * np.arange(round((end - start) / step) + 1))


def _short(values: Floats) -> Floats:
    """Round to seven digits, for the file's sake."""
    flat = np.array([float(f"{x:.7g}") for x in np.ravel(values)])
    return np.asarray(flat.reshape(np.shape(values)))


def _current(results: Results, node: str) -> Floats:
    return np.asarray(results[0].vectors[f"i(v{node})"].real, dtype=float)


def _codes(chip: Chip) -> list[tuple[int, int]]:
    """Return code steps of rising signed size, around the middle."""
    top = 2**chip.dac.code_bits - 1
    sizes = sorted({max(1, round(top * share)) for share in _STEPS})
    ups = [(top // 2 - size // 2, top // 2 - size // 2 + size) for size in sizes]
    ups = [(max(0, min(a, top - (b - a))), max(0, min(a, top - (b - a))) + b - a) for a, b in ups]
    return [(b, a) for a, b in reversed(ups)] + ups


def _shapes(loads: Floats, codes: list[tuple[int, int]], found: list[Results], longer: float) -> DriverShapes:
    times = np.concatenate([np.arange(0, 10, 0.25), np.arange(10, 30, 1.0), np.arange(30, 60, 5.0)]) * 1e-9 * longer
    shares = np.empty((len(loads), len(codes), len(times)))
    steps = np.empty(len(codes))
    for k, results in enumerate(found):
        vectors = results[0].vectors
        for m in range(len(codes)):
            wave = np.asarray(vectors[f"v(out_{m})"].real)
            steps[m] = wave[-1] - wave[0] if k == 0 else steps[m]
            shares[k, m] = (np.interp(times + STEP_TIME, vectors["time"].real, wave) - wave[0]) / (wave[-1] - wave[0])
    return DriverShapes(times=times, steps=steps, loads=loads, shares=_short(shares))


def _capacitances(
    chip: Chip, campaign: Campaign, nodes: Floats, mesh_n: Floats
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats], tuple[float, float]]:
    """Take capacitances at p with n where it rests, and the other way round."""
    supply, reference = chip.process.supply, chip.sense_amplifier.v_reference
    levels = np.linspace(0.0, supply, _CAPACITANCES)
    # node n rests where the mesh delivers what its current source takes
    rest_n = np.array([np.interp(0.0, -row, nodes) for row in mesh_n])
    n_of_p = np.interp(levels, nodes, rest_n)
    order = np.argsort(rest_n)
    p_of_n = np.interp(levels, rest_n[order], nodes[order])
    node, out = (x.ravel() for x in np.meshgrid(levels, levels, indexing="ij"))
    index = np.repeat(np.arange(len(levels)), len(levels))
    at_p = np.stack([np.full(node.size, reference), node, n_of_p[index], out], axis=1)
    at_n = np.stack([np.full(node.size, reference), p_of_n[index], node, out], axis=1)
    volts = np.linspace(reference + _INPUTS[0], reference + _INPUTS[1], 13)
    rest = 0.75 * supply
    at_in = np.stack([volts, np.full(13, rest), np.full(13, np.interp(rest, nodes, rest_n)), np.full(13, reference)], 1)
    found = campaign.run(
        [
            build_stage_response(chip, at_p, ["p"], FREQUENCY),
            build_stage_response(chip, at_p, ["out"], FREQUENCY),
            build_stage_response(chip, at_n, ["n"], FREQUENCY),
            build_stage_response(chip, at_n, ["out"], FREQUENCY),
            build_stage_response(chip, at_in, ["in"], FREQUENCY),
            *(build_stage_response(chip, at_in[6:7], ["out"], frequency) for frequency in _HIGH),
        ],
        "calibrate settling",
    )

    def charge(k: int, name: str, count: int = node.size) -> Floats:
        return np.array([find_charge(found[k], f"{name}_{m}") for m in range(count)])

    shape = len(levels), len(levels)
    upper = np.stack([charge(0, "p"), charge(1, "p"), charge(0, "out"), charge(1, "out")], axis=-1).reshape(*shape, 4)
    lower = np.stack([charge(2, "n"), charge(3, "n"), charge(2, "out"), charge(3, "out")], axis=-1).reshape(*shape, 4)
    # both runs see all of the output's capacitance: leave to the lower side what its node changes
    middle = int(np.argmin(np.abs(levels - np.interp(rest, nodes, rest_n))))
    lower[..., 3] -= lower[middle, :, 3]
    inputs = np.stack([charge(4, "in", 13), charge(4, "p", 13)], axis=-1)
    return levels, volts, (upper, lower, inputs), _compensation(found[5:])


def _compensation(found: list[Results]) -> tuple[float, float]:
    """Find capacitor and resistor in series from the conductance between the output and the inner nodes.

    Of C in series with R it is w^2 C t/(1 + w^2 t^2) with t = R C, so w^2 over it is a straight line in w^2.
    """
    square = (2 * np.pi * np.array(_HIGH)) ** 2
    taken = [[results[0].vectors[f"i(v{node}_0)"][0].real for node in ("p", "n")] for results in found]
    conductance = np.mean(taken, axis=1)
    if conductance.min() <= 0:
        return 0.0, 0.0
    first, second = square / conductance
    slope = float((second - first) / (square[1] - square[0]))
    offset = float(first - slope * square[0])
    if offset <= 0 or slope <= 0:
        return 0.0, 0.0
    lead = float(np.sqrt(slope / offset))
    return 1 / (offset * lead), lead
