"""Netlists that ngspice measures itself, by ``.measure``; what comes back are numbers instead of curves."""

import re
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.gate import CIRCUIT_CARDS, require_circuit, require_line
from spicesim.netlist.netlist import PLOT_NAMES, Netlist

__all__ = ["MEASURED", "MEASURE_COMMAND", "MEASURE_PREFIX", "Measure", "MeasuredNetlist"]

MEASURED = "Measures"
"""What the one plot of such a netlist is called."""
MEASURE_COMMAND = "ngspice -b THIS_FILE"
"""How to run such a netlist: with a raw file, ngspice measures nothing."""
MEASURE_PREFIX = "spicesim_"
"""Before the name of a measure that has its number again: ngspice prints seven digits of all but of parameters."""

_KINDS = ("ac", "dc", "tran")
"""Analyses that ngspice 44 measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One ``.measure`` line."""

    name: str
    """In lower case, as ngspice prints it."""
    kind: str
    """Analysis, without its dot."""
    task: str
    """All behind the name."""
    text: str = ""
    """What it is, for people; empty for its name."""
    unit: str = ""
    """Unit of its number; ngspice knows none."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SpecError(
                f"ngspice measures {', '.join(_KINDS)}, got '.measure {self.kind[:20]} {self.name[:40]}'; "
                "use one of them"
            )
        if re.fullmatch(r"[a-z_]\w*", self.name) is None or self.name.startswith(MEASURE_PREFIX):
            raise SpecError(f"a measure has a name of letters and digits, got {self.name[:60]!a}; rename it")

    @property
    def card(self) -> str:
        """The line."""
        return f".measure {self.kind} {self.name} {self.task}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetlist(Netlist):
    """A netlist with one analysis, and what ngspice measures of it; its probes are the names of the measures."""

    measures: tuple[Measure, ...]
    """All of the analysis."""

    def _require_cards(self) -> None:
        if len(self.analyses) != 1 or self.analyses[0].split()[0] not in PLOT_NAMES:
            raise SpecError(f"a measured netlist has one analysis, got {self.analyses}")
        if self.probes != tuple(measure.name for measure in self.measures):
            raise SpecError(f"a measured netlist is asked for its measures, got {self.probes}")

    def require_data(self) -> None:
        """Refuse more than a circuit, as :meth:`Netlist.require_data`; cards of measures go through the same gate."""
        super(MeasuredNetlist, self).require_data()
        cards = [require_line(measure.card, f"{self.title!r}, a measure") for measure in self.measures]
        require_circuit("\n".join(cards), f"{self.title!r}", cards=CIRCUIT_CARDS)

    @property
    def plots(self) -> tuple[str, ...]:
        """The one plot: a vector of one number a measure, NaN where ngspice found none."""
        return (MEASURED,)

    def format(self) -> str:
        """Format the whole file."""
        cards = []
        for measure in self.measures:
            again = f".measure {measure.kind} {MEASURE_PREFIX}{measure.name} param='{measure.name}'"
            cards += [measure.card, again]
        return "\n".join([
            self.title, f"* run: {MEASURE_COMMAND}", self.format_circuit(), "\n* analysis", self.options,
            ".save all", *self.analyses, *cards, ".end", "",
        ])  # fmt: skip
