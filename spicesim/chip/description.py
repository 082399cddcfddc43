"""The chip description: frozen, validated, written as TOML, and the root of every hash.

All values are SI floats. In a TOML file a value may also be text with a prefix and a unit, ``"20 kohm"``.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import tomlkit
from pydantic import BeforeValidator, ConfigDict, model_validator

from spicesim.arrays import Floats
from spicesim.chip.blocks import (
    MOST_SAR_BITS,
    Bias,
    BlockSizes,
    ChargeDac,
    Comparator,
    CurrentDac,
    Hold,
    Integrator,
    Mirror,
    RampAdc,
    SarAdc,
    WordLineDriver,
)
from spicesim.chip.change import change_keys
from spicesim.chip.library import check_replacement, library_text, read_replacements
from spicesim.chip.model_file import has_scheme
from spicesim.chip.process import Process
from spicesim.chip.roles import Adc, Array, Cell, Dac, Rails, SenseAmplifier
from spicesim.chip.section import Section
from spicesim.coding import POLARITIES, Polarity
from spicesim.files import write_text
from spicesim.files.documents import read_toml, validate
from spicesim.gate import BLOCK_CARDS, require_circuit, require_line
from spicesim.own_code import is_own, require_trusted
from spicesim.trust import require_near

LEAST_WINDOW, LONGEST_WINDOW = 32e-9, 20e-6
"""Times for all pulses [s]: integrators are calibrated by the steady currents of half of the shortest."""

__all__ = ["Chip", "Library", "format_chip", "load_chip", "save_chip"]


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

    later: ClassVar[frozenset[str]] = frozenset({"rails", "bias"})

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
    rails: Rails = Rails()
    bias: Bias = Bias()
    comparator: Comparator = Comparator()
    hold: Hold = Hold()
    integrator: Integrator = Integrator()
    mirror: Mirror = Mirror()
    word_line_driver: WordLineDriver = WordLineDriver()
    current_dac: CurrentDac = CurrentDac()
    charge_dac: ChargeDac = ChargeDac()
    sar_adc: SarAdc = SarAdc()
    ramp_adc: RampAdc = RampAdc()

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
        elif self.adc.columns > 1 and self.adc.kind != "ideal":
            raise ValueError(
                f"adc.columns = {self.adc.columns} shares a sar converter by a multiplexer, got adc.kind = "
                f"{self.adc.kind}; set sar, or adc.columns = 1"
            )
        if self.adc.kind == "ramp":
            self._check_staircase()
        if self.sense_amplifier.kind == "voltage" and self.cell.kind not in ("1r", "1t1r"):
            why = {
                "1s1r": "selectors close before a line has settled",
                "2t2r": "a hold switch a line is calibrated on columns of cells of one device",
            }[self.cell.kind]
            raise ValueError(
                f"cells of kind {self.cell.kind} cannot drive floating bit lines, as {why}; set sense_amplifier.kind = "
                "tia, or take 1t1r or 1r cells"
            )
        self._check_pulses()
        if self.hold.adds_planes and (self.sense_amplifier.kind != "voltage" or self.dac.kind != "bits"):
            raise ValueError(
                "hold.planes = charge adds the bits of inputs as their lines float, and takes dac.kind = bits and "
                f"sense_amplifier.kind = voltage, got {self.dac.kind} and {self.sense_amplifier.kind}; set both, or "
                "hold.planes = digital"
            )
        if self.hold.is_buffered and self.sense_amplifier.kind != "voltage":
            raise ValueError(
                "hold.buffer = opamp stands behind the hold switches of floating bit lines, and takes "
                f"sense_amplifier.kind = voltage, got {self.sense_amplifier.kind}; set it, or hold.buffer = ideal"
            )
        if self.bias.is_mirrored and self.sense_amplifier.kind != "tia":
            raise ValueError(
                "bias.kind = mirrored is calibrated for amplifiers that hold bit lines, got sense_amplifier.kind = "
                f"{self.sense_amplifier.kind}; set tia, or bias.kind = ideal"
            )
        if self.rails.are_buffered and self.dac.kind != "r2r":
            raise ValueError(
                "rails.references = buffered stands behind R-2R drivers, and takes dac.kind = r2r, got "
                f"{self.dac.kind}; set it, or rails.references = ideal"
            )
        if self.cell.kind == "2t2r" and self.array.columns % 2:
            raise ValueError(f"a 2t2r cell takes two columns; make array.columns even, got {self.array.columns}")
        if self.cell.is_gated:
            self._check_gates()
        return self

    def _check_pulses(self) -> None:
        drives, reads = self.dac.kind == "pulse", self.sense_amplifier.kind == "integrator"
        if drives != reads:
            raise ValueError(
                f"pulses need integrators, which add up their charge, and integrators need pulses; got dac.kind = "
                f"{self.dac.kind} and sense_amplifier.kind = {self.sense_amplifier.kind}; set both or none"
            )
        if reads and self.cell.kind not in ("1r", "1t1r"):
            raise ValueError(
                f"cells of kind {self.cell.kind} have no integrators yet, which are calibrated on columns of 1t1r or "
                "1r cells; take those, or set sense_amplifier.kind = tia"
            )
        if reads and self.dac.window < LEAST_WINDOW:
            raise ValueError(
                f"all pulses must have {LEAST_WINDOW:g} s or more, in which lines settle; 2^dac.bits dac.unit = "
                f"{self.dac.window:g} s is too little"
            )
        if reads and self.dac.window > LONGEST_WINDOW:
            raise ValueError(
                f"all pulses must have {LONGEST_WINDOW:g} s at most, or a transient takes an hour; 2^dac.bits dac.unit "
                f"= {self.dac.window:g} s is too much"
            )

    def _check_gates(self) -> None:
        if self.dac.kind != "bits":
            raise ValueError(
                f"a gate turns its row on or off, so inputs of gates are bits, got dac.kind = {self.dac.kind}; set "
                "dac.kind = bits, or cell.inputs = word_line"
            )
        if self.sense_amplifier.kind != "tia":
            raise ValueError(
                "with inputs on the gates all word lines have one voltage, to which rows that are on would bring a bit "
                f"line that is not held, got sense_amplifier.kind = {self.sense_amplifier.kind}; set tia, or "
                "cell.inputs = word_line"
            )

    def _check_converter(self) -> None:
        sizes, reference = self.sar_adc, self.sense_amplifier.v_reference
        if self.adc.bits > MOST_SAR_BITS:
            raise ValueError(f"a sar converter has up to {MOST_SAR_BITS} bits, got adc.bits = {self.adc.bits}")
        if not sizes.dac.span / 2 < min(reference, self.process.supply - reference):
            raise ValueError(
                f"the references of the converter, sense_amplifier.v_reference -+ sar_adc.dac.span / 2 = {reference:g} "
                f"-+ {sizes.dac.span / 2:g} V, must lie within the supply, 0..{self.process.supply:g} V"
            )
        ranges = {self.sense_amplifier.output_range(polarity) for polarity in self.polarities}
        if "unipolar" in ranges and not sizes.dac.span < reference:
            raise ValueError(
                f"outputs of unipolar inputs lie below sense_amplifier.v_reference = {reference:g} V, where a "
                f"converter's range of sar_adc.dac.span = {sizes.dac.span:g} V would end below ground; lower the span, "
                "or raise the reference"
            )
        if sizes.dac.errors and len(sizes.dac.errors) != self.adc.bits:
            raise ValueError(f"sar_adc.dac.errors: wanted one for each of adc.bits = {self.adc.bits} capacitors")

    def _check_staircase(self) -> None:
        sizes, reference = self.ramp_adc, self.sense_amplifier.v_reference
        if not 3 <= self.adc.bits <= MOST_SAR_BITS:  # of two steps around an input no curve of it follows
            raise ValueError(f"a ramp converter has 3 to {MOST_SAR_BITS} bits, got adc.bits = {self.adc.bits}")
        if not sizes.span < min(reference, self.process.supply - reference):
            raise ValueError(
                f"the capacitors of the converter, sense_amplifier.v_reference -+ ramp_adc.span = {reference:g} -+ "
                f"{sizes.span:g} V, must stay within the supply, 0..{self.process.supply:g} V"
            )

    @property
    def inputs(self) -> Dac:
        """The drivers as codes of a tile see them: where bits are added as charge, those of a ladder's whole codes."""
        return self.dac.model_copy(update={"kind": "r2r"}) if self.hold.adds_planes else self.dac

    @property
    def code_bits(self) -> int:
        """Bits of the codes that a tile takes."""
        return self.inputs.code_bits

    @property
    def settings(self) -> tuple[float, ...]:
        """What a layer can choose from, ascending: output over mean current [ohm]; of floating lines the one gain, 1.

        Feedback resistances, or of an integrator the time in which all pulses lie by its capacitor.
        """
        if self.sense_amplifier.kind == "tia":
            return tuple(sorted(self.sense_amplifier.r_feedback))
        if self.sense_amplifier.kind == "voltage":
            return (1.0,)
        return (self.dac.window / self.integrator.capacitor,)

    def transresistance(self, g: Floats, setting: float) -> Floats:
        """Return the output a unit of what a column of ideal cells would carry into a ground, (columns,) [ohm].

        Parameters
        ----------
        g : ndarray of shape (rows, columns)
            Conductances of the cells [S].
        setting : float
            One of :attr:`settings`.
        """
        held = self.held_lines(g)
        return np.asarray(setting / np.where(held > 0, held, np.inf))

    def held_lines(self, g: Floats) -> Floats:
        """Return what makes of outputs those of held lines with the same setting, (columns,).

        Parameters
        ----------
        g : ndarray of shape (rows, columns)
            Conductances of the cells [S].
        """
        if self.sense_amplifier.kind == "tia":
            return np.ones(g.shape[1])
        total = np.asarray(g.sum(axis=0))
        return total if self.sense_amplifier.kind == "voltage" else 1 + self.integrator.r_input * total

    def capacitor_spread(self, farad: float, usual: float) -> float:
        """Return the relative standard deviation of a capacitor: by the matching of the process, or else the usual."""
        own = self.process.capacitor
        return own.spread(farad) if own is not None and own.matching else usual

    @property
    def converter(self) -> SarAdc | None:
        """Sizes of the column converters of kind sar; None if they are others."""
        if self.adc.kind != "sar":
            return None
        own = self.sar_adc.dac
        update = {"bits": self.adc.bits, "mismatch": self.capacitor_spread(own.unit, own.mismatch)}
        return self.sar_adc.model_copy(update={"dac": own.model_copy(update=update)})

    @property
    def has_ideal_buffers(self) -> bool:
        """Whether ideal buffers stand between read-outs and converters: no hold capacitor can drive an array."""
        return self.sense_amplifier.kind == "voltage" and not self.hold.is_buffered

    def over(self, span: float) -> Self:
        """Return the same with SAR ADCs of one span [V]; of other converters this chip."""
        return self if self.converter is None else self.model_copy(update={"sar_adc": self.sar_adc.over(span)})

    @property
    def polarities(self) -> tuple[Polarity, ...]:
        """Codings of what drivers put out; rows whose gates are driven are on or off, and have no other sign."""
        return ("unipolar",) if self.cell.is_gated else POLARITIES

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
        """Refuse model files that lie elsewhere than the file that names them, and code that it names.

        Parameters
        ----------
        folder : Path
            Where the description, plan or calibration lies; see :func:`spicesim.trust.require_near`.

        Raises
        ------
        SpecError
            If there is such a file; what is not on this machine can be read by nothing.
        """
        for key, word in (("dac.kind", self.dac.kind), ("adc.kind", self.adc.kind)):
            if is_own(word):
                require_trusted(word, key)
        for model in self.process.all_models:
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

    def changed(self, keys: Mapping[str, Any] | None = None, /, **sections: Any) -> "Chip":
        """Return a copy with some keys changed, validated: ``chip.changed({"adc.bits": 6, "array.rows": 32})``.

        Parameters
        ----------
        keys : mapping of str to value, optional
            By key as in a description's file, dots between its parts, the new value; text with a unit works too.
        **sections : dict or value
            A dict of keys for a section, ``array={"rows": 32}``, or a new value for a key of the chip itself.

        Raises
        ------
        SpecError
            As :func:`load_chip`; if there is no such key, with the nearest one.
        """
        return validate(Chip, change_keys(self, {**(keys or {}), **sections}), "chip")


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
        for part in (process, process.get("resistor"), process.get("capacitor")):
            models = part.get("models") if isinstance(part, dict) else None
            for model in models if isinstance(models, list) else ():
                if isinstance(model, dict) and isinstance(model.get("path"), str) and not has_scheme(model["path"]):
                    model["path"] = _from(folder, model["path"], "process.models")
        if isinstance(process.get("osdi"), list) and all(isinstance(file, str) for file in process["osdi"]):
            process["osdi"] = [
                file if has_scheme(file) else _from(folder, file, "process.osdi") for file in process["osdi"]
            ]
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
    for name, meaning in Chip.meanings().items():
        value = getattr(chip, name)
        value = value.path if isinstance(value, Library) else value
        if name in chip._as_drawn():
            continue
        if isinstance(value, Section):
            document.add(tomlkit.nl())
            document.add(tomlkit.comment((type(value).__doc__ or "").splitlines()[0]))
            document.add(name, _format_section(value))
            continue
        document.add(tomlkit.comment(meaning))
        if value is None:
            document.add(tomlkit.comment(f'{name} = "my_{name}"'))
        else:
            document.add(name, tomlkit.item(value))
    return tomlkit.dumps(document) + _format_blocks(chip)


def _format_blocks(chip: Chip) -> str:
    """Format the blocks that have their sizes by default, as comments to be uncommented."""
    lines = [
        "",
        "# Other blocks (spicesim characterise) have the sizes below; uncomment what you change.",
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
    table, meanings = tomlkit.table(), section.meanings()
    fields = type(section).model_fields.items()
    # in TOML all that follows a table belongs to it
    for name, field in sorted(fields, key=lambda pair: isinstance(getattr(section, pair[0]), Section)):
        value = getattr(section, name)
        if value is None or (name in section.later and isinstance(value, Section) and value == field.default):
            continue  # nothing to say
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
            table.add(name, tomlkit.item(value).comment(meanings[name]))
            continue
        table.add(tomlkit.comment(meanings[name]))
        table.add(name, value)
    return table


def save_chip(chip: Chip, path: str | Path) -> None:
    """Write a chip description, atomically."""
    write_text(path, format_chip(chip))
