"""The behavioural tile at the speed of a few matrix products, with its measured error."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypedDict, TypeVar

import numpy as np

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.coding import AdcRange, rest_code
from spicesim.crossbar.operating_point import Precision
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.crossbar import FIELD_BYTES
from spicesim.fast.expansion import ArrayExpansion, Expansion, can_expand
from spicesim.fast.floating import FLOATING_FORMS, FloatingForm, FloatingOrders, build_floating
from spicesim.fast.form import FORMS, Form, FormOrders
from spicesim.fast.gates import GATE_FORMS, GateExpansion
from spicesim.fast.ports import SenseCoupling, evaluate_tables, linear_port
from spicesim.fast.trial import MARGIN, Adversary, Trial, held_out_inputs, measure, promise
from spicesim.ports import PortTables

__all__ = ["FastTile", "FastTileState"]

Orders = TypeVar("Orders", FormOrders, FloatingOrders)
"""How far a form goes."""

PORTION = 1024
"""Vectors at a time."""
TILE_FORMS = FORMS[5:]
"""Forms that are tried, by their cost; cheaper ones would save less than a tenth of what the amplifiers take."""
RMS_SHARE = 0.05
"""Largest root-mean-square error of a form that is taken, as a share of the tolerance."""
MARGIN_VOLTS, LEVEL_MARGIN = 2e-3, 1e-6
"""How far beyond the drivers' unloaded voltages forms are made [V]: no farther where lines float, as drivers of two
levels are at both ends of the range, where forms are exact."""
BEYOND = 1e-3
"""Largest error of an output that its converter clips, as a fraction of the swing; the tolerance, if that is more."""
SATURATED = 1e-3
"""Excess of a terminal that is felt by the drivers [V]."""


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


class FastTile:
    """A behavioural tile whose outputs come from the cheapest form that meets a tolerance.

    Drivers and amplifiers are linear in the forms; what they are beyond that is coupled with the array afterwards, so
    saturated columns disturb others as they do on the chip. Each form, from the cheapest on, is measured against
    :meth:`BehaviouralTile.solve` on codes that took no part in its making, random, structured and adversarial, and on
    those that a search near the worst of them finds; twice the largest error found is `max_error`, what the form
    promises for any codes, see :data:`~spicesim.fast.trial.MARGIN`. The first is taken with ``max_error <= tolerance``
    and ``rms_error <= RMS_SHARE * tolerance``. Where there is none the tile is solved exactly: `form` is then "exact".
    Codes that leave the calibrated box are left out; if all do, the tile is solved exactly, too.

    Errors count as converters see them: of a range `adc` they are fractions, and what it clips is no error, though
    even there outputs may err by no more than ``BEYOND`` or the tolerance, of the swing. Without it all errors are
    fractions of the swing.

    Parameters
    ----------
    tile : BehaviouralTile
        The tile.
    tolerance : float
        Largest error of an output, as a fraction of the converters' range, or of the amplifier's swing.
    adc : AdcRange, optional
        Range of the converters.
    seed : int
        Of the held-out codes.
    threads : int
        Threads of the preparation; they do not change the result.
    """

    def __init__(
        self,
        tile: BehaviouralTile,
        *,
        tolerance: float = 1e-3,
        adc: AdcRange | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        self.tile, self.tolerance = tile, float(tolerance)
        self.trials: tuple[Trial, ...] = ()
        """What was tried, from the cheapest on; the last was taken unless `form` is "exact"."""
        self._model: _Model[Any] | None = None
        rows, columns = tile.g.shape
        if 4 * rows * columns**2 > FIELD_BYTES or not can_expand(tile.crossbar):
            return
        truth, gain = _truth(self.tolerance), _gain(tile, adc)
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
            model = _prepare(tile, threads)
        except ValidityError:  # the middle of the codes leaves the calibrated box
            return
        swing = tile.readout.full_scale
        scale = swing if adc is None else adc.high - adc.low

        def seen(volts: Floats) -> Floats:
            """Return what converters of infinite resolution would make of amplifier outputs [V]."""
            return volts if adc is None else np.clip(volts, adc.low - 0.5 * adc.lsb, adc.high + 0.5 * adc.lsb)

        def outputs(codes: Codes) -> Floats:
            try:
                return model.solve(codes, threads)[0]
            except ValidityError:  # at the very edge of the box
                return np.full((len(codes), tile.g.shape[1]), np.inf)

        def true(codes: Floats) -> Floats:
            return seen(_exact(tile, codes.astype(np.int64), truth, threads)) / scale

        def formed(codes: Floats) -> Floats:
            return seen(outputs(codes.astype(np.int64))) / scale

        adversary = Adversary(true, rows, 0, 2**tile.code_bits - 1, _zero(tile))
        for orders in model.forms:
            model.build(orders)
            found = outputs(codes)
            beyond = measure(found, exact, swing)[0]
            largest, rms = measure(seen(found), seen(exact), scale)
            fits = rms <= RMS_SHARE * self.tolerance and (adc is None or beyond <= max(BEYOND, self.tolerance))
            if fits and promise(largest, unsure) <= self.tolerance:
                largest = max(largest, adversary.attack(formed, self.tolerance / MARGIN))
            self.trials += (
                Trial(form=str(orders), cost=orders.cost, max_error=promise(largest, unsure), rms_error=rms),
            )
            if fits and promise(largest, unsure) <= self.tolerance:
                self._model = model
                model.forget()
                return

    @property
    def form(self) -> str:
        """What computes the outputs: a form by its orders, or "exact"."""
        return "exact" if self._model is None else str(self._model.form.shape)

    @property
    def max_error(self) -> float:
        """Promised largest error on any codes, as a fraction of the range or the swing; 0 for "exact"."""
        return 0.0 if self._model is None else self.trials[-1].max_error

    @property
    def rms_error(self) -> float:
        """Root-mean-square error on random and structured codes, the same; 0 for "exact"."""
        return 0.0 if self._model is None else self.trials[-1].rms_error

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
            state = self.tile.solve(codes, **_truth(self.tolerance), threads=threads)
            parts = (state.v_out, state.v_in, state.v_word_line, state.solution.currents, state.solution.row_currents)
        else:
            parts = self._model.solve(self.tile.checked(codes), threads)
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

    def outputs(self, codes: Codes, *, threads: int = 1) -> Floats:
        """Return the outputs (batch, columns) alone [V]; as :meth:`solve`, for products."""
        if self._model is None:
            return self.solve(codes, threads=threads).v_out
        return self._model.outputs(self.tile.checked(codes), threads)


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


def _truth(tolerance: float) -> _Truth:
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


class _Model(ABC, Generic[Orders]):
    """A tile's expansion with its ports."""

    forms: ClassVar[tuple[Any, ...]]
    """Orders that are tried, by their cost."""
    form: Form | FloatingForm

    def __init__(self, tile: BehaviouralTile, expansion: ArrayExpansion) -> None:
        self._tile, self.expansion = tile, expansion

    @abstractmethod
    def build(self, orders: Orders) -> None:
        """Make a form."""

    def forget(self) -> None:
        """Drop what only the making of forms needs."""
        del self.expansion
        self._tile.forget()

    def outputs(self, codes: Codes, threads: int) -> Floats:
        """Return the outputs (batch, columns) [V]."""
        return self.solve(codes, threads)[0]

    def solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return outputs, inputs, word-line voltages, currents and row currents; see :class:`FastTileState`."""
        planes = self._tile.planes
        portion = max(1, PORTION // planes)
        parts = [self._solve(codes[k : k + portion], threads) for k in range(0, max(1, len(codes)), portion)]
        outputs, *others = zip(*parts, strict=True)
        joined = [_join_planes(arrays, planes) for arrays in others]
        return np.concatenate(outputs), joined[0], joined[1], joined[2], joined[3]

    @abstractmethod
    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]: ...


def _join_planes(parts: Sequence[Floats], planes: int) -> Floats:
    """Join arrays (planes batch, size) of portions of a batch, plane by plane."""
    size = parts[0].shape[1]
    return np.concatenate([part.reshape(planes, -1, size) for part in parts], axis=1).reshape(-1, size)


class _Driven(_Model[Orders]):
    """Word lines driven by the codes."""

    expansion: Expansion

    def __init__(self, tile: BehaviouralTile, margin: float, amplifiers: PortTables | None, threads: int) -> None:
        array, dac = tile.crossbar, tile.dac
        self._drivers = tile.drivers
        low, high = float(tile.v_open.min()), float(tile.v_open.max())
        reach = min(0.5 * max(abs(low), abs(high)) * float(array.g.sum(axis=1).max()), 0.5 * dac.i_limit)
        middle = len(dac.v_open) // 2
        droop = self._drivers.evaluate(np.array([0.0, reach]), middle)[0]
        self._r_out = float(droop[1] - droop[0]) / reach if reach > 0 else 0.0
        loaded = array.changed(r_driver=array.r_driver + self._r_out)
        super().__init__(tile, Expansion(loaded, low - margin, high + margin, senses=amplifiers, threads=threads))
        self._admittance = np.ascontiguousarray(self.expansion.fields.row_admittance)
        self._row_currents = self.expansion.row_currents
        self._centre = self.expansion.centre

    def _drive(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Return what drivers put out without load, what they deliver, their droop, and what stands for the sources."""
        v_open = self._tile.open_voltages(codes)
        delivered = (v_open - self._centre) @ self._admittance + self._row_currents
        droop = self._droop(codes, delivered, threads)
        return v_open, delivered, droop, v_open - droop + self._r_out * delivered

    def _droop(self, codes: Codes, delivered: Floats, threads: int) -> Floats:
        d, index = self._drivers, self._tile.driver_index(codes)
        return evaluate_tables(d.values, d.slopes, d.start, d.step, delivered, index, threads)


