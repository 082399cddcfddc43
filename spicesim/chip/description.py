"""The chip description: frozen, validated, written as TOML, and the root of every hash.

All values are SI floats. In a TOML file a value may also be text with a prefix and a unit, ``"20 kohm"``.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import tomlkit
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from spicesim.arrays import Floats
from spicesim.chip.blocks import (
    MOST_SAR_BITS,
    BlockSizes,
    ChargeDac,
    Comparator,
    CurrentDac,
    Hold,
    Integrator,
    Mirror,
    SarAdc,
    WordLineDriver,
)
from spicesim.chip.geometry import WireGeometry
from spicesim.chip.library import check_replacement, library_text, read_replacements
from spicesim.chip.process import CORNERS, ModelFile, Process, has_scheme
from spicesim.chip.section import NonNegative, Positive, Quantity, Section
from spicesim.coding import Polarity, bit_voltages, dac_voltages
from spicesim.errors import SpecError
from spicesim.files import write_text
from spicesim.files.documents import read_toml, validate
from spicesim.gate import BLOCK_CARDS, require_circuit, require_line
from spicesim.trust import require_near
from spicesim.units import parse_quantity

__all__ = [
    "CORNERS",
    "Adc",
    "Array",
    "Cell",
    "Chip",
    "Dac",
    "Library",
    "ModelFile",
    "Process",
    "Section",
    "SenseAmplifier",
    "format_chip",
    "load_chip",
    "save_chip",
]


def _wire(of: Callable[[WireGeometry], float]) -> BeforeValidator:
    """Accept a number, or the table of a wire's geometry."""

    def read(value: Any) -> float:
        if not isinstance(value, dict):
            return parse_quantity(value)
        try:
            return of(WireGeometry.of_table(value))
        except ArithmeticError:
            raise SpecError("wire geometry: its values are too far apart to compute with; check their units") from None

    return BeforeValidator(read)


Resistance = Annotated[float, _wire(lambda wire: wire.resistance), Field(ge=0, allow_inf_nan=False)]
Capacitance = Annotated[float, _wire(lambda wire: wire.capacitance), Field(ge=0, allow_inf_nan=False)]


Feedback = Annotated[Quantity, Field(ge=1.0, le=1e12)]
"""A feedback resistance [ohm]; currents through a smaller or larger one are none that an amplifier bears."""


class Array(Section):
    """The crossbar of one tile."""

    rows: Annotated[int, Field(ge=1, le=1024)]
    """Word lines: inputs of a tile."""
    columns: Annotated[int, Field(ge=1, le=1024)]
    """Bit lines: outputs of a tile."""
    r_word_line: Resistance = 1.0
    """Resistance of one word-line segment, cell to cell [ohm]; {width = "27 nm", thickness = .., length = ..} works."""
    r_bit_line: Resistance = 1.0
    """Resistance of one bit-line segment, cell to cell [ohm]; a number or a geometry, too."""
    c_word_line: Capacitance = 0.0
    """Capacitance of one word-line segment [F]; a geometry needs its height, too. No matter to operating points."""
    c_bit_line: Capacitance = 0.0
    """Capacitance of one bit-line segment [F]; as c_word_line."""

    def word_line_segments(self, rows: int, columns: int, *, paired: bool) -> Floats:
        """Return the resistance of the segment before each cell, (rows, columns) [ohm]; there is none within a pair."""
        segments = np.full((rows, columns), self.r_word_line)
        if paired:
            segments[:, 1::2] = 0.0
        return segments


