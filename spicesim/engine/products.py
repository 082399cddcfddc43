"""Products of random tiles, which say nothing of a network: what whole macros are held against."""

import time
from dataclasses import dataclass

import numpy as np

from spicesim.calibration.calibration import Calibration
from spicesim.calibration.tiles import COLUMNS_IN_TIME, TileCase, build_cases, random_matrices
from spicesim.engine.converters import ConverterEngine
from spicesim.engine.exact import ExactEngine
from spicesim.engine.hand_over import HandOverEngine
from spicesim.engine.protocol import Engine, Tile
from spicesim.engine.sample import SampledMvm
from spicesim.errors import SpecError

__all__ = ["RandomProducts", "random_products"]

VECTORS = 6
"""Random vectors a tile, beside structured ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomProducts:
    """What the exact engine made of random tiles, by converters as calibrated."""

    samples: list[SampledMvm]
    """Products in columns that stay linear, of either coding and every feedback resistance."""
    notes: tuple[str, ...]
    """What the engine had to say."""
    seconds: float
    """What one of them took it, its tiles' preparation included [s]."""

    def chosen(self, count: int, *seed: int) -> list[SampledMvm]:
        """Return some of them at random."""
        order = np.random.default_rng(list(seed)).permutation(len(self.samples))[:count]
        return [self.samples[k] for k in order]


def random_products(
    calibration: Calibration, size: int, *, seed: int, mismatch_seed: int | None = None, columns: int = COLUMNS_IN_TIME
) -> RandomProducts:
    """Multiply vectors by tiles of random conductances, random vectors and those that hurt most.

    Parameters
    ----------
    calibration : Calibration
        Of a chip with converters of transistors.
    size : int
        Rows and columns.
    seed : int
        Of conductances and vectors.
    mismatch_seed : int, optional
        Of a drawn chip; by default it is nominal.
    columns : int
        Of tiles whose product is a long transient, at most.

    Raises
    ------
    SpecError
        If the chip's converters are ideal.
    CalibrationError
        If they were not calibrated, at this corner and temperature, or their mismatch was not.
    """
    model, chip = calibration.require_converter(), calibration.chip
    if model is None:
        raise SpecError("this chip's converters are ideal, so it has no macros; set adc.kind = sar and calibrate again")
    matrices = random_matrices(chip, [size], seed, columns)
    cases = build_cases(chip, calibration.tile, matrices, random_vectors=VECTORS, seed=seed)
    engine = HandOverEngine.of(ExactEngine(calibration, mismatch_seed=mismatch_seed), calibration, mismatch_seed)
    if mismatch_seed is not None:
        engine = ConverterEngine(engine, calibration, seed=mismatch_seed)
    start = time.monotonic()
    linear = [case for case in cases if "saturating" not in case.name]
    samples = [sample for case in linear for sample in _multiply(engine, calibration, case)]
    seconds = (time.monotonic() - start) / len(samples)
    return RandomProducts(samples=samples, notes=engine.notes, seconds=seconds)


def _multiply(engine: Engine, calibration: Calibration, case: TileCase) -> list[SampledMvm]:
    """Return what an engine makes of the vectors of a case."""
    polarity = case.tile.dac.polarity
    model = calibration.require_converter()
    assert model is not None
    tile = Tile(
        name=case.name, g=np.asarray(calibration.cell.read_conductance(case.tile.g)), polarity=polarity,
        r_feedback=case.tile.setting, adc=model.range(polarity),
    )  # fmt: skip
    ready, codes = engine.prepare(tile), np.stack(list(case.codes.values()))
    volts = ready.mvm(codes)
    return [SampledMvm.of(ready, vector, own, layer=case.name) for vector, own in zip(codes, volts, strict=True)]
