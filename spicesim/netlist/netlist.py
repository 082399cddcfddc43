"""A netlist as plain data: what to simulate, and what must come back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spicesim.chip import Chip
from spicesim.chip.model_file import ModelFile
from spicesim.chip.process import SOURCES, Kit, Process
from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.gate import (
    CIRCUIT_CARDS,
    require_circuit,
    require_line,
    require_model_file,
    require_native,
    require_path,
    require_start_up_line,
)
from spicesim.netlist.bias import bias_guesses, opamp_guesses, with_bias
from spicesim.netlist.folding import fold_text
from spicesim.netlist.passives import passive_blocks
from spicesim.netlist.pieces import describe_pieces
from spicesim.netlist.process import model_files, model_section, start_up_lines
from spicesim.netlist.sizes import require_sizes
from spicesim.units import parse_quantity, spice_number

__all__ = ["PLOT_NAMES", "RUN_COMMAND", "Netlist", "build_netlist"]

_LONGEST = re.compile(r"^(\.tran \S+ \S+ \S+ )(\S+)$")
"""The card of a transient, and its longest step."""

RUN_COMMAND = "ngspice -b -r out.raw THIS_FILE"
"""How to run a netlist, as its header says."""

PLOT_NAMES = {
    ".op": "Operating Point",
    ".dc": "DC transfer characteristic",
    ".tran": "Transient Analysis",
    ".ac": "AC Analysis",
}
"""What ngspice calls the results of an analysis card."""

OPTIONS = ".options klu reltol=1e-6 vntol=1e-9 abstol=1e-13"
"""KLU because ngspice's own solver is 70 times slower on arrays; tolerances far below a 16-bit step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """A complete circuit with its analyses and probes; :meth:`format` gives the file."""

    title: str
    """First line of the file."""
    body: str
    """Everything between the title and the analyses."""
    analyses: tuple[str, ...] = (".op",)
    """Analysis cards, in ngspice's words."""
    probes: tuple[str, ...]
    """Quantities that must come back finite, such as "v(out)" or "i(vsense_3)"."""
    options: str = OPTIONS
    """The .options card."""
    models: tuple[Path, ...] = ()
    """Model files that the body includes; their content belongs to the netlist's hash."""
    spiceinit: tuple[str, ...] = ()
    """Lines for ngspice's start-up file."""
    nodesets: Mapping[str, float] = field(default_factory=dict)
    """First guesses of node voltages [V]."""
    kits: tuple[Kit, ...] = ()
    """Model files of other simulators, in the place of those that the body includes."""

    def __post_init__(self) -> None:
        self._require_cards()
        if not self.probes:
            raise SpecError(f"netlist {self.title!r} has no probe; a simulation must be asked for something")
        self.require_data()

    def _require_cards(self) -> None:
        for card in self.analyses:
            if not card.split() or card.split()[0] not in PLOT_NAMES:
                raise SpecError(f"unknown analysis {card!r}; there are {', '.join(PLOT_NAMES)}")

    def require_data(self) -> None:
        """Refuse a netlist that holds more than a circuit, in itself or in the files that it has ngspice read.

        Every netlist is held against the gate as it is made, and once more right before it is simulated.

        Raises
        ------
        SpecError, MissingDependencyError
            As :mod:`spicesim.gate` says.
        """
        if require_line(self.title, "the title of a netlist").lstrip().lower().startswith(("*ng_script", ".", "*#")):
            raise SpecError(f"a netlist cannot have the title {self.title[:40]!a}; choose another")
        for line in (self.options, *self.analyses, *self.probes, *self.nodesets):
            require_line(line, f"{self.title!r}")
        libraries = [line.removeprefix("osdi ") for line in self.spiceinit if line.startswith("osdi ")]
        for line in self.spiceinit:
            if not line.startswith("osdi "):
                require_start_up_line(line)
        for library in libraries:
            if library not in SOURCES:
                require_native(Path(library))
        native = bool(libraries)
        inclusions = require_circuit(self.body, f"{self.title!r}", cards=CIRCUIT_CARDS, native=native)
        require_circuit(
            "\n".join([self.options, *self.analyses]), f"{self.title!r}", cards=CIRCUIT_CARDS, native=native
        )
        known = {str(path) for path in self.models}
        for inclusion in inclusions:
            if require_path(inclusion.path, f"{self.title!r}") not in known:
                raise SpecError(
                    f"{self.title!r} includes {inclusion.path!a}, no model file of the process; name it there"
                )
            require_model_file(Path(inclusion.path), native=native)

    @property
    def plots(self) -> tuple[str, ...]:
        """Names of the plots that the analyses make, in their order."""
        return tuple(PLOT_NAMES[card.split()[0]] for card in self.analyses)

    def paced(self, factor: float) -> "Netlist":
        """Return the same with the longest time step of transients so many times as long, where they have one."""
        analyses = tuple(
            _LONGEST.sub(lambda found: f"{found[1]}{spice_number(factor * parse_quantity(found[2]))}", card)
            for card in self.analyses
        )
        return replace(self, analyses=analyses)

    def format_circuit(self) -> str:
        """Format the circuit with its first guesses, without title, options and analyses."""
        body = fold_text(self.body.strip("\n"), comments=("*", "$"))
        if not self.nodesets:
            return body
        return "\n".join([body, "", "* first guess of the operating point", *self._guesses()])

    def _guesses(self) -> list[str]:
        return [f".nodeset v({node})={spice_number(volts)}" for node, volts in self.nodesets.items()]

    def format(self) -> str:
        """Format the whole file."""
        return "\n".join(
            [
                self.title,
                f"* run: {RUN_COMMAND}",
                self.format_circuit(),
                "\n* analysis",
                self.options,
                _format_save(self.probes),
                *self.analyses,
                ".end",
                "",
            ]
        )

    def write(self, path: str | Path) -> None:
        """Write the file, atomically."""
        write_text(path, self.format())

    def circuit(self) -> Any:
        """Return the circuit as a :class:`PySpice.Spice.Netlist.Circuit`, to go on in PySpice.

        Its elements and subcircuits can be reached and changed, ``circuit["xdac_3"]``, ``circuit["opamp"]["m5"]``, and
        others added; options and analyses are left to PySpice.

        Raises
        ------
        SpecError
            If it has a line that is not of the subset that all dialects have.
        """
        from spicesim.netlist.pyspice import read_circuit  # a second to import PySpice, and rarely needed

        return read_circuit(self.title, self.body, self._guesses())


