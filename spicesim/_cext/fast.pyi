from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
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
def interpolate(
    values: _Floats,
    slopes: _Floats,
    start: float,
    step: float,
    index: npt.NDArray[np.int64] | None,
    x: _Floats,
    threads: int,
    out: _Floats,
) -> None: ...
def couple(
    values: _Floats,
    slopes: _Floats,
    start: float,
    step: float,
    offset: float,
    resistance: float,
    low: float,
    high: float,
    polynomials: _Floats,
    tilts: _Singles | None,
    y: _Floats,
    wanted: _Floats,
    threads: int,
    current: _Floats,
) -> None: ...
def cells(coefficients: _Floats, folds: int, kappa: float, v: _Floats, u: _Floats, out: _Floats) -> None: ...
def beyond(
    coefficients: _Floats,
    folds: int,
    kappa: float,
    limits: tuple[float, float, float, float],
    parts: _Floats,
    r_word: _Floats | None,
    r_driver: _Floats | None,
    v: _Floats,
    u: _Floats,
    x: _Floats,
    start: _Singles | None,
    turns: int,
    threads: int,
    out: _Singles,
) -> None: ...
