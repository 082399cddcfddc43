"""Where a command begins, before its imports."""

import signal
import sys
import threading

from spicesim.cli.interrupt import stop

__all__ = ["main"]


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
        signal.signal(signal.SIGINT, stop)
    try:
        from spicesim.cli.main import run
    except ImportError as error:
        if "--debug" in words:
            raise
        print(f"spicesim cannot start: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    sys.exit(run(words, debug="--debug" in words))
