"""Wires with resistance and capacitance: from a chip's numbers or, segment by segment, from an extraction.

Segment ``rwl_I_J`` leads into the word-line node of cell (I, J) from the left, ``rbl_I_J`` from its bit-line node
downwards, as :mod:`spicesim.netlist.wires` says. The capacitance of a segment lies half at each of its ends; what
meets at a node is one capacitor to ground. With both ends driven, word line I has one more segment, ``rwl_I_N``, from
the last of its N cells to the node that drives its far end.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats, Names
from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.wires import WireNodes, name_wires
from spicesim.units import spice_number

__all__ = ["Parasitics", "read_parasitics"]

_COLUMNS = ("segment", "resistance", "capacitance")
_SEGMENT = re.compile(r"r(wl|bl)_(\d+)_(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parasitics:
    """Resistance [ohm] and capacitance [F] of every wire segment of an array."""

    r_word_line: Floats
    """Word-line segments, (rows, columns), or (rows, columns + 1) where both ends are driven."""
    r_bit_line: Floats
    """Bit-line segments, (rows, columns)."""
    c_word_line: Floats
    """As `r_word_line`."""
    c_bit_line: Floats
    """As `r_bit_line`."""
    parameters: dict[str, float] = field(default_factory=dict)
    """Values that netlist lines call by a name: ``r_word_line`` and the like."""

    @classmethod
    def of_chip(cls, chip: Chip, rows: int, columns: int, *, both_ends: bool = False) -> Self:
        """Take the chip's numbers for all segments; the two devices of a differential cell share a word-line node."""
        word, bit = np.ones((rows, columns + both_ends)), (rows, columns)
        array = chip.array
        if chip.cell.kind == "2t2r":
            word[:, 1:columns:2] = 0
        return cls(
            r_word_line=array.r_word_line * word,
            r_bit_line=np.full(bit, array.r_bit_line),
            c_word_line=array.c_word_line * word,
            c_bit_line=np.full(bit, array.c_bit_line),
            parameters={
                name: value
                for name in ("r_word_line", "r_bit_line", "c_word_line", "c_bit_line")
                if (value := getattr(array, name)) > 0
            },
        )

    def grouped(self, counts: npt.ArrayLike) -> Self:
        """Return the wires of rows that stand for so many each, (rows,), and are in the middle of these.

        Where they are at the far end of these, IR drop is taken for larger than it is: outputs of integrators of full
        columns were 25 uV off. What the first one has beyond its middle is capacitance alone.
        """
        n = np.asarray(counts, dtype=float)[:, None]
        beyond = (n - 1) / 2
        segments = n - beyond + np.append(beyond[1:], [[0.0]], axis=0)
        charged = segments.copy()
        charged[0] += beyond[0]
        return replace(self, r_bit_line=self.r_bit_line * segments, c_bit_line=self.c_bit_line * charged, parameters={})

    @property
    def both_ends(self) -> bool:
        """Whether the far ends of the word lines are driven, too."""
        return bool(self.r_word_line.shape[1] > self.r_bit_line.shape[1])

    def name_nodes(self, heads: Sequence[str], feet: Sequence[str]) -> WireNodes:
        """Name the nodes of all cells; `heads` drive the word lines, `feet` end the bit lines."""
        columns = self.r_bit_line.shape[1]
        return name_wires(self.r_word_line[:, :columns], self.r_bit_line, heads, feet)

    def format(self, nodes: WireNodes, tails: Sequence[str] = ()) -> Iterator[str]:
        """Return a line for each resistor and capacitor; `tails` drive the far ends of the word lines."""
        words = np.column_stack([nodes.heads, nodes.word, *([tails] if self.both_ends else [])])
        bits = np.vstack([nodes.bit, nodes.feet])
        for i, j in np.argwhere(self.r_word_line > 0):
            value = self._value("r_word_line", self.r_word_line[i, j])
            yield f"rwl_{i}_{j} {words[i, j]} {words[i, j + 1]} {value}"
        for i, j in np.argwhere(self.r_bit_line > 0):
            yield f"rbl_{i}_{j} {bits[i, j]} {bits[i + 1, j]} {self._value('r_bit_line', self.r_bit_line[i, j])}"
        if self.c_word_line.any() or self.c_bit_line.any():
            yield "* half of each segment's capacitance at either end: cwl before, at and after the cells, cbl likewise"
            yield from self._capacitors("cwl", "c_word_line", self.c_word_line, words, axis=1)
            yield from self._capacitors("cbl", "c_bit_line", self.c_bit_line, bits, axis=0)

    def _capacitors(self, name: str, parameter: str, c: Floats, nodes: Names, axis: int) -> Iterator[str]:
        """Return a capacitor for each node between segments."""
        edge = np.zeros((len(c), 1) if axis else (1, c.shape[1]))
        before, after = np.concatenate([edge, c], axis=axis), np.concatenate([c, edge], axis=axis)
        for i, j in np.argwhere(before + after > 0):
            low, high = before[i, j], after[i, j]
            if low == high:
                value = self._value(parameter, low)
            elif min(low, high) == 0:
                text = self._value(parameter, max(low, high))
                value = f"{{{text[1:-1]}/2}}" if text.startswith("{") else spice_number(max(low, high) / 2)
            else:
                value = spice_number((low + high) / 2)
            yield f"{name}_{i}_{j} {nodes[i, j]} 0 {value}"

    def _value(self, name: str, value: float) -> str:
        return f"{{{name}}}" if self.parameters.get(name) == value else spice_number(value)