def _start_up_notes(process: Process) -> list[str]:
    """Say what a netlist by itself needs in ngspice's start-up file."""
    notes = []
    for line in start_up_lines(process):
        source = line.removeprefix("osdi ")
        if source in SOURCES:
            path = ModelFile(path=source).resolve()
            notes.append(f"needs in .spiceinit: osdi {path.stem}.osdi, made by: openvaf-r {path}")
        else:
            notes.append(f"needs in .spiceinit: {line}")
    return notes


def _format_save(probes: Sequence[str]) -> str:
    lines, line = [], ".save"
    for probe in probes:
        if len(line) + len(probe) > 110:
            lines.append(line)
            line = "+"
        line += f" {probe}"
    return "\n".join([*lines, line])


def _calls(sections: Sequence[str], block: str) -> bool:
    """Whether a part of a netlist calls the subcircuit that a text begins with."""
    name = block.removeprefix("* ").partition(":")[0]
    return any(f" {name} " in section for section in sections)


def build_netlist(
    chip: Chip,
    title: str,
    sections: Sequence[str],
    probes: Sequence[str],
    *,
    notes: Sequence[str] = (),
    analyses: Sequence[str] = (".op",),
    nodesets: Mapping[str, float] | None = None,
    whole: bool = False,
) -> Netlist:
    """Put the parts of a circuit of this chip together.

    Parameters
    ----------
    chip : Chip
        Gives transistor models, temperature, and the header.
    title : str
        First line of the file.
    sections : sequence of str
        Parts of the circuit; one empty line is put between them. A part that comes again is left out: blocks share
        subcircuits.
    probes : sequence of str
        Quantities to save.
    notes : sequence of str
        Lines for the header that explain the circuit.
    analyses : sequence of str
        Analysis cards.
    nodesets : mapping of str to float, optional
        First guesses of node voltages [V].
    whole : bool
        Whether this is a circuit and no testbench of a part: a bias generator draws from its supply.

    Raises
    ------
    SpecError
        If a transistor is wider or shorter than the process allows, or :class:`Netlist` says so.
    """
    process = chip.process
    guesses = opamp_guesses(chip, sections, nodesets or {})
    sections = with_bias(chip, list(dict.fromkeys(sections)), shared=whole)
    sections = [*(block for block in passive_blocks(process) if _calls(sections, block)), *sections]
    require_sizes(process, sections)
    lines = [
        *notes,
        *describe_pieces(sections, (process.nmos, process.pmos)),
        f"chip {chip.name} (hash {chip.hash})",
        *_start_up_notes(process),
        "units: V, A, ohm, S, F, m",
    ]
    head = "\n".join(f"* {line}".rstrip() for line in lines)
    return Netlist(
        title=title,
        body="\n\n".join(part.strip("\n") for part in [head, model_section(process), *sections] if part.strip()),
        probes=tuple(probes),
        analyses=tuple(analyses),
        models=model_files(process),
        spiceinit=start_up_lines(process),
        nodesets=bias_guesses(chip, sections) | guesses | dict(nodesets or {}),
        kits=process.kits,
    )
