"""Calibrate how hand-overs of drawn amplifiers differ, where arrays are cut off while these still ring.

A drawn amplifier has another output than a nominal one, which the model of amplifiers tells, and rings otherwise, as
any does behind a drawn sampling switch. The latter alone is looked for here: each instance is brought near the wanted
output, as its offset tells, and compared with a nominal one at equal outputs, and its switch with one on an ideal
source, as which converters know it. What remains follows from few sums of the devices' numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverGrid, HandOverMismatch, HandOverModel
from spicesim.calibration.amplifier_hand_over import (
    Case,
    Column,
    amplifier_columns,
    columns_at_random,
    errors_told,
    find_hand_overs,
    ringing_outputs,
)
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.charges import find_line_capacitance
from spicesim.calibration.mismatch_bench import RESISTORS, Planned, draw_chip, used_numbers
from spicesim.calibration.sampled import at_strobe, parted, source_outputs
from spicesim.calibration.threshold import plate_switches
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.draws import AMPLIFIER, CONVERTER
from spicesim.netlist.hand_over import HandOver, SourceOver, build_hand_overs
from spicesim.netlist.mismatch import drawn_devices
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["check_drawn", "find_drawn", "shift_drawn"]

DIRECTIONS = 7
"""Sums of numbers that hand-overs follow from: on GF180MCU six of an amplifier's alone left 35 uV rms below the rail,
seven with a switch's leave 19."""
SCOUT_ROWS, SCOUT_LOADS, SCOUT_OUTPUTS = (0.15, 1.0), (3.0, 16.0, 45.0), (0.1, 0.6)
"""Parts of a tile's rows, loads, and parts of the range of outputs, by which these are chosen."""
SCALE = 0.5
"""Of the numbers of instances by which they are chosen, in standard deviations: what is not linear hardly counts."""
LOADS = (0.1, 1.0, 3.0, 7.0, 16.0, 40.0, 110.0)
"""Loads at which what a sum adds is found."""
OUTPUTS = (0.1, 0.2, 0.38, 0.57, 0.76, 0.9, 0.97)
"""Parts of the range of outputs, on either side of the reference; beyond, at the rail, it is as at the last."""
ELSEWHERE = 2
"""Of how many loads, from the second on, one is looked at under other conditions, in a tile of the middle rows."""
ROWS = 3
"""Of the rows that nominal hand-overs are known for, the largest at which it is."""
HELD_OUT = 16
"""Amplifiers at random, each with a resistance, load, line and output at random."""
AT_A_TIME = 48
"""Hand-overs in one netlist."""
SWITCH = "xsample"
"""Name of the sampling switch in a converter."""
_LOAD, _AT_REST = 1.0, ".tran 0.5n 1n"
"""Load at which offsets are found, and the analysis."""
_LABEL = "calibrate drawn hand-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A hand-over of an instance."""

    instance: int
    """Which one; 0 is nominal."""
    rows: int
    """Of its tile."""
    column: Column
    """What it has at its input."""
    v_out: float
    """Its output below the reference [V]."""


