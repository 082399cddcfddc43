"""Search for the thresholds of comparators of converters, each at the strobes of an array that stands still.

How long a comparator takes tells how far from its threshold its input was, by a law that the same testbench tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import decision_delays, real_vector
from spicesim.calibration.delays import DelayLaw, fit_delays
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.errors import ValidityError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import PROBE_CURRENT, build_plate_switches, build_thresholds
from spicesim.ngspice.outcome import Results

__all__ = [
    "WIDE",
    "ThresholdSearch",
    "find_delays",
    "find_thresholds",
    "plate_switches",
    "read_switches",
    "read_thresholds",
]

COMPARATORS = 10
"""Comparators in one netlist; in larger ones one that decides late delays all others."""

_LABEL = "converter mismatch"
"""Of the simulations in the accounts."""

WIDE = 0.25
"""How far a search goes if nothing is known [V]."""

_SHRINK = 0.6
"""Of steps of a search for a threshold, from one to the next, so that later ones mend what one misses [1]."""

_FINEST = 5e-6
"""Last of them [V]."""

_FROM = (-1.9, -1.5, 1.5, 1.9)
"""Where comparators begin whose delays are measured, in their first step, so that far inputs lie on either side."""
_REACH, _CLOSEST = 6e-3, 10e-6
"""That step, or two of the converter if these are more, and about the last one [V]."""
_APPROACH = 0.55
"""From one of these steps to the next [1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSearch:
    """Comparators of one chip."""

    chip: Chip
    """The chip."""
    sizes: SarAdc | None
    """Of the ADC that they belong to; by default the chip's."""
    starts: Floats
    """Where the searches begin, (comparators,) [V]."""
    drawn: Callable[[Netlist, range], Netlist] = lambda netlist, part: netlist
    """Draws the devices of some of the comparators in their netlist; by default all are nominal."""
    shares: npt.ArrayLike = 1.0
    """Resistances of the switches of their arrays, of those of nominal ones, (comparators, bits) [1]."""

    def netlists(self, steps: Floats, switches: Floats) -> list[Netlist]:
        """Build the searches by these steps, with these resistances of nominal arrays' switches [ohm]."""
        held = switches * np.broadcast_to(self.shares, (len(self.starts), len(switches)))
        return [
            self.drawn(build_thresholds(self.chip, len(part), self.sizes, self.starts[part], steps, held[part]), part)
            for part in self._parts()
        ]

    def read(self, results: Sequence[Results]) -> Floats | ValidityError:
        """Read the thresholds, (comparators,) [V]; an error if one is beyond the search."""
        parts = zip(self._parts(), results, strict=True)
        try:
            return np.concatenate([read_thresholds(found, self.chip, len(part), self.sizes) for part, found in parts])
        except ValidityError as error:
            return error

    def _parts(self) -> list[range]:
        count = len(self.starts)
        return [range(k, min(k + COMPARATORS, count)) for k in range(0, count, COMPARATORS)]


def read_thresholds(results: Results, chip: Chip, count: int, sizes: SarAdc | None = None) -> Floats:
    """Return the thresholds of :func:`spicesim.netlist.sar_adc.build_thresholds`, (comparators,) [V].

    Raises
    ------
    ValidityError
        If one is beyond the search.
    """
    vectors = results[0].vectors
    sizes, time = sizes or chip.converter or chip.sar_adc, vectors["time"].real
    # the first decision steers the search, but none before it has left anything on the plates: its threshold is another
    starts = np.arange(1, round(time[-1] / sizes.bit)) * sizes.bit
    found = []
    for k in range(count):
        top = (vectors[f"v(top_{k})"] - vectors[f"v(level_{k})"]).real
        over = np.interp(starts + sizes.bit * 2 / 3 - BEFORE_STROBE, time, top)
        above = np.interp(starts + 0.98 * sizes.bit, time, vectors[f"v(outp_{k})"].real) > chip.process.supply / 2
        if above.all() or not above.any():
            raise ValidityError(
                f"the threshold of a converter's comparator is beyond {1e3 * np.abs(over).max():.0f} mV; widen its "
                "transistors, sar_adc.comparator"
            )
        found.append((over[~above].max() + over[above].min()) / 2)
    return np.array(found)


def find_thresholds(
    searches: Sequence[ThresholdSearch], campaign: Campaign, *, reach: float = WIDE, finest: float = _FINEST
) -> list[Floats]:
    """Find the thresholds of comparators of several chips at once, at their top plates, each (comparators,) [V].

    Parameters
    ----------
    searches : sequence of ThresholdSearch
        Where to search.
    campaign : Campaign
        Runs the simulations.
    reach : float
        How far from the start a search goes at first [V]; those of a chip go as far as :data:`WIDE` where one threshold
        is farther away, as from small arrays, of whose charge each strobe takes more than late steps bring.
    finest : float
        Last step of a search [V].

    Raises
    ------
    ValidityError
        If a threshold is still farther away.
    """
    switches = plate_switches([(search.chip, search.sizes) for search in searches], campaign)
    found: dict[int, Floats] = {}
    for width in dict.fromkeys((reach, max(reach, WIDE))):
        todo = [k for k in range(len(searches)) if k not in found]
        steps = _search_steps(width, finest)
        netlists = [searches[k].netlists(steps, switches[k]) for k in todo]
        every = [one for group in netlists for one in group]
        results = iter(campaign.run(every, _LABEL) if todo else ())
        for k, group in zip(todo, netlists, strict=True):
            own = searches[k].read([next(results) for _ in group])
            if not isinstance(own, ValidityError):
                found[k] = own
            elif width >= WIDE:
                raise own
    return [found[k] for k in range(len(searches))]


def find_delays(converters: Sequence[tuple[Chip, SarAdc]], campaign: Campaign, label: str) -> list[DelayLaw]:
    """Find how far from their thresholds the comparators of some converters were, by how long they took.

    Parameters
    ----------
    converters : sequence of tuple
        Chips, and sizes of their converters.
    campaign : Campaign
        Runs the simulations.
    label : str
        Of these in the accounts.
    """
    netlists = []
    for (chip, sizes), switches in zip(converters, plate_switches(converters, campaign), strict=True):
        reach = max(_REACH, 2 * sizes.lsb)
        steps = reach * _APPROACH ** np.arange(np.ceil(np.log(_CLOSEST / reach) / np.log(_APPROACH)))
        netlist = build_thresholds(chip, len(_FROM), sizes, reach * np.array(_FROM), steps, switches)
        netlists.append(replace(netlist, probes=(*netlist.probes, *(f"v(outn_{k})" for k in range(len(_FROM))))))
    return [_read_delays(*own) for own in zip(campaign.run(netlists, label), converters, strict=True)]


def _read_delays(results: Results, converter: tuple[Chip, SarAdc]) -> DelayLaw:
    chip, sizes = converter
    time = real_vector(results, "time")
    strobes = (np.arange(1, round(time[-1] / sizes.bit)) + 2 / 3) * sizes.bit  # before the first there was none
    tops, above, delays = [], [], []
    for k in range(len(_FROM)):
        top, level, risen, fallen = (
            real_vector(results, f"v({node}_{k})") for node in ("top", "level", "outp", "outn")
        )  # fmt: skip
        tops.append(np.interp(strobes - BEFORE_STROBE, time, top - level))
        above.append(np.interp(strobes + 0.32 * sizes.bit, time, risen - fallen) > 0)
        delays.append(decision_delays(time, np.maximum(risen, fallen), strobes, sizes, chip.process.supply))
    if not np.isfinite(delays).all():
        raise ValidityError("a comparator did not decide within its time; give each bit of the ADC more")
    if np.all(above) or not np.any(above):
        raise ValidityError(
            f"the threshold of a converter's comparator is beyond {1e3 * np.abs(tops).max():.0f} mV; widen its "
            "transistors, sar_adc.comparator"
        )
    return fit_delays(np.concatenate(tops), np.concatenate(above), np.concatenate(delays))


def plate_switches(
    converters: Sequence[tuple[Chip, SarAdc | None]], campaign: Campaign, polarity: Polarity = "bipolar"
) -> list[Floats]:
    """Find the resistances of the switches of converters' arrays while they sample, each (bits,) [ohm].

    Parameters
    ----------
    converters : sequence of tuple
        Chips, and sizes of their converters; None for the chip's own.
    campaign : Campaign
        Runs the simulations.
    polarity : {"bipolar", "unipolar"}
        Where their range lies, which says what bits are set.
    """
    own = [sizes or chip.converter or chip.sar_adc for chip, sizes in converters]
    codes = [sizes.sampled(polarity) for sizes in own]
    netlists = [
        build_plate_switches(chip, code, sizes) for (chip, _), code, sizes in zip(converters, codes, own, strict=True)
    ]
    return [read_switches(results, code) for results, code in zip(campaign.run(netlists, _LABEL), codes, strict=True)]


def read_switches(results: Results, code: int) -> Floats:
    """Return the resistances of :func:`~spicesim.netlist.sar_adc.build_plate_switches`, (bits,) [ohm]."""
    vectors = {name: float(values[0].real) for name, values in results[0].vectors.items()}
    bits = range(sum(name.startswith("v(s_") for name in vectors))
    drops = [vectors[f"v(s_{k})"] - vectors["v(v1)" if code >> k & 1 else "v(v0)"] for k in bits]
    return np.array(drops) / PROBE_CURRENT


def _search_steps(reach: float, finest: float) -> Floats:
    """Return the steps of a search that goes so far and ends with a step so fine [V].

    The second is as large as the first, and so a first decision that was wrong is made good even where every strobe
    takes some charge of the plate.
    """
    first = (1 - _SHRINK) * reach
    last = np.ceil(np.log(finest / first) / np.log(_SHRINK))
    return np.asarray(first * _SHRINK ** np.append(0, np.arange(1 + last)))
