"""What all dialects share: the walk over the statements, and the analyses as plain data."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.netlist.expression import join_expression, split_expression
from spicesim.netlist.folding import fold_line
from spicesim.netlist.netlist import Netlist
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
    parse_statements,
)

__all__ = ["Analysis", "Dialect", "Probe", "chunks"]

_PROBE = re.compile(r"([vi])\(([\w.]+)(?:,\s*([\w.]+))?\)", re.IGNORECASE)
_AXES = ("time", "frequency")
"""Probes that every simulator writes unasked."""
_LENGTHS = {"op": (0,), "dc": (4, 8), "tran": (2, 3, 4, 5), "ac": (4,)}
_OPTIONS = ("klu", "reltol", "vntol", "abstol", "method")
_OWN_OPTIONS = ("trtol",)
"""How ngspice chooses its steps; others have ways of their own."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A quantity to save: "v" of one or two nodes, "i" of a source."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """An analysis: op; dc with (source, start, stop, step) once or twice, the inner first; tran; ac."""

    kind: str
    arguments: tuple[str, ...]

    @property
    def sweeps(self) -> list[tuple[str, ...]]:
        """Sweeps of a dc analysis, the outer first."""
        return [self.arguments[4:], self.arguments[:4]] if len(self.arguments) == 8 else [self.arguments]


class Dialect(ABC):
    """The language of a simulator."""

    name: str
    """As the command line calls it."""
    mark: str
    """What a comment starts with."""
    run: str
    """How to run a file."""

    def format(self, netlist: Netlist) -> str:
        """Format a netlist.

        Raises
        ------
        SpecError
            If it says what this dialect cannot.
        """
        kit = [ModelLibrary(path=own.path, section=own.section) for own in netlist.kits if own.dialect == self.name]
        if netlist.spiceinit and not kit:
            raise SpecError(
                f"{netlist.title!r} needs ngspice's start-up lines {netlist.spiceinit[0]!r}; {self.name} has none"
            )
        statements = self.prepare(self._with_kit(parse_statements(netlist.body), kit))
        lines = [self.title(netlist.title), f"{self.mark} run: {self.run}"]
        lines += self.head(statements)
        for statement in statements:
            try:
                lines += self.statement(statement)
            except SpecError as error:
                name = getattr(statement, "name", type(statement).__name__)
                raise SpecError(f"{netlist.title!r}, {name} in {self.name}: {error}") from None
        if netlist.nodesets:
            lines += ["", f"{self.mark} first guess of the operating point", *self.nodesets(netlist.nodesets)]
        analyses = [_split_analysis(card) for card in netlist.analyses]
        probes = [_split_probe(probe) for probe in netlist.probes if probe not in _AXES]
        lines += ["", f"{self.mark} analysis"]
        lines += self.analyses(statements, analyses, probes, netlist.nodesets, _split_options(netlist.options))
        return "\n".join([*map(self.fold, lines), ""])

    def _with_kit(self, statements: Sequence[Statement], kit: Sequence[ModelLibrary]) -> Sequence[Statement]:
        """Put this simulator's own model files in the place of ngspice's."""
        places = [k for k, statement in enumerate(statements) if isinstance(statement, ModelLibrary)]
        if not places:
            return statements
        if not kit:
            return self.foreign(statements, places)
        kept = [statement for k, statement in enumerate(statements) if k not in places]
        return [*kept[: places[0]], *kit, *kept[places[0] :]]

    def foreign(self, statements: Sequence[Statement], places: Sequence[int]) -> Sequence[Statement]:
        """Return the statements with model files that were written for ngspice, or refuse them."""
        return statements

    def fold(self, line: str) -> str:
        """Fold a line that is too long."""
        return fold_line(line, comments=(self.mark,), head="  ", tail=" \\")

    def prepare(self, statements: Sequence[Statement]) -> Sequence[Statement]:
        """Return the statements to render, where some need another form."""
        return statements

    def statement(self, statement: Statement) -> list[str]:
        """Render one statement."""
        match statement:
            case Comment(text=text):
                return [""] if text is None else [f"{self.mark} {text}".rstrip()]
            case Component(kind="b", parameters=parameters) if "pwr" in "".join(parameters.values()):
                raise SpecError("pwr() of a negative number has a sign here and none in .param; write a product")
            case Component():
                return [self.component(statement)]
            case SubcircuitStart():
                return self.subcircuit_start(statement)
            case SubcircuitEnd():
                return self.subcircuit_end(statement)
            case ModelCard():
                return [self.model(statement)]
            case ModelLibrary():
                return [self.library(statement)]
            case Parameters():
                return [self.parameters(statement)]
            case Temperature():
                return self.temperature(statement)
            case InitialCondition():
                return [self.initial_condition(statement)]

    def words(self, text: str) -> str:
        """Render an expression without what encloses it."""
        return join_expression(split_expression(text))

    @abstractmethod
    def expression(self, text: str) -> str:
        """Render a value: a number, or an expression with what encloses it."""

    def assignments(self, parameters: Mapping[str, str]) -> str:
        """Render ``name=value`` pairs, with a space before each."""
        return "".join(f" {name}={self.expression(value)}" for name, value in parameters.items())

    @abstractmethod
    def title(self, title: str) -> str:
        """Render the first line."""

    @abstractmethod
    def head(self, statements: Sequence[Statement]) -> list[str]:
        """Render what must come before the statements."""

    @abstractmethod
    def component(self, part: Component) -> str:
        """Render a device or a call."""

    @abstractmethod
    def subcircuit_start(self, start: SubcircuitStart) -> list[str]:
        """Render the head of a subcircuit."""

    @abstractmethod
    def subcircuit_end(self, end: SubcircuitEnd) -> list[str]:
        """Render the end of a subcircuit."""

    @abstractmethod
    def model(self, card: ModelCard) -> str:
        """Render a transistor model."""

    @abstractmethod
    def library(self, library: ModelLibrary) -> str:
        """Render the reading of a model file."""

    @abstractmethod
    def parameters(self, parameters: Parameters) -> str:
        """Render values with a name."""

    @abstractmethod
    def temperature(self, temperature: Temperature) -> list[str]:
        """Render the temperature."""

    @abstractmethod
    def initial_condition(self, condition: InitialCondition) -> str:
        """Render a voltage at the start of a transient."""

    @abstractmethod
    def nodesets(self, nodesets: Mapping[str, float]) -> list[str]:
        """Render first guesses."""

    @abstractmethod
    def analyses(
        self,
        statements: Sequence[Statement],
        analyses: Sequence[Analysis],
        probes: Sequence[Probe],
        nodesets: Mapping[str, float],
        options: Mapping[str, str],
    ) -> list[str]:
        """Render options, probes and analyses, to the end of the file."""


