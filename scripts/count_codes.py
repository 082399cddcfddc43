"""Count the codes of whole macros in ngspice that are the model's, nominal and drawn, at home and elsewhere.

Needs a calibration with the aspects converter, mismatch and climate, of a chip with a converter of transistors::

    spicesim init --preset gf180-bits -o bits.toml   # rows and columns of 16
    spicesim calibrate bits.toml --quick --aspects converter,mismatch,climate -o bits.cal.json
    python scripts/count_codes.py bits.cal.json --products 4 --chips 10 --seeds 1,11

Each row is a run of ``spicesim audit CAL.json --macros N`` for each seed, which shows its own table, too. The product
of a macro of 16x16 cells, of which 8 columns are converted, takes ngspice about a minute; products once simulated are
kept, so that an interrupted count goes on where it was.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HOME = "home"
HEAD = (
    "| condition | chips | products | codes | identical | off by one | worse | from the step, at most [LSB] "
    "| outputs, max % of full scale |"
)


def audit(where, products, chips, seed, wanted):
    """Return what an audit found, chip by chip, of the nominal one, or of so many drawn ones from a seed on."""
    words = [sys.executable, "-m", "spicesim", "audit", wanted.calibration, "--sizes", f"{wanted.size}"]
    words += [] if wanted.columns is None else ["--columns", f"{wanted.columns}"]
    words += ["--macros", f"{products}", "--jobs", f"{wanted.jobs}", "--timeout", f"{wanted.timeout}"]
    words += ["--seed", f"{seed}"]
    if where != HOME:
        corner, celsius = where.split(":")
        words += ["--corner", corner, "--temperature", celsius]
    if chips:
        words += ["--mismatch", f"{chips}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        if subprocess.run([*words, "--json", str(path)], check=False).returncode:
            sys.exit(
                f"the audit of seed {seed} at {where} failed, as told above; what was simulated is kept: run this again"
            )
        return json.loads(path.read_text())


def row(where, chips, found):
    """Return the row of a condition, of all that its audits found."""
    codes = sum(chip["codes"] for chip in found)
    same, one, worse = (
        round(sum(chip[name] * chip["codes"] for chip in found))
        for name in ("codes_identical", "codes_off_by_one", "codes_worse")
    )
    error = max(chip["max_error_full_scale"] for chip in found)
    missed = max(chip["codes_missed_by_lsb"] for chip in found)
    done = sum(chip["count"] for chip in found)
    which = f"{chips} drawn" if chips else "nominal"
    cells = [
        where.replace(":", ", "), which, done, codes, same, one, worse, f"{missed:.3f}", f"{100 * error:.4f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibration", metavar="CAL.json")
    parser.add_argument(
        "--products", type=int, default=4, help="of the nominal chip, 0 for none; drawn ones do one each"
    )
    parser.add_argument("--chips", type=int, default=10, help="drawn ones; 0 for none")
    parser.add_argument(
        "--seeds", default="1", help="of conductances and vectors; chips drawn are of seeds from each one on"
    )
    parser.add_argument("--size", type=int, default=16, help="rows and columns")
    parser.add_argument("--columns", type=int, help="columns, at most, of pulses and of bits that are added as charge")
    parser.add_argument("--conditions", default=f"{HOME},ss:85,ff:-40", help="corner and temperature [C] of each")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time")
    parser.add_argument("--timeout", type=float, default=900.0, help="longest simulation [s]")
    wanted = parser.parse_args()
    rows = []
    works = [(0, wanted.products)] if wanted.products else []
    works += [(wanted.chips, 1)] if wanted.chips else []
    for where in wanted.conditions.split(","):
        for chips, products in works:
            each = (audit(where, products, chips, seed, wanted) for seed in wanted.seeds.split(","))
            rows.append(row(where, chips, [chip for found in each for chip in found]))
    print("\n".join(["", HEAD, "|---" * HEAD.count(" | ") + "|---|", *rows]))


if __name__ == "__main__":
    main()
