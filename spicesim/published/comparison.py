"""Published macros and ours at the same bits: by how much they differ, in which block, and how both follow the bits."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spicesim.published.macros import Macro, Point
from spicesim.published.norms import adc_floor, adc_survey, node_factor, one_bit
from spicesim.published.own import NODE, OwnPoint, own_supply

__all__ = ["Comparison", "Pair", "Trend", "compare_macros"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A published point and one of ours at the same bits of inputs and outputs."""

    macro: Macro
    """What was published."""
    point: Point
    """At these bits."""
    own: OwnPoint
    """Ours."""

    @property
    def ratio(self) -> float:
        """Our operations for an energy by theirs, as they are."""
        assert self.point.tops_per_watt is not None  # only such are paired
        return self.own.tops_per_watt / self.point.tops_per_watt

    @property
    def scaled_ratio(self) -> float | None:
        """The same with theirs brought to our node and supply; None where theirs are not held."""
        factor = self.node_factor
        return None if factor is None else self.ratio * factor

    @property
    def node_factor(self) -> float | None:
        """What an energy of theirs is multiplied by at our node and supply; None where theirs are not held."""
        supply = self.point.supply or self.macro.supply
        if self.macro.node is None or supply is None:
            return None
        return node_factor(self.macro.node, supply, NODE, own_supply(self.own.preset))

    def groups(self) -> dict[str, tuple[float, float]]:
        """Return the energies of an operation by what blocks do, theirs and ours [J]; empty where none are held."""
        return {
            group.name: (
                sum(self.point.energy[name] for name in group.theirs),
                sum(self.own.energy[name] for name in group.ours) / self.own.operations,
            )
            for group in self.macro.groups
            if self.point.energy
        }

    def document(self) -> dict[str, Any]:
        """Return what differs as plain data, ready for JSON."""
        return {
            "macro": self.macro.name, "mode": self.point.mode, "own": self.own.preset, "own_mode": self.own.mode,
            "input_bits": self.own.input_bits, "output_bits": self.own.output_bits,
            "tops_per_watt": self.point.tops_per_watt, "own_tops_per_watt": self.own.tops_per_watt,
            "ratio": self.ratio, "scaled_ratio": self.scaled_ratio,
            "energy_an_operation": {name: {"theirs": a, "ours": b} for name, (a, b) in self.groups().items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How operations for an energy follow the bits, in a published macro and in ours."""

    pairs: tuple[Pair, ...]
    """At two pairs of bits or more, from the fewest."""

    @property
    def common(self) -> float:
        """The factor between ours and theirs that fits best, a geometric mean."""
        return math.exp(float(np.mean([math.log(pair.ratio) for pair in self.pairs])))

    @property
    def largest(self) -> float:
        """By how much, as a factor of 1 or more, a pair differs from the common factor at most."""
        return max(math.exp(abs(math.log(pair.ratio / self.common))) for pair in self.pairs)

    @property
    def falls(self) -> tuple[float, float]:
        """How many times less, from the fewest bits to the most: theirs and ours."""
        first, last = self.pairs[0], self.pairs[-1]
        assert first.point.tops_per_watt is not None
        assert last.point.tops_per_watt is not None
        theirs = first.point.tops_per_watt / last.point.tops_per_watt
        return theirs, first.own.tops_per_watt / last.own.tops_per_watt

    def document(self) -> dict[str, Any]:
        """Return the trend as plain data, ready for JSON."""
        first, (theirs, ours) = self.pairs[0], self.falls
        return {
            "macro": first.macro.name, "mode": first.point.mode, "own": first.own.preset, "own_mode": first.own.mode,
            "bits": [[pair.own.input_bits, pair.own.output_bits] for pair in self.pairs],
            "common_factor": self.common, "largest_factor_from_common": self.largest, "theirs_falls": theirs,
            "ours_falls": ours,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Published macros, ours, and where they meet."""

    macros: tuple[Macro, ...]
    """As published."""
    own: tuple[OwnPoint, ...]
    """Ours; empty if none was simulated."""
    pairs: tuple[Pair, ...]
    """At the same bits."""
    trends: tuple[Trend, ...]
    """Over bits, where there are two pairs or more."""

    def document(self) -> dict[str, Any]:
        """Return all of it as plain data, ready for JSON; SI units, but operations in 1e12."""
        macros = []
        for macro in self.macros:
            found = macro.model_dump(mode="json", exclude_none=True)
            for point, plain in zip(macro.points, found["points"], strict=True):
                if point.tops_per_watt is not None and macro.weight_bits is not None:
                    plain["one_bit_tops_per_watt"] = one_bit(point.tops_per_watt, point.input_bits, macro.weight_bits)
                if (density := macro.density(point)) is not None:
                    plain["tops_per_mm2"] = density
            macros.append(found)
        own = [
            point.document()
            | {
                "adc_floor": adc_floor(point.output_bits),
                "adc_survey": adc_survey(point.output_bits, 1 / point.adc_time),
            }
            for point in self.own
        ]
        return {
            "macros": macros,
            "own": own,
            "pairs": [pair.document() for pair in self.pairs],
            "trends": [trend.document() for trend in self.trends],
        }


def compare_macros(macros: Sequence[Macro], own: Sequence[OwnPoint]) -> Comparison:
    """Set our macros beside published ones of the same kind, at the same bits.

    HERMES converts 8 bits of inputs to 12 and ours to 8: where outputs are finer than any of ours, those with the same
    inputs are paired.

    Parameters
    ----------
    macros : sequence of Macro
        As published.
    own : sequence of OwnPoint
        Ours.
    """
    pairs = tuple(
        Pair(macro=macro, point=point, own=mine)
        for macro in macros
        for point in macro.points
        if point.tops_per_watt is not None
        for mine in own
        if mine.preset == macro.ours and mine.input_bits == point.input_bits and _meet(mine, point, own)
    )
    return Comparison(macros=tuple(macros), own=tuple(own), pairs=pairs, trends=tuple(_trends(pairs)))


def _meet(mine: OwnPoint, point: Point, own: Sequence[OwnPoint]) -> bool:
    """Tell whether outputs have the same bits, or theirs have more than any of ours."""
    finest = max(other.output_bits for other in own if other.preset == mine.preset)
    return mine.output_bits == point.output_bits or point.output_bits > finest


def _trends(pairs: Iterable[Pair]) -> Iterable[Trend]:
    """Yield a trend for each mode of a macro with each of ours."""
    found: dict[tuple[str, str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.macro.name, pair.point.mode, pair.own.mode].append(pair)
    for own in found.values():
        if len({(pair.own.input_bits, pair.own.output_bits) for pair in own}) > 1:
            yield Trend(pairs=tuple(sorted(own, key=lambda pair: (pair.own.input_bits, pair.own.output_bits))))
