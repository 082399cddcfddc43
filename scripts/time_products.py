"""Time products of random cells by the engine fast, side by side: what one macro takes of what another does.

Each calibration is of one chip, and ratios are to the first; both codings of each are timed, on one thread::

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python scripts/time_products.py 1t1r.cal.json voltage.cal.json

Rounds of all of them alternate, so that what else the machine does touches all alike; a row tells the median product,
the median ratio of a round, and the time of a conversion, with what hands a line on to its converter, if the chip has
one of transistors; ideal ones reach as far as the outputs do. A product of a chip whose bits are not added in the array
is one of a single bit plane.
"""

import argparse
import time

import numpy as np

from spicesim.calibration.calibration import load_calibration
from spicesim.coding import AdcRange
from spicesim.engine import HandOverEngine, Tile
from spicesim.engine.choice import build_engine

HEAD = ("chip", "coding", "product [us]", "times the first", "conversion [ns]", "form")


def prepare(path, size, vectors, seed):
    """Return name, coding, codes, tile ready to run, and whether it converts, for each coding of a chip."""
    calibration = load_calibration(path)
    chip, converter = calibration.chip, calibration.require_converter()
    rng = np.random.default_rng(seed)
    g = rng.uniform(*calibration.conductance_range, (size, size))
    codes = rng.integers(0, 2**chip.code_bits, (vectors, size))
    for polarity in chip.polarities:
        if converter is None:
            volts = calibration.tile(g, polarity, chip.settings[0]).solve(codes).v_out
            adc = AdcRange(low=float(volts.min()), high=float(volts.max()), bits=chip.adc.bits)
        else:
            adc = converter.range(polarity)
        tile = Tile(name="a", g=g, polarity=polarity, r_feedback=chip.settings[0], adc=adc)
        engine = build_engine(
            "fast", calibration, simulator=None, jobs=1, tolerance=None, mismatch_seed=None, t_read=None, shelf=None
        )
        ready = HandOverEngine.of(engine, calibration).prepare(tile)
        yield chip.name, polarity, codes, ready, converter is not None


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibrations", metavar="CAL.json", nargs="+")
    parser.add_argument("--size", type=int, default=128, help="rows and columns")
    parser.add_argument("--vectors", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    works = [work for path in wanted.calibrations for work in prepare(path, wanted.size, wanted.vectors, wanted.seed)]
    times = np.zeros((wanted.rounds, len(works), 2))
    for k in range(-1, wanted.rounds):  # one round to warm up
        for j, (_, _, codes, ready, converts) in enumerate(works):
            start = time.perf_counter()
            volts = ready.mvm(codes)
            middle = time.perf_counter()
            if converts:
                ready.adc.codes(ready.received(codes, volts))
            times[max(k, 0), j] = middle - start, time.perf_counter() - middle
    first = {polarity: j for j, (_, polarity, *_) in reversed(list(enumerate(works)))}
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for j, (name, polarity, _, ready, converts) in enumerate(works):
        product, conversion = np.median(times[:, j], axis=0) / wanted.vectors
        ratio = np.median(times[:, j, 0] / times[:, first[polarity], 0])
        converted = f"{1e9 * conversion / wanted.size:.1f}" if converts else ""
        print(f"| {name} | {polarity} | {1e6 * product:.1f} | {ratio:.2f} | {converted} | {ready.form} |")


if __name__ == "__main__":
    main()
