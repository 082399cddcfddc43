"""Calibrate mismatch of column converters: how thresholds follow from the devices of comparators and switches.

A comparator's threshold is far from linear in its devices, as what one adds goes with the overdrive that another leaves
it. The sampling switch adds the charge that it parts with, and the array's switches what they leave of each strobe.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.response import Response, Shift
from spicesim.calibration.array_switches import find_array_switches
from spicesim.calibration.bends import BENT, QUICK_BENT, bent
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converters import find_comparator
from spicesim.calibration.mismatch_bench import MismatchBench, Planned, fit_response, used_numbers
from spicesim.calibration.threshold import find_thresholds
from spicesim.draws import CONVERTER
from spicesim.netlist.sar_adc import build_thresholds

__all__ = ["find_converter_mismatch", "shift_converters"]

COMPARATOR, SWITCH, ARRAY = "xcomparator", "xsample", "xdac"
"""Names in a converter."""

_BEYOND, _LEAST = 10.0, 1e-3
"""How far thresholds are searched for beyond where a linear response has them: so many times what it leaves of a
design, and no less than this [V]."""

OPPOSITE = 5
"""Instances whose opposites are looked at elsewhere, too, in a quick calibration; else all: what a condition adds to
bends is no share. Of five, thresholds of drawn comparators at ss and ff are 17 to 26 uV off, of all 12 to 17."""

_SMALL = {True: 1e-3, False: 0.0}
"""Part of a threshold's spread below which a number is not looked at elsewhere, by whether a calibration is quick; all
of these together move thresholds by 11 uV rms."""

_ELSEWHERE = 5e-3
"""How far a condition moves the threshold of a drawn comparator, mostly: those of a condition that moves one farther
are searched for again [V]."""


_FINEST = 20e-6
"""Last step of these searches: of thresholds that tell of one number together it leaves 1 uV [V]."""


def find_converter_mismatch(bench: MismatchBench, held_out: int) -> tuple[Response, float]:
    """Find how the threshold of a converter follows from its devices.

    Parameters
    ----------
    bench : MismatchBench
        Of the chip.
    held_out : int
        Further comparators with numbers at random, by which the response is judged.

    Returns
    -------
    response : Response
        Of what devices add to the threshold of a nominal converter [V].
    residual : float
        Largest error over the held-out comparators [V].
    """
    chip = bench.calibration.chip
    devices = bench.devices(build_thresholds(chip, 1, find_comparator(chip)), f"{COMPARATOR}_0")
    design, _ = bench.plan(devices, 0)
    values = bench.thresholds(design, finest=_FINEST)
    linear = fit_response(CONVERTER, ("offset [V]",), design, values[:, None])
    rest = values - linear.rest - design.numbers @ linear.slopes[0]
    # where thresholds are about known, searches are shorter
    rng = np.random.default_rng([bench.campaign.seed, len(devices), 3])
    count = (QUICK_BENT if bench.campaign.quick else BENT) * int(used_numbers(devices).sum())
    numbers = np.concatenate([
        np.zeros((1, 2 * len(devices))), rng.standard_normal((count + held_out, 2 * len(devices)))
    ])  # fmt: skip
    nominal, *others = bench.thresholds(
        Planned(devices=devices, numbers=numbers),
        linear.rest + numbers @ linear.slopes[0],
        max(_LEAST, _BEYOND * float(np.abs(rest).max())),
        finest=_FINEST,
    )
    seen = Planned(devices=devices, numbers=np.concatenate([design.numbers, numbers[1 : count + 1]]))
    found, _ = bent(linear, seen, np.concatenate([values, others[:count]]) - nominal)
    error = found.parameters(numbers[count + 1 :])[:, 0] - (others[count:] - nominal)
    whole = _named(found, COMPARATOR)
    if chip.converter is not None:
        whole = _with_array(_with_switch(whole, *_sampled(bench)), bench)
    return whole, float(np.abs(error).max(initial=0.0))


def _sampled(bench: MismatchBench) -> tuple[tuple[str, ...], Floats]:
    """Return the devices of the sampling switch, and what each of their numbers adds to the sampled plate [V]."""
    devices = bench.devices(bench.sampling(), SWITCH)
    design, _ = bench.plan(devices, 0)
    half = replace(design, numbers=design.numbers[: len(design) // 2])
    return devices, np.asarray(bench.sampled_plates(half) @ half.numbers / len(half))


def _with_switch(response: Response, devices: tuple[str, ...], slopes: Floats) -> Response:
    """Return the response with the sampling switch: a plate that is higher needs a lower input."""
    return _with_more(response, SWITCH, devices, -slopes[None])


def _with_array(response: Response, bench: MismatchBench) -> Response:
    """Return the response with the array's switches, and what each bit adds that is set as further parameters."""
    devices, (slopes,) = find_array_switches([bench])
    bits, along = len(slopes) - 1, len(response.directions)
    apart = {
        "names": (*response.names, *(f"level of bit {k} [V]" for k in range(bits))),
        "rest": np.append(response.rest, np.zeros(bits)),
        "slopes": np.pad(response.slopes, ((0, bits), (0, 0))),
        "bends": np.concatenate([response.bends, np.zeros((bits, along, along))]),
    }
    return _with_more(response.model_copy(update=apart), ARRAY, devices, slopes)


