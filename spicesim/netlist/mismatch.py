"""Mismatch: transistors that are drawn alike and differ, by the statistics of their foundry.

Numbers are drawn by :class:`spicesim.draws.ChipDraw` and not by the simulator, so that a chip is the same everywhere.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from spicesim.chip import Process
from spicesim.chip.library import library_path
from spicesim.chip.passives import Resistor
from spicesim.errors import SpecError
from spicesim.netlist.bias import is_generator
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.passives import CAPACITOR, RESISTOR, find_passive, resistor_spread
from spicesim.netlist.subcircuits import individual_subcircuits
from spicesim.units import parse_quantity, spice_number

__all__ = ["TRANSISTOR", "Draw", "Pelgrom", "drawn_devices", "read_mismatch", "same_device", "with_mismatch"]

Draw = Callable[[str], tuple[float, float]]
"""Standard normal numbers of a device, by its path: of the threshold and of the gain (a resistor uses the first)."""

_MODEL_WITH_INSTANCE_SHIFTS = {8, 14, 49, 54}
"""Model levels that know delvto and mulu0: BSIM3 and BSIM4."""

_REFERENCE = re.compile(r"^\s*\.(?:include|lib)\s+[\"']([^\"']+)[\"']", re.IGNORECASE | re.MULTILINE)
_NUMBER = r"[-+]?[\d.]+(?:e[-+]?\d+)?[a-z]*"
_SIGMA = re.compile(rf"var_(k|vth)\s*=\s*'\s*({_NUMBER})\s*\*\s*par_\1\s*\*\s*({_NUMBER})\s*/\s*p_sqrtarea\s*'", re.I)
TRANSISTOR = re.compile(r"^([mx]\w*)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(.*)$", re.IGNORECASE)
"""A transistor with its four nodes, its model and its sizes."""
_RESISTOR = re.compile(r"^((?!rnoise\b)r\w*)\s+(\S+)\s+(\S+)\s+(\{[^}]*\}|'[^']*'|[-+.\d]\S*)(.*)$", re.IGNORECASE)
"""A resistor that is drawn, one with a value; ``rnoise`` of memory devices carries no current, only noise."""
_CAPACITOR = re.compile(r"^(c\w*)\s+(\S+)\s+(\S+)\s+(\{[^}]*\}|\S+)(.*)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pelgrom:
    """Mismatch of one kind of transistor: sigma = a / sqrt(m (l - d_length) (w - d_width))."""

    a_threshold: float
    """Of the threshold voltage [V m]."""
    a_gain: float
    """Of the relative gain [m]."""
    d_length: float
    """Drawn minus effective length [m]."""
    d_width: float
    """Drawn minus effective width [m]."""
    level: int
    """Level of the model; 0 of a subcircuit."""
    width: float = 0.0
    """Standard deviation of the width [m]."""
    length: float = 0.0
    """Of the length [m]."""

    def sigma_threshold(self, w: float, l: float, m: float = 1) -> float:  # noqa: E741
        """Return the standard deviation of one transistor's threshold [V]."""
        return self.a_threshold / math.sqrt(m * (l - self.d_length) * (w - self.d_width))


@cache
def _model_texts(path: Path, modified: float) -> tuple[str, ...]:
    """Read a model file and all that it refers to; `modified` keeps the cache honest."""
    seen: dict[Path, str] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop().resolve()
        if file in seen or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        seen[file] = text
        waiting += [file.parent / name for name in sorted(set(_REFERENCE.findall(text)))]
    return tuple(seen.values())


def _texts(process: Process) -> tuple[str, ...]:
    texts: tuple[str, ...] = ()
    for model in process.models:
        path = model.resolve()
        texts += _model_texts(path, path.stat().st_mtime)
        if model.path.startswith("library:"):
            stem = path.stem.partition("_")[0]
            texts += (library_path(f"{stem}_mismatch.cir").read_text(encoding="utf-8"),)
    return texts


