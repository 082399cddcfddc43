"""Types of arrays, for signatures: what a number is; shapes and units stand in docstrings."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Codes", "Floats", "Integers", "Singles"]

Floats = npt.NDArray[np.float64]
"""Numbers in double precision."""
Singles = npt.NDArray[np.float32]
"""Numbers in single precision."""
Codes = npt.NDArray[np.int64]
"""Codes of converters."""
Integers = npt.NDArray[np.int64]
"""Counts, indices and seeds."""
Array = npt.NDArray[Any]
"""Anything that a network hands on."""
