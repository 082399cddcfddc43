"""A second wall around ngspice: where the kernel offers it, it can start no program and write in its own folder only.

The first wall, :mod:`spicesim.gate`, lets no command through to it. Should one ever pass, this one holds: Landlock,
set by setpriv of util-linux 2.40 or newer, denies ngspice to execute anything and to write outside of its run folder.
"""

import subprocess
from functools import cache
from pathlib import Path

__all__ = ["confine"]


def confine(command: list[str], folder: Path) -> list[str]:
    """Return the command that runs `command` confined to a folder; the command as it is, where that cannot be had."""
    return [*_wall(command[0], str(folder)), *command] if _works(command[0]) else command


def _wall(program: str, folder: str) -> list[str]:
    loaders = [str(path) for place in ("/lib", "/lib64") for path in Path(place).glob("ld-*.so*")]
    rules = [
        "read-file,read-dir:/",
        *(f"execute:{path}" for path in (program, *loaders)),
        f"write-file,make-reg,remove-file,truncate:{folder}",
        "write-file,make-reg:/tmp",  # ngspice keeps the circuit in a file without a name
        "write-file:/dev/null",
    ]
    words = [word for rule in rules for word in ("--landlock-rule", f"path-beneath:{rule}")]
    return ["setpriv", "--no-new-privs", "--landlock-access", "fs", *words, "--"]


@cache
def _works(program: str) -> bool:
    """Whether this machine can confine this program; a script, which needs others, is not confined."""
    try:
        with Path(program).open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return False
        subprocess.run([*_wall(program, "/tmp"), program, "--version"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
