"""The bench of mismatch: blocks whose devices have planned numbers, and how their parameters follow from these.

Many instances are simulated together. Their numbers are the rows of orthogonal matrices and the negatives of these:
half the difference of such a pair is what is linear in the numbers, one by one, and half the sum is all else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.hold_mismatch import HOLD
from spicesim.behavioural.integrator_mismatch import INTEGRATOR
from spicesim.behavioural.response import Response
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converters import find_comparator
from spicesim.calibration.threshold import WIDE, ThresholdSearch, find_thresholds
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip import Chip
from spicesim.netlist.ensemble import build_cells, build_dacs, build_sense_amplifiers
from spicesim.netlist.mismatch import Draw, drawn_devices, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.pace import converting
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.ngspice.outcome import Results
from spicesim.units import spice_number

__all__ = [
    "RESISTORS",
    "MismatchBench",
    "Planned",
    "draw_chip",
    "fit_response",
    "table_points",
    "used_numbers",
    "with_chip_mismatch",
]

RESISTORS = 0.005
"""Relative standard deviation of resistors [1]: what polysilicon resistors of some hundred um^2 are matched to."""

DRIVERS, AMPLIFIERS = 2, 10
"""Blocks in one netlist; in larger ones a block that hardly converges delays all others."""

TELLING = 1e-6
"""Change of an output by two sigma of all devices of one kind, from which on they take part [V]."""

LEAST_PAIRS = 20
"""Pairs of blocks behind a response, at least."""

_KNEE = 3e-3
"""Curvature of an amplifier's input table that belongs to a knee, as a fraction of its largest."""

_REACH = 15e-3
"""Outputs by which mismatch moves the rails [V]."""


def with_chip_mismatch(netlist: Netlist, calibration: Calibration, draw: Draw) -> Netlist:
    """Draw all transistors and resistors of a chip's netlist, with the resistors' spread that was calibrated.

    So are hold capacitors and integrating ones. Its memory devices stay as they are programmed.
    """
    return draw_chip(netlist, calibration.chip, draw, resistors=_resistors(calibration))


def draw_chip(netlist: Netlist, chip: Chip, draw: Draw, *, resistors: float = RESISTORS) -> Netlist:
    """Draw all devices of a chip's netlist as :func:`with_chip_mismatch`, resistors by a spread of one's own [1]."""
    return with_mismatch(
        netlist, chip.process, _without_memory(draw), resistors=resistors, capacitors=_capacitors(chip)
    )


def _capacitors(chip: Chip) -> Mapping[str, float]:
    hold, integrator = (chip.capacitor_spread(own.capacitor, own.mismatch) for own in (chip.hold, chip.integrator))
    return {"voltage": {HOLD: hold}, "integrator": {INTEGRATOR: integrator}}.get(chip.sense_amplifier.kind, {})


def _resistors(calibration: Calibration) -> float:
    return RESISTORS if calibration.mismatch is None else calibration.mismatch.resistors


def _is_resistor(path: str) -> bool:
    return path.rpartition(".")[2].startswith("r")


def _is_passive(path: str) -> bool:
    return path.rpartition(".")[2].startswith(("r", "c"))


def _is_memory(path: str) -> bool:
    return path.startswith("xc_") and _is_resistor(path)


