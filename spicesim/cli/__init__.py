"""The command line: ``spicesim`` or ``python -m spicesim``."""

from spicesim.cli.main import main

__all__ = ["main"]
