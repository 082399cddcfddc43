"""Audits: products the behavioural model has done, done again at transistor level in ngspice.

Cells are programmed on either side by itself, in the circuit without the calibration; see :data:`SEEN`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.behavioural.mismatch import CONVERTER
from spicesim.bound import SampleBound, share_interval
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.converter import Conversions, Converter
from spicesim.calibration.converters import find_converter
from spicesim.chip import Chip
from spicesim.draws import ChipDraw
from spicesim.engine import NgspiceEngine, SampledMvm, Tile
from spicesim.errors import SpecError
from spicesim.metrics import compare_codes, largest, rms
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["SEEN", "Audit", "audit_samples"]

SEEN = "errors of the calibrated blocks and solvers, and of write-verify by the calibrated cell"
"""What an audit can see."""
UNSEEN = (
    "what is the same on both sides: model cards, values of wires, supplies and references without impedance, "
    "write-verify without error, and {converter}; nor noise, and mismatch that is not drawn"
)
"""What it cannot, but for the converter."""
IDEAL = "the ADC as an ideal quantiser"
"""What is the same of ideal converters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """How far sampled products were from ngspice; arrays hold all columns of all products, one after the other.

    The products are a uniform random sample of those that the network did, so they bound the others, whatever the
    distribution: see :attr:`bound` and :attr:`other_codes`. What was drawn are products, not outputs: outputs of one
    product share its tile and its vector, and do not count as independent.
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
    ngspice_seconds: float
    """Median time of one product in ngspice [s]."""
    worst: Netlist
    """The product with the largest error, to open and rerun."""
    converter: str = IDEAL
    """What is the same of the ADC on both sides: all, or little if its model is on one and its transistors are on the
    other."""

    @property
    def unseen(self) -> str:
        """What this audit cannot see, in words."""
        return UNSEEN.format(converter=self.converter)

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
        return SampleBound.of(self.product_errors)

    @property
    def other_codes(self) -> tuple[float, float]:
        """Confidence interval of the share of all products with any ADC code other than ngspice's.

        Its upper end also bounds the chance that a random code of a random product differs.
        """
        parts = np.split(self.code_differences, np.cumsum(self.sizes)[:-1])
        return share_interval(sum(bool(part.any()) for part in parts), self.count)

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


def audit_samples(
    samples: Sequence[SampledMvm],
    calibration: Calibration,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
    mismatch_seed: int | None = None,
    t_read: float | None = None,
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

    Raises
    ------
    SpecError
        If there is nothing to audit.
    SimulationError
        If a simulation fails.
    """
    if not samples:
        raise SpecError("there is nothing to audit: the run kept no sample; ask for one, such as --audit 16")
    engine = NgspiceEngine(calibration, simulator=simulator, mismatch_seed=mismatch_seed, t_read=t_read)
    tiles: dict[Tile, list[int]] = {}
    for k, sample in enumerate(samples):
        tiles.setdefault(sample.tile, []).append(k)
    netlists: dict[int, Netlist] = {}
    for tile, members in tiles.items():
        built = engine.netlists(engine.prepare(tile), np.stack([samples[k].codes for k in members]))
        netlists.update(zip(members, built, strict=True))
    ordered = [netlists[k] for k in range(len(samples))]
    results = run_all(ordered, simulator=simulator, jobs=jobs, progress=progress)
    measured = [engine.outputs(r, len(s.volts)) for r, s in zip(results, samples, strict=True)]
    full_scale = [calibration.readout(sample.tile.r_feedback).full_scale for sample in samples]
    converter, codes = (
        find_converter(calibration.chip),
        [s.adc.codes(m) for s, m in zip(samples, measured, strict=True)],
    )
    if converter is not None:
        found = [
            _conversions(converter, calibration.chip, sample, volts, mismatch_seed)
            for sample, volts in zip(samples, measured, strict=True)
        ]
        codes = _convert(found, simulator=simulator, jobs=jobs)
    differences = [s.adc.codes(s.volts) - found for s, found in zip(samples, codes, strict=True)]
    errors = [np.abs(s.volts - m).max() / f for s, m, f in zip(samples, measured, full_scale, strict=True)]
    worst = ordered[int(np.argmax(errors))]
    columns = [len(sample.volts) for sample in samples]
    return Audit(
        count=len(samples),
        sizes=tuple(columns),
        measured=np.concatenate(measured),
        predicted=np.concatenate([sample.volts for sample in samples]),
        full_scale=np.repeat(full_scale, columns),
        lsb=np.repeat([sample.adc.lsb for sample in samples], columns),
        code_differences=np.concatenate(differences),
        ngspice_seconds=float(np.median([r.seconds for r in results])),
        worst=worst,
        converter=IDEAL if converter is None else converter.unseen,
    )


def _conversions(converter: Converter, chip: Chip, sample: SampledMvm, volts: Floats, seed: int | None) -> Conversions:
    """Build the conversions of outputs by transistors, those of a drawn chip by each column's own converter."""
    drawn = sample.adc.drawn if isinstance(sample.adc, ConverterRange) else None
    if drawn is None or seed is None:
        return converter.conversions(chip, sample.tile.polarity, volts)
    draw = ChipDraw(seed, sample.tile.place)
    own = {k: partial(_device, draw, f"{CONVERTER}_{k}") for k in np.unique(drawn.which)}
    return converter.conversions(chip, sample.tile.polarity, volts, [own[k] for k in drawn.which])


def _device(draw: ChipDraw, block: str, path: str) -> tuple[float, float]:
    return draw(f"{block}.{path}")


def _convert(samples: Sequence[Conversions], *, simulator: BatchSimulator | None, jobs: int | None) -> list[Codes]:
    """Convert outputs that were measured at transistor level by converters at transistor level, too."""
    netlists = [one for sample in samples for one in sample.netlists]
    results = run_all(netlists, simulator=simulator, jobs=jobs, progress="")
    ends = np.cumsum([len(sample.netlists) for sample in samples])
    return [sample.read(results[end - len(sample.netlists) : end]) for sample, end in zip(samples, ends, strict=True)]
