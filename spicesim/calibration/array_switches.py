"""Calibrate mismatch of the switches of converters' arrays: what they add to thresholds, by the level of each bit.

A strobe throws charge onto the top plate, and what is left of it as the comparator decides goes with the resistances
through which the array's capacitors hold the plate: 1 % of that of the first bit moves thresholds by some 20 uV.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from spicesim.arrays import Floats
from spicesim.calibration.mismatch_bench import MismatchBench, with_chip_mismatch
from spicesim.calibration.threshold import ThresholdSearch, find_thresholds, read_switches
from spicesim.chip.blocks import SarAdc
from spicesim.netlist.sar_adc import build_plate_switches

__all__ = ["find_array_switches"]

_LABEL = "converter mismatch"
"""Of the simulations in the accounts."""
MORE = 0.2
"""Of a switch's resistance, by which it is varied [1]."""
_FINEST = 5e-6
"""Last step of the searches for thresholds, which that moves by .44 mV at the first bit of `gf180-voltage` [V]."""
_SMALL = 1e-3
"""Part of the largest slope, below which a device does not matter."""


def find_array_switches(benches: Sequence[MismatchBench]) -> tuple[tuple[str, ...], list[Floats]]:
    """Find what the switches of an array add to thresholds, of a chip under some conditions.

    Parameters
    ----------
    benches : sequence of MismatchBench
        Of the chip under each condition, its own the first one.

    Returns
    -------
    devices : tuple of str
        Paths within the DAC of those that matter: inverters of switches do not.
    slopes : list of ndarray of shape (1 + bits, 2 devices)
        Of the threshold with each bit between its levels, and of what each adds if it is set, half of it up and half of
        it down, by the two numbers of each device in turn, under each condition [V].
    """
    found = [
        _slopes(by_share, *_resistances(bench))
        for bench, by_share in zip(benches, _moved_by_resistance(benches), strict=True)
    ]
    bits = len(found[0]) - 1
    names = np.array(_devices(benches[0]))
    matter = np.abs(found[0]).max(axis=(0, 1, 3)) > _SMALL * np.abs(found[0]).max()
    devices = tuple(f"xsw{k}.{name}" for k in range(bits) for name in names[matter])
    return devices, [own[:, :, matter].reshape(1 + bits, -1) for own in found]


def _slopes(by_share: Floats, by_number: Floats, nominal: Floats) -> Floats:
    """Return the slopes of thresholds, (1 + bits, bits, devices of a switch, 2) [V].

    Parameters
    ----------
    by_share : ndarray of shape (bits,)
        What they move by for each part of a resistance [V].
    by_number : ndarray of shape (levels, bits, devices of a switch, 2)
        What numbers add to resistances [ohm].
    nominal : ndarray of shape (bits,)
        Resistances whose parts these are [ohm].
    """
    bits = np.arange(len(nominal))
    low, high = by_number * (by_share / nominal)[:, None, None]
    slopes = np.zeros((1 + len(bits), *low.shape))
    slopes[0], slopes[1 + bits, bits] = (low + high) / 2, high - low  # a switch is of one bit
    return slopes


def _moved_by_resistance(benches: Sequence[MismatchBench]) -> list[Floats]:
    """Return by how much thresholds move for each part of each switch's resistance, as it samples, (bits,) [V]."""
    searches = []
    for bench in benches:
        sizes = _sizes(bench)
        shares = 1 + MORE * np.eye(1 + sizes.dac.bits)[:, 1:]
        searches.append(
            ThresholdSearch(chip=bench.calibration.chip, sizes=sizes, starts=np.zeros(len(shares)), shares=shares)
        )
    found = find_thresholds(searches, benches[0].campaign, finest=_FINEST)
    return [(own[1:] - own[0]) / MORE for own in found]


def _resistances(bench: MismatchBench) -> tuple[Floats, Floats]:
    """Return what numbers add to resistances, by level, as :func:`_slopes` wants it, and these as it samples [ohm]."""
    chip, sizes, devices = bench.calibration.chip, _sizes(bench), _devices(bench)
    levels, sampled = (0, 2**sizes.dac.bits - 1), sizes.sampled("bipolar")
    codes, netlists = [*levels, sampled], [build_plate_switches(chip, code, sizes) for code in (*levels, sampled)]
    for level, netlist in zip(levels, netlists[:2], strict=True):
        for device in devices:
            for number in range(2):
                codes.append(level)
                netlists.append(with_chip_mismatch(netlist, bench.calibration, partial(_one, device, number)))
    results = bench.campaign.run(netlists, _LABEL)
    low, high, nominal, *drawn = (read_switches(own, code) for own, code in zip(results, codes, strict=True))
    moved = np.reshape(drawn, (2, len(devices), 2, len(nominal))) - np.array([low, high])[:, None, None]
    return moved.transpose(0, 3, 1, 2), nominal


def _one(device: str, number: int, path: str) -> tuple[float, float]:
    """Return the numbers at a path if one of a device in each switch is 1, and all others are 0."""
    own = float(path.partition(".")[2] == device)
    return (own, 0.0) if number == 0 else (0.0, own)


def _devices(bench: MismatchBench) -> tuple[str, ...]:
    """Return the paths of the drawn devices of one switch, within it."""
    return bench.devices(build_plate_switches(bench.calibration.chip, 0, _sizes(bench)), "xsw_0")


def _sizes(bench: MismatchBench) -> SarAdc:
    sizes = bench.calibration.chip.converter
    assert sizes is not None
    return sizes
