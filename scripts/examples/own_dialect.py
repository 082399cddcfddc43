"""A dialect of one's own: netlists for LTspice, by its manual; there is none here to run them.

On the command line: spicesim netlist tile .. --dialect own_dialect:Ltspice, in the folder that holds this file.
"""

import numpy as np

import spicesim
from spicesim.netlist import build_tile, format_netlist
from spicesim.netlist.dialects.dialect import chunks
from spicesim.netlist.dialects.spice import SpiceDialect
from spicesim.netlist.expression import join_expression, split_expression


class Ltspice(SpiceDialect):
    """Expressions in braces, but for those of behavioural sources, ``.save`` for probes."""

    name = "ltspice"
    run = "LTspice -b THIS_FILE"
    note_mark = ";"
    quotes = ("{", "}")
    parameter_word = " params:"

    def words(self, text):
        return join_expression(split_expression(text))

    def behavioural(self, part):
        ((quantity, expression),) = part.parameters.items()
        return f"{part.name} {' '.join(part.nodes)} {quantity}={self.words(expression)}"

    def analyses(self, statements, analyses, probes, nodesets, options):
        given = " ".join(f"{name}={value}" for name, value in options.items() if value)
        lines = [f".options {given}"] if given else []
        lines += chunks(".save", [f"{probe.kind}({','.join(probe.names)})" for probe in probes])
        return [*lines, *(" ".join([f".{analysis.kind}", *analysis.arguments]) for analysis in analyses), ".end"]


def main():
    chip = spicesim.preset("generic-1t1r")
    tile = build_tile(chip, np.full((2, 2), 1e-5), [1, 255], polarity="unipolar", r_feedback=2e4)
    text = format_netlist(tile, "own_dialect:Ltspice")
    print(*text.splitlines()[-4:], sep="\n")
    assert text.count("params: g=1e-05") == 4  # a cell each


if __name__ == "__main__":
    main()
