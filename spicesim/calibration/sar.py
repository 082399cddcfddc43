"""Calibrate the successive-approximation ADC: conversions of known voltages, the top plate before every strobe.

The curve of the input and the weights follow by least squares from what the top plate says, the threshold from what the
comparator said. Inputs come in random order, so that the memory of the one before is not hidden; then some that end
close to the threshold of each bit. Some conversions go on by finer bits, whose slope over the input the threshold gets.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from spicesim.arrays import Bools, Codes, Floats
from spicesim.behavioural.converter import ConverterCheck
from spicesim.behavioural.sar import SarModel, SarRange, SarSearch, SarSpan
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import (
    AT_A_TIME,
    build_conversions,
    first_start,
    forgets,
    read_codes,
    real_vector,
    starts_of,
)
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import Threshold, find_threshold
from spicesim.calibration.hand_over import Plates, find_hand_over, require_handed_over
from spicesim.calibration.parallel_lines import parallel_lines
from spicesim.calibration.top_plate import BEFORE_STROBE, Plate, Seen, fit_plate
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import POLARITIES, Polarity
from spicesim.errors import CalibrationError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results
from spicesim.units import spice_number

__all__ = ["SarFit", "calibrate_converter", "convert_each", "first_plates"]

T = TypeVar("T")

Asked = tuple[Floats, int]
"""Inputs to convert, and by how many finer bits than the converter's their conversions go on."""

SPREAD, AIMED = 16, 2
"""Inputs spread over the range, half as many for another coding, and aimed at the threshold of each bit in a round."""
HELD_OUT = {True: 12, False: 24}
"""Inputs of the widest span, of all codings, that take no part in the fit, by whether a calibration is quick; narrower
ones have as many as if it were."""
LINE, WITHIN = 8, 0.95
"""Inputs whose conversions go on by finer bits and tell the line of the threshold, and the part of the range that they
are spread over: threshold and references are a little off, and beyond the range they tell nothing. Of six elsewhere the
top plate of arrays that remember the input before is not found."""
FINER = 6
"""Bits by which conversions go on that tell where in a step they end: to a sixtieth."""
ROUNDS = {True: 2, False: 3}
"""Rounds of aims, by whether a calibration is quick; those of a further coding are one less."""
AIM, KNOWN = 0.3e-3, 40e-6
"""How far from the threshold is aimed at most, and at first where that of another coding is known, from which those of
GF180MCU are 18 uV [V]."""
_LABEL = "calibrate converter"
"""Of the simulations in the accounts."""
LEAST_IDENTICAL = 0.9
"""Converters of a span whose held-out codes are the model's less often are refused."""


def calibrate_converter(chip: Chip, campaign: Campaign) -> SarModel:
    """Find the converters of a chip.

    Raises
    ------
    CalibrationError
        If conversions that took no part in the fit are other than the model says too often.
    """
    sizes = chip.converter
    assert sizes is not None
    codings = dict.fromkeys(chip.sense_amplifier.output_range(polarity) for polarity in chip.polarities)
    if chip.sense_amplifier.kind == "integrator":
        require_handed_over(chip, sizes, campaign)
    whole, *narrower = _over_each(chip, (sizes.dac.span, *sizes.spans), tuple(codings), campaign)
    sampling, comparator = converter_noise(chip, sizes, campaign)
    return SarModel(
        bits=sizes.dac.bits, span=whole.span, rising=chip.sense_amplifier.kind == "voltage", searches=whole.searches,
        checks=whole.checks, sampling_noise=sampling, comparator_noise=comparator,
        hand_over=find_hand_over(chip, sizes, campaign, first_plates([SarFit(chip, sizes, "bipolar", campaign)])),
        narrower=tuple(narrower),
    )  # fmt: skip


