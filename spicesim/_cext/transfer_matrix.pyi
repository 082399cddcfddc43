import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

def transfer_matrix(
    g: _Floats, r_word: _Floats, r_bit: _Floats, r_driver: _Floats, r_sense: _Floats, t: _Floats
) -> int: ...
