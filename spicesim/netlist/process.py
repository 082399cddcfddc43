"""Transistors of a process in a netlist: model files, and library blocks with the process's device names."""

import re
from pathlib import Path

from spicesim.chip import Chip, Process
from spicesim.errors import SpecError
from spicesim.netlist.subcircuits import join_lines
from spicesim.units import spice_number

__all__ = ["block_text", "model_files", "model_section", "start_up_lines"]

_TRANSISTOR = re.compile(r"^(m\w*)(\s+(?:\S+\s+){4})(nch|pch)(\b.*)$", re.MULTILINE)


def model_section(process: Process) -> str:
    """Format the lines that load the transistor models and set the temperature; cards of the library stand in full."""
    lines = [f"* transistor models: {process.name}"]
    for model in process.models:
        path = model.resolve()
        if model.path.startswith("library:"):
            lines.append(path.read_text(encoding="utf-8").rstrip("\n"))
        else:
            lines.append(f".lib '{path}' {model.section}" if model.section else f".include '{path}'")
    lines.append(f".temp {spice_number(process.temperature_c)}")
    return "\n".join(lines)


def model_files(process: Process) -> tuple[Path, ...]:
    """Find the model files of a process on this machine, each once."""
    found = [model.resolve() for model in process.models] + list(process.osdi_files)
    return tuple(dict.fromkeys(found))


def start_up_lines(process: Process) -> tuple[str, ...]:
    """Return the lines that ngspice's start-up file needs for this process."""
    return (*process.spiceinit, *(f"osdi {file.resolve()}" for file in process.osdi_files))


def block_text(name: str, chip: Chip, **defaults: float) -> str:
    """Return a subcircuit of the chip's library with its transistors `nch` and `pch` renamed to those of the process.

    Parameters
    ----------
    name : str
        File name in the library without ``.cir``.
    chip : Chip
        Whose library and transistors to use; with ``process.call = "X"`` the ``m`` lines become subcircuit calls.
    **defaults : float
        Defaults of the subcircuit's parameters, to stand in place of the library's.

    Raises
    ------
    SpecError
        If the library has no such file, or the subcircuit no such parameter.
    """
    process = chip.process
    prefix = "x" if process.call == "X" else ""
    names = {"nch": process.nmos, "pch": process.pmos}
    text = _TRANSISTOR.sub(
        lambda found: f"{prefix}{found[1]}{found[2]}{names[found[3]]}{found[4]}", chip.library_text(f"{name}.cir")
    ).rstrip("\n")
    if defaults:
        text = "\n".join(join_lines(text))
    for parameter, value in defaults.items():
        text, count = re.subn(
            rf"^(\.subckt .*\s{parameter}=)\S+", rf"\g<1>{spice_number(value)}", text, count=1, flags=re.MULTILINE
        )
        if not count:
            raise SpecError(f"subcircuit {name} of the library has no parameter {parameter!r}")
    return text
