"""Calibrate the successive-approximation ADC: conversions of known voltages, the top plate before every strobe.

The curve of the input and the weights follow by least squares from what the top plate says, the threshold from what the
comparator said and how long that took. Inputs are spread over the range, then some end close to the threshold of each
bit. Before each the array holds the reference, as in macros; what it keeps of another one is found by held-out inputs.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import ConverterCheck, ConverterRange
from spicesim.behavioural.sar import SarModel, SarSearch, SarSpan
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import (
    build_conversions,
    charges,
    first_start,
    forgets,
    parted_inputs,
    read_codes,
    read_delays,
    real_vector,
    starts_of,
    strobes_of,
)
from spicesim.calibration.converter_noise import converter_noise
from spicesim.calibration.decisions import NEAR, Threshold, find_threshold
from spicesim.calibration.delays import DelayLaw
from spicesim.calibration.hand_over import Plates, find_hand_over, require_handed_over
from spicesim.calibration.threshold import find_delays
from spicesim.calibration.top_plate import BEFORE_STROBE, Plate, Seen, fit_plate
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import POLARITIES, Polarity
from spicesim.errors import CalibrationError
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import longest_step
from spicesim.ngspice.outcome import Results
from spicesim.units import spice_number

__all__ = ["LABEL", "SarFit", "calibrate_converter", "convert_each", "first_plates"]

T = TypeVar("T")

SPREAD, WITHIN = 8, 0.98
"""Inputs spread over that part of the range, from one end of it to the other: steps beyond the outermost inputs, where
the sampling switch bends most, were up to .2 mV off. They are converted at other conditions, too: of six there top
plates are .15 mV off, of eight .04."""
SPREAD_BENT = 24
"""The same where sources do not charge arrays whole."""
AIM = 0.3e-3
"""How far from the threshold inputs end at most in the trial of a bit [V]."""
BY_BIT, REST = (3, 2), 1
"""Of these inputs, those of the last bits, which decide three steps of four, and of each of the rest."""
HELD_OUT = 12
"""Inputs of a span, of all codings, that take no part in the fit; each tells how far it is from the model."""
LABEL = "calibrate converter"
"""Of the simulations in the accounts."""
LEAST_IDENTICAL = 0.9
"""Converters of a span whose held-out codes are the model's less often are refused."""


def calibrate_converter(chip: Chip, campaign: Campaign) -> SarModel:
    """Find the converters of a chip.

    Raises
    ------
    CalibrationError
        If conversions that took no part in the fit are other than the model says too often; right after each other,
        too, where no hand-over tells of runs what arrays want.
    """
    sizes = chip.converter
    assert sizes is not None
    codings = dict.fromkeys(chip.sense_amplifier.output_range(polarity) for polarity in chip.polarities)
    if chip.sense_amplifier.kind == "integrator":
        require_handed_over(chip, sizes, campaign)
    whole, *narrower = _over_each(chip, (sizes.dac.span, *sizes.spans), tuple(codings), campaign)
    sampling, comparator = converter_noise(chip, sizes, campaign)
    model = SarModel(
        bits=sizes.dac.bits, span=whole.span, rising=chip.sense_amplifier.kind == "voltage", searches=whole.searches,
        checks=whole.checks, sampling_noise=sampling, comparator_noise=comparator,
        hand_over=find_hand_over(chip, sizes, campaign, first_plates([SarFit(chip, sizes, "bipolar", campaign)])),
        narrower=tuple(narrower),
    )  # fmt: skip
    if model.hand_over is None:
        for own in (whole, *narrower):
            _require_forgotten(own.checks)
    return model


def _over_each(chip: Chip, spans: Sequence[float], codings: Sequence[Polarity], campaign: Campaign) -> list[SarSpan]:
    """Find the converters of spans; those of a further coding have about the threshold of the one before."""
    fits = {polarity: [_fit_over(chip, span, polarity, campaign) for span in spans] for polarity in codings}
    assert chip.converter is not None
    (delays,) = find_delays([(chip, chip.converter)], campaign, LABEL)
    likes: Sequence[Threshold | None] = [None] * len(spans)
    found, checks = {}, {}
    for polarity, own in fits.items():
        fitted = _together(own, [fit.run(delays, like) for fit, like in zip(own, likes, strict=True)])
        found[polarity], likes = [search for search, _ in fitted], [threshold for _, threshold in fitted]
    for polarity, own in fits.items():
        held_out = [
            fit.check(search, delays, HELD_OUT // len(codings))
            for fit, search in zip(own, found[polarity], strict=True)
        ]
        checks[polarity] = _together(own, held_out)
    found_over = [
        SarSpan(
            span=span, searches={polarity: found[polarity][k] for polarity in codings},
            checks={polarity: checks[polarity][k] for polarity in codings},
        )
        for k, span in enumerate(spans)
    ]  # fmt: skip
    for one in found_over:
        _require_identical(one.checks)
    return found_over


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
            f"{count} inputs only, wanted {100 * LEAST_IDENTICAL:.0f} %: its array does not settle; give "
            "sar_adc.sample and sar_adc.bit more time, such as 40 ns and 16 ns"
        )


