"""Calibrate mismatch: many drawn instances of each block, simulated together, and the distributions they follow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.mismatch import (
    DacMismatch,
    Gaussian,
    MismatchModel,
    SenseAmplifierMismatch,
    TileInstance,
    code_basis,
)
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.coding import POLARITIES, Polarity
from spicesim.netlist.ensemble import build_cells, build_dacs, build_senseamps
from spicesim.netlist.mismatch import Draw, draw_normal, match_moments, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["RESISTORS", "calibrate_mismatch", "chip_draw", "find_instance", "with_chip_mismatch"]

RESISTORS = 0.005
"""Relative standard deviation of resistors [1]: what polysilicon resistors of some hundred um^2 are matched to."""

COMPONENTS = 5
"""Components of an amplifier's tables; four leave 6e-5 V of 1.65 V on GF180MCU, and one more costs nothing."""

GROUP = 10
"""Blocks in one netlist; in larger ones a block that hardly converges delays all others."""

CELLS = 400
"""Cells in one netlist; each is two subcircuits of its own, of which ngspice takes 4000."""

_OWN_DRAWS = -1
"""Sample number of the draws behind the statistics: no chip that a user draws is among them."""

_KNEE = 3e-3
"""Curvature of an amplifier's input table that belongs to a knee, as a fraction of its largest."""

_REACH = 15e-3
"""Outputs by which mismatch moves the rails [V]."""


def chip_draw(seed: int, sample: int = 0) -> Draw:
    """Return the draws of one chip's transistors and resistors; its memory devices stay as they are programmed."""
    draw = draw_normal(seed, sample)

    def of_path(path: str) -> tuple[float, float]:
        memory = path.startswith("xc_") and path.rpartition(".")[2].startswith("r")
        return (0.0, 0.0) if memory else draw(path)

    return of_path


