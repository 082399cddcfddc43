"""Models of sense amplifiers by their feedback resistance."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from spicesim.errors import CalibrationError

__all__ = ["find_amplifier"]


class _OfAmplifier(Protocol):
    @property
    def r_feedback(self) -> float: ...


M = TypeVar("M", bound=_OfAmplifier)


def find_amplifier(models: Iterable[M], r_feedback: float, what: str) -> M:
    """Return the model of the amplifiers with a feedback resistance [ohm]; `what` names the model in the error.

    Raises
    ------
    CalibrationError
        If they were not calibrated.
    """
    models = tuple(models)
    for model in models:
        if abs(model.r_feedback - r_feedback) <= 1e-9 * r_feedback:
            return model
    choices = ", ".join(f"{model.r_feedback:g}" for model in models) or "none"
    raise CalibrationError(
        f"no {what} of {r_feedback:g} ohm is calibrated; choose one of {choices} ohm, "
        "or add it to sense_amplifier.r_feedback and calibrate again"
    )
