"""Xyce, the parallel simulator of Sandia."""

from collections.abc import Mapping, Sequence

from spicesim.netlist.dialects.dialect import Analysis, Probe, chunks
from spicesim.netlist.dialects.spice import SpiceDialect, one_point_sweep
from spicesim.netlist.expression import join_expression, rewrite_calls, split_expression
from spicesim.netlist.statements import Statement, Temperature

__all__ = ["Xyce"]


class Xyce(SpiceDialect):
    """Xyce 7: expressions in braces, ``params:`` before parameters, ``.print`` for probes."""

    name = "xyce"
    run = "Xyce THIS_FILE"
    note_mark = ";"
    quotes = ("{", "}")
    parameter_word = " params:"

    def words(self, text: str) -> str:
        """Render an expression."""
        return join_expression(rewrite_calls(split_expression(text), {"pwr": lambda x, y: f"pwr(abs({x}), {y})"}))

    def temperature(self, temperature: Temperature) -> list[str]:
        """Render the temperature."""
        return [f".options device temp={temperature.value}"]

    def nodesets(self, nodesets: Mapping[str, float]) -> list[str]:
        """Render first guesses; nodes within subcircuits are named with colons."""
        return super().nodesets({node.replace(".", ":"): volts for node, volts in nodesets.items()})

    def analyses(
        self,
        statements: Sequence[Statement],
        analyses: Sequence[Analysis],
        probes: Sequence[Probe],
        nodesets: Mapping[str, float],
        options: Mapping[str, str],
    ) -> list[str]:
        """Render options, probes and analyses."""
        lines = [".options linsol type=klu"] if "klu" in options else []
        tolerances = {"reltol": options.get("reltol"), "abstol": options.get("vntol")}
        given = " ".join(f"{name}={value}" for name, value in tolerances.items() if value)
        lines += [f".options nonlin {given}"] if given else []
        lines += [".options timeint method=gear"] if "method" in options else []
        wanted = [f"{probe.kind}({','.join(probe.names)})" for probe in probes]
        for analysis in analyses:
            kind = "dc" if analysis.kind == "op" else analysis.kind
            head, *rest = chunks("+", wanted)
            lines += [f".print {kind} format=raw{head[1:]}", *rest]
            if analysis.kind == "op":
                lines += ["* the operating point, as a sweep of one point", one_point_sweep(statements)]
            else:
                lines.append(" ".join([f".{kind}", *analysis.arguments]))
        return [*lines, ".end"]