def _without_memory(draw: Draw) -> Draw:
    return lambda path: (0.0, 0.0) if _is_memory(path) else draw(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Instances of one block whose devices have planned numbers."""

    devices: tuple[str, ...]
    """Paths within the block."""
    numbers: Floats
    """Shape (instances, 2 devices)."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __call__(self, path: str) -> tuple[float, float]:
        """Return the numbers of a device at a path of the instances' netlist."""
        block, _, device = path.partition(".")
        place = 2 * self.devices.index(device)
        first, second = self.numbers[int(block.rpartition("_")[2]), place : place + 2]
        return float(first), float(second)


@dataclass(frozen=True, slots=True, kw_only=True)
class MismatchBench:
    """Runs blocks with planned numbers and makes parameters of them."""

    calibration: Calibration
    campaign: Campaign

    def _run(self, netlists: Sequence[Netlist], draw: Draw, label: str) -> list[Results]:
        drawn = [with_chip_mismatch(netlist, self.calibration, draw) for netlist in netlists]
        return self.campaign.run(drawn, label)

    def devices(self, netlist: Netlist, block: str) -> tuple[str, ...]:
        """Return the paths of the drawn devices of a block in the netlist, within it."""
        found = drawn_devices(
            netlist, self.calibration.chip.process, resistors=_resistors(self.calibration),
            capacitors=_capacitors(self.calibration.chip),
        )  # fmt: skip
        return tuple(path.partition(".")[2] for path in found if path.startswith(f"{block}.") and not _is_memory(path))

    def amplifier_devices(self, amplifier: SenseAmplifierModel) -> tuple[str, ...]:
        """Return the paths of the drawn devices of a sense amplifier."""
        netlist = build_sense_amplifiers(self.calibration.chip, amplifier.r_feedback, range(1), [1.0], [-1e-6, 1e-6])
        return self.devices(netlist, "xsenseamp_0")

    def dac_devices(self, dac: DacModel) -> tuple[str, ...]:
        """Return the paths of the drawn devices of a driver."""
        return self.devices(build_dacs(self.calibration.chip, dac.polarity, range(1), range(2)), "xdac_0")

    def plan(self, devices: tuple[str, ...], held_out: int, idle: tuple[str, ...] = ()) -> tuple[Planned, Planned]:
        """Choose the numbers of the instances of a fit, in two halves of opposite sign, and of those held out.

        In the fit idle devices, and the numbers that resistors do not use, stay 0.
        """
        rng = np.random.default_rng([self.campaign.seed, len(devices)])
        used = used_numbers(devices, idle)
        pairs = max(int(used.sum()), LEAST_PAIRS)
        design = np.zeros((2 * pairs, len(used)))
        root = np.sqrt(pairs) * np.linalg.qr(rng.standard_normal((pairs, int(used.sum()))))[0]
        design[:, used] = np.concatenate([root, -root])
        return (
            Planned(devices=devices, numbers=design),
            Planned(devices=devices, numbers=rng.standard_normal((held_out, 2 * len(devices)))),
        )

    def idle_devices(self, dac: DacModel, devices: tuple[str, ...]) -> tuple[str, ...]:
        """Find the devices of a driver that move no output, such as the inverters of its switches."""
        kinds = [re.sub(r"^([^.\d]+)\d+", r"\1", device) for device in devices]  # of all bits
        names = ["", *dict.fromkeys(kinds)]
        # no two alike, and of either sign: what one device does none undoes
        rng = np.random.default_rng([self.campaign.seed, len(devices), 2])
        shifts = rng.uniform(1.5, 2.5, 2 * len(devices))
        ways = (shifts, shifts * rng.choice([-1, 1], 2 * len(devices)))
        numbers = [way * np.repeat([kind == name for kind in kinds], 2) for name in names for way in ways]
        bits = self.calibration.chip.dac.bits
        codes = range(0, 2**bits, 2 ** (bits - 1) - 1)
        volts = self.dac_voltages(dac, Planned(devices=devices, numbers=np.stack(numbers)), codes)
        moved = np.abs(volts - volts[0]).max(axis=1).reshape(len(names), len(ways)).max(axis=1)
        return tuple(device for device, kind in zip(devices, kinds, strict=True) if moved[names.index(kind)] < TELLING)

    def dac_voltages(self, dac: DacModel, draw: Planned, codes: range, load: float = 0.0) -> Floats:
        """Simulate drivers with a load [A]; return what they add to the nominal voltages, (drivers, codes) [V]."""
        chip, groups = self.calibration.chip, _groups(len(draw), DRIVERS)
        netlists = [build_dacs(chip, dac.polarity, group, codes, load=load) for group in groups]
        results = self._run(netlists, draw, "DAC mismatch")
        reference = chip.sense_amplifier.v_reference
        found = [
            run[0].vectors[f"v(dac_{i})"].real - reference
            for group, run in zip(groups, results, strict=True)
            for i in group
        ]
        return np.asarray(np.stack(found) - dac.volts(codes, np.full(len(codes), load)))

    def amplifier_lines(self, amplifier: SenseAmplifierModel, draw: Planned) -> Floats:
        """Find gains [1] and offsets [V] from two currents in the linear range, shape (amplifiers, 2)."""
        swing = 0.5 * amplifier.linear_swing
        inner = np.interp([-swing, swing], amplifier.v_out, amplifier.currents)
        ends = [int(k) for k in np.searchsorted(amplifier.currents, inner)]
        # in small steps from the rail that first guesses are for: to find either point at once takes twice as long
        points = np.unique([*ends, *(k for k in table_points(amplifier) if k < ends[1])])
        found = self.amplifier_tables(amplifier, draw, np.tile([1.0, 0.0], (len(draw), 1)), points.tolist())
        pair = found[..., np.isin(points, ends)]
        gain = 1 + (pair[:, 1, 1] - pair[:, 1, 0]) / float(np.diff(amplifier.v_out[ends])[0])
        return np.stack([gain, pair[:, 0].mean(axis=1)], axis=1)

    def amplifier_tables(
        self, amplifier: SenseAmplifierModel, draw: Planned, lines: Floats, points: Sequence[int]
    ) -> Floats:
        """Simulate amplifiers where those of their gains and offsets, `lines`, meet the nominal tables.

        Returns
        -------
        ndarray of shape (amplifiers, 2, points)
            What they add to these in input and output [V].
        """
        chip, index, groups = self.calibration.chip, np.asarray(points), _groups(len(draw), AMPLIFIERS)
        currents, shifts = amplifier.currents[index], lines[:, 1] / amplifier.feedback
        netlists = [
            build_sense_amplifiers(chip, amplifier.r_feedback, group, lines[group, 0], currents, shifts[group])
            for group in groups
        ]
        results = self._run(netlists, draw, "TIA mismatch")
        reference = chip.sense_amplifier.v_reference
        nominal = np.stack([amplifier.v_in[index], amplifier.v_out[index]])
        return np.stack([
            np.stack([
                run[0].vectors[f"v(sense_{j})"].real - reference - lines[j, 1],
                reference - run[0].vectors[f"v(out_{j})"].real,
            ]) - nominal
            for group, run in zip(groups, results, strict=True)
            for j in group
        ])  # fmt: skip

    def threshold_search(self, draw: Planned, around: Floats | None = None) -> ThresholdSearch:
        """Return the search for the threshold of each comparator of a converter, around where it is expected [V]."""
        chip = self.calibration.chip

        def drawn(netlist: Netlist, part: range) -> Netlist:
            return with_chip_mismatch(netlist, self.calibration, partial(_shifted, draw, part.start))

        starts = np.zeros(len(draw)) if around is None else around
        return ThresholdSearch(chip=chip, sizes=find_comparator(chip), starts=starts, drawn=drawn)

    def thresholds(self, draw: Planned, around: Floats | None = None, reach: float = WIDE, *, finest: float) -> Floats:
        """Find the threshold of each comparator of a converter, at its top plate, (comparators,) [V].

        Parameters
        ----------
        draw : Planned
            Of the comparators.
        around : ndarray of shape (comparators,), optional
            Where to search [V].
        reach, finest : float
            As of :func:`find_thresholds`.

        Raises
        ------
        ValidityError
            As :func:`find_thresholds`.
        """
        (found,) = find_thresholds([self.threshold_search(draw, around)], self.campaign, reach=reach, finest=finest)
        return found

    def sampling(self) -> Netlist:
        """Build the sampling of one voltage by a converter, in the middle of its range, until its first strobe."""
        chip = self.calibration.chip
        sizes = chip.converter
        assert sizes is not None
        stop = sizes.sample + sizes.bit * 2 / 3 - BEFORE_STROBE
        netlist = build_sar_adc(chip, [chip.sense_amplifier.v_reference], sizes.with_ideal_logic)
        return replace(netlist, analyses=(f".tran 0.5n {spice_number(stop)} 0 1n",), options=converting(chip, sizes))

    def sampled_plates(self, draw: Planned) -> Floats:
        """Find what each sampling switch adds to what a nominal one leaves on the top plate, (switches,) [V]."""

        def drawn(k: int) -> Draw:
            return lambda path: draw(f"xsample_{k}.{path.partition('.')[2]}") if path.startswith("xsample.") else (0, 0)

        netlists = [with_chip_mismatch(self.sampling(), self.calibration, lambda path: (0.0, 0.0))]
        netlists += [with_chip_mismatch(self.sampling(), self.calibration, drawn(k)) for k in range(len(draw))]
        vectors = [results[0].vectors for results in self.campaign.run(netlists, "converter mismatch")]
        plates = np.array([float(found["v(top)"][-1].real - found["v(level)"][-1].real) for found in vectors])
        return np.asarray(plates[1:] - plates[0])

    def cell_resistances(self, draw: Planned) -> Floats:
        """Find the resistance in series with each cell, or each half of it, shape (cells, halves) [ohm].

        It is found at the largest device, where it matters most.
        """
        chip, cell = self.calibration.chip, self.calibration.cell
        g, v = chip.cell.g_max, chip.cell.v_read
        halves = 1 + chip.cell.is_paired
        (nominal,) = self.campaign.run([build_cells(chip, range(1), np.full((1, halves), g), v)], "cell mismatch")
        cells = build_cells(chip, range(1), np.full((1, halves * len(draw)), g), v)
        (drawn,) = self._run([cells], draw, "cell mismatch")
        own, found = (
            np.array([float(r[0].vectors[f"i(vsense_0_{j})"][0].real) for j in range(n)]).reshape(-1, halves)
            for r, n in ((nominal, halves), (drawn, halves * len(draw)))
        )
        return _series_resistance(cell, g, v, found / own)


def used_numbers(devices: tuple[str, ...], idle: tuple[str, ...] = ()) -> npt.NDArray[np.bool_]:
    """Tell which numbers change a block, shape (2 devices,): passive devices use the first, idle ones none."""
    used = [device not in idle and not (k and _is_passive(device)) for device in devices for k in range(2)]
    return np.array(used, dtype=bool)  # of no devices, too: cells without transistors do not differ


def _shifted(draw: Planned, first: int, path: str) -> tuple[float, float]:
    """Return the numbers of a device of a comparator in a netlist that begins with another than the first one."""
    block, _, device = path.partition(".")
    name, _, k = block.rpartition("_")
    return draw(f"{name}_{first + int(k)}.{device}") if name == "xcomparator" else (0.0, 0.0)


def _groups(count: int, size: int) -> list[range]:
    return [range(k, min(k + size, count)) for k in range(0, count, size)]


def table_points(amplifier: SenseAmplifierModel) -> list[int]:
    """Choose points of an amplifier's tables, 3 mV apart where it meets its rails, a 120th of the range elsewhere."""
    from scipy.ndimage import maximum_filter1d  # takes long to import

    step = amplifier.r_feedback * float(np.diff(amplifier.currents[:2])[0])
    bend = np.abs(np.diff(amplifier.v_in, 2, prepend=amplifier.v_in[0], append=amplifier.v_in[-1]))
    bend[[0, -1]] = 0.0
    knee = maximum_filter1d(bend, 2 * round(_REACH / step) + 1) > _KNEE * bend.max()
    fine, coarse = max(1, round(3e-3 / step)), max(1, len(bend) // 120)
    index = np.arange(len(bend))
    chosen = np.where(knee, index % fine == 0, index % coarse == 0)
    chosen[[0, -1]] = True
    return [int(k) for k in index[chosen]]


def _series_resistance(cell: ProgrammableCell, g: float, v: float, ratio: Floats) -> Floats:
    """Return the resistance that changes the current of a cell by a ratio, by Newton's method [ohm]."""
    wanted, device = float(cell.current(g, v)) * ratio, np.full(ratio.shape, g)
    for _ in range(20):
        current = cell.current(device, v)
        slope = (cell.current(device * (1 + 1e-6), v) - current) / (device * 1e-6)
        device = device - (current - wanted) / slope
    return np.asarray(1 / device - 1 / g)


def fit_response(block: str, names: tuple[str, ...], design: Planned, values: Floats) -> Response:
    """Fit how parameters (instances, parameters) of instances in two halves of opposite sign follow from devices."""
    pairs = len(design) // 2
    numbers, first, second = design.numbers[:pairs], values[:pairs], values[pairs:]
    slopes = (0.5 * (first - second)).T @ numbers / pairs
    x = numbers @ slopes.T  # a block bends along the directions in which it moves
    size = np.sqrt((slopes**2).sum(axis=1))
    scaled = x / np.where(size > 0, size, 1.0)
    a, b = np.triu_indices(len(names))
    basis = np.concatenate([np.ones((pairs, 1)), scaled[:, a] * scaled[:, b]], axis=1)
    found = np.linalg.lstsq(basis, 0.5 * (first + second), rcond=None)[0]
    half = np.zeros((len(names),) * 3)
    scale = np.where(size[a] * size[b] > 0, size[a] * size[b], np.inf)
    half[:, a, b] = 0.5 * found[1:].T / scale
    return Response(
        block=block, devices=design.devices, names=names, rest=found[0], slopes=slopes, directions=slopes,
        bends=half + half.transpose(0, 2, 1), simulated=len(design),
    )  # fmt: skip
