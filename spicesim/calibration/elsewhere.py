"""Calibrate aspects elsewhere: converters, mismatch and the rest at a few temperatures and at the corners."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import Model
from spicesim.behavioural.elsewhere import Elsewhere
from spicesim.behavioural.energy import EnergyModel
from spicesim.behavioural.mismatch import MismatchShift
from spicesim.behavioural.noise import NoiseModel
from spicesim.behavioural.response import Response, Shift
from spicesim.behavioural.sar import SarModel
from spicesim.behavioural.settling import SettlingModel
from spicesim.behavioural.steps import StepModel
from spicesim.calibration.buffer_mismatch import buffer_offsets
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conditions import Conditions
from spicesim.calibration.converter_mismatch import shift_converters
from spicesim.calibration.converters import find_converter
from spicesim.calibration.drawn_hand_over import shift_drawn
from spicesim.calibration.energy import calibrate_energy
from spicesim.calibration.hand_over import known_hand_over
from spicesim.calibration.mismatch import cell_responses
from spicesim.calibration.mismatch_bench import MismatchBench, Planned
from spicesim.calibration.noise import calibrate_noise
from spicesim.calibration.settling import find_settling

__all__ = ["aspects_elsewhere"]

NODES = {"converter": 3, "mismatch": 4, "settling": 3, "noise": 3, "energy": 3}
"""Temperatures through which the polynomials of each aspect go, the chip's own among them.