def with_chip_mismatch(netlist: Netlist, calibration: Calibration, draw: Draw) -> Netlist:
    """Draw all transistors and resistors of a chip's netlist, with the resistors' spread that was calibrated."""
    resistors = RESISTORS if calibration.mismatch is None else calibration.mismatch.resistors
    return with_mismatch(netlist, calibration.chip.process, draw, resistors=resistors)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """Runs drawn blocks and makes parameters of them."""

    calibration: Calibration
    campaign: Campaign
    draw: Draw

    def _run(self, netlists: Sequence[Netlist], label: str) -> list[Results]:
        drawn = [with_chip_mismatch(netlist, self.calibration, self.draw) for netlist in netlists]
        return self.campaign.run(drawn, label)

    def dac_voltages(self, dac: DacModel, count: int, codes: range) -> Floats:
        """Simulate drivers; return what they add to the nominal voltages, shape (drivers, codes) [V]."""
        chip, groups = self.calibration.chip, _groups(count)
        results = self._run([build_dacs(chip, dac.polarity, group, codes) for group in groups], "DAC mismatch")
        reference = chip.sense_amplifier.v_reference
        found = [
            run[0].vectors[f"v(dac_{i})"].real - reference
            for group, run in zip(groups, results, strict=True)
            for i in group
        ]
        return np.asarray(np.stack(found) - dac.v_open[np.array(codes)])

    def dac_parameters(self, dac: DacModel, count: int) -> Floats:
        """Fit offset and weights of drivers 0..count-1, shape (count, 1 + bits) [V]."""
        bits = self.calibration.chip.dac.bits
        codes = _codes(bits)
        added = self.dac_voltages(dac, count, codes)
        return np.asarray(np.linalg.lstsq(code_basis(bits)[np.array(codes)], added.T, rcond=None)[0].T)

    def amplifier_tables(
        self, amplifier: SenseAmplifierModel, count: int, points: Sequence[int]
    ) -> tuple[Floats, Floats]:
        """Simulate amplifiers at the nominal currents divided by their gains.

        Returns
        -------
        gain : ndarray of shape (amplifiers,)
            Feedback resistances, relative to the nominal one, from two currents in the linear range.
        added : ndarray of shape (amplifiers, 2, points)
            What they add to the nominal input and output [V].
        """
        groups, currents = _groups(count), amplifier.currents
        inner = np.interp([-0.5 * amplifier.linear_swing, 0.5 * amplifier.linear_swing], amplifier.v_out, currents)
        ends = [int(k) for k in np.searchsorted(currents, inner)]
        ones = np.ones(count)
        pair = self._tables(amplifier, groups, ones, ends)
        gain = 1 + (pair[:, 1, 1] - pair[:, 1, 0]) / float(np.diff(amplifier.v_out[ends])[0])
        return gain, self._tables(amplifier, groups, gain, points)

    def _tables(
        self, amplifier: SenseAmplifierModel, groups: Sequence[range], gain: Floats, points: Sequence[int]
    ) -> Floats:
        chip, index = self.calibration.chip, np.asarray(points)
        currents, parts = amplifier.currents[index], np.split(gain, np.cumsum([len(group) for group in groups])[:-1])
        netlists = [
            build_senseamps(chip, amplifier.r_feedback, group, part, currents)
            for group, part in zip(groups, parts, strict=True)
        ]
        results = self._run(netlists, "TIA mismatch")
        reference = chip.sense_amplifier.v_reference
        nominal = np.stack([amplifier.v_in[index], amplifier.v_out[index]])
        return np.stack([
            np.stack([
                run[0].vectors[f"v(sense_{j})"].real - reference,
                reference - run[0].vectors[f"v(out_{j})"].real,
            ]) - nominal
            for group, run in zip(groups, results, strict=True)
            for j in group
        ])  # fmt: skip

    def cell_resistances(self, rows: int, columns: int) -> Floats:
        """Find the resistance in series with each cell, shape (rows, columns) [ohm].

        It is found at the largest device, where it matters most.
        """
        chip, cell = self.calibration.chip, self.calibration.cell
        g, v = chip.cell.g_max, chip.cell.v_read
        step = max(1, CELLS // columns)
        bands = [range(first, min(first + step, rows)) for first in range(0, rows, step)]
        nominal = self.campaign.run([build_cells(chip, range(1), 1, g, v)], "cell mismatch")[0]
        results = self._run([build_cells(chip, band, columns, g, v) for band in bands], "cell mismatch")
        found = [
            [float(run[0].vectors[f"i(vsense_{i}_{j})"][0].real) for j in range(columns)]
            for band, run in zip(bands, results, strict=True)
            for i in band
        ]
        return _series_resistance(cell, g, v, np.array(found) / float(nominal[0].vectors["i(vsense_0_0)"][0].real))


def _groups(count: int) -> list[range]:
    return [range(k, min(k + GROUP, count)) for k in range(0, count, GROUP)]


def _codes(bits: int, *, held_out: bool = False) -> range:
    """Choose some fifty codes, or as many between them; wider steps converge badly, odd ones move every bit."""
    step = max(1, 2**bits // 52) | 1
    return range(step // 2 if held_out else 0, 2**bits, step)


def _table_points(amplifier: SenseAmplifierModel) -> list[int]:
    """Choose points of an amplifier's tables, 3 mV apart where it meets its rails, a 120th of the range elsewhere."""
    step = amplifier.r_feedback * float(np.diff(amplifier.currents[:2])[0])
    bend = np.abs(np.diff(amplifier.v_in, 2, prepend=amplifier.v_in[0], append=amplifier.v_in[-1]))
    bend[[0, -1]] = 0.0
    knee = maximum_filter1d(bend, 2 * round(_REACH / step) + 1) > _KNEE * bend.max()
    fine, coarse = max(1, round(3e-3 / step)), max(1, len(bend) // 120)
    index = np.arange(len(bend))
    chosen = np.where(knee, index % fine == 0, index % coarse == 0)
    chosen[[0, -1]] = True
    return [int(k) for k in index[chosen]]


def _series_resistance(cell: CellModel, g: float, v: float, ratio: Floats) -> Floats:
    """Return the resistance that changes the current of a cell by a ratio, by Newton's method [ohm]."""
    wanted, device = float(cell.current(g, v)) * ratio, np.full(ratio.shape, g)
    for _ in range(20):
        current = cell.current(device, v)
        slope = (cell.current(device * (1 + 1e-6), v) - current) / (device * 1e-6)
        device = device - (current - wanted) / slope
    return np.asarray(1 / device - 1 / g)


def calibrate_mismatch(calibration: Calibration, campaign: Campaign) -> MismatchModel:
    """Find the distributions of a chip's blocks.

    Every transistor follows its foundry's statistics, every resistor :data:`RESISTORS`. The draws have the moments of
    these, as far as :func:`spicesim.netlist.mismatch.match_moments` can: of the default chip all of an amplifier's 46
    numbers and half of a driver's 172, with fewer draws fewer. Of each kind of block some further instances are held
    out to tell what their few parameters leave.
    """
    draws, held_out, cells = (50, 10, 400) if campaign.quick else (120, 20, 1000)
    draw = match_moments(chip_draw(campaign.seed, _OWN_DRAWS), draws)
    bench = _Bench(calibration=calibration, campaign=campaign, draw=draw)
    dacs: dict[Polarity, DacMismatch] = {
        polarity: _dac_statistics(bench, calibration.dacs[polarity], draws, held_out) for polarity in POLARITIES
    }
    amplifiers = tuple(_amplifier_statistics(bench, model, draws, held_out) for model in calibration.senseamps)
    resistance = bench.cell_resistances(cells // 20, 20)
    return MismatchModel(
        resistors=RESISTORS,
        dacs=dacs,
        senseamps=amplifiers,
        cell=Gaussian.fit(("r_series [ohm]",), resistance.reshape(-1, 1)),
    )


def _dac_statistics(bench: _Bench, dac: DacModel, draws: int, held_out: int) -> DacMismatch:
    bits = bench.calibration.chip.dac.bits
    names = ("offset [V]", *(f"weight of bit {k} [V]" for k in range(bits)))
    values = bench.dac_parameters(dac, draws)
    codes = _codes(bits, held_out=True)
    rest = bench.dac_voltages(dac, held_out, codes) - values[:held_out] @ code_basis(bits)[np.array(codes)].T
    return DacMismatch(parameters=Gaussian.fit(names, values), residual=float(np.abs(rest).max()))


def _amplifier_statistics(
    bench: _Bench, amplifier: SenseAmplifierModel, draws: int, held_out: int
) -> SenseAmplifierMismatch:
    points = _table_points(amplifier)
    gain, added = bench.amplifier_tables(amplifier, draws + held_out, points)
    flat = added[:draws].reshape(draws, -1)
    # a component of unit size is one of the most telling directions in which tables differ; the mean lies among them
    _, spread, directions = np.linalg.svd(flat, full_matrices=False)
    count = min(COMPONENTS, int(np.sum(spread > 1e-9 * spread[0])))
    scale = spread[:count, None] / np.sqrt(draws)
    components = (directions[:count] * scale).reshape(count, 2, -1)
    sizes = _sizes(components, added)
    rest = added - np.einsum("jk,ktp->jtp", sizes, components)
    names = ("gain [1]", *(f"component {k + 1} [1]" for k in range(count)))
    parameters = np.concatenate([gain[:, None], sizes], axis=1)
    return SenseAmplifierMismatch(
        r_feedback=amplifier.r_feedback,
        currents=amplifier.currents[np.array(points)],
        components=components,
        parameters=Gaussian.fit(names, parameters[:draws]),
        residual=float(np.abs(rest[draws:]).max()),
    )


def _sizes(components: Floats, added: Floats) -> Floats:
    """Find the sizes of components in tables (amplifiers, 2, points) by least squares, (amplifiers, components)."""
    flat = components.reshape(len(components), -1)
    return np.asarray(np.linalg.lstsq(flat.T, added.reshape(len(added), -1).T, rcond=None)[0].T)


def find_instance(
    calibration: Calibration, rows: int, columns: int, *, polarity: Polarity, r_feedback: float, draw: Draw,
    campaign: Campaign,
) -> TileInstance:  # fmt: skip
    """Find the parameters of one tile's blocks from simulations of these blocks alone.

    Parameters
    ----------
    calibration : Calibration
        With its mismatch.
    rows, columns : int
        Size of the tile.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.
    r_feedback : float
        Feedback resistance [ohm].
    draw : callable
        The draws of the tile's devices, such as :func:`chip_draw` gives.
    campaign : Campaign
        Runs the simulations.

    Raises
    ------
    CalibrationError
        If the calibration has no mismatch.
    """
    model = calibration.require_mismatch()
    bench = _Bench(calibration=calibration, campaign=campaign, draw=draw)
    amplifier, kind = calibration.senseamp(r_feedback), model.senseamp(r_feedback)
    points = np.searchsorted(amplifier.currents, kind.currents - 1e-3 * np.diff(amplifier.currents[:2])[0])
    gain, added = bench.amplifier_tables(amplifier, columns, [int(k) for k in points])
    return TileInstance(
        drivers=model.dacs[polarity],
        driver_parameters=bench.dac_parameters(calibration.dacs[polarity], rows),
        amplifiers=kind,
        amplifier_parameters=np.concatenate([gain[:, None], _sizes(kind.components, added)], axis=1),
        r_cell=bench.cell_resistances(rows, columns),
    )
