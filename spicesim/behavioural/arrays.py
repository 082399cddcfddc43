"""Arrays of floats as fields of validated models: finite, read-only, written to JSON as lists."""

from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from spicesim.gate import require_line

__all__ = ["FloatArray", "Floats", "Model"]

Floats = npt.NDArray[np.float64]


def _to_array(value: Any) -> Floats:
    array = np.array(value, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError("must hold finite numbers only")
    array.flags.writeable = False
    return array


FloatArray = Annotated[
    np.ndarray[Any, np.dtype[np.float64]], BeforeValidator(_to_array), PlainSerializer(np.ndarray.tolist)
]
"""Type of an array field."""


class Model(BaseModel):
    """Base of the calibrated block models: frozen, strict, JSON both ways without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, use_attribute_docstrings=True)

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        """Refuse text that would take control of a terminal or a page."""
        for name, value in self.__dict__.items():
            _require_lines(value, name)
        return self


def _require_lines(value: Any, what: str) -> None:
    if isinstance(value, str):
        require_line(value.replace("\n", " ").replace("\t", " "), what, longest=100_000)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _require_lines(key, what)
            _require_lines(entry, what)
    elif isinstance(value, tuple) and value and isinstance(value[0], str | tuple):
        for entry in value:
            _require_lines(entry, what)
