from spicesim.arrays import Floats, Integers

_Port = tuple[Floats | None, Floats | None, float, float]

def solve_batch(
    v: Floats,
    r_word: Floats,
    r_bit: Floats,
    r_driver: Floats,
    r_sense: Floats,
    coefficients: Floats,
    folds: int,
    kappa: float,
    selector: tuple[float, float],
    limits: tuple[float, float, float, float],
    drivers: _Port,
    driver_index: Integers | None,
    senses: _Port,
    sense_index: Integers,
    mask: Floats | None,
    tolerance: float,
    newton_limit: int,
    threads: int,
    currents: Floats,
    row_currents: Floats,
    residual: Floats,
    extents: Floats,
    steps: Integers,
    worst: Integers,
    cell_voltages: Floats | None,
    bit_line_voltages: Floats | None,
) -> None: ...
