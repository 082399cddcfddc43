from spicesim.arrays import Codes, Floats, Shorts

def convert(
    volts: Floats,
    middle: float,
    half: float,
    beyond: float,
    curve: Floats,
    steps: Floats,
    lines: Floats,
    which: Shorts,
    out: Codes,
) -> None: ...