class Cell(Section):
    """The memory cell."""

    kind: Literal["1r", "1t1r", "1s1r", "2t2r"] = "1t1r"
    """1r: device alone; 1t1r: and access transistor; 1s1r: and selector; 2t2r: a pair of 1t1r on two bit lines."""
    device: Literal["rram", "pcm", "ecram"] = "rram"
    """Device: rram or pcm, alike at read voltages and drifting by --device of a run; or ecram, which is linear."""
    g_min: Positive
    """Lowest device conductance [S]."""
    g_max: Positive
    """Highest device conductance [S]."""
    kappa: NonNegative = 1.0
    """Nonlinearity of the device, I = g sinh(kappa V)/kappa [1/V]; 0 is a linear resistor."""
    v_read: Positive = 0.1
    """Voltage across the cell at which write-verify reads its conductance [V]."""
    access_width: Positive = 2e-6
    """Width of the access transistor [m]."""
    access_length: Positive = 0.28e-6
    """Length of the access transistor [m]."""
    selector_current: Positive = 1e-12
    """Current scale i0 of the selector of a 1s1r cell, i = i0 sinh(v/v0) [A]."""
    selector_voltage: Positive = 45e-3
    """Voltage v0 of its exponential [V]."""

    @property
    def has_gate(self) -> bool:
        """Whether there is an access transistor."""
        return self.kind in ("1t1r", "2t2r")

    @property
    def is_paired(self) -> bool:
        """Whether a cell lies on two bit lines, columns 2k and 2k + 1."""
        return self.kind == "2t2r"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.g_min >= self.g_max:
            raise ValueError(f"g_min must lie below g_max, got {self.g_min:g} S and {self.g_max:g} S")
        if self.device == "ecram" and self.kappa:
            raise ValueError(f"an ecram device is linear; set kappa = 0, got {self.kappa:g} 1/V")
        return self


