"""Tell what part of the codes of SAR converters alone are the model's, by conversions aimed at its steps.

Inputs lie within a small part of a step around steps that are drawn, where a wrong model shows; of codes spread over
all inputs as many differ as of these, times twice that part. So a hundred conversions tell of thousands. Arrays held
the reference before, as in macros::

    python scripts/aim_codes.py CAL.json --conversions 48 --within 0.06 --conditions home,ss:85,ff:-40

One row a condition, span and coding. Needs the aspect converter, and climate for conditions. A conversion takes ngspice
a second.
"""

import argparse

import numpy as np

from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.sar import SarFit

HOME = "home"
HEAD = ("condition", "span [V]", "coding", "aimed", "differ", "worse than one off", "all codes the model's [%]",
        "from the step, at most [LSB]")  # fmt: skip


def aimed(fit, search, wanted):
    """Return the columns of a row that tell of conversions, and how far from steps they are."""
    rng, bits = np.random.default_rng(wanted.seed), fit.range(search).bits
    steps = fit.steps(search)
    places = rng.choice(steps[np.isfinite(steps)], wanted.conversions)
    off = rng.uniform(-wanted.within, wanted.within, wanted.conversions)
    inputs = places + off * 2 / 2**bits
    own = fit.range(search)
    wrong = np.abs(own.codes(-fit.volts(inputs)) - (2**bits - 1 - fit.codes(inputs)))
    differ, worse = wrong > 0, wrong > 1
    part = 100 * (1 - 2 * wanted.within * float(differ.mean()))
    return [differ.sum(), worse.sum(), f"{part:.2f}", f"{np.abs(off[differ]).max(initial=0):.3f}"]


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibration", metavar="CAL.json")
    parser.add_argument("--conversions", type=int, default=48, help="a row")
    parser.add_argument("--within", type=float, default=0.06, help="of a step [LSB]")
    parser.add_argument("--conditions", default=HOME, help="corner and temperature [C] of each, such as home,ss:85")
    parser.add_argument("--jobs", type=int, help="simulations at a time")
    parser.add_argument("--seed", type=int, default=7, help="of inputs")
    wanted = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    own, campaign = load_calibration(wanted.calibration), Campaign(jobs=wanted.jobs)
    for condition in wanted.conditions.split(","):
        there = own
        if condition != HOME:
            corner, celsius = condition.split(":")
            there = own.at(corner=corner, temperature_c=float(celsius))
        model, chip = there.require_converter(), there.chip
        for span in model.spans:
            for polarity, search in model.over(span).searches.items():
                fit = SarFit(chip.over(span), chip.over(span).converter, polarity, campaign)
                row = [condition.replace(":", ", "), f"{span:g}", polarity, wanted.conversions]
                print(f"| {' | '.join(map(str, [*row, *aimed(fit, search, wanted)]))} |", flush=True)


if __name__ == "__main__":
    main()
