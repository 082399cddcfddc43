"""The transistors of a chip: a process design kit seen from SPICE, with its corners."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from spicesim.chip.model_file import CORNERS, CornerSections, ModelFile, NameOrNothing, has_scheme
from spicesim.chip.passives import Capacitor, Resistor
from spicesim.chip.section import Name, NonNegative, Positive, Quantity, Section
from spicesim.errors import MissingDependencyError, SpecError
from spicesim.gate import require_native, require_start_up_line

__all__ = ["SOURCES", "Guess", "Kit", "Matching", "Process"]

_PSP = "package:ihp-gdsfactory/ihp/models/ngspice/va/psp103"
SOURCES = (f"{_PSP}/psp103.va", f"{_PSP}/psp103_nqs.va")
"""Verilog-A models of kits, which are compiled on first use from what pip installed.

They are named here, and a description chooses among them: what is compiled becomes native code.
"""


class Kit(Section):
    """A model file of the same process for another simulator; it need not be on this machine."""

    dialect: Literal["xyce", "hspice", "spectre"]
    """The simulator that reads it."""
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./~:+@ -]+$")]
    """Where it is on the simulator's machine."""
    section: NameOrNothing = ""
    """Section to read; empty for the whole file."""


class Matching(Section):
    """Mismatch of transistors, by Pelgrom's law: sigma = a / sqrt(m w l)."""

    later: ClassVar[frozenset[str]] = frozenset({"width", "length"})

    a_threshold_n: Positive
    """Of n-channel thresholds [V m]; 1e-9 is 1 mV um."""
    a_threshold_p: Positive
    """Of p-channel thresholds [V m]."""
    a_gain_n: NonNegative
    """Of relative n-channel gains [m]; 1e-8 is 1 % um."""
    a_gain_p: NonNegative
    """Of relative p-channel gains [m]."""
    width: NonNegative = 0.0
    """Standard deviation of a transistor's width, whatever its area [m]; counts as gain, by its share of the width."""
    length: NonNegative = 0.0
    """The same of its length [m]."""


class Guess(Section):
    """A first guess of a node, from which an operating point is sought."""

    node: Name
    """Its name in the library's file."""
    volts: NonNegative
    """Where it may be [V]."""
    linear: bool = False
    """Only where the output is not guessed near a rail; there it leads astray, if it moves with the output."""


class Process(Section):
    """The transistors: a process design kit seen from SPICE."""

    later: ClassVar[frozenset[str]] = frozenset({
        "fingers", "corners", "matching", "resistor", "capacitor", "opamp_guesses",
    })  # fmt: skip

    name: str
    """Name, for people and file headers."""
    models: tuple[ModelFile, ...] = Field(min_length=1)
    """Model files, in the order ngspice shall read them."""
    nmos: Name
    """Model (or subcircuit) name of the n-channel transistor."""
    pmos: Name
    """Model (or subcircuit) name of the p-channel transistor."""
    call: Literal["M", "X"] = "M"
    """M: transistors are bare models (faster); X: they are subcircuits with pins d g s b."""
    supply: Annotated[Positive, Field(le=100)]
    """Supply voltage [V]."""
    min_length: Positive
    """Shortest drawn gate length [m]."""
    max_width: Positive
    """Widest transistor that the models cover [m]; a wider one is refused, m= of them in parallel are not."""
    fingers: NameOrNothing = ""
    """Parameter that cuts a transistor into fingers, such as "ng"; then max_width is the widest finger, and wider
    transistors get as many as they need. Empty for none."""
    temperature_c: Annotated[Quantity, Field(ge=-60, le=175)] = 27.0
    """Temperature [degree Celsius]."""
    spiceinit: tuple[str, ...] = ()
    """Settings for ngspice's start-up file, such as "set ngbehavior=hsa"; no commands."""
    osdi: tuple[str, ...] = ()
    """Compiled Verilog-A models, paths of .osdi files that openvaf-r makes; loaded only if you trust them, as
    SECURITY.md says. Sources of a kit that spicesim knows by name are compiled on first use."""
    kits: tuple[Kit, ...] = ()
    """Model files for other simulators: { dialect = "spectre", path = "/pdk/models.scs", section = "tt" }."""
    opamp_guesses: tuple[Guess, ...] = ()
    """First guesses within op-amps, where a kit finds no operating point without:
    { node = "bn", volts = 0.4, linear = false }; linear: only where the output is not guessed near a rail."""

    corners: CornerSections = CornerSections()
    """Sections of the corners in the model files."""
    matching: Matching | None = None
    """Mismatch, where the model files hold none: { a_threshold_n = 4e-9, a_threshold_p = 4e-9, a_gain_n = 1e-8,
    a_gain_p = 1e-8 }."""
    resistor: Resistor | None = None
    """Resistors of ladders, feedbacks and amplifiers, which are ideal without this section."""
    capacitor: Capacitor | None = None
    """Capacitors of amplifiers, feedbacks, switches and converters, which are ideal without this section."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for line in self.spiceinit:
            require_start_up_line(line)
        for file in self.osdi:
            if has_scheme(file) and file not in SOURCES:
                raise ValueError(
                    f"osdi: {file[:200]!a} is no source that spicesim compiles; there are: {', '.join(SOURCES)}; "
                    "compile others with openvaf-r and name the .osdi files"
                )
        return self

    @property
    def all_models(self) -> tuple[ModelFile, ...]:
        """Model files of transistors, then of resistors and capacitors, each once."""
        passives = (self.resistor, self.capacitor)
        return tuple(dict.fromkeys([*self.models, *(m for passive in passives if passive for m in passive.models)]))

    @property
    def has_corners(self) -> bool:
        """Whether a model file gives other transistors at another corner."""
        return any(model.corner(CORNERS[0], self.corners) is not None for model in self.models)

    @property
    def sources(self) -> tuple[str, ...]:
        """The Verilog-A models that are compiled on first use, of :data:`SOURCES`."""
        return tuple(file for file in self.osdi if file in SOURCES)

    @property
    def osdi_files(self) -> tuple[Path, ...]:
        """The compiled Verilog-A models that are there as such.

        Raises
        ------
        MissingDependencyError
            If one is not there.
        SpecError
            If the user does not trust one.
        """
        found = tuple(Path(file) for file in self.osdi if file not in SOURCES)
        for file in found:
            if not file.is_file():
                raise MissingDependencyError(
                    f"process.osdi: no file {file}; correct its path, or make it with: openvaf-r {file.stem}.va"
                )
            require_native(file)
        return found

    def corner(self, name: str) -> "Process":
        """Return this process at another corner.

        A model file read by the section of one corner is read by that of the other; of a file shipped with spicesim,
        "library:X.cir", the corner's own, "library:X_ss.cir", is taken.

        Raises
        ------
        SpecError
            If there is no such corner, or no model file has one.
        """
        if name not in CORNERS:
            raise SpecError(f"no corner {name!r}; there are: {', '.join(CORNERS)}")
        if not self.has_corners:
            raise SpecError(
                f"process {self.name!r} has no corners: no model file is read by one of the sections "
                f"{', '.join(self.corners.model_dump().values())}; choose one with process.models.section, or name "
                "them in process.corners"
            )
        models = tuple(model.corner(name, self.corners) or model for model in self.models)
        if models == self.models:
            return self
        stem = self.name
        for known in CORNERS:
            stem = stem.removesuffix(f", {known}")
        passives = {"resistor": self.resistor, "capacitor": self.capacitor}
        moved = {key: passive.corner(name) for key, passive in passives.items() if passive is not None}
        return self.model_copy(update={"models": models, "name": f"{stem}, {name}", **moved})
