"""Check mismatch: whole tiles in which every transistor and resistor is drawn, one by one and as a distribution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.behavioural.integration import PulseTile
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.mismatch_bench import with_chip_mismatch
from spicesim.calibration.patterns import code_vectors, random_conductances
from spicesim.calibration.tiles import KIND_WORDS, choose_feedback, tile_netlist, tile_outputs, tile_shape
from spicesim.coding import Polarity
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError

__all__ = ["MismatchCheck", "check_mismatch"]

NAME = "check"
"""Of the tile that is drawn."""
STATISTICAL_DRAWS = 1000
"""Further chips drawn in the model alone, which take a solve each."""
RESOLUTION = 1e-4
"""Of distributions, as a fraction of full scale: a fortieth of a step of 8 bits. On its rail an output spreads by a few
microvolts, which no converter can tell apart and no few parameters describe."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MismatchCheck:
    """One programmed tile on many drawn chips, for one code vector and more."""

    name: str
    """What was run."""
    full_scale: float
    """Swing to the nearer rail [V]."""
    measured: Floats
    """Outputs below the reference in ngspice, shape (draws, vectors, columns) [V]."""
    predicted: Floats
    """The same of the behavioural tile of the same seed, and so of the same devices."""
    nominal: Floats
    """The same without mismatch, shape (vectors, columns)."""
    drawn: Floats
    """The same of further seeds, shape (more draws, vectors, columns)."""

    @property
    def errors(self) -> Floats:
        """Predicted less measured, instance by instance, as fractions of full scale."""
        return np.asarray((self.predicted - self.measured) / self.full_scale)

    @property
    def spreading(self) -> npt.NDArray[np.bool_]:
        """Which outputs spread by more than :data:`RESOLUTION` in ngspice, shape (vectors, columns)."""
        return np.asarray(self.measured.std(axis=0, ddof=1) > RESOLUTION * self.full_scale)

    @property
    def sigma_ratios(self) -> Floats:
        """Standard deviations of the outputs of many seeds over those of ngspice, of the spreading outputs [1]."""
        drawn, measured = (volts[:, self.spreading].std(axis=0, ddof=1) for volts in (self.drawn, self.measured))
        return np.asarray(drawn / measured)

    @property
    def sigma_errors(self) -> Floats:
        """Relative standard error of each of these ratios, of the draws in ngspice and those beside them [1].

        That of a standard deviation of n draws is ``sqrt((kurtosis - 1) / n) / 2``; outputs that clip have a large one.
        """
        drawn = self.drawn[:, self.spreading]
        deviations = drawn - drawn.mean(axis=0)
        fourth = (deviations**4).mean(axis=0) / (deviations**2).mean(axis=0) ** 2
        return np.asarray(np.sqrt((fourth - 1) * (1 / len(self.measured) + 1 / len(drawn))) / 2)

    @property
    def p_values(self) -> Floats:
        """Kolmogorov-Smirnov p, that both are of one distribution to :data:`RESOLUTION`, shape (vectors, columns)."""
        vectors, columns = self.nominal.shape
        moved = RESOLUTION * self.full_scale
        return np.array([
            [_compare(self.measured[:, k, j], self.drawn[:, k, j], moved) for j in range(columns)]
            for k in range(vectors)
        ])  # fmt: skip

    def document(self) -> dict[str, Any]:
        """Return all numbers but the drawn outputs as plain data, ready for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("measured", "predicted", "nominal")}
        return {
            "name": self.name, "full_scale": self.full_scale, "spreading": self.spreading.tolist(),
            "sigma_ratios": self.sigma_ratios.tolist(), "sigma_errors": self.sigma_errors.tolist(),
            "p_values": self.p_values.tolist(), **arrays,
        }  # fmt: skip


def _compare(first: Floats, second: Floats, moved: float) -> float:
    """Return p of the Kolmogorov-Smirnov test on how far two distributions differ even if one may move by so much."""
    from scipy.stats import ks_2samp, kstwo  # takes long to import

    above = ks_2samp(first, second - moved, alternative="greater").statistic
    below = ks_2samp(first, second + moved, alternative="less").statistic
    count = len(first) * len(second) / (len(first) + len(second))
    return float(kstwo.sf(max(above, below), round(count)))


def check_mismatch(
    calibration: Calibration,
    campaign: Campaign,
    *,
    draws: int = 60,
    size: int = 16,
    polarity: Polarity = "unipolar",
    saturating: bool = False,
    vectors: tuple[str, ...] = ("random 0", "near half on"),
) -> MismatchCheck:
    """Run one programmed tile on many drawn chips in ngspice, and beside it in the behavioural tile.

    Parameters
    ----------
    calibration : Calibration
        With its mismatch.
    campaign : Campaign
        Runs the simulations; its seed is that of the chips, of the conductances and of the vectors.
    draws : int
        Chips.
    size : int
        Rows and columns, at most those of the chip; fewer columns where a product is a long transient.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.
    saturating : bool
        Whether half of the columns are past their rails at half of full scale.
    vectors : tuple of str
        Code vectors, by the names of :func:`spicesim.calibration.patterns.code_vectors`.

    Raises
    ------
    SpecError
        If there are too few draws to compare.
    CalibrationError
        If the calibration has no mismatch.
    """
    if draws < 2:
        raise SpecError(f"mismatch is checked on 2 chips or more, got {draws}")
    chip, model = calibration.chip, calibration.require_mismatch()
    size, columns = tile_shape(chip, size)
    rng = np.random.default_rng([campaign.seed, size, saturating, polarity == "bipolar"])
    g = random_conductances((size, columns), chip.cell.g_min, chip.cell.g_max, rng, 0.25 * chip.cell.g_max)
    r = choose_feedback(chip, g, saturating=saturating)
    chosen = code_vectors(size, chip.code_bits, 1, rng)
    codes = np.stack([chosen[name] for name in vectors])
    first = campaign.seed * (draws + STATISTICAL_DRAWS)

    def drawn(seed: int) -> BehaviouralTile | PulseTile:
        instance = model.draw(*g.shape, polarity=polarity, r_feedback=r, seed=seed, name=NAME)
        return calibration.tile(g, polarity, r, instance=instance)

    netlists, predicted = [], []
    for seed in range(first, first + draws):
        tile = drawn(seed)
        state = tile.solve(codes)
        predicted.append(state.v_out)
        plain = [tile_netlist(chip, tile, vector, state, n) for n, vector in enumerate(codes)]
        netlists += [with_chip_mismatch(netlist, calibration, ChipDraw(seed, NAME)) for netlist in plain]
    results = campaign.run(netlists, "check mismatch")
    measured = np.stack([tile_outputs(chip, found, columns) for found in results]).reshape(draws, len(codes), -1)
    further = range(first + draws, first + draws + STATISTICAL_DRAWS)
    nominal = calibration.tile(g, polarity, r)
    kind = KIND_WORDS.get(chip.sense_amplifier.kind, "saturating" if saturating else "linear")
    return MismatchCheck(
        name=f"{size}x{columns} {polarity} {kind}",
        full_scale=nominal.readout.full_scale,
        measured=measured,
        predicted=np.stack(predicted),
        nominal=nominal.solve(codes).v_out,
        drawn=np.stack([drawn(seed).solve(codes).v_out for seed in further]),
    )