What corners add is calibrated at three: the chip's own and both ends; what they add to mismatch at all four where
converters are drawn: their thresholds at ss and 85 C are 11 uV off, not 15. What a corner and a temperature change is
no sum: an amplifier's currents change by as much as they are with either, and its offsets by 10 uV, which a large
feedback makes .05 % of full scale.
"""

RINGING = 4
"""Temperatures where arrays are cut off as their amplifiers still ring, for corners as well: from three, errors of
arrays at 85 C are told to .4 mV in the mean, from four to .01."""

QUICK_NODES, LINEAR = 3, ("converter", "mismatch")
"""Temperatures in a quick calibration, and the aspects for which corners are at both ends alone there: what one adds is
taken for linear in temperature, so that thresholds of drawn comparators at ss and 85 C are told to 30 uV rms, where
corners at all three temperatures, and all numbers, gave 18."""

_Finder = Callable[[Calibration, Sequence[Calibration], Campaign], Sequence[Model]]
"""Calibrates an aspect of a chip at other conditions."""

_SMALL = 1e-3
"""Part of an offset's spread below which a device's share is not looked at again."""


def aspects_elsewhere(calibration: Calibration, campaign: Campaign) -> dict[str, Elsewhere[Any]]:
    """Calibrate the aspects of a calibration, whose climate holds operating points, at other conditions.

    Returns
    -------
    dict of str to Elsewhere
        By the names of those aspects that are calibrated.
    """
    found: dict[str, Callable[[Campaign], Elsewhere[Any]]] = {}
    hand_over = known_hand_over(calibration)
    for name, (kind, find) in _ASPECTS.items():
        if getattr(calibration, name) is None:
            continue
        # 10 uV of an amplifier's offset count
        is_linear = campaign.quick and name in LINEAR and not (name == "mismatch" and calibration.senseamps)
        if is_linear:
            conditions = Conditions.of(calibration.chip, QUICK_NODES, "ends")
        elif name == "converter" and hand_over is not None and hand_over.rings:
            conditions = Conditions.of(calibration.chip, RINGING, "all")
        elif name == "mismatch" and calibration.require_mismatch().converter is not None:
            conditions = Conditions.of(calibration.chip, NODES[name], "all")
        else:
            conditions = Conditions.of(calibration.chip, NODES[name])
        places = [calibration.at(corner=corner, temperature_c=t) for corner, t in conditions.pairs]
        found[name] = partial(_at, calibration, places, find, conditions, kind or _of_converters(calibration))
    return dict(zip(found, campaign.beside(list(found.values())), strict=True))


def _at(
    calibration: Calibration,
    places: Sequence[Calibration],
    find: _Finder,
    conditions: Conditions,
    kind: type[Elsewhere[Any]],
    campaign: Campaign,
) -> Elsewhere[Any]:
    return conditions.elsewhere(kind, find(calibration, places, campaign))


def _shift_mismatch(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
) -> list[MismatchShift]:
    """Find what conditions add to the responses of a chip's blocks.

    Only offsets, thresholds and the resistances of cells change by more than a microvolt, and offsets of drivers and
    amplifiers are those of their operational amplifiers at any code and with any feedback; so are those of buffers, at
    any voltage. Hand-overs of amplifiers that ring change, too. Drivers of levels have no offset, and how far they
    differ from each other is taken to be the same everywhere. So is how far hold switches, adders and integrators do.

    Parameters
    ----------
    calibration : Calibration
        Of the chip at its own condition.
    conditions : sequence of Calibration
        The chip elsewhere.
    campaign : Campaign
        Runs the simulations.
    """
    mismatch = calibration.require_mismatch()
    driver = mismatch.dacs[calibration.chip.polarities[-1]].response
    drivers = _design(driver, 0)
    amplifier = mismatch.senseamps[len(mismatch.senseamps) // 2] if mismatch.senseamps else None
    amplifiers = None if amplifier is None else _design(amplifier.response, 1)
    buffers = None if mismatch.buffer is None else _design(mismatch.buffer.response, 0)
    dac = calibration.chip.dac
    top = 2**dac.code_bits - 1

    def look(at: Calibration) -> tuple[Floats, Floats, list[Response], Floats]:
        bench, offsets, lines = MismatchBench(calibration=at, campaign=campaign), np.zeros(len(drivers)), np.zeros(0)
        if dac.is_dac:
            offsets = bench.dac_voltages(at.dacs["bipolar"], drivers, range(0, top + 1, top)).mean(axis=1)
        if amplifier is not None and amplifiers is not None:
            lines = bench.amplifier_lines(at.senseamp(amplifier.r_feedback), amplifiers)[:, 1]
        held = np.zeros(0) if buffers is None else buffer_offsets(bench, buffers)
        return offsets, lines, cell_responses(bench), held

    own, *others = [look(at) for at in (calibration, *conditions)]
    of_converters = shift_converters(calibration, conditions, campaign)
    known = known_hand_over(calibration)
    of_hand_overs: Sequence[Floats | None] = [None] * len(conditions)
    if known is not None and mismatch.hand_over is not None:
        of_hand_overs = shift_drawn(mismatch.hand_over, known, [at.chip for at in conditions], campaign)
    shifts = []
    for (offsets, lines, responses, held), of_converter, of_hand_over in zip(
        others, of_converters, of_hand_overs, strict=True
    ):
        cell_shift, *other = (
            Shift(rest=float(there.rest[0] - here.rest[0]), slopes=there.slopes[0] - here.slopes[0])
            for there, here in zip(responses, own[2], strict=True)
        )
        of_driver = _shift(driver, 0, drivers, offsets - own[0])
        of_senseamp = of_buffer = None
        if amplifier is not None and amplifiers is not None:
            of_senseamp = _shift(amplifier.response, 1, amplifiers, lines - own[1])
        if mismatch.buffer is not None and buffers is not None:
            of_buffer = _shift(mismatch.buffer.response, 0, buffers, held - own[3])
        shifts.append(
            MismatchShift(
                driver=of_driver, senseamp=of_senseamp, cell=cell_shift, other_half=other[0] if other else None,
                converter=of_converter[0], converter_levels=of_converter[1], buffer=of_buffer,
                hand_over=of_hand_over,
            )
        )  # fmt: skip
    return shifts


def _design(response: Response, parameter: int) -> Planned:
    """Choose numbers that tell the shares of all devices in a parameter, in two halves of opposite sign."""
    share = response.slopes[parameter]
    counts = np.abs(share) > _SMALL * np.sqrt((share**2).sum())
    pairs = max(1, int(counts.sum()))  # of drivers of gates no device has a share
    numbers = np.zeros((pairs, len(share)))
    random = np.random.default_rng(pairs).standard_normal((pairs, int(counts.sum())))
    numbers[:, counts] = np.sqrt(pairs) * np.linalg.qr(random)[0]
    return Planned(devices=response.devices, numbers=np.concatenate([numbers, -numbers]))


def _shift(response: Response, parameter: int, design: Planned, added: Floats) -> Shift:
    """Find what a condition adds to a parameter, from what it adds to the instances of a design, (instances,)."""
    pairs = len(design) // 2
    numbers, first, second = design.numbers[:pairs], added[:pairs], added[pairs:]
    along = numbers @ response.directions.T
    bent = np.einsum("ia,ab,ib->i", along, response.bends[parameter], along)
    basis = np.stack([np.ones(pairs), bent], axis=1)
    rest, bend = np.linalg.lstsq(basis, 0.5 * (first + second), rcond=None)[0]
    return Shift(rest=float(rest), slopes=0.5 * (first - second) @ numbers / pairs, bend=float(bend))


def _each(find: Callable[[Calibration, Campaign], Model]) -> _Finder:
    """Return what calibrates an aspect at each condition as at the chip's own."""
    return lambda calibration, conditions, campaign: [find(at, campaign) for at in conditions]


def _noise(calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign) -> Sequence[Model]:
    """Find the noise, held to be as well told everywhere as at the chip's own condition."""
    return [calibrate_noise(at, campaign, calibration.require_noise()) for at in conditions]


def _converters(calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign) -> Sequence[Model]:
    """Find the column converters, each kind in its way."""
    converter = find_converter(calibration.chip)
    assert converter is not None
    found = converter.elsewhere(calibration, conditions, campaign)
    return [model.unchecked() for model in found]


def _of_converters(calibration: Calibration) -> type[Elsewhere[Any]]:
    return Elsewhere[SarModel] if isinstance(calibration.converter, SarModel) else Elsewhere[StepModel]


_ASPECTS: Mapping[str, tuple[type[Elsewhere[Any]] | None, _Finder]] = {
    "converter": (None, _converters),
    "mismatch": (Elsewhere[MismatchShift], _shift_mismatch),
    "settling": (Elsewhere[SettlingModel], _each(find_settling)),
    "noise": (Elsewhere[NoiseModel], _noise),
    "energy": (Elsewhere[EnergyModel], _each(calibrate_energy)),
}
"""By aspect, its models elsewhere, None where that depends on the chip, and what finds them."""
