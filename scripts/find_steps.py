"""Find steps of drawn SAR converters alone by their codes, and how far from the model's they lie.

Each step, over the widest span, is enclosed between an input that has its code and one that has not, down to 20 uV.
How long decisions took, which tells of nominal converters from a conversion each (`tell_codes.py`), tells another
distance of each drawn comparator::

    python scripts/find_steps.py CAL.json --converters 12 --steps 8 --conditions home,ss:85

One row a condition and coding. Needs the aspects converter and mismatch, and climate for conditions; without
`--converters` those of the nominal chip are looked at. Takes ngspice six conversions a step, of half a second or two.
"""

import argparse
from functools import partial

import numpy as np

from spicesim.behavioural.sar import SarModel
from spicesim.calibration.calibration import load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import conversions, read_outputs
from spicesim.draws import CONVERTER, ChipDraw

HOME, PLACE = "home", "steps"
REACH, ROUNDS, POINTS = 600e-6, 6, 2**20
HEAD = ("condition", "coding", "steps", "rms [uV]", "at most [uV]", "of a converter's mean, rms [uV]",
        "codes the model's by that [%]")  # fmt: skip


def errors(there, polarity, count, steps, seed, campaign):
    """Return how far above the model's steps those of the transistors lie, (converters, steps) [V]."""
    chip, model, rng = there.chip, there.require_converter(), np.random.default_rng(seed)
    adc, draws = model.range(polarity), [None]
    if count:
        draw = ChipDraw(seed, PLACE)
        adc = model.on_chip(there.require_mismatch(), chip, polarity, np.arange(count), draw)
        draws = [partial(_device, draw, k) for k in range(count)]
    volts = np.linspace(adc.low, adc.high, POINTS)
    codes = adc.codes(np.repeat(volts[:, None], len(draws), axis=1)).T
    wanted = [rng.choice(np.unique(own)[2:-2], steps, replace=False) for own in codes]
    model_steps = np.stack([volts[np.searchsorted(own, chosen)] for own, chosen in zip(codes, wanted, strict=True)])
    low, high = (np.full(model_steps.shape, side) for side in (-REACH, REACH))
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        inputs = model_steps + middle
        built = [conversions(chip, polarity, own, draw) for own, draw in zip(inputs, draws, strict=True)]
        results = iter(campaign.run([one for group in built for one in group], "steps"))
        found = [read_outputs([next(results) for _ in group], chip) for group in built]
        above = np.stack(found) >= np.stack(wanted)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def _device(draw, converter, path):
    return draw(f"{CONVERTER}_{converter}.{path}")


def main():
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calibration", metavar="CAL.json")
    parser.add_argument("--converters", type=int, default=0, help="drawn ones; by default the nominal one alone")
    parser.add_argument("--steps", type=int, default=8, help="of each")
    parser.add_argument("--conditions", default=HOME, help="corner and temperature [C] of each, such as home,ss:85")
    parser.add_argument("--seed", type=int, default=5, help="of the chip and of the steps")
    parser.add_argument("--jobs", type=int, help="simulations at a time")
    wanted = parser.parse_args()
    own, campaign = load_calibration(wanted.calibration), Campaign(jobs=wanted.jobs)
    if not isinstance(own.require_converter(), SarModel):
        parser.error("the calibration's converters are no successive-approximation ADCs; set adc.kind = sar")
    print(f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", sep="\n", flush=True)
    for condition in wanted.conditions.split(","):
        there = own
        if condition != HOME:
            corner, celsius = condition.split(":")
            there = own.at(corner=corner, temperature_c=float(celsius))
        model = there.require_converter()
        for polarity in model.searches:
            off = errors(there, polarity, wanted.converters, wanted.steps, wanted.seed, campaign)
            same = 100 * (1 - np.abs(off).mean() * 2**model.bits / model.span)
            row = [condition.replace(":", ", "), polarity, off.size]
            beyond = np.abs(off).max() > REACH * (1 - 1.5 / 2**ROUNDS)  # the step was on neither side
            row += [f"{1e6 * np.sqrt((off**2).mean()):.0f}", f"{'>' if beyond else ''}{1e6 * np.abs(off).max():.0f}"]
            row += [f"{1e6 * np.sqrt((off.mean(axis=1) ** 2).mean()):.0f}", f"{same:.1f}"]
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
