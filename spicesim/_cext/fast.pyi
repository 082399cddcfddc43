from spicesim.arrays import Floats, Integers, Reals, Shorts, Singles

def evaluate(
    v: Reals,
    centre: float,
    half: float,
    features: Singles,
    exponents: Shorts,
    orders: Shorts,
    constants: Singles,
    weights: Singles,
    threads: int,
    out: Reals,
) -> float: ...
def feet(
    sums: Singles,
    rank: int,
    terms: int,
    tilts: int,
    steps: int,
    middle: Singles,
    half: float,
    threads: int,
    out: Singles,
) -> None: ...
def interpolate(
    values: Floats,
    slopes: Floats,
    start: float,
    step: float,
    index: Integers | None,
    x: Floats,
    threads: int,
    out: Floats,
) -> None: ...
def couple(
    values: Floats,
    slopes: Floats,
    start: float,
    step: float,
    offset: float,
    resistance: float,
    low: float,
    high: float,
    polynomials: Floats,
    tilts: Singles | None,
    y: Floats,
    wanted: Floats,
    threads: int,
    current: Floats,
) -> None: ...
def cells(coefficients: Floats, folds: int, kappa: float, v: Floats, u: Floats, out: Floats) -> None: ...
def beyond(
    coefficients: Floats,
    folds: int,
    kappa: float,
    limits: tuple[float, float, float, float],
    parts: Floats,
    r_word: Floats | None,
    r_driver: Floats | None,
    v: Floats,
    u: Floats,
    x: Floats,
    start: Singles | None,
    turns: int,
    threads: int,
    out: Singles,
) -> None: ...