def read_mismatch(process: Process) -> dict[str, Pelgrom]:
    """Read the mismatch of a process's transistors from its model files.

    Looked for are the parameters ``par_vth par_k par_l par_w`` and the formulas ``var_vth var_k`` in the subcircuit
    that has the transistor's name.

    Returns
    -------
    dict of str to Pelgrom
        By the transistor's name.

    Raises
    ------
    SpecError
        If the files hold no such statistics, and the description none.
    """
    if process.matching is None and process.call != "M":
        raise SpecError(
            f"mismatch of transistors that are subcircuits is not read from their files; say process.matching of "
            f"{process.name!r} yourself"
        )
    texts, own = _texts(process), process.matching
    if own is None:
        return {name: _read_one(process.name, name, texts) for name in (process.nmos, process.pmos)}
    spreads = {process.nmos: (own.a_threshold_n, own.a_gain_n), process.pmos: (own.a_threshold_p, own.a_gain_p)}
    levels = {name: _find_level(process.name, name, texts) if process.call == "M" else 0 for name in spreads}
    return {
        name: Pelgrom(
            a_threshold=threshold,
            a_gain=gain,
            d_length=0.0,
            d_width=0.0,
            level=levels[name],
            width=own.width,
            length=own.length,
        )
        for name, (threshold, gain) in spreads.items()
    }


@lru_cache(maxsize=16)
def _find_level(process: str, name: str, texts: tuple[str, ...]) -> int:
    """Find the level of a transistor's model."""
    model = re.compile(rf"^\.model\s+{re.escape(name)}(?:\.\d+)?\s.*?\blevel\s*=\s*(\d+)", re.I | re.M | re.S)
    for text in texts:
        if found := model.search(text):
            return int(found[1])
    raise SpecError(f"the model files of process {process!r} hold no model {name!r} with a level")


@lru_cache(maxsize=16)
def _read_one(process: str, name: str, texts: tuple[str, ...]) -> Pelgrom:
    block = re.compile(rf"^\.subckt\s+{re.escape(name)}\s.*?^\.ends", re.I | re.M | re.S)
    level = _find_level(process, name, texts)
    for text in texts:
        for found in block.finditer(text):
            values = {
                key.lower(): parse_quantity(number)
                for key, number in re.findall(rf"\b(par_\w+)\s*=\s*({_NUMBER})(?=\s|$)", found[0], re.I)
            }
            scales = {
                kind.lower(): parse_quantity(factor) * parse_quantity(unit)
                for kind, factor, unit in _SIGMA.findall(found[0])
            }
            if {"par_vth", "par_k", "par_l", "par_w"} <= set(values) and len(scales) == 2:
                return Pelgrom(
                    a_threshold=scales["vth"] * values["par_vth"],
                    a_gain=scales["k"] * values["par_k"],
                    d_length=values["par_l"],
                    d_width=values["par_w"],
                    level=level,
                )
    raise SpecError(
        f"the model files of process {process!r} hold no mismatch of {name!r}: wanted a subcircuit of that name "
        "with par_vth, par_k, par_l, par_w, var_vth and var_k; say process.matching yourself"
    )


def same_device(draw: Draw) -> Draw:
    """Return draws by which ``xdut_0``, ``xdut_1``, .. are one and the same device ``xdut`` at different inputs."""
    return lambda path: draw(re.sub(r"^(\w+?)_\d+(?=\.)", r"\1", path))


