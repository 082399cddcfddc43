"""Arrays of floats as fields of validated models: finite, read-only, written to JSON as lists."""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

__all__ = ["FloatArray", "Floats", "Model"]

Floats = npt.NDArray[np.float64]


def _to_array(value: Any) -> Floats:
    try:
        array = np.array(value)
    except (ValueError, TypeError, OverflowError):  # ragged, or too deep
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise ValueError("must be an array of numbers, all of its lists of one length")
    array = array.astype(float)
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
