import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Reals = npt.NDArray[np.float64] | npt.NDArray[np.float32]
_Integers = npt.NDArray[np.int64]

def march_linear(
    slope: _Floats,
    share: _Floats,
    r_word: _Floats,
    r_bit: _Floats,
    r_head: _Floats,
    head: _Floats,
    tail: _Floats | None,
    top_u: _Floats,
    top_i: _Floats,
    v: _Floats,
    top: _Floats | None,
    feet: _Floats,
    currents: _Floats,
    row_currents: _Floats,
) -> None: ...
def march(
    coefficients: _Reals,
    slope: _Reals,
    share: _Reals,
    r_word: _Reals,
    r_bit: _Reals,
    r_head: _Reals,
    head: _Reals,
    tail: _Reals | None,
    top_u: _Reals,
    top_i: _Reals,
    r_sense: _Reals,
    correction: _Reals,
    response: _Reals,
    row_response: _Reals,
    guess: _Reals,
    profile: _Reals,
    bounds: tuple[float, float, float],
    tolerance: float,
    step_limit: int,
    threads: int,
    v: _Floats,
    currents: _Floats,
    top_currents: _Floats,
    row_currents: _Floats,
    residual: _Floats,
    extents: _Floats,
    steps: _Integers,
    word: _Floats | None,
    bit: _Floats | None,
) -> None: ...