def with_mismatch(
    netlist: Netlist,
    process: Process,
    draw: Draw,
    *,
    resistors: float = 0.0,
    capacitors: Mapping[str, float] = MappingProxyType({}),
    everywhere: bool = False,
    transistors: bool = True,
) -> Netlist:
    """Give every transistor of a netlist its own threshold and gain.

    The numbers that are drawn are parameters, in standard deviations, of the call of the subcircuit a device is in:
    ``m1_vth=0.31 m1_gain=-1.2``.

    A transistor of ``m`` fingers has their common area. BSIM models take the shifts as ``delvto`` and ``mulu0``; for
    older ones and subcircuits a source at the gate shifts the threshold, and ``m`` takes the gain. Bias generators,
    which blocks share, stay as they are: what is calibrated of blocks is their own.

    Parameters
    ----------
    netlist : Netlist
        What to vary.
    process : Process
        Whose transistors it has.
    draw : callable
        Standard normal numbers by path, such as :class:`spicesim.draws.ChipDraw` gives.
    resistors : float
        Relative standard deviation of every resistor within a subcircuit [1], but of resistors of the process with
        a matching of their own.
    capacitors : mapping of str to float
        The same of every capacitor right within blocks, by these blocks' names without their index, such as ``"xhold"``
        [1]; those of others stay as they are.
    everywhere : bool
        Whether resistors outside of all subcircuits vary, too, which those of testbenches do not.
    transistors : bool
        Whether there are any of the process, whose statistics are read.
    """
    statistics = {name.lower(): pelgrom for name, pelgrom in read_mismatch(process).items()} if transistors else {}
    copies: dict[str, str | None] = {}  # of subcircuits of the kit that are called, with their shifts as parameters

    def change(home: str, line: str) -> tuple[list[str], dict[str, str]]:
        given: dict[str, str] = {}

        def numbered(device: str, *kinds: str) -> tuple[str, ...]:
            """Return the names of a device's numbers; in the netlist itself, which nothing calls, the numbers."""
            values = tuple(map(spice_number, draw(f"{home}.{device}".lstrip(".").lower())))[: len(kinds)]
            if not home:
                return values
            own = {f"{device}_{kind}".lower(): value for kind, value in zip(kinds, values, strict=True)}
            given.update(own)
            return tuple(own)

        if is_generator(home):
            return [line], given
        transistor = TRANSISTOR.match(line)
        if transistor and (name := transistor[6].lower()) in statistics:
            if line[0] in "xX" and statistics[name].level in _MODEL_WITH_INSTANCE_SHIFTS and name not in copies:
                copies[name] = _shiftable(name, _texts(process))
            shifts = numbered(transistor[1], "vth", "gain")
            return _shifted(transistor, statistics[name], *shifts, shiftable=bool(copies.get(name))), given
        spread: float | str = capacitors.get(home.rpartition("_")[0], 0.0)
        if passive := find_passive(process, line):
            (name, nodes, value, more), sizes = passive[0].groups(), passive[1]
            if isinstance(sizes, Resistor):
                spread = resistor_spread(sizes, value.strip("{}'")) if sizes.matching else resistors
            before = f"x{name}{nodes}"
        elif found := (_RESISTOR.match(line) if home or everywhere else None) or _CAPACITOR.match(line):
            name, first, second, value, more = found.groups()
            spread = resistors if line[0] in "rR" else spread
            before = f"{name} {first} {second} "
        else:
            return [line], given
        if not spread:
            return [line], given
        return [f"{before}{_varied(name, value, spread, *numbered(name, 'value'), given=given)}{more}"], given

    own_blocks = individual_subcircuits(netlist.body, change, {RESISTOR, CAPACITOR})
    body = "\n\n".join([own_blocks, *filter(None, copies.values())])
    options = netlist.options
    if any(pelgrom.level not in _MODEL_WITH_INSTANCE_SHIFTS for pelgrom in statistics.values()):
        options = options.replace(" klu", "")  # KLU loses its pivots among so many sources, and the time step with them
    head = "* every transistor has its own mismatch: numbers of standard deviations where its subcircuit is called"
    return dataclasses.replace(netlist, body=f"{head}\n{body}", options=options)


def _product(number: str, scale: float) -> str:
    """Multiply a number, or a parameter that has it."""
    return f"{number}*{spice_number(scale)}" if number.isidentifier() else spice_number(float(number) * scale)


def _varied(name: str, value: str, spread: float | str, number: str, *, given: Mapping[str, str]) -> str:
    """Return the value of a device that differs by a number of its standard deviations, which may be an expression."""
    bare = value.strip("{}'")
    if isinstance(spread, str):
        return f"{{({bare})*(1+({number})*{spread})}}"
    factor = 1 + spread * float(given.get(number, number))
    if factor <= 0:
        raise SpecError(f"devices such as {name} that vary by {spread:g} of their value can become negative")
    text = f"(1+{_product(number, spread)})" if number in given else spice_number(factor)
    return f"{{({bare})*{text}}}"


