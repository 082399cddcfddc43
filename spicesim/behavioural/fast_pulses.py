"""A tile of pulses and integrators at the speed of a few matrix products, with its measured error."""

import numpy as np

from spicesim.arrays import Array, Codes, Floats, Integers
from spicesim.behavioural.fast_tile import FastTile, truth_of
from spicesim.behavioural.integration import PulseState, PulseTile
from spicesim.coding import AdcRange
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.converting import clip_outputs
from spicesim.fast.numbers import Numbers, scoped, take_scalar, under
from spicesim.fast.trial import MARGIN, Adversary, Trial, held_out_inputs, measure, read_trials, write_trials

__all__ = ["FastPulseTile"]

POINTS = (3, 4, 6, 8, 12, 16, 24)
"""Operating points of a product that are tried, by their cost."""
CHECKED, SMALL, PORTION = 24, 24, 128
"""Held-out vectors that are solved exactly, and of small inputs more; vectors at a time."""


class FastPulseTile:
    """A tile of pulses whose outputs come from a few fast operating points of each product.

    As many are taken as a measurement on codes random, structured, adversarial and searched for asks for; twice the
    largest error found is promised, as :class:`~spicesim.behavioural.fast_tile.FastTile` has it. Where none is enough
    products are solved exactly: `form` is then "exact".

    Parameters
    ----------
    tile : PulseTile
        The tile.
    tolerance : float
        Largest error of an output, as a fraction of the converters' range, or of full scale.
    adc : AdcRange, optional
        Range of the converters.
    seed : int
        Of the held-out codes.
    threads : int
        Threads of the preparation.
    kept : mapping of str to ndarray, optional
        :attr:`numbers` of the same tile, made ready before with the same tolerance, range and seed.
    """

    def __init__(
        self,
        tile: PulseTile,
        *,
        tolerance: float = 1e-3,
        adc: AdcRange | None = None,
        seed: int = 0,
        threads: int = 1,
        kept: Numbers | None = None,
    ) -> None:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        self.tile, self.tolerance = tile, float(tolerance)
        self.trials: tuple[Trial, ...] = ()
        """What was tried, from the cheapest on; the last was taken unless `form` is "exact"."""
        self._points: int | None = None
        full = tile.readout.full_scale
        scale = full if adc is None else adc.high - adc.low
        # operating points may err by as much as outputs if they last for the whole window; how they add up is measured
        allowed = tolerance * scale / tile.static.readout.full_scale
        self._truth = truth_of(allowed)["tolerance"]
        self._static = FastTile(
            tile.static, tolerance=allowed, rms_share=1.0, seed=seed, threads=threads,
            kept=None if kept is None else scoped(kept, "static"),
        )  # fmt: skip
        if kept is not None:
            self.trials = read_trials(kept)
            if "taken" in kept:
                self._points = int(take_scalar(kept, "taken", np.int64))
                if self._points not in POINTS or not self.trials:
                    raise SpecError("what was kept of a tile has operating points of unknown number")
            return
        top, zero, rows = 2**tile.readout.bits - 1, tile.rest_code, tile.g.shape[0]
        inputs = np.rint(held_out_inputs(rows, -zero, top - zero, seed)) + zero
        codes = inputs[np.unique(np.linspace(0, len(inputs) - 1, CHECKED).astype(np.int64))]
        codes = np.concatenate([codes, _small_codes(rows, zero, top, seed)])

        def true(codes: Floats) -> Floats:
            try:
                found = tile.solve(codes.astype(np.int64), tolerance=self._truth, threads=threads)
                return clip_outputs(found.v_out, adc) / scale
            except ValidityError:  # codes that leave the calibrated box
                return np.full((len(codes), tile.g.shape[1]), np.nan)

        exact = true(codes)
        if not np.isfinite(exact).all():
            return
        adversary = Adversary(true, rows, 0, top, zero)
        for points in POINTS:
            if points >= rows:
                break

            def formed(codes: Floats, _: Floats, points: int = points) -> Floats:
                return clip_outputs(self._solve(codes.astype(np.int64), points, threads), adc) / scale

            largest, rms = measure(formed(codes, exact), exact, 1.0)
            if MARGIN * largest <= tolerance:
                largest = max(largest, adversary.attack(formed, tolerance / MARGIN))
            trial = Trial(
                form=f"pulses, {points} points, {self._static.form}", cost=points, max_error=MARGIN * largest,
                rms_error=rms,
            )  # fmt: skip
            self.trials += (trial,)
            if trial.max_error <= tolerance:
                self._points = points
                return

    @property
    def numbers(self) -> dict[str, Array]:
        """All that was found, to be kept and given as `kept` another time."""
        taken = {} if self._points is None else {"taken": np.array(self._points)}
        return {**write_trials(self.trials), **taken, **under("static", self._static.numbers)}

    @property
    def form(self) -> str:
        """What computes the outputs, or "exact"."""
        return "exact" if self._points is None else self.trials[-1].form

    @property
    def needed(self) -> float:
        """Tolerance, about, with which forms that were tried would have been taken; infinite if none was tried."""
        outputs = min((trial.max_error for trial in self.trials), default=np.inf)
        return max(outputs, self.tolerance * self._static.needed / self._static.tolerance)

    @property
    def max_error(self) -> float:
        """Promised largest error on any codes, as a fraction of the range or full scale; 0 for "exact"."""
        return 0.0 if self._points is None else self.trials[-1].max_error

    @property
    def rms_error(self) -> float:
        """Root-mean-square error on random and structured codes, the same; 0 for "exact"."""
        return 0.0 if self._points is None else self.trials[-1].rms_error

    def solve(self, codes: Codes, *, threads: int = 1) -> PulseState:
        """Multiply; as :meth:`PulseTile.solve`."""
        if self._points is None:
            return self.tile.solve(codes, tolerance=self._truth, threads=threads)
        return PulseState(v_out=self._solve(self.tile.checked(codes), self._points, threads))

    def outputs(self, codes: Codes, *, threads: int = 1) -> Floats:
        """Return the outputs alone, shape (batch, columns) [V]."""
        return self.solve(codes, threads=threads).v_out

    def _solve(self, codes: Integers, points: int, threads: int) -> Floats:
        parts = []
        for k in range(0, max(1, len(codes)), PORTION):
            part = codes[k : k + PORTION]
            parts.append(self.tile.charge(part, self.tile.pulses(part, points), self._currents, threads))
        return self.tile.outputs(np.concatenate(parts))

    def _currents(self, on: Integers, threads: int, tolerance: float | None = None) -> Floats:
        return self._static.totals(on, threads=threads)


def _small_codes(rows: int, zero: int, top: int, seed: int) -> Floats:
    """Draw what networks have most: inputs of which most are small beside the largest, (SMALL, rows)."""
    rng = np.random.default_rng([seed, rows, SMALL])
    spread = top * np.geomspace(0.03, 0.2, SMALL)[:, None]
    return np.asarray(np.clip(np.rint(zero + spread * rng.laplace(size=(SMALL, rows))), 0, top))
