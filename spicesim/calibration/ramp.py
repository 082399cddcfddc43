"""Calibrate the single-slope ADC: the staircase, and how far it must rise for an input to pass.

A few conversions of known voltages tell the staircase before each strobe, and how far it has risen as a column's top
plate passes the level: a curve of the input. The comparator changes its mind between what it said was below and
above; inputs aimed between these bring it closer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import BEYOND
from spicesim.behavioural.energy import AdcEnergy
from spicesim.behavioural.steps import StepModel
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converter import Conversions, Converter, check_codes, codings, step_search
from spicesim.calibration.converter_noise import converter_noise
from spicesim.chip import Chip
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.coding import POLARITIES, Polarity
from spicesim.draws import CAPACITOR
from spicesim.errors import CalibrationError, ValidityError
from spicesim.netlist.mismatch import Draw, with_mismatch
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.ramp_adc import build_ramp_adc
from spicesim.ngspice.outcome import Results

__all__ = ["RampConverter", "find_transitions", "read_counts", "read_energy"]

AT_A_TIME = 16
"""Columns of one staircase in a simulation."""
SPREAD, AIMED, ROUNDS = 16, 16, 2
"""Inputs spread over the range, and aimed at the threshold in each round."""
ORDER = 7
"""Of the curve, or less of few bits or inputs; with 5 the worst residual of GF180 is 2.7 times as large."""
BEFORE_STROBE = 0.05e-9
"""When the top plate is read [s]."""

LEAST = 6
"""Inputs that must pass, of those spread over the range."""


def read_counts(results: Results, chip: Chip, count: int) -> Codes:
    """Return how many steps each of the first columns was below the reference, (count,): the counters.

    Raises
    ------
    ValidityError
        If a comparator has not decided by the end of a strobe.
    """
    vectors, supply = results[0].vectors, chip.process.supply
    ends = _strobes(chip)[1:] + BEFORE_STROBE + 0.3 * chip.ramp_adc.step
    said = np.array([np.interp(ends, vectors["time"].real, vectors[f"v(outp_{k})"].real) for k in range(count)])
    high = said > supply / 2
    first = np.where(high.any(axis=1), high.argmax(axis=1), high.shape[1])
    looked = np.arange(high.shape[1]) <= first[:, None]  # a counter that has stopped does not look
    if (np.abs(said / supply - high)[looked] > 0.1).any():
        raise ValidityError("a comparator did not decide within its time; give each step of the ADC more")
    return np.asarray(first, dtype=np.int64)


def read_energy(results: Results, chip: Chip) -> float:
    """Return what all columns of a testbench take of the supply and of the staircase [J]."""
    vectors = results[0].vectors
    # whatever drives the staircase draws what it delivers from the supply
    current = np.minimum(vectors["i(vdd)"].real, 0) + np.minimum(vectors["i(vramp)"].real, 0)
    return float(-chip.process.supply * np.trapezoid(current, vectors["time"].real))


def _strobes(chip: Chip) -> Floats:
    sizes, steps = chip.ramp_adc, np.arange(2**chip.adc.bits)
    return np.asarray(sizes.sample + sizes.settle + (steps + 2 / 3) * sizes.step - BEFORE_STROBE)


def find_transitions(chip: Chip, campaign: Campaign) -> Floats:
    """Find the outputs at which codes begin, around the reference, (codes - 1,) [V]."""
    fit = _RampFit(chip, "bipolar", campaign)
    fit.run()
    return fit.thresholds()


class RampConverter(Converter):
    """The single-slope ADC of the library."""

    unseen: ClassVar[str] = "an ideal buffer in front of the ADC, and its staircase, control and counters"

    def span(self, chip: Chip) -> float:
        """Return the height of the staircase [V]."""
        return chip.ramp_adc.span

    def comparator(self, chip: Chip) -> SarAdc:
        """Return sizes of an ADC with a column's comparator and capacitor."""
        sizes = chip.ramp_adc
        return SarAdc(
            bit=sizes.step, comparator=sizes.comparator,
            dac=ChargeDac(bits=2, unit=sizes.capacitor / 4, span=sizes.span),
        )  # fmt: skip

    def conversions(
        self, chip: Chip, polarity: Polarity, volts: Floats, draws: Sequence[Draw] | None = None
    ) -> Conversions:
        """Build conversions, some columns a staircase."""
        nodes, coding = chip.sense_amplifier.nodes(volts), chip.sense_amplifier.output_range(polarity)
        nodes = np.clip(nodes, 0.0, chip.process.supply)
        parts = [range(k, min(k + AT_A_TIME, len(nodes))) for k in range(0, len(nodes), AT_A_TIME)]
        netlists = []
        for part in parts:
            netlist = build_ramp_adc(chip, nodes[part.start : part.stop], polarity=coding)
            netlists.append(netlist if draws is None else _drawn(netlist, chip, draws[part.start : part.stop]))

        def read(results: Sequence[Results]) -> Codes:
            counts = [read_counts(one, chip, len(part)) for one, part in zip(results, parts, strict=True)]
            found = np.concatenate([np.zeros(0, dtype=np.int64), *counts])
            return np.asarray(2**chip.adc.bits - 1 - found) if chip.sense_amplifier.kind == "voltage" else found

        return Conversions(netlists=tuple(netlists), read=read)

    def calibrate(self, chip: Chip, campaign: Campaign) -> StepModel:
        """Find the model.

        Raises
        ------
        CalibrationError
            If conversions that were held out are other than the model says too often.
        """
        fits = {polarity: _RampFit(chip, polarity, campaign) for polarity in codings(chip)}
        for fit in fits.values():
            fit.run()
        sampling, comparator = converter_noise(chip, self.comparator(chip), campaign)
        model = StepModel(
            kind="ramp", bits=chip.adc.bits, span=self.span(chip), rising=chip.sense_amplifier.kind == "voltage",
            searches={
                polarity: step_search(chip, polarity, fit.thresholds(), self.span(chip), fit.curve, fit.steps())
                for polarity, fit in fits.items()
            },
            checks={},
            noises={"sampling": sampling} | ({} if comparator is None else {"comparator": comparator}),
            unknown_noise="the comparators' transistors are not called as bare models; set process.call = 'M' and "
            "calibrate again" if comparator is None else None,
            attenuation=float(np.mean([fit.share for fit in fits.values()])),
        )  # fmt: skip
        checks = {polarity: check_codes(self, model, chip, polarity, campaign) for polarity in fits}
        return model.model_copy(update={"checks": checks})

    def energy(self, chip: Chip, campaign: Campaign) -> AdcEnergy:
        """Find what a conversion takes of the supply and of the staircase, whose generator is not counted."""
        count, reference = 3, chip.sense_amplifier.v_reference
        netlist = build_ramp_adc(chip, reference + chip.ramp_adc.span * np.linspace(-0.4, 0.4, count))
        (results,) = campaign.run([netlist], "calibrate energy")
        return AdcEnergy(
            bits=chip.adc.bits, energy=read_energy(results, chip) / count,
            time=chip.ramp_adc.conversion(chip.adc.bits), inputs=count,
        )  # fmt: skip