def read_parasitics(path: str | Path, rows: int, columns: int) -> Parasitics:
    """Read the extracted parasitics of every segment from a CSV file.

    Parameters
    ----------
    path : str or Path
        A file with the columns ``segment, resistance, capacitance``: a name such as ``rwl_0_3``, ohm, farad. Each
        segment of the array stands in it once, in any order. With segments ``rwl_I_COLUMNS`` the word lines are
        driven from both ends.
    rows, columns : int
        Size of the array.

    Raises
    ------
    SpecError
        If it cannot be read, a segment is missing or there twice, or a value is negative or no number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise SpecError(f"{path}: wanted the columns {', '.join(_COLUMNS)}, got {reader.fieldnames}")
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"cannot read parasitics from {path}: {error}") from None
    far = any((line["segment"] or "").startswith("rwl") and line["segment"].endswith(f"_{columns}") for line in lines)
    shapes = {"wl": (rows, columns + far), "bl": (rows, columns)}
    r, c = ({kind: np.full(shape, np.nan) for kind, shape in shapes.items()} for _ in range(2))
    for number, line in enumerate(lines, 2):
        found = _SEGMENT.fullmatch(line["segment"] or "")
        where = f"{path}, line {number}"
        if found is None:
            raise SpecError(f"{where}: no segment {line['segment']!r}; names are like rwl_0_3 and rbl_0_3")
        kind, i, j = found[1], int(found[2]), int(found[3])
        if i >= shapes[kind][0] or j >= shapes[kind][1] or not np.isnan(r[kind][i, j]):
            raise SpecError(f"{where}: segment {found[0]} is there twice, or not in an array of {rows} x {columns}")
        r[kind][i, j], c[kind][i, j] = (_not_negative(line[word], f"{where}: {word}") for word in _COLUMNS[1:])
    for kind in shapes:
        missing = np.argwhere(np.isnan(r[kind]))
        if len(missing):
            i, j = missing[0]
            raise SpecError(f"{path}: no segment r{kind}_{i}_{j} (nor {len(missing) - 1} more of its kind)")
    return Parasitics(r_word_line=r["wl"], r_bit_line=r["bl"], c_word_line=c["wl"], c_bit_line=c["bl"])


def _not_negative(text: str | None, what: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value >= 0):
        raise SpecError(f"{what} must be a number >= 0, got {text!r}")
    return value
