"""The behavioural tile at the speed of a few matrix products, with its measured error."""

import threading
from dataclasses import dataclass
from itertools import product
from typing import Any, TypedDict

import numpy as np

from spicesim.arrays import Array, Bools, Codes, Floats
from spicesim.behavioural.fast_models import TileModel, prepare_model, restore_model
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.coding import AdcRange, rest_code
from spicesim.crossbar.operating_point import Precision
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.converting import clip_outputs
from spicesim.fast.crossbar import FIELD_BYTES
from spicesim.fast.expansion import can_expand
from spicesim.fast.numbers import Numbers, scoped, take_scalar, under
from spicesim.fast.trial import (
    MARGIN,
    Adversary,
    Trial,
    held_out_inputs,
    measure,
    promise,
    read_trials,
    write_trials,
)

__all__ = ["APART", "FastTile", "FastTileState", "Tally", "truth_of"]

RMS_SHARE = 0.1
"""Default of the largest root-mean-square error of a form that is taken, as a share of the tolerance."""
BEYOND = 1e-3
"""Largest error of an output that its converter clips, as a fraction of the swing; the tolerance, if that is more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FastTileState:
    """Operating points of a tile, one a code vector; voltages relative to the reference.

    Where planes are added as charge all but the outputs are of the planes, as in
    :class:`~spicesim.behavioural.tile.TileState`.
    """

    v_out: Floats
    """Amplifier outputs below the reference, shape (batch, columns) [V]."""
    v_in: Floats
    """Amplifier inputs above the reference, shape (batch, columns) [V]."""
    v_word_line: Floats
    """Driver outputs above the reference, shape (batch, rows) [V]."""
    currents: Floats
    """Into the virtual grounds, shape (batch, columns) [A]."""
    row_currents: Floats
    """Delivered by the drivers, to about a per cent, shape (batch, rows) [A]."""
    form: str
    """What computed them, or "exact"."""
    max_error: float
    """Promised largest error of the form on any codes, as a fraction of the range or the swing; 0 for "exact"."""
    rms_error: float
    """Root-mean-square error on random and structured codes, the same."""


LIFTED = 2.5e-3
"""Voltage over its line to which an amplifier's input is lifted, at a rail, from which vectors may be solved one by one
[V]. Forms follow how columns at their rails disturb others to some parts in 1e4 of the range, ten times worse than all
else, and few vectors need it, as feedback resistances keep typical outputs from the rails."""
STRICTER = (LIFTED / 2, LIFTED / 8)
"""The same where no form is taken otherwise: converters of a narrow range tell smaller errors, and columns are at the
rails more often beyond it."""
TRIED = 2.0
"""How much farther lifted vectors are in trials: what errs most in use lies well within what was tried."""
CROWD = 256
"""Random inputs in trials without lifted vectors."""
APART = "lifted inputs apart"
"""Words of forms that leave such vectors out."""


class Tally:
    """Counts products in several threads.

    Attributes
    ----------
    products, solved : int
        All, and those that were solved exactly though there is a form.
    """

    def __init__(self) -> None:
        self.products, self.solved, self._lock = 0, 0, threading.Lock()

    def add(self, products: int, solved: int) -> None:
        """Count some."""
        with self._lock:
            self.products, self.solved = self.products + products, self.solved + solved


class FastTile:
    """A behavioural tile whose outputs come from the cheapest form that meets a tolerance.

    Drivers and amplifiers are linear in the forms; what they are beyond that is coupled with the array afterwards, so
    saturated columns disturb others as they do on the chip. Each form, from the cheapest on, is measured against
    :meth:`BehaviouralTile.solve` on codes that took no part in its making, random, structured and adversarial, and on
    those that a search near the worst of them finds; twice the largest error found is `max_error`, what the form
    promises for any codes, see :data:`~spicesim.fast.trial.MARGIN`. The first is taken with ``max_error <= tolerance``
    and ``rms_error <= rms_share * tolerance``. Where there is none the tile is solved exactly: `form` is then "exact".
    Codes that leave the calibrated box are left out; if all do, the tile is solved exactly, too, and so it is on rails
    with impedances.

    Errors count as converters see them: of a range `adc` they are fractions, and what it clips is no error, though
    even there outputs may err by no more than ``BEYOND`` or the tolerance, of the swing. Without it all errors are
    fractions of the swing.

    A form that errs too much where amplifiers at their rails lift their inputs over :data:`LIFTED` is taken without
    these vectors, which are then solved exactly as they come; if none is, over the limits of :data:`STRICTER`.

    Parameters
    ----------
    tile : BehaviouralTile
        The tile.
    tolerance : float
        Largest error of an output, as a fraction of the converters' range, or of the amplifier's swing.
    adc : AdcRange, optional
        Range of the converters.
    rms_share : float
        Largest root-mean-square error, as a share of the tolerance.
    seed : int
        Of the held-out codes.
    threads : int
        Threads of the preparation; they do not change the result.
    kept : mapping of str to ndarray, optional
        :attr:`numbers` of the same tile, made ready before with the same tolerance, range, share and seed.
    tally : Tally, optional
        Counts products of several tiles; by default this one's.

    Raises
    ------
    SpecError
        If the tolerance is not above 0, or what was kept is not of such a tile.
    """

    def __init__(
        self,
        tile: BehaviouralTile,
        *,
        tolerance: float = 1e-3,
        adc: AdcRange | None = None,
        rms_share: float = RMS_SHARE,
        seed: int = 0,
        threads: int = 1,
        kept: Numbers | None = None,
        tally: "Tally | None" = None,
    ) -> None:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        self.tile, self.tolerance, self._rms_share = tile, float(tolerance), rms_share
        self.tally = Tally() if tally is None else tally
        """Counts products, and those of lifted inputs, which were solved exactly."""
        self._model: TileModel[Any] | None = None
        self.trials: tuple[Trial, ...] = ()
        """What was tried, from the cheapest on; the last was taken unless `form` is "exact"."""
        if kept is not None:
            self.trials = read_trials(kept)
            if "taken" in kept:
                self._model = restore_model(tile, scoped(kept, "model"))
                self._model.limit = take_scalar(kept, "limit") if APART in self.form else np.inf
                self._model.settled = settled_of(self.tolerance)
            return
        rows, columns = tile.g.shape
        if 4 * rows * columns**2 > FIELD_BYTES or tile.rails is not None or not can_expand(tile.crossbar):
            return
        truth, gain = truth_of(self.tolerance), _gain(tile, adc)
        truth["tolerance"] /= max(1.0, gain)  # what cells err by adds up in a column
        if truth["tolerance"] < SINGLE:
            truth["precision"] = "double"
        unsure = truth["tolerance"] * gain
        codes = _held_out_codes(tile, seed)
        exact = _exact(tile, codes, truth, threads)
        codes, exact = codes[np.isfinite(exact).all(axis=1)], exact[np.isfinite(exact).all(axis=1)]
        if not len(codes):
            return
        try:
            model = prepare_model(tile, threads)
        except ValidityError:  # the middle of the codes leaves the calibrated box
            return
        model.settled = settled_of(self.tolerance)
        swing = tile.readout.full_scale
        scale = swing if adc is None else adc.high - adc.low

        def outputs(codes: Codes) -> tuple[Floats, Bools]:
            try:
                return model.outputs(codes, threads)
            except ValidityError:  # at the very edge of the box
                return np.full((len(codes), tile.g.shape[1]), np.inf), np.zeros(len(codes), bool)

        def true(codes: Floats) -> Floats:
            return clip_outputs(_exact(tile, codes.astype(np.int64), truth, threads), adc) / scale

        def formed(codes: Floats, exact: Floats) -> Floats:
            found, lifted = outputs(codes.astype(np.int64))
            return np.where(lifted[:, None], exact, clip_outputs(found, adc) / scale)

        top, zero = 2**tile.code_bits - 1, _zero(tile)
        adversary = Adversary(true, rows, 0, top, zero)
        crowd = Adversary(true, rows, 0, top, zero, random=CROWD, seed=seed)
        built = None
        for orders, limit in (*product(model.forms, (np.inf, LIFTED)), *product(model.forms, STRICTER)):
            if orders is not built:
                model.build(orders)
                built = orders
            model.limit = TRIED * limit
            found, lifted = outputs(codes)
            if limit != np.inf and not lifted.any():  # the same again
                continue
            found[lifted] = exact[lifted]
            beyond = measure(found, exact, swing)[0]
            largest, rms = measure(clip_outputs(found, adc), clip_outputs(exact, adc), scale)
            fits = rms <= rms_share * self.tolerance and (adc is None or beyond <= max(BEYOND, self.tolerance))
            if fits and promise(largest, unsure) <= self.tolerance:
                attacker = adversary if limit == np.inf else crowd
                largest = max(largest, attacker.attack(formed, self.tolerance / MARGIN))
            form = str(orders) if limit == np.inf else f"{orders}, {APART}"
            self.trials += (Trial(form=form, cost=orders.cost, max_error=promise(largest, unsure), rms_error=rms),)
            if fits and promise(largest, unsure) <= self.tolerance:
                self._model, model.limit = model, limit
                model.forget()
                return

    @property
    def numbers(self) -> dict[str, Array]:
        """All that was found, to be kept and given as `kept` another time."""
        found = write_trials(self.trials)
        if self._model is not None:
            found |= {"taken": np.array(len(self.trials)), **under("model", self._model.numbers)}
            if APART in self.form:
                found["limit"] = np.array(self._model.limit)
        return found

    @property
    def form(self) -> str:
        """What computes the outputs: a form by its orders, with lifted inputs apart or not, or "exact"."""
        return "exact" if self._model is None else self.trials[-1].form

    @property
    def needed(self) -> float:
        """Tolerance, about, with which a form that was tried would have been taken; infinite if none was tried."""
        return min((max(t.max_error, t.rms_error / self._rms_share) for t in self.trials), default=np.inf)

    @property
    def max_error(self) -> float:
        """Promised largest error on any codes, as a fraction of the range or the swing; 0 for "exact"."""
        return 0.0 if self._model is None else self.trials[-1].max_error

    @property
    def rms_error(self) -> float:
        """Root-mean-square error on random and structured codes, the same; 0 for "exact"."""
        return 0.0 if self._model is None else self.trials[-1].rms_error

    def outputs(self, codes: Codes, *, threads: int = 1) -> Floats:
        """Return the outputs alone, shape (batch, columns) [V]; as :meth:`solve`, in less time."""
        if self._model is None:
            return self.tile.solve(codes, **truth_of(self.tolerance), threads=threads).v_out
        checked = self.tile.checked(codes)
        found, lifted = self._model.outputs(checked, threads)
        if lifted.any():
            found[lifted] = self._apart(checked[lifted], threads)[0]
        self.tally.add(len(found), int(np.count_nonzero(lifted)))
        return found

    def totals(self, codes: Codes, *, threads: int = 1) -> Floats:
        """Return what amplifiers take of cells, with what they leak, shape (batch, columns) [A]."""
        checked = self.tile.checked(codes)
        found, lifted = np.empty((len(checked), self.tile.g.shape[1])), np.ones(len(checked), bool)
        if self._model is not None:
            found, lifted = self._model.totals(checked, threads)
        if lifted.any():
            _, v_in, _, currents, _ = self._apart(checked[lifted], threads)
            found[lifted] = currents + self.tile.leaked(v_in)
        return found

    def _apart(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Solve lifted vectors exactly, and forget what only that needs: there are few."""
        state = self.tile.solve(codes, **truth_of(self.tolerance), threads=threads)
        self.tile.forget()
        return state.v_out, state.v_in, state.v_word_line, state.solution.currents, state.solution.row_currents

    def solve(self, codes: Codes, *, threads: int = 1) -> FastTileState:
        """Find the operating points.

        Parameters
        ----------
        codes : ndarray of int, shape (batch, rows)
            DAC codes.
        threads : int
            Threads; the result is the same for any number.

        Raises
        ------
        ValidityError
            If a current or voltage lies outside the calibrated box of a block.
        ConvergenceError
            If a solver does not reach its tolerance.
        """
        if self._model is None:
            state = self.tile.solve(codes, **truth_of(self.tolerance), threads=threads)
            parts = (state.v_out, state.v_in, state.v_word_line, state.solution.currents, state.solution.row_currents)
        else:
            checked = self.tile.checked(codes)
            parts, lifted = self._model.solve(checked, threads)
            if lifted.any():
                for part, solved in zip(parts, self._apart(checked[lifted], threads), strict=True):
                    part[lifted] = solved
            self.tally.add(len(checked), int(np.count_nonzero(lifted)))
        return FastTileState(
            v_out=parts[0],
            v_in=parts[1],
            v_word_line=parts[2],
            currents=parts[3],
            row_currents=parts[4],
            form=self.form,
            max_error=self.max_error,
            rms_error=self.rms_error,
        )