def _over_each(chip: Chip, spans: Sequence[float], codings: Sequence[Polarity], campaign: Campaign) -> list[SarSpan]:
    """Find the converters of spans; those of a further coding have about the threshold of the one before."""
    fits = {polarity: [_fit_over(chip, span, polarity, campaign) for span in spans] for polarity in codings}
    likes: list[Threshold | None] = [None] * len(spans)
    found, checks = {}, {}
    for polarity, own in fits.items():
        found[polarity] = _together(own, [fit.run(like) for fit, like in zip(own, likes, strict=True)])
        likes = [one.threshold for one in found[polarity]]
    searches, late = _straightened(found)
    held_out = [HELD_OUT[campaign.quick or span < spans[0]] // len(codings) for span in spans]
    for polarity, own in fits.items():
        each = zip(own, searches[polarity], held_out, late, strict=True)
        checks[polarity] = _together(own, [fit.check(search, count, after) for fit, search, count, after in each])
    found_over = [
        SarSpan(
            span=span, searches={polarity: searches[polarity][k] for polarity in codings},
            checks={polarity: checks[polarity][k] for polarity in codings},
        )
        for k, span in enumerate(spans)
    ]  # fmt: skip
    for one in found_over:
        _require_identical(one.checks)
    return found_over


def _straightened(
    found: Mapping[Polarity, Sequence["_Fitted"]],
) -> tuple[dict[Polarity, list[SarSearch]], list[float]]:
    """Return searches with the lines that conversions with finer bits have beyond them, of each span all of one slope.

    Trials of finer bits are late: by 20 uV over .8 V of GF180MCU, and by less than 3 over .1 V. Decisions of all
    codings tell by how much, which is returned, too, of each span [steps].
    """
    searches: dict[Polarity, list[SarSearch]] = {polarity: [] for polarity in found}
    late = []
    for own in zip(*found.values(), strict=True):
        slope, middles = parallel_lines([one.left for one in own])
        late.append(float(np.mean(middles)))
        for polarity, one, middle in zip(found, own, middles, strict=True):
            searches[polarity].append(one.straight(one.lsb * (middle - late[-1]), one.lsb * slope))
    return searches, late


def _fit_over(chip: Chip, span: float, polarity: Polarity, campaign: Campaign) -> "SarFit":
    there = chip.over(span)
    assert there.converter is not None
    return SarFit(there, there.converter, polarity, campaign)


def _require_identical(checks: Mapping[Polarity, ConverterCheck]) -> None:
    """Refuse a span of which too many held-out codes are others."""
    count = sum(check.conversions for check in checks.values())
    identical = sum(check.identical * check.conversions for check in checks.values()) / count
    if identical < LEAST_IDENTICAL:
        raise CalibrationError(
            f"the {' and '.join(checks)} converter's codes are what the model says for {100 * identical:.0f} % of "
            f"{count} inputs only, wanted {100 * LEAST_IDENTICAL:.0f} %: its array does not settle, or "
            "remembers the input before; give sar_adc.sample and sar_adc.bit more time, such as 40 ns and 16 ns"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """A search as decisions that are close to its threshold tell it."""

    search: SarSearch
    threshold: Threshold
    left: tuple[Floats, Floats]
    """Inputs of conversions with finer bits, and how far above it these end [steps]."""
    lsb: float
    """A step [V]."""

    def straight(self, middle: float, tilt: float) -> SarSearch:
        """Return the search with a line over the input, of what conversions have above it [V]."""
        curve = self.search.curve.copy()
        curve[:2] += middle, tilt
        return self.search.model_copy(update={"curve": curve})


class SarFit:
    """The fit of one range of inputs."""

    def __init__(self, chip: Chip, sizes: SarAdc, polarity: Polarity, campaign: Campaign) -> None:
        self._chip, self._sizes, self._polarity, self._campaign = chip, sizes, polarity, campaign
        self._rng = np.random.default_rng([campaign.seed, 29, POLARITIES.index(polarity)])
        self._bits, self._half = sizes.dac.bits, sizes.dac.span / 2
        self._middle, self._sampled = -self._half if polarity == "unipolar" else 0.0, sizes.sampled(polarity)

    @property
    def campaign(self) -> Campaign:
        """What runs its simulations."""
        return self._campaign

    @property
    def lsb(self) -> float:
        """Ideal step [V]."""
        return self._sizes.lsb

    def run(self, like: Threshold | None = None) -> Generator[Asked, Seen, _Fitted]:
        """Find the search, and the threshold in it, which may be like another one; ask for conversions of inputs."""
        finer = yield self.along(), FINER
        seen, more = finer.upper(self._bits), SPREAD // (1 if like is None else 2) - LINE
        if more:
            seen = seen + (yield self.spread(more), 0)
        search, threshold = self._solve(seen, like)
        is_known = like is not None
        for _ in range(ROUNDS[self._campaign.quick] - is_known):
            aims = self._close() if is_known else self._between(seen, threshold.over)
            seen = seen + (yield self.near(search, aims), 0)
            search, threshold = self._solve(seen, like)
            is_known = _gap(seen, threshold.over) < 2 * KNOWN
        left = self.left(search, finer, self.fit_plate(seen))
        return _Fitted(search=search, threshold=threshold, left=left, lsb=self.lsb)

    def left(self, search: SarSearch, seen: Seen, plate: Plate) -> tuple[Floats, Floats]:
        """Return inputs that ended within the range, and how far above a search's steps, as :meth:`beyond`.

        What the array keeps of the input before, as a plate has it, is taken off.

        Raises
        ------
        CalibrationError
            If that are fewer than half of them.
        """
        beyond = self.beyond(search, seen) - float(plate.memory[0]) * seen.before / self.lsb
        kept = np.isfinite(beyond)
        if 2 * kept.sum() < len(kept):
            raise CalibrationError(
                f"at {self._chip.process.temperature_c:g} C the converter's threshold lies far off: {kept.sum()} of "
                f"{len(kept)} conversions are within the span of {2 * self._half:g} V; widen sar_adc.comparator or "
                "that of sar_adc.dac.span and sar_adc.spans"
            )
        return seen.inputs[kept], beyond[kept]

    def check(self, search: SarSearch, count: int, late: float) -> Generator[Asked, Seen, ConverterCheck]:
        """Ask for conversions of so many inputs that took no part, and tell how often the search is right.

        It is where no step lies between where a conversion ends, less how late trials of finer bits are, and where the
        search has it: as often as that is not longer than what is left of a step. At the ends of the range codes count.
        """
        held = yield self._rng.uniform(-1, 1, count), FINER
        wrong = self.range(search).codes(-self.volts(held.inputs)) - (2**self._bits - 1 - held.upper(self._bits).codes)
        beyond = np.abs(self.beyond(search, held) - late)
        off = np.where(np.isnan(beyond), np.abs(wrong), beyond)
        return ConverterCheck(
            conversions=len(wrong), identical=1 - float(np.mean(np.minimum(1.0, off))), worst=int(np.abs(wrong).max()),
            late=late,
        )  # fmt: skip

    def volts(self, inputs: Floats) -> Floats:
        """Return inputs, from the middle of the range in halves of the span, above the reference [V]."""
        return np.asarray(self._middle + self._half * inputs)

    def range(self, search: SarSearch) -> SarRange:
        """Return the converter of a search."""
        return SarRange(low=search.low, high=search.high, bits=self._bits, search=search, span=2 * self._half)

    def spread(self, count: int) -> Floats:
        """Return inputs spread over the range, in random order."""
        inputs = (2 * np.arange(count) + 2 * self._rng.random(count)) / count - 1
        return self._rng.permutation(inputs)

    def along(self) -> Floats:
        """Return the inputs of a line, which are the same here and at another condition if asked for first."""
        return WITHIN * self.spread(LINE)

    def _close(self) -> list[Floats]:
        """Return distances to a threshold that is about known, of each bit's trial another one on either side [V]."""
        return [KNOWN * (2 * parts - 1) for parts in self._parts()]

    def _parts(self) -> list[Floats]:
        """Return :data:`AIMED` parts of a distance for each bit, all bits' evenly spread: they share a threshold."""
        return [(np.arange(AIMED) + (k + 0.5) / self._bits) / AIMED for k in range(self._bits)]

    def _between(self, seen: Seen, over: Floats) -> list[Floats]:
        """Return distances to the threshold that divide what is left between the decisions nearest to it [V].

        They are :data:`AIMED` a bit's trial; `over` is how far the top plate was above it, (conversions, bits) [V].
        """
        all_decided = seen.decided == 1
        # where converters of few bits have come no nearer yet, it may lie farther away
        reach = max(AIM, -np.max(over[~all_decided]), np.min(over[all_decided]))
        distances = []
        for k, parts in enumerate(self._parts()):
            decided = all_decided[:, k]
            ends = np.sort([np.max(over[~decided, k], initial=-reach), np.min(over[decided, k], initial=reach)])
            distances.append(ends[0] + (ends[1] - ends[0]) * parts)
        return distances

    def near(
        self, search: SarSearch, distances: Sequence[Floats], where: Callable[[Floats], Bools] = np.isfinite
    ) -> Floats:
        """Return inputs that end so far above a search's threshold, in random order.

        Parameters
        ----------
        search : SarSearch
            The search.
        distances : sequence of ndarray
            By the bit in whose trial inputs end [V].
        where : callable
            Tells which inputs may be taken.
        """
        steps, inputs = self.steps(search), []
        above = np.arange(1, 2**self._bits)  # the code there: the last bit that it has was decided last
        for k, of_bit in enumerate(distances):
            own = steps[np.isfinite(steps) & where(steps) & (above % 2 ** (k + 1) == 2**k)]
            if len(of_bit) and not len(own):
                raise CalibrationError("the converter gives few codes for all inputs; check sar_adc and its times")
            inputs.append(self._rng.choice(own, len(of_bit)) + of_bit / self._half)
        return self._rng.permutation(np.concatenate(inputs))

    def steps(self, search: SarSearch) -> Floats:
        """Return the inputs at a search's steps, from code 1 on, infinite beyond the range, (codes - 1,)."""
        inputs = np.linspace(-0.98, 0.98, 4097)
        plates = np.polynomial.polynomial.polyval(inputs, search.curve)
        return np.interp(search.tables.steps[0, 1:-2], plates, inputs, -np.inf, np.inf)

    def beyond(self, search: SarSearch, seen: Seen) -> Floats:
        """Return how far codes of conversions, finer bits included, lie above a search's, (conversions,) [steps].

        NaN where either is at an end of the range.
        """
        steps, codes = self.steps(search), np.arange(1.0, 2**self._bits)
        kept = np.isfinite(steps)
        expected = np.interp(seen.inputs, steps[kept], codes[kept], np.nan, np.nan)
        places = (seen.codes + 0.5) / 2.0 ** (seen.bits - self._bits)
        return np.where((seen.codes > 0) & (seen.codes < 2**seen.bits - 1), places - expected, np.nan)

    def fit_plate(self, seen: Seen, before: Plate | None = None) -> Plate:
        """Fit the top plate of conversions; arguments as of :func:`spicesim.calibration.top_plate.fit_plate`."""
        return fit_plate(seen.upper(self._bits), self._sampled, before)

    def codes(self, inputs: Floats) -> Codes:
        """Return codes of inputs, rising with them, (conversions,); before each the array held the reference."""
        return self.fresh(inputs).codes

    def fresh(self, inputs: Floats, finer: int = 0) -> Seen:
        """Convert inputs, with so many finer bits; before each the array held the reference."""
        if forgets(self._sizes):
            return self.convert(inputs, finer)
        reference = np.full_like(inputs, -self._middle / self._half)
        every = self.convert(np.stack([inputs, reference], axis=1).ravel(), finer)
        return every[np.arange(len(every.codes)) % 2 == 0]

    def convert(self, inputs: Floats, finer: int = 0) -> Seen:
        """Convert inputs at transistor level."""
        (found,) = convert_each([self], [inputs], [finer])
        return found

    def testbenches(self, inputs: Floats, finer: int = 0) -> list[Netlist]:
        """Build the conversions of inputs, which go on by so many finer bits than the converter has."""
        reference, supply = self._chip.sense_amplifier.v_reference, self._chip.process.supply
        volts, count = np.clip(reference + self.volts(inputs), 0, supply), AT_A_TIME[forgets(self._sizes)]
        return [
            build_conversions(self._chip, volts[k : k + count], volts[k - 1], self._sizes, self._polarity, finer)
            for k in range(0, len(volts), count)
        ]

    def first_trials(self, volts: Floats) -> list[Netlist]:
        """Build conversions of voltages above the reference, each by itself, until the first strobe."""
        reference, sizes = self._chip.sense_amplifier.v_reference, self._sizes
        stop = spice_number(first_start(sizes) + sizes.sample + 2 / 3 * sizes.bit)
        nodes = np.clip(reference + volts, 0, self._chip.process.supply)[:, None]
        whole = [build_conversions(self._chip, one, reference, sizes, self._polarity) for one in nodes]
        return [replace(one, analyses=(f".tran 0.5n {stop} 0 1n",)) for one in whole]

    def first_plate(self, results: Results) -> float:
        """Return the top plate before the strobe that ends one of these [V]."""
        time, top = real_vector(results, "time"), real_vector(results, "v(top)") - real_vector(results, "v(level)")
        return float(np.interp(time[-1] - BEFORE_STROBE, time, top))

    def read(self, inputs: Floats, found: Sequence[Results], finer: int = 0) -> Seen:
        """Read what the conversions of inputs gave."""
        sizes = self._sizes.finer(finer)
        return Seen(
            inputs=inputs,
            before=self.volts(np.roll(inputs, 1)),
            codes=np.concatenate([read_codes(results, sizes, first_start(sizes)) for results in found]),
            tops=np.concatenate([self._tops(results, sizes) for results in found]),
        )

    def _tops(self, results: Results, sizes: SarAdc) -> Floats:
        time, bits = real_vector(results, "time"), sizes.dac.bits
        starts = starts_of(time, sizes, first_start(sizes))[:, None]
        strobes = sizes.sample + (bits - 1 - np.arange(bits) + 2 / 3) * sizes.bit - BEFORE_STROBE
        return np.asarray(
            np.interp(starts + strobes, time, real_vector(results, "v(top)") - real_vector(results, "v(level)"))
        )

    def _solve(self, seen: Seen, like: Threshold | None) -> tuple[SarSearch, Threshold]:
        """Fit the top plate, then the threshold, which is not quite the same for all bits."""
        plate, threshold = self.fit_plate(seen), find_threshold(seen, like)
        last = 2**self._bits - 1
        kept = (seen.codes > 0) & (seen.codes < last)
        slope, start = np.polyfit(last - seen.codes[kept], -self.volts(seen.inputs[kept]), 1)
        search = SarSearch(
            sampled=self._sampled, middle=self._middle, low=float(start), high=float(start + slope * last),
            **plate.search,
        )  # fmt: skip
        return threshold.applied(search), threshold

    def require_settled(self, plate: Plate, seen: Seen) -> None:
        """Refuse a top plate that remembers the input before by so much that codes are others too often.

        A code is another where what the plate is beyond its fit leads over a step.
        """
        beyond = plate.beyond(seen.upper(self._bits), self._sampled)
        identical = 1 - float(np.abs(beyond.mean(axis=1)).mean()) / self._sizes.lsb
        if identical < LEAST_IDENTICAL:
            raise CalibrationError(
                f"at {self._chip.process.temperature_c:g} C the {self._polarity} converter's array remembers the input "
                f"before: only {100 * identical:.0f} % of its codes can be told from the input, wanted "
                f"{100 * LEAST_IDENTICAL:.0f} %; give sar_adc.sample more time"
            )


def _gap(seen: Seen, over: Floats) -> float:
    """Return how far apart the decisions nearest to a threshold are, `over` it in the trials of all bits [V]."""
    decided = seen.decided == 1
    return float(np.min(over[decided]) - np.max(over[~decided]))


def _together(fits: Sequence[SarFit], runs: Sequence[Generator[Asked, Seen, T]]) -> list[T]:
    """Carry on with what asks fits for conversions, all that they ask for at once, and return what each returns."""
    wanted, found = {k: next(run) for k, run in enumerate(runs)}, {}
    while wanted:
        inputs, finer = zip(*wanted.values(), strict=True)
        seen = convert_each([fits[k] for k in wanted], inputs, finer)
        for k, own in zip(tuple(wanted), seen, strict=True):
            try:
                wanted[k] = runs[k].send(own)
            except StopIteration as end:
                found[k] = end.value
                del wanted[k]
    return [found[k] for k in range(len(runs))]


def first_plates(fits: Sequence[SarFit]) -> Plates:
    """Return what gives the top plates of converters before their first strobes; each array held the reference."""

    def look(volts: Sequence[Floats]) -> list[Floats]:
        netlists = [fit.first_trials(own) for fit, own in zip(fits, volts, strict=True)]
        results = iter(fits[0].campaign.run([one for group in netlists for one in group], _LABEL))
        return [
            np.array([fit.first_plate(next(results)) for _ in group]) for fit, group in zip(fits, netlists, strict=True)
        ]

    return look


def convert_each(fits: Sequence[SarFit], inputs: Sequence[Floats], finer: Sequence[int] | None = None) -> list[Seen]:
    """Convert inputs by each of some converters of one campaign, all at once, so that no processor waits.

    Conversions go on by so many finer bits than each converter has, by default none.
    """
    wanted = list(zip(fits, inputs, finer or [0] * len(fits), strict=True))
    netlists = [fit.testbenches(own, more) for fit, own, more in wanted]
    every = [one for group in netlists for one in group]
    results = iter(fits[0].campaign.run(every, _LABEL))
    return [
        fit.read(own, [next(results) for _ in group], more)
        for (fit, own, more), group in zip(wanted, netlists, strict=True)
    ]
