"""The command line: ``spicesim`` or ``python -m spicesim``."""

from spicesim.cli.entry import main

__all__ = ["main"]
