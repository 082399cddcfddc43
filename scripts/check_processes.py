"""Check whole tiles of presets at corners and temperatures of their process, each calibrated there by itself.

One row of a table for each preset and condition, as soon as it is there::

    python scripts/check_processes.py sky130-1t1r ihp130-1t1r --conditions typical:27,ss:85,ff:-40

Errors are the largest of the behavioural tile from the tile of transistors, over all held-out vectors, those that
saturate and checkerboards among them. "Load" is the operating point of one tile. Simulations are kept and cost nothing
a second time, so for times ``SPICESIM_CACHE`` has to name an empty folder. Times are of one processor.
"""

import argparse
import resource

import numpy as np

from spicesim.calibration.calibrate import run_plan
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import preset
from spicesim.errors import SpiceSimError
from spicesim.netlist import build_tile
from spicesim.ngspice.batch import BatchSimulator

HEAD = (
    "preset", "condition", "load [s]", "calibration and checks [s]", "simulations", "vectors",
    "linear, max % of full scale", "all", "claimed",
)  # fmt: skip


def processor_time():
    """Return what this process and the simulators it ran have taken [s]."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def load_time(chip):
    """Return the processor time of one operating point of a tile [s]."""
    conductances = np.full((chip.array.rows, chip.array.columns), chip.cell.g_min)
    codes = np.full(chip.array.rows, 2 ** (chip.dac.bits - 1))
    netlist = build_tile(chip, conductances, codes, polarity="unipolar", r_feedback=min(chip.settings))
    start = processor_time()
    BatchSimulator().run(netlist)
    return processor_time() - start


def check(chip, wanted):
    """Return the numbers of a row."""
    load, start = load_time(chip), processor_time()
    plan = plan_calibration(chip, aspects=(), quick=True, seed=wanted.seed, error=wanted.error)
    calibration = run_plan(plan, jobs=1, timeout=wanted.timeout)
    seconds = processor_time() - start
    errors = np.concatenate([np.abs(tile.errors).ravel() for tile in calibration.checks])
    saturated = np.concatenate([np.asarray(tile.saturated).ravel() for tile in calibration.checks])
    vectors = sum(len(tile.pattern) for tile in calibration.checks)
    told = [100 * value for value in (errors[~saturated].max(), errors.max(), calibration.verdict.claim)]
    return [f"{load:.2f}", f"{seconds:.0f}", calibration.simulations, vectors, *(f"{value:.2g}" for value in told)]


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="+", metavar="PRESET")
    parser.add_argument("--conditions", default="typical:27,ss:85,ff:-40", help="corner and temperature [C] of each")
    parser.add_argument("--size", type=int, default=16, help="rows and columns")
    parser.add_argument("--error", type=float, default=5e-5, help="wanted largest error, as a fraction of full scale")
    parser.add_argument("--seed", type=int, default=0, help="of held-out points and vectors")
    parser.add_argument("--timeout", type=float, default=900.0, help="longest simulation [s]")
    wanted = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    for name in wanted.presets:
        for condition in wanted.conditions.split(","):
            corner, celsius = condition.split(":")
            chip = preset(name).changed(array={"rows": wanted.size, "columns": wanted.size})
            try:
                row = check(chip.at(corner=corner, temperature_c=float(celsius)), wanted)
            except SpiceSimError as error:
                row = [f"failed: {error}"]
            print(f"| {' | '.join(map(str, (name, condition.replace(':', ', '), *row)))} |", flush=True)


if __name__ == "__main__":
    main()
