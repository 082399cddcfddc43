"""Every error spicesim raises on purpose.

A message says what is wrong, what was got, what is wanted (with units) and what to do next, in one line.
"""

from reprlib import Repr

__all__ = [
    "CalibrationError",
    "ConvergenceError",
    "MappingError",
    "MissingDependencyError",
    "NetworkError",
    "SimulationConvergenceError",
    "SimulationError",
    "SimulationTimeoutError",
    "SpecError",
    "SpiceSimError",
    "StorageError",
    "ValidityError",
    "quote",
]

_QUOTED = 80
"""Most letters of a value that a message quotes."""
_repr = Repr()
_repr.maxstring = _repr.maxother = _QUOTED


def quote(value: object) -> str:
    """Return what a message shows of a value that was got: its ``repr`` on one line, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    text = " ".join(_repr.repr(value).split())
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


class SpiceSimError(Exception):
    """Base of all errors of this package."""

    exit_code = 2
    """Exit status of the command line: 2 for what the user can mend, 1 for a failed simulator or solver."""


class SpecError(SpiceSimError, ValueError):
    """An argument or a description is malformed or physically impossible."""


class MissingDependencyError(SpiceSimError):
    """A program, library or model file that the work needs is not installed."""


class SimulationError(SpiceSimError):
    """Ngspice ran and did not deliver what was asked; the message names the kept run folder."""

    exit_code = 1
    folder = ""
    """The kept run folder; empty if there is none."""


class SimulationTimeoutError(SimulationError):
    """Ngspice was stopped because it ran longer than allowed."""

    exit_code = 2


class SimulationConvergenceError(SimulationError):
    """Ngspice found no solution, or crashed looking for one."""


class ConvergenceError(SpiceSimError, ArithmeticError):
    """A numerical solver stopped before it reached its tolerance."""

    exit_code = 1


class ValidityError(SpiceSimError, ValueError):
    """A solved voltage or current lies outside the box in which its model was calibrated."""


class CalibrationError(SpiceSimError):
    """A calibration failed, is corrupt, or belongs to another chip."""


class MappingError(SpiceSimError, ValueError):
    """Weights cannot be placed on the chip's tiles."""


class NetworkError(SpiceSimError, ValueError):
    """An ONNX network or its data cannot be run as given."""


class StorageError(SpiceSimError, OSError):
    """A file could not be written or read whole."""