def chunks(head: str, words: Sequence[str], limit: int = 110) -> Iterator[str]:
    """Spread words over lines that all begin with `head`."""
    line = head
    for word in words:
        if len(line) + len(word) > limit and line != head:
            yield line
            line = head
        line += f" {word}"
    yield line


def _split_analysis(card: str) -> Analysis:
    kind, *arguments = card.lower().removeprefix(".").split()
    if kind not in _LENGTHS or len(arguments) not in _LENGTHS[kind]:
        raise SpecError(f"analysis {card!r} is not one that all dialects have")
    return Analysis(kind, tuple(arguments))


def _split_probe(probe: str) -> Probe:
    found = _PROBE.fullmatch(probe)
    if found is None:
        raise SpecError(f"probe {probe!r} is not one that all dialects have; there are v(node), v(a,b) and i(source)")
    return Probe(found[1].lower(), tuple(name.lower() for name in found.groups()[1:] if name))


def _split_options(card: str) -> dict[str, str]:
    options = {}
    for word in card.split()[1:]:
        name, _, value = word.partition("=")
        if name in _OWN_OPTIONS:
            continue
        if name not in _OPTIONS:
            raise SpecError(f"option {word!r} is not one that all dialects have; there are {', '.join(_OPTIONS)}")
        if name == "method" and value != "gear":
            raise SpecError(
                f"integration by {value!r} is not what all dialects have; they have gear and their own choice"
            )
        options[name] = value
    return options