def find_drawn(chip: Chip, model: HandOverModel, amplifier: Sequence[str], campaign: Campaign) -> HandOverMismatch:
    """Find how hand-overs of drawn amplifiers, by drawn sampling switches, differ from nominal ones.

    Parameters
    ----------
    chip : Chip
        The chip.
    model : HandOverModel
        Of its nominal hand-overs, which ring.
    amplifier : sequence of str
        Paths of an amplifier's devices within it.
    campaign : Campaign
        Runs the simulations.
    """
    assert model.rows is not None
    devices = (*(f"{AMPLIFIER}.{device}" for device in amplifier), *_switch_devices(chip))
    low, high, used = model.outputs[0], model.outputs[-1], used_numbers(devices)
    count = int(used.sum())
    rng = np.random.default_rng([campaign.seed, count, 5])
    numbers = np.zeros((count, len(used)))
    numbers[:, used] = SCALE * np.sqrt(count) * np.linalg.qr(rng.standard_normal((count, count)))[0]
    scouts = HandOverGrid(
        sample=model.sample, rows=np.array(SCOUT_ROWS) * model.rows[-1], r_feedback=model.r_feedback,
        loads=np.array(SCOUT_LOADS), outputs=low + (high - low) * np.array(SCOUT_OUTPUTS),
    )  # fmt: skip
    (added,) = _added(scouts, model, Planned(devices=devices, numbers=numbers), [chip], campaign)
    shares = added.reshape(count, -1).T @ numbers / (SCALE**2 * count)
    directions = np.linalg.svd(shares, full_matrices=False)[2][:DIRECTIONS]
    grid = HandOverGrid(
        sample=model.sample, rows=model.rows[-ROWS:], r_feedback=model.r_feedback, loads=np.array(LOADS),
        outputs=ringing_outputs(low, high, OUTPUTS),
    )  # fmt: skip
    (slopes,) = _added(grid, model, Planned(devices=devices, numbers=directions), [chip], campaign)
    found = HandOverMismatch(
        **dict(grid), devices=devices, directions=directions, slopes=slopes, simulated=count, residuals=np.zeros(0)
    )
    return found.model_copy(update={"residuals": check_drawn(chip, model, found, campaign)})


def shift_drawn(own: HandOverMismatch, model: HandOverModel, chips: Sequence[Chip], campaign: Campaign) -> list[Floats]:
    """Find what conditions add to the slopes of drawn hand-overs.

    Parameters
    ----------
    own : HandOverMismatch
        How hand-overs of drawn amplifiers differ at the chip's own condition.
    model : HandOverModel
        Of its nominal hand-overs there.
    chips : sequence of Chip
        The chip at the others.
    campaign : Campaign
        Runs the simulations.
    """
    assert own.rows is not None
    middle = len(own.rows) // 2
    rows, few = own.rows[middle : middle + 1], own.loads[1::ELSEWHERE]
    grid = HandOverGrid(sample=own.sample, rows=rows, r_feedback=own.r_feedback, loads=few, outputs=own.outputs)
    planned = Planned(devices=own.devices, numbers=own.directions)
    here = own.slopes[:, middle : middle + 1, :, 1::ELSEWHERE]
    along = np.log(own.loads.clip(few[0], few[-1]))
    shifts = []
    for there in _added(grid, model, planned, chips, campaign):
        change = PchipInterpolator(np.log(few), there - here, axis=-2)(along)
        shifts.append(np.broadcast_to(change, own.slopes.shape).copy())
    return shifts


def check_drawn(chip: Chip, model: HandOverModel, found: HandOverMismatch, campaign: Campaign) -> Floats:
    """Return by how much hand-overs of others differ from what is told of them, beyond those of nominal ones [V].

    Parameters
    ----------
    chip : Chip
        The chip, at any condition.
    model : HandOverModel
        Of nominal hand-overs, about as they are there.
    found : HandOverMismatch
        What is told of drawn ones there.
    campaign : Campaign
        Runs the simulations.

    Returns
    -------
    ndarray of shape (hand-overs,)
        Of amplifiers, columns and outputs at random.
    """
    rng = np.random.default_rng([campaign.seed, 7])
    planned = Planned(devices=found.devices, numbers=rng.standard_normal((HELD_OUT, 2 * len(found.devices))))
    columns = columns_at_random(chip, model, find_line_capacitance(chip, campaign), rng, HELD_OUT)
    outputs = rng.uniform(model.outputs[0], model.outputs[-1], HELD_OUT).tolist()
    wanted = [
        _Wanted(instance=instance, rows=rows, column=column, v_out=v)
        for k, ((rows, column), v) in enumerate(zip(columns, outputs, strict=True))
        for instance in (0, 1 + k)
    ]
    ((held, beyond),) = _beyond([chip], model, planned, wanted, campaign)
    told = [
        found.errors(
            own[None], held[2 * k + 1 : 2 * k + 2], column.r_feedback, np.array([column.load / column.r_feedback]), rows
        )[0, 0]
        for k, (own, (rows, column)) in enumerate(zip(planned.numbers, columns, strict=True))
    ]
    return np.asarray(beyond[1::2] - beyond[::2] - told)


