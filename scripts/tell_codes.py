"""Tell what part of the codes of SAR converters alone are the model's, by how far from its steps conversions end.

How long the two decisions next to an input took tells where in a step it is; a code is another where a step of the
model lies between that and where the model has it. So two dozen conversions tell what thousands of codes would. Arrays
held the reference before, as in macros::

    python scripts/tell_codes.py CAL.json --conversions 24 --conditions home,ss:85,ff:-40

One row a condition, span and coding. Needs the aspect converter, and climate for conditions. A conversion takes ngspice
a second or two.
"""

import argparse

import numpy as np

from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.sar import SarFit
from spicesim.calibration.threshold import find_delays

HOME, WITHIN = "home", 0.95
HEAD = ("condition", "span [V]", "coding", "conversions", "all codes the model's [%]", "off on average [LSB]",
        "off, at most [LSB]")  # fmt: skip


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibration", metavar="CAL.json")
    parser.add_argument("--conversions", type=int, default=24, help="a row")
    parser.add_argument("--conditions", default=HOME, help="corner and temperature [C] of each, such as home,ss:85")
    parser.add_argument("--jobs", type=int, help="simulations at a time")
    parser.add_argument("--seed", type=int, default=7, help="of inputs")
    wanted = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    own, campaign = load_calibration(wanted.calibration), Campaign(jobs=wanted.jobs)
    inputs = np.random.default_rng(wanted.seed).uniform(-WITHIN, WITHIN, wanted.conversions)
    for condition in wanted.conditions.split(","):
        there = own
        if condition != HOME:
            corner, celsius = condition.split(":")
            there = own.at(corner=corner, temperature_c=float(celsius))
        model, chip = there.require_converter(), there.chip
        (delays,) = find_delays([(chip, chip.converter)], campaign, "converter")
        for span in model.spans:
            for polarity, search in model.over(span).searches.items():
                fit = SarFit(chip.over(span), chip.over(span).converter, polarity, campaign)
                off = fit.beyond(search, fit.convert(inputs), delays)
                off = off[np.isfinite(off)]
                row = [condition.replace(":", ", "), f"{span:g}", polarity, len(off)]
                row += [f"{100 * (1 - np.abs(off).mean()):.1f}", f"{off.mean():+.3f}", f"{np.abs(off).max():.3f}"]
                print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