def _require_forgotten(checks: Mapping[Polarity, ConverterCheck]) -> None:
    """Refuse a span of which too many held-out codes are others without a rest."""
    for polarity, check in checks.items():
        if check.in_turn is not None and check.in_turn < LEAST_IDENTICAL:
            raise CalibrationError(
                f"the {polarity} converter's array remembers the conversion before: right after each other "
                f"{100 * check.in_turn:.0f} % of {check.conversions} codes are what the model says, wanted "
                f"{100 * LEAST_IDENTICAL:.0f} %; give sar_adc.sample more time"
            )


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

    def run(
        self, delays: DelayLaw, like: Threshold | None = None
    ) -> Generator[Floats, Seen, tuple[SarSearch, Threshold]]:
        """Find the search, and the threshold in it, which may be like another one; ask for conversions of inputs."""
        seen = yield self.spread()
        search, _ = self._solve(seen, delays, like)
        seen = seen + (yield self.near(search, self.aims(BY_BIT, REST)))
        return self._solve(seen, delays, like)

    def left(self, search: SarSearch, seen: Seen, delays: DelayLaw) -> tuple[Floats, Floats]:
        """Return inputs that ended within the range, and how far above a search's steps, as :meth:`beyond`.

        Raises
        ------
        CalibrationError
            If that are fewer than half of them.
        """
        beyond = self.beyond(search, seen, delays)
        kept = np.isfinite(beyond)
        if 2 * kept.sum() < len(kept):
            raise CalibrationError(
                f"at {self._chip.process.temperature_c:g} C the converter's threshold lies far off: {kept.sum()} of "
                f"{len(kept)} conversions are within the span of {2 * self._half:g} V; widen sar_adc.comparator or "
                "that of sar_adc.dac.span and sar_adc.spans"
            )
        return seen.inputs[kept], beyond[kept]

    def check(self, search: SarSearch, delays: DelayLaw, count: int) -> Generator[Floats, Seen, ConverterCheck]:
        """Ask for conversions of so many inputs that took no part, and tell how often the search is right.

        It is where no step lies between where an input is and where the search has it: as often as that is not longer
        than what is left of a step. At the ends of the range codes count.
        """
        held = yield self._rng.uniform(-1, 1, count)
        wrong, off = self._off(search, held, delays)
        in_turn = None
        if not forgets(self._sizes):
            _, off_in_turn = self._off(search, self._convert_in_turn(held.inputs), delays)
            in_turn = _identical(off_in_turn)
        return ConverterCheck(
            conversions=len(wrong), identical=_identical(off), worst=int(np.abs(wrong).max()), in_turn=in_turn
        )

    def _off(self, search: SarSearch, seen: Seen, delays: DelayLaw) -> tuple[Codes, Floats]:
        """Return by how many codes a search is wrong, and how far off it is, (conversions,) [codes], [steps]."""
        wrong = self.range(search).codes(-self.volts(seen.inputs)) - (2**self._bits - 1 - seen.codes)
        beyond = np.abs(self.beyond(search, seen, delays))
        return wrong, np.where(np.isnan(beyond), np.abs(wrong), beyond)

    def _convert_in_turn(self, inputs: Floats) -> Seen:
        """Convert inputs right after each other, the first after the last."""
        netlist = self._build(np.append(inputs[-1], inputs), rests=False)
        return self.read(inputs, self._campaign.run([netlist], LABEL), rests=False)

    def volts(self, inputs: Floats) -> Floats:
        """Return inputs, from the middle of the range in halves of the span, above the reference [V]."""
        return np.asarray(self._middle + self._half * inputs)

    def range(self, search: SarSearch) -> ConverterRange:
        """Return the converter of a search."""
        return ConverterRange(low=search.low, high=search.high, bits=self._bits, search=search, span=2 * self._half)

    def spread(self, count: int | None = None, within: float = WITHIN) -> Floats:
        """Return inputs spread over part of the range, its ends among them, in random order; the same anywhere."""
        if count is None:
            count = SPREAD if charges(self._sizes) else SPREAD_BENT
        places = np.arange(count) + self._rng.random(count)
        inputs = 2 * (places - places[0]) / (places[-1] - places[0]) - 1
        return within * self._rng.permutation(inputs)

    def calm(self, search: SarSearch, inputs: Floats) -> Floats:
        """Return the middles of steps near to inputs that only the last two bits decide, the calmest of all trials."""
        steps, above = self.steps(search), np.arange(1, 2**self._bits)
        calm = np.isin(above[:-1] % 4, (1, 2)) & np.isfinite(steps[:-1]) & np.isfinite(steps[1:])
        middles = (steps[:-1][calm] + steps[1:][calm]) / 2
        return np.asarray(middles[np.abs(middles - inputs[:, None]).argmin(axis=1)])

    def aims(self, by_bit: Sequence[int], rest: int = 0) -> list[Floats]:
        """Return how far from a threshold inputs shall end, so many in the trial of each bit, from the last on [V]."""
        counts = [*by_bit, *[rest] * self._bits][: self._bits]
        count = sum(counts)  # they share a threshold
        distances = self._rng.permutation(AIM * ((2 * np.arange(count) + 1) / count - 1))
        return np.split(distances, np.cumsum(counts)[:-1])

    def near(self, search: SarSearch, distances: Sequence[Floats]) -> Floats:
        """Return inputs that end so far above a search's threshold, in random order.

        Parameters
        ----------
        search : SarSearch
            The search.
        distances : sequence of ndarray
            By the bit in whose trial inputs end [V].
        """
        steps, inputs = self.steps(search), []
        above = np.arange(1, 2**self._bits)  # the code there: the last bit that it has was decided last
        for k, of_bit in enumerate(distances):
            own = steps[np.isfinite(steps) & (above % 2 ** (k + 1) == 2**k)]
            if len(of_bit) and not len(own):
                raise CalibrationError("the converter gives few codes for all inputs; check sar_adc and its times")
            inputs.append(self._rng.choice(own, len(of_bit)) + of_bit / self._half)
        return self._rng.permutation(np.concatenate(inputs))

    def steps(self, search: SarSearch) -> Floats:
        """Return the inputs at a search's steps, from code 1 on, infinite beyond the range, (codes - 1,)."""
        inputs = np.linspace(-0.98, 0.98, 4097)
        plates = np.polynomial.polynomial.polyval(inputs, search.curve)
        return np.interp(search.tables.steps[0, 1:-2], plates, inputs, -np.inf, np.inf)

    def beyond(self, search: SarSearch, seen: Seen, delays: DelayLaw) -> Floats:
        """Return how far conversions lie above a search's steps, (conversions,) [steps].

        The two decisions next to an input, whose distances make a step, say by their delays where it is in that; NaN
        where it, or the search's, is at an end of the range.
        """
        steps, codes = self.steps(search), np.arange(1.0, 2**self._bits)
        kept = np.isfinite(steps)
        expected = np.interp(seen.inputs, steps[kept], codes[kept], np.nan, np.nan)
        return np.asarray(seen.places(delays) - expected)

    def fit_plate(self, seen: Seen, before: Plate | None = None) -> Plate:
        """Fit the top plate of conversions; arguments as of :func:`spicesim.calibration.top_plate.fit_plate`."""
        return fit_plate(seen, self._sampled, before, bent=not charges(self._sizes))

    def find_threshold(self, seen: Seen, delays: DelayLaw, like: Threshold | None = None) -> Threshold:
        """Find the threshold; arguments as of :func:`spicesim.calibration.decisions.find_threshold`."""
        return find_threshold(seen, delays, max(NEAR, self.lsb), like)

    def codes(self, inputs: Floats) -> Codes:
        """Return codes of inputs, rising with them, (conversions,)."""
        return self.convert(inputs).codes

    def convert(self, inputs: Floats) -> Seen:
        """Convert inputs at transistor level."""
        (found,) = convert_each([self], [inputs])
        return found

    def testbenches(self, inputs: Floats) -> list[Netlist]:
        """Build the conversions of inputs."""
        return [self._build(part) for part in parted_inputs(inputs, self._sizes)]

    def _build(self, inputs: Floats, *, rests: bool = True) -> Netlist:
        nodes = np.clip(self._chip.sense_amplifier.v_reference + self.volts(inputs), 0, self._chip.process.supply)
        return build_conversions(self._chip, nodes, self._sizes, self._polarity, rests=rests)

    def first_trials(self, volts: Floats) -> list[Netlist]:
        """Build conversions of voltages above the reference, each by itself, until the first strobe."""
        reference, sizes = self._chip.sense_amplifier.v_reference, self._sizes
        stop = spice_number(first_start(sizes) + sizes.sample + 2 / 3 * sizes.bit)
        nodes = np.clip(reference + volts, 0, self._chip.process.supply)[:, None]
        whole = [build_conversions(self._chip, one, sizes, self._polarity) for one in nodes]
        longest = spice_number(longest_step(sizes))
        return [replace(one, analyses=(f".tran 0.5n {stop} 0 {longest}",)) for one in whole]

    def first_plate(self, results: Results) -> float:
        """Return the top plate before the strobe that ends one of these [V]."""
        time, top = real_vector(results, "time"), real_vector(results, "v(top)") - real_vector(results, "v(level)")
        return float(np.interp(time[-1] - BEFORE_STROBE, time, top))

    def read(self, inputs: Floats, found: Sequence[Results], *, rests: bool = True) -> Seen:
        """Read what the conversions of inputs gave; `rests` as they were built."""
        sizes, supply = self._sizes, self._chip.process.supply
        starts = [starts_of(results, sizes, rests=rests) for results in found]
        strobes = [strobes_of(own, sizes) for own in starts]
        return Seen(
            inputs=inputs,
            codes=np.concatenate([read_codes(results, sizes, own) for results, own in zip(found, starts, strict=True)]),
            tops=np.concatenate([_tops(results, own) for results, own in zip(found, strobes, strict=True)]),
            delays=np.concatenate([
                read_delays(results, own, sizes, supply) for results, own in zip(found, strobes, strict=True)
            ]),
        )  # fmt: skip

    def _solve(self, seen: Seen, delays: DelayLaw, like: Threshold | None) -> tuple[SarSearch, Threshold]:
        """Fit the top plate, then the threshold, which is not quite the same for all bits."""
        plate, threshold = self.fit_plate(seen), self.find_threshold(seen, delays, like)
        last = 2**self._bits - 1
        kept = (seen.codes > 0) & (seen.codes < last)
        slope, start = np.polyfit(last - seen.codes[kept], -self.volts(seen.inputs[kept]), 1)
        search = SarSearch(
            sampled=self._sampled, middle=self._middle, low=float(start), high=float(start + slope * last),
            **plate.search,
        )  # fmt: skip
        return threshold.applied(search), threshold


