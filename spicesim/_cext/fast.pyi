from typing import Any

import numpy as np
import numpy.typing as npt

_Singles = npt.NDArray[np.float32]
_Integers = npt.NDArray[np.int32]

def evaluate(
    v: npt.NDArray[np.floating[Any]],
    centre: float,
    half: float,
    features: _Singles,
    exponents: _Integers,
    orders: _Integers,
    constants: _Singles,
    weights: _Singles,
    threads: int,
    out: npt.NDArray[np.floating[Any]],
) -> float: ...
