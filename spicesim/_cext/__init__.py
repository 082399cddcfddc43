"""Compiled kernels; not for users. Sources and method: the folder cext."""

from importlib.util import find_spec

if find_spec(f"{__name__}.fast") is None:
    raise ImportError(
        f"spicesim was not built for this Python: {__path__[0]} holds no compiled kernels; in a checkout run "
        "scripts/setup and use .venv/bin/python, elsewhere run: pip install spicesim"
    )