def _added(
    grid: HandOverGrid, model: HandOverModel, planned: Planned, chips: Sequence[Chip], campaign: Campaign
) -> list[Floats]:
    """Return what arrays on drawn amplifiers have more than nominal ones with the same outputs, of each chip [V].

    Parameters
    ----------
    grid : HandOverGrid
        Where to look.
    model : HandOverModel
        What is told of nominal ones; it takes from curves what makes them steep, so that little is left between
        outputs.
    planned : Planned
        The amplifiers with their switches.
    chips : sequence of Chip
        The chip at some conditions.
    campaign : Campaign
        Runs the simulations.

    Returns
    -------
    list of ndarray of shape (amplifiers, rows, r_feedback, loads, outputs)
    """
    assert grid.rows is not None
    line, count = find_line_capacitance(chips[0], campaign), 1 + len(planned)
    columns = amplifier_columns(chips[0], line, grid.rows, grid.r_feedback, grid.loads)
    tiles = [int(rows) for rows, *_ in product(grid.rows, grid.r_feedback, grid.loads)]
    wanted = [
        _Wanted(instance=k, rows=rows, column=column, v_out=v)
        for (rows, column), k, v in product(
            zip(tiles, columns, strict=True), range(count), grid.outputs.tolist()
        )
    ]  # fmt: skip
    found = []
    for held, beyond in _beyond(chips, model, planned, wanted, campaign):
        curves = zip(held.reshape(-1, len(grid.outputs)), beyond.reshape(-1, len(grid.outputs)), strict=True)
        at = np.array([PchipInterpolator(x, y)(grid.outputs.clip(x[0], x[-1])) for x, y in curves])
        nominal, *drawn = np.moveaxis(at.reshape(-1, count, len(grid.outputs)), 1, 0)
        found.append(np.reshape(np.stack(drawn) - nominal, (-1, *grid.shape)))
    return found


def _beyond(
    chips: Sequence[Chip], model: HandOverModel, planned: Planned, wanted: Sequence[_Wanted], campaign: Campaign
) -> list[tuple[Floats, Floats]]:
    """Return outputs, and what arrays have beyond what is told of nominal ones there, of each chip, (wanted,) [V].

    Parameters
    ----------
    chips, model, planned, campaign
        As of :func:`_added`.
    wanted : sequence of _Wanted
        The hand-overs, near these outputs.
    """
    sources = sorted({(one.instance, one.v_out) for one in wanted})
    which = [sources.index((one.instance, one.v_out)) for one in wanted]
    parts = [wanted[k : k + AT_A_TIME] for k in range(0, len(wanted), AT_A_TIME)]
    source_parts = [sources[k : k + AT_A_TIME] for k in range(0, len(sources), AT_A_TIME)]
    switches = plate_switches([(chip, _sizes(chip)) for chip in chips], campaign)
    reference = chips[0].sense_amplifier.v_reference
    nominal = source_outputs(model.outputs, chips[0].process.supply, reference).tolist()
    netlists = []
    for chip, own, offsets in zip(chips, switches, _offsets(chips, planned, campaign), strict=True):
        # outputs follow offsets the more, the more cells load an input
        cases = [
            [Case(one.column, one.v_out - offsets[one.instance] * (1 + one.column.load)) for one in part]
            for part in parts
        ]
        netlists.append(_hand_overs(chip, [SourceOver(v=v, held=0.0) for v in nominal], own))
        for pairs in source_parts:
            given = _hand_overs(chip, [SourceOver(v=v, held=0.0) for _, v in pairs], own)
            netlists.append(_drawn(given, chip, planned, [k for k, _ in pairs]))
        for part, group in zip(parts, find_hand_overs(chip, campaign, cases), strict=True):
            netlists.append(_drawn(_hand_overs(chip, group, own), chip, planned, [one.instance for one in part]))
    results = iter(campaign.run(netlists, _LABEL))
    found = []
    for chip in chips:
        inputs, plates = _seen(results, chip, [nominal])
        near, ideal = _seen(results, chip, source_parts)
        drawn = ideal - CubicSpline(inputs[::-1], plates[::-1])(near)  # by their switches
        held, first = _seen(results, chip, parts)
        told = np.zeros(len(wanted))
        for column, rows in dict.fromkeys((one.column, one.rows) for one in wanted):
            its = np.array([(one.column, one.rows) == (column, rows) for one in wanted])
            told[its] = errors_told(model, rows, column, -held[its])
        found.append((-held, -parted(held, first - drawn[which], inputs, plates) - told))  # outputs count below
    return found


