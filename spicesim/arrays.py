"""Types of arrays, for signatures: what a number is; shapes and units stand in docstrings."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Bools", "Codes", "Complexes", "Floats", "Integers", "Names", "Reals", "Shorts", "Singles"]

Floats = npt.NDArray[np.float64]
"""Numbers in double precision."""
Singles = npt.NDArray[np.float32]
"""Numbers in single precision."""
Reals = npt.NDArray[np.floating[Any]]
"""Numbers in either precision."""
Complexes = npt.NDArray[np.complex128]
"""Phasors."""
Codes = npt.NDArray[np.int64]
"""Codes of converters."""
Integers = npt.NDArray[np.int64]
"""Counts, indices and seeds."""
Shorts = npt.NDArray[np.int32]
"""Small integers of kernels, such as exponents."""
Bools = npt.NDArray[np.bool_]
"""What holds and what does not."""
Names = npt.NDArray[np.str_]
"""Names, as of nodes."""
Array = npt.NDArray[Any]
"""Anything that a network hands on."""