def _drawn(netlist: Netlist, chip: Chip, draws: Sequence[Draw]) -> Netlist:
    """Draw the devices of each column by its converter's draws; the first number of a capacitor is its error."""

    def draw(path: str) -> tuple[float, float]:
        block, _, device = path.partition(".")
        name, _, column = block.rpartition("_")
        return draws[int(column)](f"{name}.{device}") if column.isdigit() else (0.0, 0.0)

    body = netlist.body
    for k, own in enumerate(draws):
        error = chip.capacitor_spread(chip.ramp_adc.capacitor, chip.ramp_adc.mismatch) * own(f"{CAPACITOR}hold")[0]
        plain = f"chold_{k} top_{k} ramp "
        before, _, after = body.partition(plain)
        value, line_end, rest = after.partition("\n")
        body = f"{before}{plain}{float(value) * (1 + error)!r}{line_end}{rest}"
    return with_mismatch(replace(netlist, body=body), chip.process, draw)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Conversions."""

    inputs: Floats
    """From the middle of the range, in halves of the span, (conversions,)."""
    counts: Codes
    """Steps below the reference, (conversions,)."""
    tops: Floats
    """Top plate above its level before each strobe, (conversions, steps) [V]."""
    rise: Floats
    """The staircase before each strobe, above what it was as columns sampled, (steps,) [V]."""

    def __add__(self, other: "_Seen") -> "_Seen":
        sizes = [len(self.inputs), len(other.inputs)]
        return _Seen(
            inputs=np.concatenate([self.inputs, other.inputs]), counts=np.concatenate([self.counts, other.counts]),
            tops=np.concatenate([self.tops, other.tops]), rise=np.average([self.rise, other.rise], 0, weights=sizes),
        )  # fmt: skip


class _RampFit:
    """The fit of one range of inputs: how far the staircase must rise for an input to pass, a curve of this."""

    def __init__(self, chip: Chip, polarity: Polarity, campaign: Campaign) -> None:
        self._chip, self._campaign = chip, campaign
        self._coding = chip.sense_amplifier.output_range(polarity)
        self._count, self._half = 2**chip.adc.bits, chip.ramp_adc.span / 2
        self._middle = -self._half if self._coding == "unipolar" else 0.0
        self._rng = np.random.default_rng([campaign.seed, 30, POLARITIES.index(polarity)])
        self.curve, self.share, self.residual = np.zeros(ORDER + 1), 1.0, 0.0
        self._rise = np.zeros(self._count)

    def run(self) -> None:
        """Find curve and staircase."""
        inputs = (2 * np.arange(SPREAD) + 2 * self._rng.random(SPREAD)) / SPREAD - 1
        seen = self._convert(self._rng.permutation(inputs))
        ends = self._solve(seen)
        for _ in range(ROUNDS):
            seen = seen + self._convert(self._aim(seen, *ends))
            ends = self._solve(seen)

    def steps(self) -> Floats:
        """Return the values of the curve at which codes change, rising, (codes - 1,) [V]."""
        return np.asarray(np.maximum.accumulate(-self._rise[:0:-1]))

    def thresholds(self) -> Floats:
        """Return the outputs at which codes begin, rising, as tile outputs are [V]."""
        fine = np.linspace(-BEYOND, BEYOND, 8193)
        curve = np.polynomial.polynomial.polyval(fine, self.curve)
        if (np.diff(curve) <= 0).any():
            raise CalibrationError(
                "how far the staircase must rise does not fall with the ramp converter's input all over its range; "
                "check ramp_adc, its span and its capacitor"
            )
        nodes = np.interp(self.steps(), curve, fine)
        above = self._middle + self._half * nodes
        return np.asarray(above if self._chip.sense_amplifier.kind == "voltage" else -above[::-1])

    def _convert(self, inputs: Floats) -> _Seen:
        nodes = self._chip.sense_amplifier.v_reference + self._middle + self._half * inputs
        nodes = np.clip(nodes, 0.0, self._chip.process.supply)
        parts = [nodes[k : k + AT_A_TIME] for k in range(0, len(nodes), AT_A_TIME)]
        netlists = [build_ramp_adc(self._chip, part, polarity=self._coding) for part in parts]
        found = self._campaign.run(netlists, "calibrate converter")
        strobes, rise, tops, counts = _strobes(self._chip), [], [], []
        for results, part in zip(found, parts, strict=True):
            vectors = results[0].vectors
            time, ramp = vectors["time"].real, vectors["v(ramp)"].real
            rise.append(np.interp(strobes, time, ramp) - np.interp(0.98 * self._chip.ramp_adc.sample, time, ramp))
            tops += [
                np.interp(strobes, time, vectors[f"v(top_{k})"].real - vectors[f"v(level_{k})"].real)
                for k in range(len(part))
            ]
            counts.append(read_counts(results, self._chip, len(part)))
        return _Seen(inputs=inputs, counts=np.concatenate(counts), tops=np.array(tops), rise=np.mean(rise, axis=0))

    def _solve(self, seen: _Seen) -> tuple[float, float]:
        """Fit; return the ends between which the staircase is, less the curve, where comparators change their minds.

        The top plate's capacitances bend with its voltage, but it passes at one voltage: there, how far the staircase
        has risen is a curve of the input alone.
        """
        passed = (seen.counts > 0) & (seen.counts < self._count - 1)
        if not passed.any():
            raise CalibrationError("no input passes the ramp's comparators; check ramp_adc, its span and its times")
        level = float(np.median(seen.tops[passed, seen.counts[passed]]))
        # some pass at the first step, and were below before
        inside = np.flatnonzero(passed | (seen.counts == 0) & (seen.tops[:, 0] < level))
        if len(inside) < LEAST:
            raise CalibrationError("few inputs pass the ramp's comparators; check ramp_adc, its span and its times")
        # the passing strobe and the two before, of the first step only one
        around = np.maximum(seen.counts[inside, None] + np.arange(-1, 2), 0)
        tops, rises = np.take_along_axis(seen.tops[inside], around, axis=1), seen.rise[around]
        self.share = float(np.median(np.diff(tops)[:, 1] / np.diff(rises)[:, 1]))
        passing = np.array([_at(level, top, rise) for top, rise in zip(tops, rises, strict=True)])
        polynomial = np.polynomial.polynomial
        # inputs of the outermost codes do not pass, and of few codes these are a large part of the range
        order = min(ORDER, self._chip.adc.bits + 2, len(inside) // 2 - 1)
        self.curve = -polynomial.polyfit(seen.inputs[inside], passing, order)
        self._rise = seen.rise
        over = seen.rise + polynomial.polyval(seen.inputs, self.curve)[:, None]
        self.residual = float(np.abs(passing + polynomial.polyval(seen.inputs[inside], self.curve)).max())
        steps = np.arange(self._count)
        below = float(over[(steps >= 1) & (steps <= seen.counts[:, None])].max())
        above = float(over[steps == seen.counts[:, None] + 1].min())
        self.curve[0] -= (below + above) / 2
        return (below - above) / 2, (above - below) / 2

    def _aim(self, seen: _Seen, first: float, second: float) -> Floats:
        """Return inputs that pass between these, spread over the steps."""
        reach = max(abs(first), abs(second))
        wanted = reach * np.linspace(-1, 1, AIMED + 2)[1:-1]
        steps = np.linspace(1, self._count - 1, AIMED).round().astype(int)
        fine = np.linspace(-1.1, 1.1, 4097)
        curve = np.polynomial.polynomial.polyval(fine, self.curve)
        return np.asarray(np.interp(self._rng.permutation(wanted) - seen.rise[steps], curve, fine))


def _at(level: float, tops: Floats, rises: Floats) -> float:
    """Return how far the staircase has risen as a top plate is at a level, by a curve through some strobes [V]."""
    _, kept = np.unique(rises, return_index=True)
    return float(np.polyval(np.polyfit(tops[kept] - level, rises[kept], len(kept) - 1), 0.0))