def _with_more(response: Response, block: str, devices: tuple[str, ...], slopes: Floats) -> Response:
    """Return the response with further devices, to which it is linear."""
    straight = np.zeros((len(response.directions), slopes.shape[1]))
    return response.model_copy(
        update={
            "devices": (*response.devices, *(f"{block}.{device}" for device in devices)),
            "slopes": np.concatenate([response.slopes, slopes], axis=1),
            "directions": np.concatenate([response.directions, straight], axis=1),
        }
    )


def _named(response: Response, block: str) -> Response:
    """Return the response with its devices within a block of a converter."""
    return response.model_copy(update={"devices": tuple(f"{block}.{device}" for device in response.devices)})


def shift_converters(
    calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
) -> list[tuple[Shift | None, Floats | None]]:
    """Find what conditions add to the response of a chip's converters, beyond what they add to a nominal one.

    Parameters
    ----------
    calibration : Calibration
        Of the chip at its own condition.
    conditions : sequence of Calibration
        The chip elsewhere.
    campaign : Campaign
        Runs the simulations.

    Returns
    -------
    list of tuple
        What each adds to the threshold; and to the slopes of bits that are set, (bits, 2 devices) [V]. None where there
        are no converters, and the second where no switches are known.
    """
    response = calibration.require_mismatch().converter
    if response is None:
        return [(None, None)] * len(conditions)
    prefix = f"{COMPARATOR}."
    devices = tuple(device.removeprefix(prefix) for device in response.devices if device.startswith(prefix))
    quick, share = campaign.quick, np.abs(response.slopes[0, : 2 * len(devices)])
    used = np.flatnonzero(used_numbers(devices) & (share >= _SMALL[quick] * np.sqrt((share**2).sum())))
    count, opposite = len(used), min(OPPOSITE, len(used)) if quick else len(used)
    # as many instances as numbers, and opposites, which tell of bends: these grow or shrink together
    turned = np.sqrt(count) * np.linalg.qr(np.random.default_rng(count).standard_normal((count, count)))[0]
    numbers = np.zeros((1 + count + opposite, response.slopes.shape[1]))
    numbers[1:, used] = np.concatenate([turned, -turned[:opposite]])
    planned = Planned(devices=devices, numbers=numbers[:, : 2 * len(devices)])
    own = response.parameters(numbers)[:, 0]
    bends = (own - own[0] - numbers @ response.slopes[0])[1:]
    pairs = bends[:opposite] + bends[count:]
    shifts: list[tuple[Shift | None, Floats | None]] = []
    benches = [MismatchBench(calibration=at, campaign=campaign) for at in conditions]
    nominal = Planned(devices=devices, numbers=planned.numbers[:1])
    home = MismatchBench(calibration=calibration, campaign=campaign)
    (here,) = find_thresholds([home.threshold_search(nominal)], campaign, finest=_FINEST)
    searches = [bench.threshold_search(planned, here + own - own[0]) for bench in benches]
    every = find_thresholds(searches, campaign, reach=_ELSEWHERE, finest=_FINEST)
    of_arrays = _shift_array(response, [home, *benches])
    for found, of_array in zip(every, of_arrays, strict=True):
        added = (found - found[0] - own + own[0])[1:]
        bend = float((added[:opposite] + added[count:]) @ pairs / (pairs @ pairs)) if pairs.any() else 0.0
        sides = (added - bend * bends)[:count]
        sides[:opposite] = (added[:opposite] - added[count:]) / 2
        slopes = sides @ numbers[1 : count + 1] / count
        shift = Shift(rest=0.0, slopes=slopes + of_array[0], bend=bend)
        shifts.append((shift, of_array[1:] if len(of_array) > 1 else None))
    return shifts


def _shift_array(response: Response, benches: Sequence[MismatchBench]) -> list[Floats]:
    """Return what conditions add to slopes by an array's switches, the first bench's own not, as the response has them.

    Of kinds but the library's own ADC it is not known where they have some.
    """
    added = [np.zeros_like(response.slopes) for _ in benches[1:]]
    if any(device.startswith(f"{ARRAY}.") for device in response.devices):
        devices, (here, *others) = find_array_switches(benches)
        paths = [f"{ARRAY}.{device}" for device in devices]
        first = 2 * response.devices.index(paths[0])
        for one, there in zip(added, others, strict=True):
            one[:, first : first + here.shape[1]] = there - here
    return added
