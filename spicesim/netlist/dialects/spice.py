"""What the dialects of SPICE share: dot cards, and elements known by their first letter."""

from collections.abc import Mapping, Sequence

from spicesim.errors import SpecError
from spicesim.netlist.dialects.dialect import Dialect
from spicesim.netlist.expression import plain_number, split_expression
from spicesim.netlist.folding import fold_line
from spicesim.netlist.statements import (
    Comment,
    Component,
    InitialCondition,
    ModelCard,
    ModelLibrary,
    Parameters,
    Statement,
    SubcircuitEnd,
    SubcircuitStart,
    Temperature,
)
from spicesim.units import spice_number

__all__ = ["SpiceDialect", "one_point_sweep"]


class SpiceDialect(Dialect):
    """A descendant of SPICE."""

    mark = "*"
    note_mark: str
    """What a comment at the end of a line starts with."""
    quotes: tuple[str, str]
    """What encloses expressions."""
    parameter_word = ""
    """What stands before a subcircuit's parameters."""

    def foreign(self, statements: Sequence[Statement], places: Sequence[int]) -> Sequence[Statement]:
        """Say that nobody knows whether this simulator reads the files."""
        text = f"written for ngspice; if {self.name} does not read them, name its own in process.kits of the chip"
        return [*statements[: places[0]], Comment(text=text), *statements[places[0] :]]

    def fold(self, line: str) -> str:
        """Fold a line that is too long."""
        return fold_line(line, comments=(self.mark, self.note_mark))

    def title(self, title: str) -> str:
        """Render the first line."""
        return title

    def head(self, statements: Sequence[Statement]) -> list[str]:
        """Return nothing: SPICE needs no preamble."""
        return []

    def expression(self, text: str) -> str:
        """Render a value: a number, or an expression with what encloses it."""
        words = split_expression(text)
        if len(words) == 1 and words[0][0] in "0123456789.":
            return plain_number(words[0]) if words[0].endswith("a") else words[0]
        if len(words) == 2 and words[0] == "-" and words[1][0] in "0123456789.":
            return "-" + words[1]
        return self.quotes[0] + self.words(text) + self.quotes[1]

    def _parameters(self, parameters: Mapping[str, str]) -> str:
        return f"{self.parameter_word}{self.assignments(parameters)}" if parameters else ""

    def component(self, part: Component) -> str:
        """Render a device or a call."""
        nodes = " ".join(part.nodes)
        if part.kind == "x":
            text = f"{part.name} {nodes} {part.master}{self._parameters(part.parameters)}"
        elif part.kind == "m":
            text = f"{part.name} {nodes} {part.master}{self.assignments(part.parameters)}"
        elif part.kind == "b":
            text = self.behavioural(part)
        elif part.kind in "vi":
            values = [f"{key} {self.expression(value)}" for key, value in part.parameters.items()]
            values += [f"{part.wave[0]}({' '.join(map(self.expression, part.wave[1]))})"] if part.wave else []
            text = f"{part.name} {nodes} {' '.join(values)}"
        else:
            text = f"{part.name} {nodes} {self.expression(part.parameters['value'])}"
        return self._with_note(text, part.note)

    def _with_note(self, text: str, note: str) -> str:
        return f"{text} {self.note_mark} {note}" if note else text

    def behavioural(self, part: Component) -> str:
        """Render a behavioural source."""
        ((quantity, expression),) = part.parameters.items()
        nodes = " ".join(part.nodes)
        return f"{part.name} {nodes} {quantity}={self.quotes[0]}{self.words(expression)}{self.quotes[1]}"

    def subcircuit_start(self, start: SubcircuitStart) -> list[str]:
        """Render the head of a subcircuit."""
        return [f".subckt {start.name} {' '.join(start.ports)}{self._parameters(start.parameters)}"]

    def subcircuit_end(self, end: SubcircuitEnd) -> list[str]:
        """Render the end of a subcircuit."""
        return [f".ends {end.name}"]

    def model(self, card: ModelCard) -> str:
        """Render a transistor model."""
        return f".model {card.name} {card.kind}{self.assignments(card.parameters)}"

    def library(self, library: ModelLibrary) -> str:
        """Render the reading of a model file."""
        return f".lib '{library.path}' {library.section}" if library.section else f".include '{library.path}'"

    def parameters(self, parameters: Parameters) -> str:
        """Render values with a name."""
        return self._with_note(f".param{self.assignments(parameters.parameters)}", parameters.note)

    def temperature(self, temperature: Temperature) -> list[str]:
        """Render the temperature."""
        return [f".temp {temperature.value}"]

    def initial_condition(self, condition: InitialCondition) -> str:
        """Render a voltage at the start of a transient."""
        return f".ic v({condition.node})={self.expression(condition.value)}"

    def nodesets(self, nodesets: Mapping[str, float]) -> list[str]:
        """Render first guesses."""
        return [f".nodeset v({node})={spice_number(volts)}" for node, volts in nodesets.items()]


def one_point_sweep(statements: Sequence[Statement]) -> str:
    """Render an operating point as a sweep of one point, for simulators whose .op prints no probes."""
    depth = 0
    for statement in statements:
        depth += isinstance(statement, SubcircuitStart) - isinstance(statement, SubcircuitEnd)
        if depth == 0 and isinstance(statement, Component) and statement.kind == "v":
            value = statement.parameters.get("dc", "0")
            if statement.wave and "dc" not in statement.parameters:
                kind, numbers = statement.wave
                value = numbers[1 if kind == "pwl" else 0]
            return f".dc {statement.name} {value} {value} 1"
    raise SpecError("an operating point needs a voltage source to be written as a sweep of one point")
