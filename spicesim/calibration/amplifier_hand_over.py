"""Calibrate the hand-over from transimpedance amplifiers to converters: arrays put on amplifiers at rest."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.hand_over import HandOverModel
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.charges import find_line_capacitance
from spicesim.calibration.sampled import OUTPUTS, WATCHED, at_strobe, parted, source_outputs, time_needed
from spicesim.calibration.threshold import plate_switches
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.netlist.hand_over import HandOver, SourceOver, build_hand_overs
from spicesim.netlist.sense_amplifier import build_sense_amplifier

__all__ = [
    "Case",
    "Column",
    "amplifier_columns",
    "amplifier_errors",
    "check_amplifiers",
    "columns_at_random",
    "errors_told",
    "find_amplifiers",
    "find_hand_overs",
    "ringing_outputs",
    "shift_amplifiers",
]

LOADS = (0.1, 1.0, 3.0, 7.0, 16.0, 28.0, 45.0, 70.0, 110.0)
"""Feedback resistance times conductance of a column [1]: from an amplifier that follows at once to one that takes a
microsecond; dense where sampling ends before an amplifier has settled."""
BETWEEN = (0.2, 0.4, 0.7, 1.5, 2.0, 5.0, 10.0)
"""Loads between these, for arrays that are cut off as their amplifiers still ring."""
ROWS = (0.04, 0.15, 0.45, 1.0)
"""Parts of a tile's rows, for the same: what a line holds makes an amplifier ring otherwise."""
SLOW, SHORT = 0.5, 1.25
"""Times the sampling time: amplifiers that take longer than the first are looked at again at other conditions, load by
load; if any takes longer than the second, and a calibration is not quick, all of them with every feedback resistance,
at more outputs."""
REAL = 6
"""Outputs at which what resistances in place of switches change is found, for the same."""
SWITCHED = 4
"""Loads at which what conditions change of that is found."""
NEAR, FAR = (0.05, 0.1, 0.16, 0.25, 0.38), (0.57, 0.76, 0.85, 0.89, 0.92, 0.945, 0.965, 0.985, 1.0)
"""Parts of the range of outputs, for the same."""
EVERY = {True: 2, False: 1}
"""Of how many loads one is watched, by whether a calibration is quick."""
HELD_OUT, HELD_OUT_SETTLED = 16, 4
"""Hand-overs of any resistance, load, line and output, that tell how well those are known that are in no table; the
second at each other condition where arrays have settled, so that it changes all alike."""
SMALL = 0.2
"""Part of the reference to which an amplifier's output is moved to find its feedback resistance."""
NEAR_RAIL = 0.95
"""Part of an amplifier's swing up to which outputs are handed over."""
_LABEL = "calibrate hand-over"


class Column(NamedTuple):
    """What an amplifier has at its input."""

    r_feedback: float
    """Of the amplifier [ohm]."""
    load: float
    """That times the conductance of all cells [1]."""
    line: float = 0.0
    """Capacitance of the line with its cells [F]."""


class Case(NamedTuple):
    """A hand-over that is wanted."""

    column: Column
    """What the amplifier has at its input."""
    v_out: float
    """Its output below the reference [V]."""
    held: float = 0.0
    """What the array holds from before, below the reference [V]."""


