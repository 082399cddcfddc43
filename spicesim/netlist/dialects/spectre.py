"""Spectre of Cadence."""

from collections.abc import Mapping, Sequence

from spicesim.errors import SpecError
from spicesim.netlist.dialects.dialect import Analysis, Dialect, Probe, chunks
from spicesim.netlist.expression import join_expression, plain_number, rewrite_calls, split_expression
from spicesim.netlist.statements import (
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

__all__ = ["Spectre", "SpectreLike"]

_PRIMITIVES = {
    "r": ("resistor", "r"), "c": ("capacitor", "c"), "l": ("inductor", "l"), "e": ("vcvs", "gain"),
    "g": ("vccs", "gm"), "v": ("vsource", "dc"), "i": ("isource", "dc"),
}  # fmt: skip
_RESERVED = {word for word, _ in _PRIMITIVES.values()} | {"bsource", "switch", "relay", "port", "iprobe", "mos1"}
_WAVES = {
    "pulse": ("val0", "val1", "delay", "rise", "fall", "width", "period"),
    "sin": ("sinedc", "ampl", "freq", "delay", "damp"),
}


class SpectreLike(Dialect):
    """What Spectre and VACASK share: primitives with names, nodes in parentheses, analyses with names."""

    mark = "//"
    quote = ""
    """What encloses words such as the type of a source."""
    multiplier = "m"
    """Name of the number of parallel transistors."""
    transconductance = "gm"
    """Name of the value of a current source that a voltage controls."""

    def expression(self, text: str) -> str:
        """Render a value: a number, or an expression in parentheses."""
        words = split_expression(text)
        rendered = self.words(text)
        return rendered if len(words) == 1 or (len(words) == 2 and words[0] in "+-") else f"({rendered})"

    def words(self, text: str) -> str:
        """Render an expression; suffixes that differ between upper and lower case become exponents."""
        for word in split_expression(text):
            if word[0] in "0123456789." and word.endswith(("g", "t", "meg")):
                text = text.replace(word, plain_number(word))
        return join_expression(rewrite_calls(split_expression(text), {"pwr": lambda x, y: f"pow(abs({x}), {y})"}))

    @staticmethod
    def master(name: str) -> str:
        """Rename a subcircuit that is called like a primitive."""
        return f"{name}_block" if name in _RESERVED else name

    def component(self, part: Component) -> str:
        """Render a device or a call."""
        head = f"{part.name} ({' '.join(part.nodes)})"
        if part.kind == "b":
            text = self.behavioural(part)
        elif part.kind == "x":
            text = f"{head} {self.master(part.master)}{self.assignments(part.parameters)}"
        elif part.kind == "m":
            renamed = {self.multiplier if k == "m" else k: v for k, v in part.parameters.items()}
            text = f"{head} {part.master}{self.assignments(renamed)}"
        elif part.kind in "vi":
            text = f"{head} {_PRIMITIVES[part.kind][0]}{self._source(part)}"
        else:
            primitive, parameter = _PRIMITIVES[part.kind]
            parameter = self.transconductance if part.kind == "g" else parameter
            text = f"{head} {primitive} {parameter}={self.expression(part.parameters['value'])}"
        return f"{text} // {part.note}" if part.note else text

    def behavioural(self, part: Component) -> str:
        """Render a behavioural source."""
        ((quantity, expression),) = part.parameters.items()
        return f"{part.name} ({' '.join(part.nodes)}) bsource {quantity}={self.words(expression)}"

    def _source(self, part: Component) -> str:
        words = {"dc": "dc", "ac": "mag"}
        text = self.assignments({words[key]: value for key, value in part.parameters.items()})
        if part.wave is None:
            return text
        kind, values = part.wave
        rendered = [self.expression(value) for value in values]
        if kind == "pwl":
            return f"{text} type={self.quote}pwl{self.quote} wave={self.vector(rendered)}"
        if len(rendered) > len(_WAVES[kind]):
            raise SpecError(f"{part.name}: {kind} takes {len(_WAVES[kind])} numbers, got {len(rendered)}")
        pairs = " ".join(f"{k}={v}" for k, v in zip(_WAVES[kind], rendered, strict=False))
        word = "sine" if kind == "sin" else kind
        return f"{text} type={self.quote}{word}{self.quote} {pairs}"

    def vector(self, values: Sequence[str]) -> str:
        """Render a list of numbers."""
        return f"[{' '.join(values)}]"

    def subcircuit_start(self, start: SubcircuitStart) -> list[str]:
        """Render the head of a subcircuit."""
        lines = [f"subckt {self.master(start.name)} ({' '.join(start.ports)})"]
        return [*lines, f"parameters{self.assignments(start.parameters)}"] if start.parameters else lines

    def parameters(self, parameters: Parameters) -> str:
        """Render values with a name."""
        text = f"parameters{self.assignments(parameters.parameters)}"
        return f"{text} // {parameters.note}" if parameters.note else text


class Spectre(SpectreLike):
    """Spectre, in its own language."""

    name = "spectre"
    run = "spectre THIS_FILE -format nutascii -raw out.raw"

    def title(self, title: str) -> str:
        """Render the first line."""
        return f"// {title}"

    def head(self, statements: Sequence[Statement]) -> list[str]:
        """Render what must come before the statements."""
        return ["simulator lang=spectre", "global 0"]

    def subcircuit_end(self, end: SubcircuitEnd) -> list[str]:
        """Render the end of a subcircuit."""
        return [f"ends {self.master(end.name)}"]

    def model(self, card: ModelCard) -> str:
        """Render a transistor model; level 1 is called mos1, level 14 and 54 bsim4."""
        parameters = dict(card.parameters)
        level = parameters.pop("level", "1")
        masters = {"1": "mos1", "14": "bsim4", "54": "bsim4"}
        if level not in masters:
            raise SpecError(f"model {card.name}: level {level} has no known name in Spectre; give its own model file")
        return f"model {card.name} {masters[level]} type={card.kind[0]}{self.assignments(parameters)}"

    def foreign(self, statements: Sequence[Statement], places: Sequence[int]) -> Sequence[Statement]:
        """Refuse model files in the language of SPICE."""
        library = statements[places[0]]
        path = library.path if isinstance(library, ModelLibrary) else ""
        raise SpecError(
            f"{path} is written for ngspice, which Spectre does not read; name the process's own file in the chip: "
            'process.kits = [{ dialect = "spectre", path = "/pdk/models.scs", section = "tt" }]'
        )

    def library(self, library: ModelLibrary) -> str:
        """Render the reading of a model file."""
        return f'include "{library.path}"' + (f" section={library.section}" if library.section else "")

    def temperature(self, temperature: Temperature) -> list[str]:
        """Render the temperature."""
        return [f"temperature options temp={temperature.value}"]

    def initial_condition(self, condition: InitialCondition) -> str:
        """Render a voltage at the start of a transient."""
        return f"ic {condition.node}={self.expression(condition.value)}"

    def nodesets(self, nodesets: Mapping[str, float]) -> list[str]:
        """Render first guesses."""
        return list(chunks("nodeset", [f"{node}={spice_number(volts)}" for node, volts in nodesets.items()]))

    def analyses(
        self,
        statements: Sequence[Statement],
        analyses: Sequence[Analysis],
        probes: Sequence[Probe],
        nodesets: Mapping[str, float],
        options: Mapping[str, str],
    ) -> list[str]:
        """Render options, probes and analyses."""
        names = {"reltol": "reltol", "vntol": "vabstol", "abstol": "iabstol"}
        given = "".join(f" {names[name]}={value}" for name, value in options.items() if value and name in names)
        gear = " method=gear2only" if "method" in options else ""
        lines = [f"tolerances options{given} save=selected"]
        wanted = [f"{name}:p" if probe.kind == "i" else name for probe in probes for name in probe.names]
        lines += chunks("save", list(dict.fromkeys(wanted)))
        for number, analysis in enumerate(analyses, 1):
            lines += _analysis(analysis, f"{analysis.kind}{number}", gear)
        return lines


def _analysis(analysis: Analysis, name: str, method: str) -> list[str]:
    if analysis.kind == "op":
        return [f"{name} dc"]
    if analysis.kind == "dc":
        ranges = [f"dev={d} param=dc start={a} stop={b} step={c}" for d, a, b, c in analysis.sweeps]
        inner = f"{name} dc {ranges[-1]}"
        return [inner] if len(ranges) == 1 else [f"outer_{name} sweep {ranges[0]} {{", f"  {inner}", "}"]
    if analysis.kind == "tran":
        times = [word for word in analysis.arguments if word != "uic"]
        keys = ("step", "stop", "start", "maxstep")
        text = " ".join(f"{key}={value}" for key, value in zip(keys, times, strict=False))
        return [f"{name} tran {text}{method}" + (" skipdc=yes" if "uic" in analysis.arguments else "")]
    scale, points, start, stop = analysis.arguments
    return [f"{name} ac start={plain_number(start)} stop={plain_number(stop)} {scale}={points}"]