class Dac(Section):
    """The word-line driver: a DAC that puts out whole inputs, or a switch that puts out one bit of theirs at a time."""

    kind: Literal["r2r", "bits"] = "r2r"
    """r2r: an R-2R ladder with a buffer; bits: [word_line_driver], one of two voltages, an input bit after bit."""
    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Resolution of inputs [bit]; over 12 no ladder is built that fine, so only the engine ideal runs."""
    v_span: Positive = 0.2
    """Largest input voltage, relative to the reference [V]; unipolar 0..v_span, bipolar -v_span..v_span."""
    r_unit: Positive = 20e3
    """Unit resistance R of the ladder [ohm]."""
    switch_width: Positive = 20e-6
    """Width of the ladder switches' n-channel transistors; p-channel ones are 2.5 times wider [m]."""
    buffer_current: Positive = 20e-6
    """Bias current of the buffer amplifier behind the ladder [A]."""
    buffer_drive: Positive = 4.0
    """Size of the buffer's output stage relative to that of the library amplifier."""

    @property
    def code_bits(self) -> int:
        """Bits of the codes that a driver takes: of whole inputs, or one."""
        return self.bits if self.kind == "r2r" else 1

    def volts(self, codes: npt.ArrayLike, polarity: Polarity) -> Floats:
        """Return the voltages an ideal driver makes of codes, above the reference [V].

        Raises
        ------
        SpecError
            If a code is not an integer within the driver's bits.
        """
        if self.kind == "r2r":
            return dac_voltages(codes, self.bits, self.v_span, polarity)
        return bit_voltages(codes, self.v_span, polarity)

    @model_serializer(mode="wrap")
    def _leave_out_ladder(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write chips with ladders as before there were others: hashes of chips and calibrations stay."""
        content: dict[str, Any] = handler(self)
        if self.kind == "r2r":
            del content["kind"]
        return content


class SenseAmplifier(Section):
    """The read-out at the foot of every bit line."""

    kind: Literal["tia", "voltage"] = "tia"
    """tia: a transimpedance amplifier holds the line; voltage: the line floats, and [hold] samples its voltage."""
    r_feedback: Annotated[tuple[Feedback, ...], Field(min_length=1, max_length=16)] = (20e3,)
    """Feedback resistances a layer can choose from [ohm]."""
    v_reference: Positive = 1.65
    """Reference voltage: the virtual ground of the array [V]."""
    bias_current: Positive = 20e-6
    """Bias current of the amplifier [A]."""
    drive: Positive = 1.0
    """Size of the output stage relative to that of the library amplifier."""
    c_feedback: NonNegative = 20e-15
    """Capacitor across the feedback resistor [F]."""

    @property
    def settings(self) -> tuple[float, ...]:
        """What a layer can choose from, ascending: feedback resistances [ohm]; of floating lines the one gain, 1."""
        return tuple(sorted(self.r_feedback)) if self.kind == "tia" else (1.0,)

    def transresistance(self, g: Floats, setting: float) -> Floats:
        """Return the output a unit of what a column of ideal cells would carry into a ground, (columns,) [ohm].

        Parameters
        ----------
        g : ndarray of shape (rows, columns)
            Conductances of the cells [S].
        setting : float
            One of :attr:`settings`.
        """
        if self.kind == "tia":
            return np.full(g.shape[1], setting)
        total = g.sum(axis=0)
        return np.asarray(setting / np.where(total > 0, total, np.inf))

    def output_range(self, polarity: Polarity) -> Polarity:
        """Return where converters of real circuits look for outputs: on one side of the reference, or around it.

        Amplifiers put those of unipolar inputs below it; those of floating lines are small and may as well be above.
        """
        return polarity if self.kind == "tia" else "bipolar"

    def held_lines(self, g: Floats) -> Floats:
        """Return what makes of outputs those of held lines with the same setting, (columns,).

        Parameters
        ----------
        g : ndarray of shape (rows, columns)
            Conductances of the cells [S].
        """
        return np.ones(g.shape[1]) if self.kind == "tia" else np.asarray(g.sum(axis=0))

    def volts(self, node: npt.ArrayLike) -> Floats:
        """Return outputs, positive for positive products, of the voltages of their nodes [V].

        An amplifier's node falls below the reference, a floating line rises above it.
        """
        above = np.asarray(node, dtype=float) - self.v_reference
        return -above if self.kind == "tia" else above

    def nodes(self, volts: npt.ArrayLike) -> Floats:
        """Return the voltages of nodes, of outputs as :meth:`volts` has them [V]."""
        above = np.asarray(volts, dtype=float)
        return self.v_reference + (-above if self.kind == "tia" else above)

    @model_serializer(mode="wrap")
    def _leave_out_amplifier(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write chips with amplifiers as before there were others."""
        content: dict[str, Any] = handler(self)
        if self.kind == "tia":
            del content["kind"]
        return content


class Adc(Section):
    """The column converter, which quantises the amplifier's output."""

    kind: Literal["ideal", "sar"] = "ideal"
    """ideal: a uniform quantiser over what a layer needs; sar: [sar_adc] with the bits below, over its DAC's span."""
    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Resolution [bit]."""
    percentile: Annotated[Quantity, Field(gt=50, le=100)] = 99.99
    """Percentile of a layer's column outputs, over a calibration batch, that the range covers [%]."""

    @model_serializer(mode="wrap")
    def _leave_out_ideal(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write chips with ideal converters as before there were others: hashes of chips and calibrations stay."""
        content: dict[str, Any] = handler(self)
        if self.kind == "ideal":
            del content["kind"]
        return content


class Library(Section):
    """A designer's own versions of library subcircuits."""

    model_config = ConfigDict(str_strip_whitespace=False)
    texts: ClassVar[frozenset[str]] = frozenset({"files"})

    path: str
    """Folder they were read from."""
    files: tuple[tuple[str, str], ...]
    """Name and text of each file that differs from the shipped one; a description carries its circuits with it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, text in self.files:
            check_replacement(name, text, name)
        return self


def _read_library(value: Any) -> Any:
    """Read the folder that a description names."""
    return {"path": value, "files": tuple(read_replacements(value).items())} if isinstance(value, str) else value


class Chip(Section):
    """An analog in-memory-computing chip, whole."""

    schema_version: Literal[1] = 1
    """Version of this file's format."""
    name: str
    """Name of the chip."""
    library: Annotated[Library | None, BeforeValidator(_read_library)] = None
    """Folder of .cir files that replace the library's of the same name; "spicesim init --library FOLDER" fills one."""
    process: Process
    array: Array
    cell: Cell
    dac: Dac = Dac()
    sense_amplifier: SenseAmplifier = SenseAmplifier()
    adc: Adc = Adc()
    comparator: Comparator = Comparator()
    hold: Hold = Hold()
    integrator: Integrator = Integrator()
    mirror: Mirror = Mirror()
    word_line_driver: WordLineDriver = WordLineDriver()
    current_dac: CurrentDac = CurrentDac()
    charge_dac: ChargeDac = ChargeDac()
    sar_adc: SarAdc = SarAdc()

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = (
            self.sense_amplifier.v_reference - self.dac.v_span,
            self.sense_amplifier.v_reference + self.dac.v_span,
        )
        if low <= 0 or high >= self.process.supply:
            raise ValueError(
                f"sense_amplifier.v_reference -+ dac.v_span spans {low:g}..{high:g} V and must lie "
                f"within the supply, 0..{self.process.supply:g} V"
            )
        if self.cell.has_gate and self.cell.access_length < self.process.min_length * (1 - 1e-9):
            raise ValueError(
                f"cell.access_length = {self.cell.access_length:g} m is below process.min_length "
                f"= {self.process.min_length:g} m"
            )
        own = dict(self.library.files) if self.library else {}
        for name, text in own.items():
            require_circuit(text, f"library file {name}", cards=BLOCK_CARDS, native=bool(self.process.osdi))
        if self.cell.device == "rram" and "rram.cir" not in own and self.cell.kappa * self.dac.v_span > 1.5:
            raise ValueError(
                f"cell.kappa * dac.v_span = {self.cell.kappa * self.dac.v_span:g} exceeds 1.5; where both lines move "
                f"a cell would leave the law of rram.cir; lower one, or give a library with a device of your own"
            )
        if self.adc.kind == "sar":
            self._check_converter()
        if self.sense_amplifier.kind == "voltage" and self.cell.kind not in ("1r", "1t1r"):
            why = {
                "1s1r": "selectors close before a line has settled",
                "2t2r": "a hold switch a line is calibrated on columns of cells of one device",
            }[self.cell.kind]
            raise ValueError(
                f"cells of kind {self.cell.kind} cannot drive floating bit lines, as {why}; set sense_amplifier.kind = "
                "tia, or take 1t1r or 1r cells"
            )
        if self.cell.kind == "2t2r" and self.array.columns % 2:
            raise ValueError(f"a 2t2r cell takes two columns; make array.columns even, got {self.array.columns}")
        return self

    def _check_converter(self) -> None:
        sizes, reference = self.sar_adc, self.sense_amplifier.v_reference
        if self.adc.bits > MOST_SAR_BITS:
            raise ValueError(f"a sar converter has up to {MOST_SAR_BITS} bits, got adc.bits = {self.adc.bits}")
        if not sizes.dac.span / 2 < min(reference, self.process.supply - reference):
            raise ValueError(
                f"the references of the converter, sense_amplifier.v_reference -+ sar_adc.dac.span / 2 = {reference:g} "
                f"-+ {sizes.dac.span / 2:g} V, must lie within the supply, 0..{self.process.supply:g} V"
            )
        if sizes.dac.errors and len(sizes.dac.errors) != self.adc.bits:
            raise ValueError(f"sar_adc.dac.errors: wanted one for each of adc.bits = {self.adc.bits} capacitors")

    @property
    def converter(self) -> SarAdc | None:
        """Sizes of the column converters; None if they are ideal."""
        if self.adc.kind == "ideal":
            return None
        return self.sar_adc.model_copy(update={"dac": self.sar_adc.dac.model_copy(update={"bits": self.adc.bits})})

    @property
    def hash(self) -> str:
        """Content hash: equal for equal chips, whatever the file looked like and wherever its library lies."""
        content = self.model_dump(mode="json", exclude={"library", *self._as_drawn()})
        del content["process"]["kits"]  # of other simulators, which nothing here reads
        if self.cell.device == "rram":
            del content["cell"]["device"]
        if self.cell.kind != "1s1r":
            del content["cell"]["selector_current"], content["cell"]["selector_voltage"]
        if self.library is not None and self.library.files:
            content["library"] = dict(self.library.files)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _as_drawn(self) -> list[str]:
        """List the blocks outside the tile that have their sizes by default, which neither files nor hashes mention."""
        drawn = {name: field.default for name, field in type(self).model_fields.items()}
        return [name for name, sizes in drawn.items() if isinstance(sizes, BlockSizes) and getattr(self, name) == sizes]

    def library_text(self, name: str) -> str:
        """Return one file of the library, such as "opamp.cir": the chip's own version, or else the shipped one."""
        own = dict(self.library.files) if self.library is not None else {}
        return own[name] if name in own else library_text(name)

    def require_near(self, folder: Path) -> None:
        """Refuse model files that lie elsewhere than the file that names them.

        Parameters
        ----------
        folder : Path
            Where the description, plan or calibration lies; see :func:`spicesim.trust.require_near`.

        Raises
        ------
        SpecError
            If there is such a file; what is not on this machine can be read by nothing.
        """
        for model in self.process.models:
            if not has_scheme(model.path) and Path(model.path).exists():
                require_near(Path(model.path), folder, "process.models")

    def at(self, *, corner: str | None = None, temperature_c: float | None = None) -> "Chip":
        """Return this chip at another corner of its process or another temperature [degree Celsius].

        Raises
        ------
        SpecError
            If the process has no such corner, or the temperature is out of range.
        """
        process: dict[str, Any] = {}
        if corner is not None:
            process = self.process.corner(corner).model_dump()
        if temperature_c is not None:
            process["temperature_c"] = temperature_c
        return self.changed(process=process) if process else self

    def changed(self, **sections: Any) -> "Chip":
        """Return a copy with some keys changed, validated: ``chip.changed(array={"rows": 32})``.

        Parameters
        ----------
        **sections : dict or value
            A dict of keys for a section, or a new value for a key of the chip itself.

        Raises
        ------
        SpecError
            As :func:`load_chip`.
        """
        data = self.model_dump()
        for key, value in sections.items():
            data[key] = {**(data[key] or {}), **value} if isinstance(value, dict) and key in data else value
        return validate(Chip, data, "chip")


def load_chip(path: str | Path) -> Chip:
    """Read a chip description from a TOML file.

    Raises
    ------
    SpecError
        If the file is not there, is no TOML, or does not describe a possible chip.
    """
    path = Path(path)
    data = read_toml(path, "chip description", f"make one with: spicesim init -o {path}")
    _resolve_paths(data, path.parent)
    chip = validate(Chip, data, str(path))
    chip.require_near(path.parent)
    return chip


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Let relative paths start at the description's own folder, wherever the command runs; misfits are found later."""
    process = data.get("process", {})
    if isinstance(process, dict):
        models = process.get("models")
        for model in models if isinstance(models, list) else ():
            if isinstance(model, dict) and isinstance(model.get("path"), str) and not has_scheme(model["path"]):
                model["path"] = _from(folder, model["path"], "process.models")
        if isinstance(process.get("osdi"), list) and all(isinstance(file, str) for file in process["osdi"]):
            process["osdi"] = [_from(folder, file, "process.osdi") for file in process["osdi"]]
    if isinstance(data.get("library"), str):
        data["library"] = _from(folder, data["library"], "library")
        require_near(Path(data["library"]), folder, "library")


def _from(folder: Path, path: str, what: str) -> str:
    """Return an absolute path; no system call takes one that is no line of text."""
    return str((folder / require_line(path, what)).resolve())


def format_chip(chip: Chip) -> str:
    """Format a chip as commented TOML, every key with its meaning and unit."""
    document = tomlkit.document()
    document.add(tomlkit.comment('spicesim chip description. Values are SI; text such as "20 kohm" works too.'))
    for name, field in Chip.model_fields.items():
        value = getattr(chip, name)
        value = value.path if isinstance(value, Library) else value
        if name in chip._as_drawn():
            continue
        if isinstance(value, Section):
            document.add(tomlkit.nl())
            document.add(tomlkit.comment((type(value).__doc__ or "").splitlines()[0]))
            document.add(name, _format_section(value))
            continue
        document.add(tomlkit.comment(field.description or ""))
        if value is None:
            document.add(tomlkit.comment(f'{name} = "my_{name}"'))
        else:
            document.add(name, tomlkit.item(value))
    return tomlkit.dumps(document) + _format_blocks(chip)


def _format_blocks(chip: Chip) -> str:
    """Format the blocks that have their sizes by default, as comments to be uncommented."""
    lines = [
        "",
        "# Blocks outside the tile (spicesim characterise) have the sizes below; uncomment what you change.",
    ]
    for name in chip._as_drawn():
        block = getattr(chip, name)
        lines += ["", f"# {(type(block).__doc__ or '').splitlines()[0]}"]
        table = tomlkit.document()
        table.add(name, _format_section(block, short=True))
        lines += [f"# {line}" for line in tomlkit.dumps(table).splitlines() if line]
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def _format_section(section: Section, short: bool = False) -> tomlkit.items.Table:
    """Format a table, with comments above its keys or, in short, behind them."""
    table = tomlkit.table()
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            table.add(name, _format_section(value, short))
            continue
        if isinstance(value, tuple):
            array = tomlkit.array()
            for entry in value:
                if isinstance(entry, Section):
                    inline = tomlkit.inline_table()
                    inline.update(entry.model_dump())
                    array.append(inline)
                else:
                    array.append(entry)
            value = array.multiline(len(value) > 0 and isinstance(section, Process))
        if short:
            table.add(name, tomlkit.item(value).comment(field.description or ""))
            continue
        table.add(tomlkit.comment(field.description or ""))
        table.add(name, value)
    return table


def save_chip(chip: Chip, path: str | Path) -> None:
    """Write a chip description, atomically."""
    write_text(path, format_chip(chip))
