"""Tiles of a few matrix products: an array's form, and its drivers and read-outs coupled with it.

Three kinds of read-out and drive: bit lines held by amplifiers, bit lines that float, rows turned on and off.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from spicesim.arrays import Codes, Floats, Integers
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.fast.expansion import ArrayExpansion, Expansion
from spicesim.fast.floating import FLOATING_FORMS, FloatingForm, FloatingOrders, build_floating
from spicesim.fast.form import FORMS, Form, FormOrders
from spicesim.fast.gates import GATE_FORMS, GateExpansion
from spicesim.fast.ports import SenseCoupling, evaluate_tables, linear_port
from spicesim.ports import PortTables

__all__ = ["TileModel", "prepare_model"]

Orders = TypeVar("Orders", FormOrders, FloatingOrders)
"""How far a form goes."""

PORTION = 1024
"""Vectors at a time."""
TILE_FORMS = FORMS[5:]
"""Forms that are tried, by their cost; cheaper ones would save less than a tenth of what the amplifiers take."""
MARGIN_VOLTS, LEVEL_MARGIN = 2e-3, 1e-6
"""How far beyond the drivers' unloaded voltages forms are made [V]: no farther where lines float, as drivers of two
levels are at both ends of the range, where forms are exact."""
SATURATED = 1e-3
"""Excess of a terminal that is felt by the drivers [V]."""


class TileModel(ABC, Generic[Orders]):
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

    def solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return outputs, inputs, word-line voltages, currents and row currents; see :class:`FastTileState`."""
        outputs, *others = zip(*(self._state(part, threads) for part in self._portions(codes)), strict=True)
        joined = [_join_planes(arrays, self._tile.planes) for arrays in others]
        return np.concatenate(outputs), joined[0], joined[1], joined[2], joined[3]

    def outputs(self, codes: Codes, threads: int) -> Floats:
        """Return the outputs alone; vectors of single bits are solved once each.

        Those of the bits of images repeat, and many are all off.
        """
        if self._tile.code_bits > 1:
            return self._all_outputs(codes, threads)
        first, back = _distinct(codes)
        return self._all_outputs(codes[first], threads)[back]

    def _all_outputs(self, codes: Codes, threads: int) -> Floats:
        return np.concatenate([self._outputs(part, threads) for part in self._portions(codes)])

    def _portions(self, codes: Codes) -> Iterator[Codes]:
        """Split a batch into what the caches hold."""
        portion = max(1, PORTION // self._tile.planes)
        for k in range(0, max(1, len(codes)), portion):
            yield codes[k : k + portion]

    @abstractmethod
    def _state(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]: ...

    @abstractmethod
    def _outputs(self, codes: Codes, threads: int) -> Floats: ...


def _join_planes(parts: Sequence[Floats], planes: int) -> Floats:
    """Join arrays (planes batch, size) of portions of a batch, plane by plane."""
    size = parts[0].shape[1]
    return np.concatenate([part.reshape(planes, -1, size) for part in parts], axis=1).reshape(-1, size)


class _Driven(TileModel[Orders]):
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

    def _state(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        v_in, v_word_line, currents, delivered = self._solve(codes, threads)
        return self._amplifiers.output(currents + self._leakage, threads), v_in, v_word_line, currents, delivered

    def _outputs(self, codes: Codes, threads: int) -> Floats:
        return self._amplifiers.output(self._solve(codes, threads)[2] + self._leakage, threads)

    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Return amplifier inputs, word-line voltages, currents and row currents."""
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
        return v_in, v_open - droop, currents, delivered


class _Floating(_Driven[FloatingOrders]):
    """Bit lines that float."""

    forms = FLOATING_FORMS

    def __init__(self, tile: BehaviouralTile, threads: int) -> None:
        super().__init__(tile, LEVEL_MARGIN, None, threads)

    def build(self, orders: FloatingOrders) -> None:
        """Make polynomials of inputs and feet."""
        self.form = build_floating(self.expansion, orders)

    def _state(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        v_open, delivered, droop, v = self._drive(self._tile.driven(codes), threads)
        feet = self._feet(delivered, v, threads)
        return self._tile.held(feet), feet, v_open - droop, np.zeros_like(feet), delivered

    def _outputs(self, codes: Codes, threads: int) -> Floats:
        driven = self._tile.driven(codes)
        if self._tile.planes == 1:
            return self._tile.held(self._driven_feet(driven, threads))
        first, back = _distinct(driven)
        return self._tile.held(self._driven_feet(driven[first], threads)[back])

    def _driven_feet(self, driven: Codes, threads: int) -> Floats:
        _, delivered, _, v = self._drive(driven, threads)
        return self._feet(delivered, v, threads)

    def _feet(self, delivered: Floats, v: Floats, threads: int) -> Floats:
        self._drivers.check(delivered, "driver of row")
        return np.asarray(self.form.evaluate(v, threads)[0], dtype=float)


class _Gated(TileModel[FormOrders]):
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

    def _outputs(self, codes: Codes, threads: int) -> Floats:
        _, currents, _ = self._solve(codes.astype(float), threads)
        return self._amplifiers.output(currents + self._leakage, threads)

    def _state(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        on = codes.astype(float)
        v_in, currents, excess = self._solve(on, threads)
        v_out = self._amplifiers.output(currents + self._leakage, threads)
        share = np.maximum(on.mean(axis=1, keepdims=True), 1 / on.shape[1])  # of a column that answers its terminal
        delivered = on * (self._row_currents - (0.5 * excess / share) @ self._transfer)
        return v_out, v_in, self._tile.open_voltages(codes), currents, delivered

    def _solve(self, on: Floats, threads: int) -> tuple[Floats, Floats, Floats]:
        """Return amplifier inputs, currents and what terminals are above linear ones."""
        linear = np.asarray(self.form.evaluate(on, threads)[0], dtype=float)
        currents, excess = self._coupling.solve(linear, on, threads)
        v_in = self._amplifiers.input(currents, threads)
        self._coupling.check(currents, v_in)
        return v_in, currents, excess


def _distinct(bits: Codes) -> tuple[Integers, Integers]:
    """Return which vectors of bits (batch, rows) stand for all, and which of these stands for each."""
    packed = np.packbits(bits.astype(bool), axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    kind = np.uint64 if words.shape[1] == 8 else np.dtype((np.void, words.shape[1]))  # numbers sort faster
    _, first, back = np.unique(words.view(kind)[:, 0], return_index=True, return_inverse=True)
    return first, back


def prepare_model(tile: BehaviouralTile, threads: int) -> TileModel[Any]:
    """Expand a tile."""
    if tile.gated:
        return _Gated(tile, threads)
    return _Floating(tile, threads) if tile.amplifiers is None else _Held(tile, threads)