def find_amplifiers(chip: Chip, sizes: SarAdc, campaign: Campaign) -> HandOverModel:
    """Find what arrays have other than settled outputs, and how long they would take to lack nothing of them.

    A resistor stands for the cells of a column, a capacitor for what its line holds. Of amplifiers that settle, only
    the least and the largest feedback resistance are taken: it matters little beside its product with the conductance,
    and the line next to nothing. What the opening of the switch does is in what arrays have at their first strobe: a
    loaded amplifier gives way to its charge otherwise than one that follows at once.

    Parameters
    ----------
    chip, sizes, campaign
        The chip, its converters, and what runs the simulations.
    """
    half, reference, span = sizes.dac.span / 2, chip.sense_amplifier.v_reference, sizes.dac.span
    low = -min(half, NEAR_RAIL * (chip.process.supply - reference))
    high = min(span, NEAR_RAIL * reference)
    outputs = np.linspace(low, high, OUTPUTS)
    settings, rows = np.unique([chip.settings[0], chip.settings[-1]]), None
    line = find_line_capacitance(chip, campaign)
    # whatever an array held before: the other end of a range, around the reference or below it
    pairs = [(v, 0.0) for v in outputs[::2].tolist()] + [(low, half), (min(half, high), low), (0.0, high)]
    stop = max(WATCHED, 1.25 * sizes.sample)

    seen = np.array(LOADS[:: EVERY[campaign.quick]])
    (switches,) = plate_switches([(chip, sizes)], campaign)
    watched = [
        [Case(column, *pair) for pair in pairs] for column in amplifier_columns(chip, line, rows, settings, seen)
    ]
    built = [
        build_hand_overs(chip, sizes, cases, stop, switches=switches)
        for cases in find_hand_overs(chip, campaign, watched)
    ]
    found = campaign.run(built, _LABEL)
    needed = np.reshape([time_needed(one, len(pairs), sizes, stop) for one in found], (len(settings), len(seen)))

    loads = np.array(LOADS)
    if (needed > SHORT * sizes.sample).any() and not campaign.quick:
        loads, outputs = np.sort(LOADS + BETWEEN), ringing_outputs(low, high, NEAR + FAR)
        settings, needed = np.array(chip.settings), np.tile(needed.max(axis=0), (len(chip.settings), 1))
        rows = np.unique(np.maximum(1.0, chip.array.rows * np.array(ROWS)))
    # between two loads that were watched an array takes no longer than at the worse one
    after = np.searchsorted(seen, loads)
    needed = np.maximum(needed[:, after], needed[:, np.searchsorted(seen, loads, side="right") - 1])
    columns = amplifier_columns(chip, line, rows, settings, loads)
    if rows is None:  # what resistances in place of switches change is nearly the same whatever the load
        (errors,) = amplifier_errors([chip], campaign, columns, outputs, [switches])
        light = len(columns) - len(loads)
        ((own,),) = amplifier_errors([chip], campaign, columns[light : light + 1], outputs)
        by_coding = {"errors": errors + own - errors[light]}
    else:  # while amplifiers ring, up to .8 mV and of either sign
        charged, more = (
            _by_range(chip, outputs, partial(look, [chip], campaign, columns))
            for look in (_with_resistances, _more_with_switches)
        )
        by_coding = {name: charged[name][0] + more[name][0] for name in charged}
    shape = (*(() if rows is None else rows.shape), len(settings), len(loads), -1)
    model = HandOverModel(
        sample=sizes.sample, rows=rows, r_feedback=settings, loads=loads, outputs=outputs,
        needed=needed, watched=stop, **{name: np.reshape(own, shape) for name, own in by_coding.items()},
    )  # fmt: skip
    (held_out,) = check_amplifiers([chip], [model], line, campaign, HELD_OUT)
    return model.model_copy(update={"held_out": held_out})