class _Held(_Driven[FormOrders]):
    """Bit lines held by amplifiers."""

    forms = TILE_FORMS

    def __init__(self, tile: BehaviouralTile, threads: int) -> None:
        assert tile.amplifiers is not None
        self._amplifiers, self._leakage = tile.amplifiers, tile.leakage
        low, high = float(tile.v_open.min()), float(tile.v_open.max())
        first, last = self._amplifiers.linear_currents
        line = linear_port(self._amplifiers.senses, first if low < -0.1 * high else 0.0, last)
        super().__init__(tile, MARGIN_VOLTS, line, threads)
        self._coupling = SenseCoupling(self.expansion, self._amplifiers.senses, line)
        self._transfer = self.expansion.fields.transfer.T.copy()

    def build(self, orders: FormOrders) -> None:
        """Expand in what linear cells make of the bit lines."""
        self.form = self.expansion.build(orders)

    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        v_open, delivered, droop, v = self._drive(codes, threads)
        linear = np.asarray(self.form.evaluate(v, threads)[0], dtype=float)
        currents, excess = self._coupling.solve(linear, v, threads)
        again = np.abs(excess).max(axis=1, initial=0.0) > SATURATED  # columns at a rail take less from the drivers
        if again.any():
            delivered[again] -= excess[again] @ self._transfer.T
            droop[again] = self._droop(codes[again], delivered[again], threads)
            change = v_open[again] - droop[again] + self._r_out * delivered[again] - v[again]
            moved = linear[again] + change @ self._transfer
            currents[again] = self._coupling.solve(moved, v[again] + change, threads, currents[again])[0]
        self._drivers.check(delivered, "driver of row")
        v_in = self._amplifiers.input(currents, threads)
        self._coupling.check(currents, v_in)
        return self._amplifiers.output(currents + self._leakage, threads), v_in, v_open - droop, currents, delivered


