"""Audits: products the behavioural model has done, done again at transistor level in ngspice.

Cells are programmed on either side by itself, in the circuit without the calibration; see :data:`SEEN`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spicesim.arrays import Bools, Codes, Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.bound import CONFIDENCE, CodeBound, SampleBound, share_interval, strata_share
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.converter import Conversions, Converter
from spicesim.calibration.converters import find_converter
from spicesim.calibration.tiles import CHECK_TILES
from spicesim.chip import Chip
from spicesim.draws import CONVERTER, ChipDraw
from spicesim.engine import MacroBench, NgspiceEngine, SampledMvm, Tile
from spicesim.errors import SpecError
from spicesim.metrics import compare_codes, largest, rms
from spicesim.netlist.macro import MacroRead
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["SEEN", "Audit", "LayerAudit", "audit_samples", "expected_seconds"]

SEEN = "errors of the calibrated blocks and solvers, and of write-verify by the calibrated cell"
"""What an audit can see."""
UNSEEN = (
    "what is the same on both sides: model cards, values of wires, supplies and references beyond the chip's rails, "
    "write-verify without error, and {converter}; nor noise, and mismatch that is not drawn"
)
"""What it cannot, but for the converter."""
CONVERTERS = {
    "ideal": "the ADC as an ideal quantiser",
    "macro": "the ADC's logic and its array at the reference before",
}
"""What is the same of converters: ideal ones, and those of whole macros; others say so themselves."""
OF_CELLS = "the ADC's clock and its array at the reference before"
"""The same of whole macros whose converters have logic of cells."""
PIECES = {
    "ideal": "outputs are those of a tile of transistors",
    "macro": "codes are those of converters of transistors on the amplifiers of a tile of transistors, in one "
    "transient from codes to codes",
}
"""What was transistors, by the same words."""
HANDED = (
    "outputs are those of a tile of transistors, codes those of converters of transistors that ideal sources handed "
    "them to"
)
"""The same of other converters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """How far sampled products were from ngspice; arrays hold all columns of all products, one after the other.

    The products are a random sample of those that the network did, uniform or so many of each layer, so they bound the
    others, whatever the distribution: see :attr:`bound` and :attr:`other_codes`. What was drawn are products, not
    outputs: outputs of one product share its tile and its vector, and do not count as independent.
    """

    count: int
    """Products compared."""
    sizes: tuple[int, ...]
    """Outputs of each."""
    measured: Floats
    """Amplifier outputs below the reference in ngspice [V]."""
    predicted: Floats
    """The same of the engine that ran the network [V]."""
    full_scale: Floats
    """Swing of each output's amplifier to its nearer rail [V]."""
    lsb: Floats
    """Step of each output's ADC [V]."""
    code_differences: Codes
    """ADC codes of the engine less those of ngspice."""
    code_misses: Floats
    """How far the engine's outputs lie from the step to the code of ngspice, 0 where codes are the same [LSB]."""
    ngspice_seconds: float
    """Median time of one product in ngspice [s]."""
    worst: Netlist
    """The product with the largest error, or of macros that with an output farthest from the step to another code, to
    open and rerun."""
    converter: str = "ideal"
    """Kind of the ADC on both sides: an ideal quantiser, or its model on one and its transistors on the other; macro if
    these were on the amplifiers themselves."""
    alike: str = CONVERTERS["ideal"]
    """What of the ADC is the same on both sides, in words."""
    converted: tuple[int, ...] = ()
    """Outputs of each product whose codes were compared; all of them if empty."""
    layers: tuple[str, ...] = ()
    """Name of each product's layer."""
    products: Mapping[str, int] = field(default_factory=dict)
    """Products that the network did, by layer, where each layer gave a sample of its own; empty of a uniform one."""

    def of_layers(self, products: Mapping[str, int]) -> "Audit":
        """Return the same where each layer gave a sample of its own, of so many products that the network did."""
        return replace(self, products=dict(products))

    @property
    def unseen(self) -> str:
        """What this audit cannot see, in words."""
        left = ", and codes of columns without a converter" if sum(self.converted) not in (0, sum(self.sizes)) else ""
        return UNSEEN.format(converter=self.alike) + left

    @property
    def quantiser(self) -> str:
        """Whose codes were compared, in words: the steps of an ideal quantiser say nothing of a converter."""
        return "ideal quantiser" if self.converter == "ideal" else "converters of transistors"

    @property
    def pieces(self) -> str:
        """What was transistors in ngspice, in words."""
        return PIECES.get(self.converter, HANDED)

    @property
    def errors(self) -> Floats:
        """Predicted less measured, as a fraction of full scale."""
        return np.asarray((self.predicted - self.measured) / self.full_scale)

    @property
    def max_error(self) -> float:
        """Largest error, as a fraction of full scale."""
        return largest(self.errors)

    @property
    def rms_error(self) -> float:
        """Root mean square of the errors, as a fraction of full scale."""
        return rms(self.errors)

    @property
    def product_errors(self) -> Floats:
        """Largest error of each product, as a fraction of full scale, (count,)."""
        return np.array([np.abs(part).max() for part in np.split(self.errors, np.cumsum(self.sizes)[:-1])])

    @property
    def quantiles(self) -> dict[str, float]:
        """Median, 90th and 99th percentile and maximum of the outputs' errors, as fractions of full scale."""
        sizes = np.abs(self.errors)
        return {name: float(np.quantile(sizes, q)) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))} | {
            "max": self.max_error
        }

    @property
    def bound(self) -> SampleBound:
        """What :attr:`product_errors` say of all products that the network did."""
        found = SampleBound.of(self.product_errors)
        return replace(found, share=self._share_above()) if self.products else found

    def _share_above(self, confidence: float = CONFIDENCE) -> float:
        """Return the largest share of all products that a sample may have missed."""
        shares, counts = zip(*self._strata().values(), strict=True)
        return strata_share(shares, counts, confidence)

    def _strata(self) -> dict[str, tuple[float, int]]:
        """Return the share of all products of each layer, and how many were drawn of it."""
        drawn = Counter(self.layers)
        total = sum(self.products[name] for name in drawn)
        return {name: (self.products[name] / total, count) for name, count in drawn.items()}

    @property
    def code_bound(self) -> CodeBound:
        """What the compared codes say of those of all products that the network did, in steps of the converters."""
        if not self.products:
            return CodeBound.of(self._product_codes)
        strata, own = self._strata(), self._product_codes
        ordered = [own[k] for name in strata for k, layer in enumerate(self.layers) if layer == name]
        shares, counts = zip(*strata.values(), strict=True)
        return CodeBound.of(ordered, shares, counts)

    @property
    def by_layer(self) -> dict[str, "LayerAudit"]:
        """What was found in each layer, in their order."""
        errors, differs, codes = self.product_errors, self._differs, self._product_codes
        found = {}
        for name in dict.fromkeys(self.layers):
            own = np.array([layer == name for layer in self.layers])
            found[name] = LayerAudit(
                products=self.products.get(name), bound=SampleBound.of(errors[own]),
                other_codes=share_interval(int(differs[own].sum()), int(own.sum())),
                codes=CodeBound.of([part for part, is_own in zip(codes, own, strict=True) if is_own]),
            )  # fmt: skip
        return found

    @property
    def _product_codes(self) -> list[Codes]:
        """Code differences of each product."""
        return np.split(self.code_differences, np.cumsum(self.converted or self.sizes)[:-1])

    @property
    def _differs(self) -> Bools:
        """Which products have any ADC code other than ngspice's, (count,)."""
        return np.array([bool(part.any()) for part in self._product_codes])

    @property
    def other_codes(self) -> tuple[float, float]:
        """Confidence interval of the share of all products with any ADC code other than ngspice's.

        Its upper end also bounds the chance that a random code of a random product differs. Where each layer gave a
        sample of its own, and any of these has such products, it adds up those of layers, each with a confidence that
        leaves all of them together as much as one.
        """
        differs = self._differs
        if not self.products:
            return share_interval(int(differs.sum()), self.count)
        if not differs.any():
            return 0.0, self._share_above()
        strata, low, high = self._strata(), 0.0, 0.0
        each = 1 - (1 - CONFIDENCE) / len(strata)
        for name, (share, count) in strata.items():
            hits = sum(bool(d) for d, layer in zip(differs, self.layers, strict=True) if layer == name)
            own = share_interval(hits, count, each)
            low, high = low + share * own[0], high + share * own[1]
        return low, high

    @property
    def max_error_lsb(self) -> float:
        """Largest error in steps of the ADC."""
        return largest((self.predicted - self.measured) / self.lsb)

    @property
    def rms_error_lsb(self) -> float:
        """Root mean square of the errors in steps of the ADC."""
        return rms((self.predicted - self.measured) / self.lsb)

    @property
    def codes(self) -> tuple[float, float, float]:
        """Fractions of ADC codes that are identical, off by one, and worse."""
        return compare_codes(self.code_differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAudit:
    """What an audit found in a layer."""

    products: int | None
    """Products that the network did in it, if known."""
    bound: SampleBound
    """What its sampled products say of them."""
    other_codes: tuple[float, float]
    """Confidence interval of the share of them with another ADC code."""
    codes: CodeBound
    """What their codes say of those of all of them."""


def audit_samples(
    samples: Sequence[SampledMvm],
    calibration: Calibration,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
    mismatch_seed: int | None = None,
    t_read: float | None = None,
    macros: bool = False,
) -> Audit:
    """Do sampled products again, each as a whole tile at transistor level.

    Parameters
    ----------
    samples : sequence of SampledMvm
        What the network did; see the `sample` argument of :meth:`spicesim.network.Network.run`.
    calibration : Calibration
        Of the chip that ran it.
    simulator : BatchSimulator, optional
        Gives the time-out.
    jobs : int, optional
        Simulations at a time.
    progress : str
        Label of a progress bar; none if empty.
    mismatch_seed : int, optional
        Of the chip that ran it, whose own transistors are drawn; by default they are nominal.
    t_read : float, optional
        Time from the change of codes to the samples, which transients find [s]; by default they have settled.
    macros : bool
        Whether converters stand on the amplifiers, in one transient a product, instead of being handed outputs.

    Raises
    ------
    SpecError
        If there is nothing to audit, or the chip has no such macros.
    SimulationError
        If a simulation fails.
    """
    if not samples:
        raise SpecError("there is nothing to audit: the run kept no sample; ask for one, such as --audit 16")
    bench = _Bench(calibration, simulator=simulator, jobs=jobs, progress=progress, seed=mismatch_seed, t_read=t_read)
    done = bench.macros(samples) if macros else bench.tiles(samples)
    full_scale = [calibration.readout(sample.tile.r_feedback).full_scale for sample in samples]
    errors = [np.abs(own.predicted - own.volts).max() / f for own, f in zip(done, full_scale, strict=True)]
    ranks = [(own.misses.max() if macros else 0.0, error) for own, error in zip(done, errors, strict=True)]
    converter = find_converter(calibration.chip)
    kind = "macro" if macros else calibration.chip.adc.kind
    columns = [len(sample.volts) for sample in samples]
    return Audit(
        count=len(samples),
        sizes=tuple(columns),
        measured=np.concatenate([own.volts for own in done]),
        predicted=np.concatenate([own.predicted for own in done]),
        full_scale=np.repeat(full_scale, columns),
        lsb=np.repeat([sample.adc.lsb for sample in samples], columns),
        code_differences=np.concatenate([own.differences for own in done]),
        code_misses=np.concatenate([own.misses for own in done]),
        ngspice_seconds=float(np.median([own.seconds for own in done])),
        worst=done[ranks.index(max(ranks))].netlist,
        converter=kind,
        alike=_alike(calibration.chip, kind, converter),
        converted=tuple(len(own.differences) for own in done) if macros else (),
        layers=tuple(sample.layer for sample in samples),
    )


def expected_seconds(samples: Sequence[SampledMvm], calibration: Calibration) -> float | None:
    """Return about what an audit of settled tiles will take of a processor [s]; None if the calibration checked none.

    Every cell counts as it did in the whole tiles that the calibration was checked on, with the processor of that day.
    """
    checks, cost = calibration.checks, calibration.costs.get(CHECK_TILES)
    cells = sum(check.rows * check.columns * len(check.pattern) for check in checks)
    if cost is None or not cost.seconds or not cells:
        return None
    return cost.seconds / cells * sum(sample.tile.g.size for sample in samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Done:
    """One product, done again."""

    netlist: Netlist
    volts: Floats
    """Its outputs [V]."""
    predicted: Floats
    """The same of the engine that ran the network [V]."""
    differences: Codes
    """Codes of the engine less those of ngspice."""
    misses: Floats
    """How far outputs lie from the step to the code of ngspice, 0 where codes are the same [LSB]."""
    seconds: float


class _Bench:
    """Does products again; arguments as of :func:`audit_samples`."""

    def __init__(
        self, calibration: Calibration, *, simulator: BatchSimulator | None, jobs: int | None, progress: str,
        seed: int | None, t_read: float | None,
    ) -> None:  # fmt: skip
        self._calibration, self._simulator, self._jobs, self._progress = calibration, simulator, jobs, progress
        self._seed, self._t_read = seed, t_read

    def tiles(self, samples: Sequence[SampledMvm]) -> list[_Done]:
        """Do tiles again, and hand their outputs to converters."""
        chip = self._calibration.chip
        engine = NgspiceEngine(
            self._calibration, simulator=self._simulator, mismatch_seed=self._seed, t_read=self._t_read
        )
        netlists: dict[int, Netlist] = {}
        for tile, members in _by_tile(samples).items():
            built = engine.netlists(engine.prepare(tile), np.stack([samples[k].codes for k in members]))
            netlists.update(zip(members, built, strict=True))
        ordered = [netlists[k] for k in range(len(samples))]
        results = run_all(ordered, simulator=self._simulator, jobs=self._jobs, progress=self._progress)
        measured = [engine.outputs(r, len(s.volts)) for r, s in zip(results, samples, strict=True)]
        codes, converter = [s.adc.codes(m) for s, m in zip(samples, measured, strict=True)], find_converter(chip)
        if converter is not None:
            found = [
                _conversions(converter, chip, s, volts, self._seed) for s, volts in zip(samples, measured, strict=True)
            ]
            label = f"{self._progress}, conversions" if self._progress else ""
            codes = _convert(found, simulator=self._simulator, jobs=self._jobs, progress=label)
        done = []
        for netlist, volts, s, own, result in zip(ordered, measured, samples, codes, results, strict=True):
            differences = s.adc.codes(s.volts) - own  # of converters that ideal sources hand outputs to
            done.append(
                _Done(
                    netlist=netlist, volts=volts, predicted=s.volts, differences=differences,
                    misses=_misses(s.adc.places(s.volts), own, differences), seconds=result.seconds,
                )
            )  # fmt: skip
        return done

    def macros(self, samples: Sequence[SampledMvm]) -> list[_Done]:
        """Do whole macros again."""
        bench = MacroBench(self._calibration, simulator=self._simulator, mismatch_seed=self._seed, t_read=self._t_read)
        built: dict[int, tuple[Netlist, MacroRead]] = {}
        for tile, members in _by_tile(samples).items():
            netlists, read = bench.netlists(
                tile, samples[members[0]].adc, np.stack([samples[k].codes for k in members])
            )
            built.update((k, (netlist, read)) for k, netlist in zip(members, netlists, strict=True))
        ordered = [built[k] for k in range(len(samples))]
        results = run_all(
            [netlist for netlist, _ in ordered], simulator=self._simulator, jobs=self._jobs, progress=self._progress
        )
        done = []
        for (netlist, read), sample, result in zip(ordered, samples, results, strict=True):
            found = bench.product(result, read, len(sample.volts))
            predicted = sample.volts if self._t_read is None else sample.received
            differences = sample.adc.codes(sample.received)[found.columns] - found.codes
            done.append(
                _Done(
                    netlist=netlist, volts=found.volts, predicted=predicted, differences=differences,
                    misses=_misses(sample.adc.places(sample.received)[found.columns], found.codes, differences),
                    seconds=result.seconds,
                )
            )  # fmt: skip
        return done


def _misses(places: Floats, codes: Codes, differences: Codes) -> Floats:
    """Return how far places among steps lie from the step to these codes, where they differ [LSB]."""
    return np.where(differences == 0, 0.0, np.maximum(np.abs(places - codes) - 0.5, 0.0))


def _alike(chip: Chip, kind: str, converter: Converter | None) -> str:
    """Say what is the same of converters on both sides."""
    if kind == "macro" and chip.sar_adc.logic == "cells":
        return OF_CELLS
    return CONVERTERS[kind] if converter is None or kind in CONVERTERS else converter.unseen


def _by_tile(samples: Sequence[SampledMvm]) -> dict[Tile, list[int]]:
    tiles: dict[Tile, list[int]] = {}
    for k, sample in enumerate(samples):
        tiles.setdefault(sample.tile, []).append(k)
    return tiles


def _conversions(converter: Converter, chip: Chip, sample: SampledMvm, volts: Floats, seed: int | None) -> Conversions:
    """Build the conversions of outputs by transistors, those of a drawn chip by each column's own converter."""
    drawn = None
    if isinstance(sample.adc, ConverterRange):
        chip, drawn = chip.over(sample.adc.span), sample.adc.drawn
    if drawn is None or seed is None:
        return converter.conversions(chip, sample.tile.polarity, volts)
    draw = ChipDraw(seed, sample.tile.place)
    own = {k: draw.within(f"{CONVERTER}_{k}") for k in np.unique(drawn.which)}
    return converter.conversions(chip, sample.tile.polarity, volts, [own[k] for k in drawn.which])


def _convert(
    samples: Sequence[Conversions], *, simulator: BatchSimulator | None, jobs: int | None, progress: str
) -> list[Codes]:
    """Convert outputs that were measured at transistor level by converters at transistor level, too."""
    netlists = [one for sample in samples for one in sample.netlists]
    results = run_all(netlists, simulator=simulator, jobs=jobs, progress=progress)
    ends = np.cumsum([len(sample.netlists) for sample in samples])
    return [sample.read(results[end - len(sample.netlists) : end]) for sample, end in zip(samples, ends, strict=True)]
