"""Where Ctrl-C ends a command, at any moment."""

import os
import signal
import sys
from typing import Any

__all__ = ["INTERRUPTED", "stop"]

INTERRUPTED = "interrupted; finished simulations are kept, so the same command goes on from there"


def stop(number: int, frame: Any) -> None:
    """End the process and all simulations that it started, in one line.

    A KeyboardInterrupt would be lost in the places where Python lets no exception through, such as the end of an
    import or of an object. Files are there whole or not at all, so nothing is left half done.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_all = getattr(sys.modules.get("spicesim.ngspice.batch"), "end_all", None)
    if end_all is not None:
        end_all()
    os.write(2, f"{os.linesep if os.isatty(2) else ''}{INTERRUPTED}\n".encode())
    os._exit(130)
