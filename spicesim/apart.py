"""Whole macros taken apart: whether the hand-over from a read-out or the converter makes a code another.

The converter of a column is driven by an ideal source, with what the model says that its array receives. Where its top
plate is not that of the macro, the hand-over is another; where it gives another code than the model, the converter is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.conversions import conversions, read_outputs, real_vector, starts_of, strobes_of
from spicesim.calibration.top_plate import BEFORE_STROBE
from spicesim.chip.blocks import SarAdc
from spicesim.draws import CONVERTER, ChipDraw
from spicesim.engine import MacroBench, SampledMvm
from spicesim.errors import SpecError
from spicesim.netlist.macro import MacroRead
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results
from spicesim.sampling import run_all

__all__ = ["ConversionApart", "take_apart"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConversionApart:
    """The conversion of one column of a macro, and the same without the macro."""

    sample: SampledMvm
    """The product."""
    column: int
    """Of the tile."""
    measured: float
    """Its output in the macro [V]."""
    code: int
    """Of the macro."""
    of_source: int
    """Of the same converter, driven by an ideal source at what the array receives."""
    off: Floats
    """What the macro's array holds beyond that behind the source, as an output, before each strobe, highest bit first,
    (trials,) [V]: up to the first decision that differs."""

    @property
    def place(self) -> float:
        """Code of the model, without steps."""
        return float(self.sample.adc.places(self.sample.received)[self.column])

    @property
    def model(self) -> int:
        """Code of the model."""
        return int(self.sample.adc.codes(self.sample.received)[self.column])

    @property
    def load(self) -> float:
        """Feedback resistance times the conductance of the column."""
        return float(self.sample.tile.r_feedback * self.sample.tile.g[:, self.column].sum())

    @property
    def is_within(self) -> bool:
        """Whether the output lies within the converter's range: arrays beyond it are not those of a source."""
        return 0.0 < self.place < float(2**self.sample.adc.bits - 1)

    @property
    def hand_over(self) -> float:
        """What the macro's array has received beyond what the model says, in the median of trials [V]."""
        return float(np.median(self.off))


def take_apart(
    samples: Sequence[SampledMvm],
    calibration: Calibration,
    *,
    simulator: BatchSimulator | None = None,
    jobs: int | None = None,
    progress: str = "",
    mismatch_seed: int | None = None,
) -> list[ConversionApart]:
    """Do products again as whole macros, and their conversions behind ideal sources.

    Parameters
    ----------
    samples : sequence of SampledMvm
        Products, such as :func:`spicesim.engine.random_products` makes.
    calibration : Calibration
        Of the chip that made them, at its condition.
    simulator : BatchSimulator, optional
        Gives the time-out.
    jobs : int, optional
        Simulations at a time.
    progress : str
        Label of a progress bar; none if empty.
    mismatch_seed : int, optional
        Of the drawn chip that made them; by default it is nominal.

    Returns
    -------
    list of ConversionApart
        Of each column that has a converter in macros, product by product.

    Raises
    ------
    SpecError
        If the chip has no macros, or its converters are no SARs.
    SimulationError
        If a simulation fails.
    """
    bench = MacroBench(calibration, simulator=simulator, mismatch_seed=mismatch_seed)
    built = [bench.netlists(sample.tile, sample.adc, sample.codes[None]) for sample in samples]
    whole = [netlist for (netlist,), _ in built]
    macros = run_all(whole, simulator=simulator, jobs=jobs, progress=progress)
    asked = [(k, column) for k, (_, read) in enumerate(built) for column in read.converters]
    alone = [_of_source(samples[k], column, calibration, mismatch_seed) for k, column in asked]
    label = f"{progress}, behind sources" if progress else ""
    sources = run_all(alone, simulator=simulator, jobs=jobs, progress=label)
    rises = 1.0 if calibration.chip.sense_amplifier.kind == "voltage" else -1.0  # of an array with outputs
    found = []
    for (k, column), source in zip(asked, sources, strict=True):
        sample, read = samples[k], built[k][1]
        product = bench.product(macros[k], read, sample.tile.g.shape[1])
        code = int(product.codes[list(product.columns).index(column)])
        (of_source,) = read_outputs([source], calibration.chip)
        same = _same_decisions(code, int(of_source), read.sizes.dac.bits)
        off = rises * (_tops(macros[k], read, column) - _tops_of_source(source, read.sizes))
        found.append(
            ConversionApart(
                sample=sample, column=column, measured=float(product.volts[column]), code=code,
                of_source=int(of_source), off=off[:same],
            )
        )  # fmt: skip
    return found


def _of_source(sample: SampledMvm, column: int, calibration: Calibration, seed: int | None) -> Netlist:
    """Build the conversion of one column behind an ideal source, by its own converter."""
    adc, draw = sample.adc, None
    if not isinstance(adc, ConverterRange):
        raise SpecError("only macros with SAR converters, as calibrated, can be taken apart; set adc.kind = sar")
    if seed is not None and adc.drawn is not None:
        draw = ChipDraw(seed, sample.tile.place).within(f"{CONVERTER}_{adc.drawn.which[column]}")
    received = sample.received[[column]]
    (netlist,) = conversions(calibration.chip.over(adc.span), sample.tile.polarity, received, draw)
    return netlist


def _same_decisions(code: int, other: int, bits: int) -> int:
    """Return before how many strobes all decisions are the same."""
    return min(bits, bits - (code ^ other).bit_length() + 1)


def _tops(results: Results, read: MacroRead, column: int) -> Floats:
    """Return the top plate of a column's converter in a macro before strobes, highest bit first, (bits,) [V]."""
    first = next(first for first, own in read.groups.items() if column in own)
    return _before_strobes(results, f"v(xconverter_{first}.top)", read.end(column) - read.sizes.conversion, read.sizes)


def _tops_of_source(results: Results, sizes: SarAdc) -> Floats:
    return _before_strobes(results, "v(top)", float(starts_of(results, sizes)[0]), sizes)


def _before_strobes(results: Results, probe: str, start: float, sizes: SarAdc) -> Floats:
    strobes = strobes_of(np.array([start]), sizes)[0, ::-1]
    return np.asarray(np.interp(strobes - BEFORE_STROBE, real_vector(results, "time"), real_vector(results, probe)))
