"""HSPICE of Synopsys."""

from collections.abc import Callable, Mapping, Sequence

from spicesim.netlist.dialects.dialect import Analysis, Probe, chunks
from spicesim.netlist.dialects.spice import SpiceDialect, one_point_sweep
from spicesim.netlist.expression import join_expression, rewrite_calls, split_expression
from spicesim.netlist.statements import Component, Statement

__all__ = ["Hspice"]

_RULES: dict[str, Callable[..., str]] = {
    "floor": lambda x: f"(int({x})-(({x})<int({x})?1:0))",
    "ln": lambda x: f"log({x})",
    "pwr": lambda x, y: f"pwr(abs({x}), {y})",
}
"""Functions that mean something else in HSPICE."""


class Hspice(SpiceDialect):
    """HSPICE: expressions in quotes, behavioural sources as e and g elements, ``.probe``."""

    name = "hspice"
    run = "hspice -i THIS_FILE -o out"
    note_mark = "$"
    quotes = ("'", "'")

    def words(self, text: str) -> str:
        """Render an expression; ``ln`` is called ``log``, and ``floor`` made of ``int``, which cuts towards 0."""
        return join_expression(rewrite_calls(split_expression(text), _RULES))

    def behavioural(self, part: Component) -> str:
        """Render a behavioural source."""
        ((quantity, expression),) = part.parameters.items()
        letter, word = ("g", "cur") if quantity == "i" else ("e", "vol")
        return f"{letter}{part.name} {' '.join(part.nodes)} {word}='{self.words(expression)}'"

    def analyses(
        self,
        statements: Sequence[Statement],
        analyses: Sequence[Analysis],
        probes: Sequence[Probe],
        nodesets: Mapping[str, float],
        options: Mapping[str, str],
    ) -> list[str]:
        """Render options, probes and analyses."""
        given = "".join(f" {name}={value}" for name, value in options.items() if value)
        lines = [f".option post=2 probe ingold=2 numdgt=10 parhier=local{given}"]
        wanted = [f"{probe.kind}({','.join(probe.names)})" for probe in probes]
        for analysis in analyses:
            kind = "dc" if analysis.kind == "op" else analysis.kind
            lines += chunks(f".probe {kind}", wanted)
            if analysis.kind == "op":
                lines += [".op", "* the operating point again, as a sweep of one point that the probes see"]
                lines.append(one_point_sweep(statements))
            else:
                lines.append(" ".join([f".{kind}", *analysis.arguments]))
        return [*lines, ".end"]
