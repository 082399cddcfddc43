"""Transistors of a process in a netlist: model files, and library blocks with the process's device names."""

import math
import re
from pathlib import Path

from spicesim.chip import Chip, Process
from spicesim.chip.model_file import ModelFile
from spicesim.errors import SpecError
from spicesim.netlist.expression import read_number
from spicesim.netlist.passives import with_passives
from spicesim.netlist.subcircuits import join_lines
from spicesim.units import spice_number

__all__ = ["block_text", "circuit_text", "model_files", "model_section", "start_up_lines"]

_TRANSISTOR = re.compile(r"^(m\w*)(\s+(?:\S+\s+){4})(nch|pch)(\b.*)$", re.MULTILINE)
_WIDTH = re.compile(r"\bw=(?:\{([^}]*)\}|(\S+))")

_MEMORY = re.compile(r"cell_|rram|pcm|ecram|resistor$|selector$")
"""Blocks whose resistors and capacitors are what is programmed, or a state."""
DIFFUSION = 0.85e-6
"""Length of source and drain diffusions of the generic process, 2.4 gates and a contact of .35 um [m].

Level-1 models know no layout: without areas and perimeters their junctions have no capacitance.
"""


def model_section(process: Process) -> str:
    """Format the lines that load the transistor models and set the temperature; cards of the library stand in full."""
    lines = [f"* transistor models: {process.name}"]
    for model in process.all_models:
        path = model.resolve()
        if model.path.startswith("library:"):
            lines.append(path.read_text(encoding="utf-8").rstrip("\n"))
        else:
            lines.append(f".lib '{path}' {model.section}" if model.section else f".include '{path}'")
    lines.append(f".temp {spice_number(process.temperature_c)}")
    return "\n".join(lines)


def model_files(process: Process) -> tuple[Path, ...]:
    """Find the model files of a process on this machine, each once."""
    found = [model.resolve() for model in process.all_models] + list(process.osdi_files)
    found += [ModelFile(path=source).resolve() for source in process.sources]
    return tuple(dict.fromkeys(found))


def start_up_lines(process: Process) -> tuple[str, ...]:
    """Return the lines that ngspice's start-up file needs for this process.

    A Verilog-A model that is compiled on first use stands there by its source, "osdi package:NAME/FILE.va".
    """
    compiled = (f"osdi {file.resolve()}" for file in process.osdi_files)
    return (*process.spiceinit, *compiled, *(f"osdi {source}" for source in process.sources))


def circuit_text(text: str, chip: Chip) -> str:
    """Return subcircuits with their transistors `nch` and `pch` renamed to those of the chip's process.

    If the process has resistors or capacitors, these stand in the place of ideal ones. With ``process.call = "X"``
    the ``m`` lines become subcircuit calls; with ``process.fingers`` wide transistors are cut into fingers. Transistors
    of the generic process get the areas of their junctions, by :data:`DIFFUSION`.
    """
    return with_passives(_with_transistors(text, chip), chip.process)


def _with_transistors(text: str, chip: Chip) -> str:
    process = chip.process
    prefix = "x" if process.call == "X" else ""
    names = {"nch": process.nmos, "pch": process.pmos}
    generic = any(model.path.startswith("library:") for model in process.models)

    def render(found: re.Match[str]) -> str:
        sizes = _junctions(found[4]) if generic else found[4]
        before, sizes = _fingers(found[1], sizes, process)
        return f"{before}{prefix}{found[1]}{found[2]}{names[found[3]]}{sizes}"

    return _TRANSISTOR.sub(render, text).rstrip("\n")


def block_text(name: str, chip: Chip, **defaults: float) -> str:
    """Return a subcircuit of the chip's library, as :func:`circuit_text`.

    Parameters
    ----------
    name : str
        File name in the library without ``.cir``.
    chip : Chip
        Whose library and transistors to use.
    **defaults : float
        Defaults of the subcircuit's parameters, to stand in place of the library's.

    Raises
    ------
    SpecError
        If the library has no such file, or the subcircuit no such parameter.
    """
    place = _with_transistors if _MEMORY.match(name) else circuit_text
    text = place(chip.library_text(f"{name}.cir"), chip)
    if defaults:
        text = "\n".join(join_lines(text))
    for parameter, value in defaults.items():
        text, count = re.subn(
            rf"^(\.subckt .*\s{parameter}=)\S+", rf"\g<1>{spice_number(value)}", text, count=1, flags=re.MULTILINE
        )
        if not count:
            raise SpecError(f"subcircuit {name} of the library has no parameter {parameter!r}")
    return text


def _fingers(transistor: str, sizes: str, process: Process) -> tuple[str, str]:
    """Cut a transistor wider than the models cover into as few fingers as they do cover.

    Returns
    -------
    before, sizes : str
        A line for before it, or nothing; and its sizes. Their number is a parameter of its own: beside ``w={2.5*w}``
        ngspice would take its ``w`` for the width of the transistor.
    """
    found = _WIDTH.search(sizes)
    if not process.fingers or found is None or re.search(rf"\b{process.fingers}=", sizes):
        return "", sizes
    widest = process.max_width * (1 + 1e-6)  # one finger of just that width is no matter of rounding
    if found[1] is None:
        number = math.ceil(read_number(found[2]) / widest)
        return "", sizes if number == 1 else f"{sizes} {process.fingers}={number}"
    name = f"{process.fingers}_{transistor}"
    return f".param {name}={{floor(({found[1]})/{widest:.7g})+1}}\n", f"{sizes} {process.fingers}={{{name}}}"


def _junctions(sizes: str) -> str:
    """Add areas and perimeters of both diffusions to a transistor's sizes: ``w DIFFUSION``, ``2 (w + DIFFUSION)``."""
    found = _WIDTH.search(sizes)
    if found is None or re.search(r"\b(ad|as|pd|ps)=", sizes):
        return sizes
    if found[1] is None:
        width = read_number(found[2])
        area, perimeter = (f"{x:.6g}" for x in (width * DIFFUSION, 2 * (width + DIFFUSION)))
    else:
        width_text = found[1] if found[1].isidentifier() else f"({found[1]})"
        area = f"{{{width_text}*{DIFFUSION:g}}}"
        perimeter = f"{{2*{width_text}+{2 * DIFFUSION:g}}}"
    return f"{sizes} ad={area} as={area} pd={perimeter} ps={perimeter}"
