"""Tiles of a few matrix products: an array's form, and its drivers and read-outs coupled with it.

Three kinds of read-out and drive: bit lines held by amplifiers, bit lines that float, rows turned on and off.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Array, Bools, Codes, Floats, Integers
from spicesim.behavioural.tables import CubicTables
from spicesim.behavioural.tile import Amplifiers, BehaviouralTile
from spicesim.errors import SpecError
from spicesim.fast.expansion import ArrayExpansion, Expansion
from spicesim.fast.floating import FLOATING_FORMS, FloatingForm, FloatingOrders, build_floating
from spicesim.fast.form import FORMS, Form, FormOrders
from spicesim.fast.gates import GATE_FORMS, GateExpansion
from spicesim.fast.numbers import Numbers, scoped, take, under
from spicesim.fast.ports import SenseCoupling, evaluate_tables, linear_port
from spicesim.ports import PortTables

__all__ = ["TileModel", "prepare_model", "restore_model"]

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
    expansion: ArrayExpansion
    settled: float = 1e-6
    """Change of terminals' currents that is left, as a fraction of the largest."""
    limit: float = np.inf
    """Excess of a terminal over its line from which a vector is lifted [V]: it is not answered, but told."""

    def __init__(self, tile: BehaviouralTile, numbers: Numbers) -> None:
        self._tile = tile
        self._set(numbers)
        if any(name.startswith("form.") for name in numbers):
            self.form = self._form_of(scoped(numbers, "form"))

    @classmethod
    def expanded(cls, tile: BehaviouralTile, threads: int) -> Self:
        """Expand a tile; forms are to be built."""
        expansion, numbers = cls._expand(tile, threads)
        found = cls(tile, numbers)
        found.expansion = expansion
        return found

    @classmethod
    @abstractmethod
    def _expand(cls, tile: BehaviouralTile, threads: int) -> tuple[ArrayExpansion, Numbers]:
        """Return the expansion of a tile, and all numbers but those of a form."""

    @abstractmethod
    def _set(self, numbers: Numbers) -> None:
        """Take the numbers that :meth:`_expand` returned."""

    @abstractmethod
    def _form_of(self, numbers: Numbers) -> Form | FloatingForm:
        """Make a form of its numbers."""

    @property
    @abstractmethod
    def numbers(self) -> dict[str, Array]:
        """What :func:`restore_model` makes the model of again."""

    @abstractmethod
    def build(self, orders: Orders) -> None:
        """Make a form."""

    def forget(self) -> None:
        """Drop what only the making of forms needs."""
        del self.expansion
        self._tile.forget()

    def solve(self, codes: Codes, threads: int) -> tuple[tuple[Floats, Floats, Floats, Floats, Floats], Bools]:
        """Return outputs, inputs, word-line voltages, currents and row currents, and which vectors are lifted.

        See :class:`FastTileState`; what is returned of lifted vectors is of no worth.
        """
        states, lifted = zip(*(self._state(part, threads) for part in self._portions(codes)), strict=True)
        outputs, *others = zip(*states, strict=True)
        joined = [_join_planes(arrays, self._tile.planes) for arrays in others]
        return (np.concatenate(outputs), joined[0], joined[1], joined[2], joined[3]), np.concatenate(lifted)

    def outputs(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        """Return the outputs alone, and which vectors are lifted; vectors of single bits are solved once each.

        Those of the bits of images repeat, and many are all off.
        """
        if self._tile.code_bits > 1:
            return _joined(self._outputs(part, threads) for part in self._portions(codes))
        first, back = _distinct(codes)
        outputs, lifted = _joined(self._outputs(part, threads) for part in self._portions(codes[first]))
        return outputs[back], lifted[back]

    def totals(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        """Return what amplifiers take, with what cells leak, (batch, columns) [A], and which vectors are lifted."""
        return _joined(self._totals(part, threads) for part in self._portions(codes))

    def _portions(self, codes: Codes) -> Iterator[Codes]:
        """Split a batch into what the caches hold."""
        portion = max(1, PORTION // self._tile.planes)
        for k in range(0, max(1, len(codes)), portion):
            yield codes[k : k + portion]

    @abstractmethod
    def _state(self, codes: Codes, threads: int) -> tuple[tuple[Floats, Floats, Floats, Floats, Floats], Bools]: ...

    @abstractmethod
    def _outputs(self, codes: Codes, threads: int) -> tuple[Floats, Bools]: ...

    def _totals(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        (_, v_in, _, currents, _), lifted = self._state(codes, threads)
        return currents + self._tile.leaked(v_in), lifted


def _joined(parts: Iterable[tuple[Floats, Bools]]) -> tuple[Floats, Bools]:
    found, lifted = zip(*parts, strict=True)
    return np.concatenate(found), np.concatenate(lifted)


def _join_planes(parts: Sequence[Floats], planes: int) -> Floats:
    """Join arrays (planes batch, size) of portions of a batch, plane by plane."""
    size = parts[0].shape[1]
    return np.concatenate([part.reshape(planes, -1, size) for part in parts], axis=1).reshape(-1, size)


class _Driven(TileModel[Orders]):
    """Word lines driven by the codes."""

    expansion: Expansion

    @staticmethod
    def _expand_driven(
        tile: BehaviouralTile, margin: float, amplifiers: PortTables | None, threads: int
    ) -> tuple[Expansion, Numbers]:
        array, dac = tile.crossbar, tile.dac
        low, high = float(tile.v_open.min()), float(tile.v_open.max())
        reach = min(0.5 * max(abs(low), abs(high)) * float(array.g.sum(axis=1).max()), 0.5 * dac.i_limit)
        middle = len(dac.v_open) // 2
        droop = tile.drivers.evaluate(np.array([0.0, reach]), middle)[0]
        r_out = float(droop[1] - droop[0]) / reach if reach > 0 else 0.0
        loaded = array.changed(r_driver=array.r_driver + r_out)
        expansion = Expansion(loaded, low - margin, high + margin, senses=amplifiers, threads=threads)
        return expansion, {
            "driver": np.array([r_out, expansion.centre]), "row_currents": expansion.row_currents,
            "admittance": expansion.fields.row_admittance.astype(np.float32),
        }  # fmt: skip

    def _set(self, numbers: Numbers) -> None:
        self._drivers, rows = self._tile.drivers, len(self._tile.g)
        self._r_out, self._centre = (float(x) for x in take(numbers, "driver", (2,)))
        self._row_currents = take(numbers, "row_currents", (rows,))
        self._admittance = take(numbers, "admittance", (rows, rows), np.float32)

    @property
    def numbers(self) -> dict[str, Array]:
        """What :func:`restore_model` makes the model of again."""
        return {
            "driver": np.array([self._r_out, self._centre]), "row_currents": self._row_currents,
            "admittance": self._admittance, **under("form", self.form.numbers),
        }  # fmt: skip

    def _drive(self, codes: Codes, threads: int) -> tuple[Floats, Floats, bool]:
        """Return what drivers deliver, what stands for the sources, and whether all are within their tables."""
        tile, d = self._tile, self._drivers
        shape = codes.shape
        open_, delivered, v = np.empty(shape, np.float32), np.empty(shape), np.empty(shape)
        if not v.size:
            return delivered, v, True
        fast.open_voltages(tile.v_open, codes, self._centre, threads, open_)
        outside = fast.load(
            d.values, d.slopes, d.start, d.step, codes, tile.first_table, self._r_out, self._centre,
            self._row_currents, open_, open_ @ self._admittance, threads, delivered, v,
        )  # fmt: skip
        return delivered, v, not outside

    def _sources(self, codes: Codes, delivered: Floats, threads: int) -> Floats:
        """Return what stands for the sources of drivers that deliver currents."""
        d, index = self._drivers, self._tile.driver_index(codes)
        droop = evaluate_tables(d.values, d.slopes, d.start, d.step, delivered, index, threads)
        return self._tile.open_voltages(codes) - droop + self._r_out * delivered


class _Held(_Driven[FormOrders]):
    """Bit lines held by amplifiers."""

    forms = TILE_FORMS
    form: Form

    @classmethod
    def _expand(cls, tile: BehaviouralTile, threads: int) -> tuple[Expansion, Numbers]:
        assert tile.amplifiers is not None
        line = cls._line(tile, tile.amplifiers)
        expansion, numbers = cls._expand_driven(tile, MARGIN_VOLTS, line, threads)
        coupling = SenseCoupling(expansion, tile.amplifiers.senses, line)
        transfer = expansion.fields.transfer.T.copy()
        return expansion, {**numbers, **under("coupling", coupling.numbers), "transfer": transfer}

    @staticmethod
    def _line(tile: BehaviouralTile, amplifiers: Amplifiers) -> PortTables:
        """Return the linear terminals of its columns."""
        low, high = float(tile.v_open.min()), float(tile.v_open.max())
        first, last = amplifiers.linear_currents
        return linear_port(amplifiers.senses, first if low < -0.1 * high else 0.0, last)

    def _set(self, numbers: Numbers) -> None:
        super()._set(numbers)
        assert self._tile.amplifiers is not None
        self._amplifiers = self._tile.amplifiers
        line = self._line(self._tile, self._amplifiers)
        shape = self._tile.g.shape
        self._coupling = SenseCoupling.of(scoped(numbers, "coupling"), shape, self._amplifiers.senses, line)
        self._transfer = take(numbers, "transfer", shape)

    def _form_of(self, numbers: Numbers) -> Form:
        return Form.of(numbers, self.forms, *self._tile.g.shape)

    @property
    def numbers(self) -> dict[str, Array]:
        """What :func:`restore_model` makes the model of again."""
        return {**super().numbers, **under("coupling", self._coupling.numbers), "transfer": self._transfer}

    def build(self, orders: FormOrders) -> None:
        """Expand in what linear cells make of the bit lines."""
        self.form = self.expansion.build(orders)

    def _state(self, codes: Codes, threads: int) -> tuple[tuple[Floats, Floats, Floats, Floats, Floats], Bools]:
        currents, v, delivered, lifted, _ = self._solve(codes, threads)
        v_in = self._check(currents, delivered, lifted, threads)
        output, _ = self._coupling.read_out(currents, self._amplifiers.outputs, self._amplifiers.index, threads)
        return (output, v_in, v - self._r_out * delivered, currents, delivered), lifted

    def _outputs(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        return self._read(codes, self._amplifiers.outputs, threads)

    def _totals(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        return self._read(codes, self._amplifiers.totals, threads)

    def _read(self, codes: Codes, tables: CubicTables, threads: int) -> tuple[Floats, Bools]:
        """Return what tables have at the currents."""
        currents, _, delivered, lifted, fits = self._solve(codes, threads)
        found, within = self._coupling.read_out(currents, tables, self._amplifiers.index, threads)
        if not (within and fits):
            self._check(currents, delivered, lifted, threads)
        return found, lifted

    def _check(self, currents: Floats, delivered: Floats, lifted: Bools, threads: int) -> Floats:
        """Return the amplifiers' inputs, after a look at whether all are where they were calibrated."""
        self._drivers.check(_answered(delivered, lifted), "driver of row")
        v_in = self._amplifiers.input(currents, threads)
        self._coupling.check(_answered(currents, lifted), _answered(v_in, lifted))
        return v_in

    def _solve(self, codes: Codes, threads: int) -> tuple[Floats, Floats, Floats, Bools, bool]:
        """Return currents, sources, row currents, which vectors are lifted, and if drivers are within their tables."""
        delivered, v, fits = self._drive(codes, threads)
        linear = np.asarray(self.form.evaluate(v, threads)[0], dtype=float)
        currents, excess, largest = self._coupling.solve(linear, v, self.settled, threads)
        lifted = largest > self.limit
        again = (largest > SATURATED) & ~lifted  # columns at a rail take less from the drivers
        if again.any():
            delivered[again] -= excess[again] @ self._transfer.T
            moved = self._sources(codes[again], delivered[again], threads)
            change = moved - v[again]
            v[again] = moved
            currents[again] = self._coupling.solve(
                linear[again] + change @ self._transfer, moved, self.settled, threads,
                near=(currents[again], excess[again]),
            )[0]  # fmt: skip
            low, high = self._drivers.limits
            fits = bool(fits and ((delivered[again] >= low) & (delivered[again] <= high)).all())
        return currents, v, delivered, lifted, fits


class _Floating(_Driven[FloatingOrders]):
    """Bit lines that float."""

    forms = FLOATING_FORMS
    form: FloatingForm

    @classmethod
    def _expand(cls, tile: BehaviouralTile, threads: int) -> tuple[Expansion, Numbers]:
        return cls._expand_driven(tile, LEVEL_MARGIN, None, threads)

    def _form_of(self, numbers: Numbers) -> FloatingForm:
        return FloatingForm.of(numbers, *self._tile.g.shape)

    def build(self, orders: FloatingOrders) -> None:
        """Make polynomials of inputs and feet."""
        self.form = build_floating(self.expansion, orders)

    def _state(self, codes: Codes, threads: int) -> tuple[tuple[Floats, Floats, Floats, Floats, Floats], Bools]:
        delivered, v, fits = self._drive(self._tile.driven(codes), threads)
        feet = self._feet(delivered, v, fits, threads)
        held = self._tile.held(feet)
        return (held, feet, v - self._r_out * delivered, np.zeros_like(feet), delivered), np.zeros(len(codes), bool)

    def _outputs(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        driven, lifted = self._tile.driven(codes), np.zeros(len(codes), bool)
        if self._tile.planes == 1:
            return self._tile.held(self._driven_feet(driven, threads)), lifted
        first, back = _distinct(driven)
        return self._tile.held(self._driven_feet(driven[first], threads)[back]), lifted

    def _driven_feet(self, driven: Codes, threads: int) -> Floats:
        return self._feet(*self._drive(driven, threads), threads)

    def _feet(self, delivered: Floats, v: Floats, fits: bool, threads: int) -> Floats:
        if not fits:
            self._drivers.check(delivered, "driver of row")
        return self.form.evaluate(v, threads)


class _Gated(TileModel[FormOrders]):
    """Rows turned on and off, bit lines held by amplifiers."""

    forms = GATE_FORMS
    form: Form

    @classmethod
    def _expand(cls, tile: BehaviouralTile, threads: int) -> tuple[GateExpansion, Numbers]:
        assert tile.amplifiers is not None
        senses, line = tile.amplifiers.senses, cls._line(tile.amplifiers)
        expansion = GateExpansion(tile.crossbar, tile.v_open[:, -1], senses=line, threads=threads)
        coupling = SenseCoupling(expansion, senses, line, gated=True)
        # with all rows on for half a row has half of what it has when it is on, and takes half as much from a terminal
        return expansion, {
            **under("coupling", coupling.numbers), "row_currents": 2 * expansion.row_currents,
            "transfer": 2 * expansion.fields.transfer,
        }  # fmt: skip

    @staticmethod
    def _line(amplifiers: Amplifiers) -> PortTables:
        """Return the linear terminals of its columns."""
        return linear_port(amplifiers.senses, 0.0, amplifiers.linear_currents[1])

    def _set(self, numbers: Numbers) -> None:
        assert self._tile.amplifiers is not None
        self._amplifiers = self._tile.amplifiers
        rows, columns = self._tile.g.shape
        self._coupling = SenseCoupling.of(
            scoped(numbers, "coupling"), (rows, columns), self._amplifiers.senses, self._line(self._amplifiers),
            gated=True,
        )  # fmt: skip
        self._row_currents = take(numbers, "row_currents", (rows,))
        self._transfer = take(numbers, "transfer", (columns, rows))

    def _form_of(self, numbers: Numbers) -> Form:
        return Form.of(numbers, self.forms, *self._tile.g.shape)

    @property
    def numbers(self) -> dict[str, Array]:
        """What :func:`restore_model` makes the model of again."""
        return {
            **under("coupling", self._coupling.numbers), "row_currents": self._row_currents,
            "transfer": self._transfer, **under("form", self.form.numbers),
        }  # fmt: skip

    def build(self, orders: FormOrders) -> None:
        """Expand in what bit lines are lifted by."""
        self.form = self.expansion.build(orders)

    def _outputs(self, codes: Codes, threads: int) -> tuple[Floats, Bools]:
        _, currents, _, lifted = self._solve(codes.astype(float), threads)
        return self._amplifiers.output(currents, threads), lifted

    def _state(self, codes: Codes, threads: int) -> tuple[tuple[Floats, Floats, Floats, Floats, Floats], Bools]:
        on = codes.astype(float)
        v_in, currents, excess, lifted = self._solve(on, threads)
        v_out = self._amplifiers.output(currents, threads)
        share = np.maximum(on.mean(axis=1, keepdims=True), 1 / on.shape[1])  # of a column that answers its terminal
        delivered = on * (self._row_currents - (0.5 * excess / share) @ self._transfer)
        return (v_out, v_in, self._tile.open_voltages(codes), currents, delivered), lifted

    def _solve(self, on: Floats, threads: int) -> tuple[Floats, Floats, Floats, Bools]:
        """Return amplifier inputs, currents, what terminals are above linear ones, and which vectors are lifted."""
        linear = np.asarray(self.form.evaluate(on, threads)[0], dtype=float)
        currents, excess, largest = self._coupling.solve(linear, on, self.settled, threads)
        v_in, lifted = self._amplifiers.input(currents, threads), largest > self.limit
        self._coupling.check(_answered(currents, lifted), _answered(v_in, lifted))
        return v_in, currents, excess, lifted


def _answered(values: Floats, lifted: Bools) -> Floats:
    """Return values (batch, ..) with zeros for lifted vectors, which are solved otherwise."""
    return np.where(lifted[:, None], 0.0, values) if lifted.any() else values


def _distinct(bits: Codes) -> tuple[Integers, Integers]:
    """Return which vectors of bits (batch, rows) stand for all, and which of these stands for each."""
    packed = np.packbits(bits.astype(bool), axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))) if packed.shape[1] % 8 else packed
    kind = np.uint64 if words.shape[1] == 8 else np.dtype((np.void, words.shape[1]))  # numbers sort faster
    _, first, back = np.unique(words.view(kind)[:, 0], return_index=True, return_inverse=True)
    return first, back


def prepare_model(tile: BehaviouralTile, threads: int) -> TileModel[Any]:
    """Expand a tile."""
    return _kind(tile).expanded(tile, threads)


def restore_model(tile: BehaviouralTile, numbers: Numbers) -> TileModel[Any]:
    """Make the model of a tile again of its :attr:`~TileModel.numbers`.

    Raises
    ------
    SpecError
        If they are not those of such a tile.
    """
    found = _kind(tile)(tile, numbers)
    if not hasattr(found, "form"):
        raise SpecError("what was kept of a tile has no form")
    tile.forget()
    return found


def _kind(tile: BehaviouralTile) -> type[TileModel[Any]]:
    if tile.gated:
        return _Gated
    return _Floating if tile.amplifiers is None else _Held
