import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]
_Port = tuple[_Floats | None, _Floats | None, float, float]

def solve_batch(
    v: _Floats,
    r_word: _Floats,
    r_bit: _Floats,
    r_driver: _Floats,
    r_sense: _Floats,
    coefficients: _Floats,
    folds: int,
    kappa: float,
    limits: tuple[float, float, float, float],
    drivers: _Port,
    driver_index: _Integers | None,
    senses: _Port,
    sense_index: _Integers,
    mask: _Floats | None,
    tolerance: float,
    newton_limit: int,
    threads: int,
    currents: _Floats,
    row_currents: _Floats,
    residual: _Floats,
    extents: _Floats,
    steps: _Integers,
    worst: _Integers,
    cell_voltages: _Floats | None,
    bit_line_voltages: _Floats | None,
) -> None: ...