class _Floating(_Driven[FloatingOrders]):
    """Bit lines that float."""

    forms = FLOATING_FORMS

    def __init__(self, tile: BehaviouralTile, threads: int) -> None:
        super().__init__(tile, LEVEL_MARGIN, None, threads)

    def build(self, orders: FloatingOrders) -> None:
        """Make polynomials of inputs and feet."""
        self.form = build_floating(self.expansion, orders)

    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        v_open, delivered, droop, v = self._drive(self._tile.driven(codes), threads)
        self._drivers.check(delivered, "driver of row")
        feet = np.asarray(self.form.evaluate(v, threads)[0], dtype=float)
        return self._tile.held(feet), feet, v_open - droop, np.zeros_like(feet), delivered


class _Gated(_Model[FormOrders]):
    """Rows turned on and off, bit lines held by amplifiers."""

    forms = GATE_FORMS

    def __init__(self, tile: BehaviouralTile, threads: int) -> None:
        assert tile.amplifiers is not None
        self._amplifiers, self._leakage = tile.amplifiers, tile.leakage
        senses, v_on = self._amplifiers.senses, tile.v_open[:, -1]
        line = linear_port(senses, 0.0, self._amplifiers.linear_currents[1])
        expansion = GateExpansion(tile.crossbar, v_on, senses=line, threads=threads)
        super().__init__(tile, expansion)
        self._coupling = SenseCoupling(expansion, senses, line, gated=True)
        # with all rows on for half a row has half of what it has when it is on, and takes half as much from a terminal
        self._row_currents, self._transfer = 2 * expansion.row_currents, 2 * expansion.fields.transfer

    def build(self, orders: FormOrders) -> None:
        """Expand in what bit lines are lifted by."""
        self.form = self.expansion.build(orders)

    def outputs(self, codes: Codes, threads: int) -> Floats:
        """Return the outputs, each mask solved once: those of the bits of images repeat, and many are all off."""
        first, back = _distinct(codes)
        return super().outputs(codes[first], threads)[back]

    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        on = codes.astype(float)
        linear = np.asarray(self.form.evaluate(on, threads)[0], dtype=float)
        currents, excess = self._coupling.solve(linear, on, threads)
        v_in = self._amplifiers.input(currents, threads)
        self._coupling.check(currents, v_in)
        v_out = self._amplifiers.output(currents + self._leakage, threads)
        share = np.maximum(on.mean(axis=1, keepdims=True), 1 / on.shape[1])  # of a column that answers its terminal
        delivered = on * (self._row_currents - (0.5 * excess / share) @ self._transfer)
        v_word_line = self._tile.open_voltages(codes)
        return v_out, v_in, v_word_line, currents, delivered


def _distinct(bits: Codes) -> tuple[Integers, Integers]:
    """Return which vectors of bits (batch, rows) stand for all, and which of these stands for each."""
    packed = np.packbits(bits.astype(bool), axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    kind = np.uint64 if words.shape[1] == 8 else np.dtype((np.void, words.shape[1]))  # numbers sort faster
    _, first, back = np.unique(words.view(kind)[:, 0], return_index=True, return_inverse=True)
    return first, back


def _prepare(tile: BehaviouralTile, threads: int) -> _Model[Any]:
    """Expand a tile."""
    if tile.gated:
        return _Gated(tile, threads)
    return _Floating(tile, threads) if tile.amplifiers is None else _Held(tile, threads)
