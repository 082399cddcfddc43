"""Where a command begins, before its imports, and where Ctrl-C ends it at any moment."""

import os
import signal
import sys
import threading
from typing import Any

__all__ = ["main"]

INTERRUPTED = "interrupted; finished simulations are kept, so the same command goes on from there"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : list of str, optional
        Words after the program's name; by default those of the process, which Ctrl-C then ends without a traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    in_main = threading.current_thread() is threading.main_thread()
    if arguments is None and in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    try:
        from spicesim.cli.main import run
    except ImportError as error:
        if "--debug" in words:
            raise
        print(f"spicesim cannot start: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    sys.exit(run(words, debug="--debug" in words))


def _stop(number: int, frame: Any) -> None:
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