def shift_amplifiers(own: HandOverModel, chips: Sequence[Chip], campaign: Campaign) -> list[HandOverModel]:
    """Find what arrays on amplifiers get on all chips but the first, which is at its own condition.

    Parameters
    ----------
    own : HandOverModel
        What they get there.
    chips, campaign
        The chips, and what runs the simulations.
    """
    if own.rows is None:
        few = np.isin(own.loads, LOADS) & (own.needed > SLOW * own.sample).any(axis=0)
        few[0] = True
        # settled ones change alike
        rows, settings, outputs = None, own.r_feedback[-1:], own.outputs[:: (len(own.outputs) - 1) // (OUTPUTS - 1)]
    else:  # while they ring, arrays change by tens of millivolts, and otherwise for each line, load and output
        few = np.ones(len(own.loads), bool)
        rows, settings, outputs = own.rows, own.r_feedback, own.outputs
    line, loads = find_line_capacitance(chips[0], campaign), own.loads[few]
    columns = amplifier_columns(chips[0], line, rows, settings, loads)
    if rows is None:
        switches = plate_switches([(chip, _sizes(chip)) for chip in chips], campaign)
        by_coding = {"errors": amplifier_errors(chips, campaign, columns, outputs, switches)}
    else:
        by_coding = _by_range(chips[0], outputs, partial(_with_resistances, chips, campaign, columns))
        # what switches of transistors have more changes nearly alike in all lines
        seen = loads[np.linspace(0, len(loads) - 1, SWITCHED).round().astype(int)]
        at = amplifier_columns(chips[0], line, rows[len(rows) // 2 :][:1], settings[-1:], seen)
        for name, more in _by_range(chips[0], outputs, partial(_more_with_switches, chips, campaign, at)).items():
            for errors, few_errors in zip(by_coding[name], more, strict=True):
                of_loads = PchipInterpolator(np.log(seen), few_errors)(np.log(loads))
                errors += np.tile(of_loads, (len(errors) // len(loads), 1))
    models = []
    for k in range(1, len(chips)):
        changed = {}
        for name, found in by_coding.items():
            lines = () if rows is None else rows.shape
            change = np.reshape(found[k] - found[0], (*lines, len(settings), -1, len(outputs)))
            for axis, all_of, some in ((-1, own.outputs, outputs), (-2, np.log(own.loads), np.log(loads))):
                change = np.apply_along_axis(partial(np.interp, all_of, some), axis, change)
            changed[name] = getattr(own, name) + change
        models.append(own.model_copy(update=changed))
    return models


def _by_range(chip: Chip, outputs: Floats, look: Callable[[Polarity, Floats], list[Floats]]) -> dict[str, list[Floats]]:
    """Return what a look at outputs of each range finds, of each chip, (columns, outputs), by a model's table [V].

    What switches are closed while sampling, and so how fast an array is charged, follows from the coding. At 20 ns
    that is 2.3 mV.
    """
    found = {"errors": look("bipolar", outputs)}
    if "unipolar" in chip.polarities:  # where that has no outputs it goes on as that of signed ones
        first = int(np.searchsorted(outputs, 0.0)) - 1  # no range below the reference has less
        found["unipolar"] = [
            np.concatenate([signed[:, :first] + own[:, :1] - signed[:, first : first + 1], own], axis=1)
            for own, signed in zip(look("unipolar", outputs[first:]), found["errors"], strict=True)
        ]
    return found


def _with_resistances(
    chips: Sequence[Chip], campaign: Campaign, columns: Sequence[Column], polarity: Polarity, outputs: Floats
) -> list[Floats]:
    """Return what arrays whose switches are resistances have other than outputs; as :func:`amplifier_errors`."""
    switches = plate_switches([(chip, _sizes(chip)) for chip in chips], campaign, polarity)
    return amplifier_errors(chips, campaign, columns, outputs, switches, polarity)


def _more_with_switches(
    chips: Sequence[Chip], campaign: Campaign, columns: Sequence[Column], polarity: Polarity, outputs: Floats
) -> list[Floats]:
    """Return what arrays with switches of transistors have more, from few outputs; as :func:`amplifier_errors`."""
    few = outputs[np.linspace(0, len(outputs) - 1, REAL).round().astype(int)]
    of_real = amplifier_errors(chips, campaign, columns, few, polarity=polarity)
    stood_for = _with_resistances(chips, campaign, columns, polarity, few)
    return [PchipInterpolator(few, more - less, axis=1)(outputs) for more, less in zip(of_real, stood_for, strict=True)]


def amplifier_columns(chip: Chip, line: float, rows: Floats | None, settings: Floats, loads: Floats) -> list[Column]:
    """Return columns of all rows, feedback resistances and loads.

    Where it matters, a line is of all rows, whether or not so many cells can make a load, so that what arrays have is
    smooth in rows and loads.

    Parameters
    ----------
    chip : Chip
        The chip.
    line : float
        What a bit line takes for each of its cells [F].
    rows : ndarray or None
        Of tiles; None where the line hardly matters: it is of a whole tile then, or of as many cells as can make a
        load.
    settings, loads : ndarray
        To take together.
    """
    by_line = product(settings.tolist(), loads.tolist())
    if rows is None:
        least, most = chip.cell.g_min, chip.array.rows
        return [Column(r, load, line * min(most, max(load / r / least, 1.0))) for r, load in by_line]
    return [Column(r, load, line * n) for n, (r, load) in product(rows.tolist(), by_line)]


def ringing_outputs(low: float, high: float, parts: Sequence[float]) -> Floats:
    """Return outputs from the least on, dense about the reference and the rail.

    About the reference an array's charge is small enough for an amplifier to follow at its own pace; next to the rail
    it drives less.

    Parameters
    ----------
    low, high : float
        Range of the outputs below the reference [V].
    parts : sequence of float
        Of `high` where to look, on either side of the reference.
    """
    known = {low, 0.0, *(side * part * high for part in parts for side in (-1, 1))}
    return np.array(sorted(v for v in known if v >= low))


def amplifier_errors(
    chips: Sequence[Chip],
    campaign: Campaign,
    columns: Sequence[Column],
    outputs: Floats,
    switches: Sequence[Floats] | None = None,
    polarity: Polarity = "bipolar",
) -> list[Floats]:
    """Return what arrays that held the reference have other than outputs, of each chip, (columns, outputs) [V].

    Parameters
    ----------
    chips, campaign
        The chips, and what runs the simulations.
    columns : sequence of Column
        What amplifiers have at their inputs.
    outputs : ndarray of shape (outputs,)
        Of the amplifiers, below the reference, rising [V].
    switches : sequence of ndarray of shape (bits,), optional
        Resistances that stand for the switches of each chip's arrays [ohm].
    polarity : {"bipolar", "unipolar"}
        Where the range lies.
    """
    errors, different = [], list(dict.fromkeys(columns))
    groups = [[column] * len(outputs) for column in different]
    for found in _errors_nearby(chips, campaign, groups, outputs, switches, polarity):
        # amplifiers that give way to their load are not where they were wanted
        curves = {column: PchipInterpolator(*one) for column, one in zip(different, found, strict=True)}
        by_column = [curves[column] for column in columns]
        errors.append(np.array([curve(outputs.clip(curve.x[0], curve.x[-1])) for curve in by_column]))
    return errors


def _errors_nearby(
    chips: Sequence[Chip],
    campaign: Campaign,
    groups: Sequence[Sequence[Column]],
    outputs: Floats,
    switches: Sequence[Floats] | None = None,
    polarity: Polarity = "bipolar",
) -> list[list[tuple[Floats, Floats]]]:
    """Return where amplifiers are, near what is wanted of them, and what their arrays have beyond that [V].

    Parameters
    ----------
    chips, campaign, switches, polarity
        As of :func:`amplifier_errors`.
    groups : sequence of sequence of Column
        What the amplifiers of a netlist have at their inputs.
    outputs : ndarray of shape (hand-overs,)
        What is wanted of them in every netlist [V].

    Returns
    -------
    list of list of tuple
        By chip and group, each of the tuple (hand-overs,).
    """
    wanted = outputs.tolist()
    cases = [[Case(column, v) for column, v in zip(group, wanted, strict=True)] for group in groups]
    reference = chips[0].sense_amplifier.v_reference
    sources = [SourceOver(v=v, held=0.0) for v in source_outputs(outputs, chips[0].process.supply, reference).tolist()]
    netlists = []
    for k, chip in enumerate(chips):
        own, sizes = None if switches is None else switches[k], _sizes(chip)
        built: list[Sequence[HandOver | SourceOver]] = [sources, *find_hand_overs(chip, campaign, cases)]
        netlists += [
            build_hand_overs(
                chip, sizes, one, sizes.sample + sizes.bit, opens=sizes.sample, switches=own, polarity=polarity
            )
            for one in built
        ]
    found = iter(campaign.run(netlists, _LABEL))
    errors = []
    for chip in chips:
        inputs, plates = at_strobe(next(found), _sizes(chip), len(sources), reference)
        seen = [at_strobe(next(found), _sizes(chip), len(group), reference) for group in groups]
        # outputs count below the reference
        errors.append([(-held, -parted(held, first, inputs, plates)) for held, first in seen])
    return errors


def check_amplifiers(
    chips: Sequence[Chip], models: Sequence[HandOverModel], line: float, campaign: Campaign, count: int | None = None
) -> list[Floats]:
    """Return by how much hand-overs that are in no table differ from the model of each chip, (hand-overs,) [V].

    As many of each range that it knows.

    Parameters
    ----------
    chips, models
        A chip at some conditions, and what is told of its hand-overs there.
    line : float
        What a bit line takes for each of its cells [F].
    campaign : Campaign
        Runs the simulations.
    count : int, optional
        How many to look at of a range; by default fewer where arrays have settled.
    """
    chip, model = chips[0], models[0]
    if count is None:
        count = HELD_OUT if model.rings else HELD_OUT_SETTLED
    rng = np.random.default_rng(campaign.seed)
    found: list[list[Floats]] = [[] for _ in chips]
    ranges: list[tuple[Polarity, float]] = [("bipolar", model.outputs[0])]
    if model.unipolar is not None:
        ranges.append(("unipolar", 0.0))
    for polarity, least in ranges:
        outputs = np.sort(rng.uniform(least, model.outputs[-1], count))
        columns = columns_at_random(chip, model, line, rng, count)
        groups = [[column for _, column in columns]]
        every = _errors_nearby(chips, campaign, groups, outputs, polarity=polarity)
        for own, ((before, more),), differ in zip(models, every, found, strict=True):
            told = [
                errors_told(own, rows, column, v, polarity)[0]
                for (rows, column), v in zip(columns, before, strict=True)
            ]
            differ.append(np.asarray(more - told))
    return [np.concatenate(own) for own in found]


def errors_told(
    model: HandOverModel, rows: int, column: Column, outputs: npt.ArrayLike, polarity: Polarity = "bipolar"
) -> Floats:
    """Return what is told of arrays on nominal amplifiers, beyond outputs of a column of so many rows, (outputs,) [V].

    Parameters
    ----------
    model, rows, column
        What is known, and the column in a tile of so many rows.
    outputs : array_like
        Below the reference [V].
    polarity : {"bipolar", "unipolar"}
        Where the range lies.
    """
    at = np.atleast_1d(np.asarray(outputs, dtype=float))
    curves = model.curves(column.r_feedback, np.array([column.load / column.r_feedback]), rows, polarity=polarity)
    return np.asarray(curves.received(at[:, None])[:, 0] - at)


def columns_at_random(
    chip: Chip, model: HandOverModel, line: float, rng: np.random.Generator, count: int
) -> list[tuple[int, Column]]:
    """Choose columns that tiles of a chip can have, each with its rows.

    Parameters
    ----------
    chip : Chip
        The chip.
    model : HandOverModel
        Within the loads of which they are.
    line : float
        What a bit line takes for each of its cells [F].
    rng : numpy.random.Generator
        Chooses.
    count : int
        How many.
    """
    settings, rows = rng.choice(chip.settings, count), rng.integers(1, chip.array.rows + 1, count)
    least, most = (settings * rows * g for g in (chip.cell.g_min, chip.cell.g_max))
    low, high = (np.log(x.clip(model.loads[0], model.loads[-1])) for x in (least, most))
    loads = np.exp(rng.uniform(low, high))
    return [
        (int(n), Column(float(r), float(load), line * int(n)))
        for r, load, n in zip(settings, loads, rows, strict=True)
    ]  # fmt: skip


def find_hand_overs(chip: Chip, campaign: Campaign, groups: Sequence[Sequence[Case]]) -> list[list[HandOver]]:
    """Return hand-overs as they are built, by group: cells drive what resistors have become."""
    become: dict[float, float] = {}
    if chip.process.resistor is not None:
        wanted = sorted({case.column.r_feedback for group in groups for case in group})
        limit = SMALL * chip.sense_amplifier.v_reference
        found = campaign.run([build_sense_amplifier(chip, r, limit / r, 3) for r in wanted], _LABEL)
        for r, (plot, *_) in zip(wanted, found, strict=True):
            across = plot.vectors["v(sense)"].real - plot.vectors["v(out)"].real
            become[r] = r * float(across[-1] - across[0]) / (2 * limit)
    return [
        [
            HandOver(
                r_feedback=r, g=load / r, line=line, v_out=case.v_out, held=case.held, r_process=become.get(r)
            )
            for case in group
            for r, load, line in [case.column]
        ]
        for group in groups
    ]  # fmt: skip


def _sizes(chip: Chip) -> SarAdc:
    assert chip.converter is not None
    return chip.converter