@lru_cache(maxsize=16)
def _shiftable(name: str, texts: tuple[str, ...]) -> str | None:
    """Return a kit's subcircuit of one BSIM transistor with the shifts as parameters; None if it has no such."""
    block = re.compile(rf"^(\.subckt\s+){re.escape(name)}(\s.*?)^\.ends[^\n]*", re.I | re.M | re.S)
    for text in texts:
        for found in block.finditer(text):
            if not re.search(r"\bmis_vth\b.*\bdelvto\s*=", found[0], re.I | re.S):
                continue
            inside, count = re.subn(r"\bdelvto\s*=\s*'[^']*'", "delvto={own_vth}", found[2], flags=re.I)
            inside, also = re.subn(r"\bmulu0\s*=\s*'[^']*'", "mulu0={own_gain}", inside, flags=re.I)
            if count == also == 1:
                inside = re.sub(r"\bagauss\([^()]*\)", "0", inside, flags=re.I)  # which the kit would draw itself
                head, *rest = inside.rstrip("\n").split("\n")
                lines = [f"{found[1]}{name}_own{head} own_vth=0 own_gain=1", *rest, f".ends {name}_own"]
                return "\n".join(line for line in lines if line.strip() and not line.startswith("*"))
    return None


def _shifted(
    found: re.Match[str], statistics: Pelgrom, threshold: str, gain: str, *, shiftable: bool = False
) -> list[str]:
    name, drain, gate, source, bulk, model, tail = found.groups()
    given = {k.lower(): v.strip("{}'") for k, v in re.findall(r"(\w+)\s*=\s*(\{[^}]*\}|'[^']*'|\S+)", tail)}
    if not {"w", "l"} <= set(given):
        raise SpecError(f"transistor {name!r} has no w and l of its own; mismatch needs its area")
    fingers = given.get("m", "1")
    area = (
        f"({fingers})*(({given['l']})-({spice_number(statistics.d_length)}))"
        f"*(({given['w']})-({spice_number(statistics.d_width)}))"
    )
    shift = f"{_product(threshold, statistics.a_threshold)}/sqrt({area})"
    factor = f"1-({_product(gain, statistics.a_gain)})/sqrt({area})"
    if statistics.width or statistics.length:
        parts = [
            f"{spice_number(statistics.a_gain**2)}/({area})",
            f"{spice_number(statistics.width**2)}/(({given['w']})*({given['w']}))",
            f"{spice_number(statistics.length**2)}/(({given['l']})*({given['l']}))",
        ]
        factor = f"1-({_product(gain, 1.0)})*sqrt({'+'.join(parts)})"
    if shiftable:
        # ngspice looks names in the last parameters up within the subcircuit that is called: w would be its own
        lines = [f".param vth_{name}={{{shift}}} gain_{name}={{{factor}}}"]
        own = f"own_vth={{vth_{name}}} own_gain={{gain_{name}}}"
        return [*lines, f"{name} {drain} {gate} {source} {bulk} {model}_own {tail.rstrip()} {own}"]
    if statistics.level in _MODEL_WITH_INSTANCE_SHIFTS and name[0] in "mM":
        return [f"{found[0].rstrip()} delvto={{{shift}}} mulu0={{{factor}}}"]
    others = re.sub(r"\s*\bm\s*=\s*(\{[^}]*\}|'[^']*'|\S+)", "", tail)
    multiple = f"{{({fingers})*({factor})}}"
    lines = [f"vshift_{name} {gate} gate_{name} {{{shift}}}"]
    if name[0] in "xX":  # beside w={2.5*w} ngspice would take a w for the subcircuit's own
        lines.insert(0, f".param gain_{name}={multiple}")
        multiple = f"{{gain_{name}}}"
    return [*lines, f"{name} {drain} gate_{name} {source} {bulk} {model} {others} m={multiple}"]


def drawn_devices(
    netlist: Netlist,
    process: Process,
    *,
    resistors: float = 0.0,
    capacitors: Mapping[str, float] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Return the paths of all devices that :func:`with_mismatch` asks numbers for."""
    paths: dict[str, None] = {}

    def note(path: str) -> tuple[float, float]:
        paths[path.lower()] = None
        return 0.0, 0.0

    with_mismatch(netlist, process, note, resistors=resistors, capacitors=capacitors)
    return tuple(paths)