def _seen(results: Iterator[Results], chip: Chip, parts: Sequence[Sequence[object]]) -> tuple[Floats, Floats]:
    """Return outputs before sampling, and top plates at the first strobe, of the next parts [V]."""
    seen = [at_strobe(next(results), _sizes(chip), len(part), chip.sense_amplifier.v_reference) for part in parts]
    held, first = (np.concatenate(every) for every in zip(*seen, strict=True))
    return held, first


def _offsets(chips: Sequence[Chip], planned: Planned, campaign: Campaign) -> list[Floats]:
    """Return by how much inputs of a nominal and of planned amplifiers are above its, of each chip [V]."""
    column = Column(chips[0].settings[0], _LOAD)
    parts = [range(k, min(k + AT_A_TIME, 1 + len(planned))) for k in range(0, 1 + len(planned), AT_A_TIME)]
    netlists = [
        replace(_drawn(_hand_overs(chip, cases), chip, planned, part), analyses=(_AT_REST,))
        for chip in chips
        for part, cases in zip(
            parts, find_hand_overs(chip, campaign, [[Case(column, 0.0)] * len(part) for part in parts]), strict=True
        )
    ]
    results = iter(campaign.run(netlists, _LABEL))
    found = []
    for _ in chips:
        above = np.concatenate([
            [vectors[f"v(out_{k})"].real[0] for k in range(len(part))]
            for part in parts for vectors in [next(results)[0].vectors]
        ])  # fmt: skip
        found.append((above[0] - above) / (1 + _LOAD))
    return found


def _hand_overs(chip: Chip, cases: Sequence[HandOver | SourceOver], switches: Floats | None = None) -> Netlist:
    sizes = _sizes(chip)
    return build_hand_overs(chip, sizes, cases, sizes.sample + sizes.bit, opens=sizes.sample, switches=switches)


def _drawn(netlist: Netlist, chip: Chip, planned: Planned, instances: Sequence[int]) -> Netlist:
    """Give amplifiers and switches of a netlist the numbers of instances, 0 being nominal; all else stays nominal."""

    def draw(path: str) -> tuple[float, float]:
        block, _, device = path.partition(".")
        name, _, k = block.rpartition("_")
        own = {AMPLIFIER: f"{AMPLIFIER}.{device}", SWITCH: f"{CONVERTER}.{SWITCH}.{device}"}.get(name)
        instance = instances[int(k)] if own is not None else 0
        return planned(f"_{instance - 1}.{own}") if instance else (0.0, 0.0)

    return draw_chip(netlist, chip, draw)


def _switch_devices(chip: Chip) -> list[str]:
    """Return the devices of a converter's sampling switch, each as its block and its path within that."""
    netlist = _hand_overs(chip, [SourceOver(v=0.0, held=0.0)])
    found = drawn_devices(netlist, chip.process, resistors=RESISTORS)
    return [f"{CONVERTER}.{SWITCH}.{path.partition('.')[2]}" for path in found if path.startswith(f"{SWITCH}_0.")]


def _sizes(chip: Chip) -> SarAdc:
    assert chip.converter is not None
    return chip.converter