def _held_out_codes(tile: BehaviouralTile, seed: int) -> Codes:
    """Draw code vectors, random and structured; the code of 0 V is off."""
    top, zero = 2**tile.code_bits - 1, _zero(tile)
    return np.rint(held_out_inputs(tile.g.shape[0], -zero, top - zero, seed)).astype(np.int64) + zero


def _zero(tile: BehaviouralTile) -> int:
    return rest_code(tile.dac.polarity, tile.code_bits)


SINGLE = 2e-6
"""Least tolerance that single precision reaches with all its ports saturated."""


class _Truth(TypedDict):
    """How exactly to solve."""

    tolerance: float
    precision: Precision


def settled_of(tolerance: float) -> float:
    """Return how far terminals of a form are to settle: a hundredth of what outputs may be wrong by, within limits."""
    return float(np.clip(1e-2 * tolerance, 1e-8, 1e-5))


def truth_of(tolerance: float) -> _Truth:
    """Return how exactly to solve where outputs may be wrong by a tolerance: a hundredth of it, within 1e-11..1e-5."""
    wanted = float(np.clip(1e-2 * tolerance, 1e-11, 1e-5))
    return {"tolerance": wanted, "precision": "single" if wanted >= SINGLE else "double"}


def _gain(tile: BehaviouralTile, adc: AdcRange | None) -> float:
    """Return the output for all inputs at the end of their range, were it not limited, as a fraction of the range."""
    scale = tile.readout.full_scale if adc is None else adc.high - adc.low
    reach = float(np.abs(tile.v_open).max()) / scale
    return reach if tile.amplifiers is None else reach * float(tile.g.sum(axis=0).max()) * tile.senseamp.r_feedback


def _exact(tile: BehaviouralTile, codes: Codes, truth: _Truth, threads: int) -> Floats:
    """Return the exact outputs of code vectors [V], not a number for vectors that leave the calibrated box."""
    try:
        return tile.solve(codes, **truth, threads=threads).v_out
    except ValidityError:
        if len(codes) == 1:
            return np.full((1, tile.g.shape[1]), np.nan)
        half = len(codes) // 2
        return np.concatenate([_exact(tile, part, truth, threads) for part in (codes[:half], codes[half:])])
