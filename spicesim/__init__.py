"""Circuit-level SPICE co-simulation of analog in-memory computing.

One chip description gives netlists, a calibration against ngspice, and networks run at circuit fidelity:

>>> import spicesim
>>> chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
>>> calibration = spicesim.calibrate(chip, quick=True)  # doctest: +SKIP
>>> network = spicesim.compile_network("model.onnx", calibration)  # doctest: +SKIP
"""

from importlib import import_module as _import
from typing import TYPE_CHECKING
from typing import Any as _Any

from spicesim import _cext as _cext  # says at once if it was not built

if TYPE_CHECKING:
    from spicesim import cells, errors, netlist
    from spicesim.audit import audit_samples
    from spicesim.calibration.calibrate import calibrate, calibrate_from
    from spicesim.calibration.calibration import Calibration, load_calibration
    from spicesim.chip import Chip, load_chip, preset, save_chip
    from spicesim.crossbar import Crossbar
    from spicesim.engine import ExactEngine, IdealEngine, NgspiceEngine
    from spicesim.experiment.plan import RunPlan, load_plan
    from spicesim.experiment.run import run
    from spicesim.network import Network, compile_network
    from spicesim.study.explore import explore

    __version__: str

__all__ = [
    "Calibration",
    "Chip",
    "Crossbar",
    "ExactEngine",
    "IdealEngine",
    "Network",
    "NgspiceEngine",
    "RunPlan",
    "audit_samples",
    "calibrate",
    "calibrate_from",
    "cells",
    "compile_network",
    "errors",
    "explore",
    "load_calibration",
    "load_chip",
    "load_plan",
    "netlist",
    "preset",
    "run",
    "save_chip",
]

_HOMES = {
    "audit": ["audit_samples"],
    "calibration.calibrate": ["calibrate", "calibrate_from"],
    "calibration.calibration": ["Calibration", "load_calibration"],
    "chip": ["Chip", "load_chip", "preset", "save_chip"],
    "crossbar": ["Crossbar"],
    "engine": ["ExactEngine", "IdealEngine", "NgspiceEngine"],
    "experiment.plan": ["RunPlan", "load_plan"],
    "experiment.run": ["run"],
    "network": ["Network", "compile_network"],
    "study.explore": ["explore"],
}
"""Modules of the public names. Each is imported when one of its names is asked for: all together take a second."""


def __getattr__(name: str) -> _Any:
    """Import what a public name stands for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("spicesim")
    if home := next((home for home, names in _HOMES.items() if name in names), None):
        return getattr(_import(f"spicesim.{home}"), name)
    if name in __all__:
        return _import(f"spicesim.{name}")
    raise AttributeError(f"module 'spicesim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