def _identical(off: Floats) -> float:
    """Return what part of codes is the same, of how far off conversions are [steps]."""
    return 1 - float(np.mean(np.minimum(1.0, off)))


def _tops(results: Results, strobes: Floats) -> Floats:
    """Return the top plate above its level before strobes [V]."""
    time, top = real_vector(results, "time"), real_vector(results, "v(top)") - real_vector(results, "v(level)")
    return np.asarray(np.interp(strobes - BEFORE_STROBE, time, top))


def _together(fits: Sequence[SarFit], runs: Sequence[Generator[Floats, Seen, T]]) -> list[T]:
    """Carry on with what asks fits for conversions, all that they ask for at once, and return what each returns."""
    wanted, found = {k: next(run) for k, run in enumerate(runs)}, {}
    while wanted:
        seen = convert_each([fits[k] for k in wanted], list(wanted.values()))
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
        results = iter(fits[0].campaign.run([one for group in netlists for one in group], LABEL))
        return [
            np.array([fit.first_plate(next(results)) for _ in group]) for fit, group in zip(fits, netlists, strict=True)
        ]

    return look


def convert_each(fits: Sequence[SarFit], inputs: Sequence[Floats]) -> list[Seen]:
    """Convert inputs by each of some converters of one campaign, all at once, so that no processor waits."""
    netlists = [fit.testbenches(own) for fit, own in zip(fits, inputs, strict=True)]
    every = [one for group in netlists for one in group]
    results = iter(fits[0].campaign.run(every, LABEL))
    return [
        fit.read(own, [next(results) for _ in group]) for fit, own, group in zip(fits, inputs, netlists, strict=True)
    ]
