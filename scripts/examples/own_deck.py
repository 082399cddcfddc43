"""A netlist of one's own with ``.measure`` lines: its data sheet at corners, and its yield by drawn chips.

The same as ``spicesim characterise --deck own_deck/amplifier.cir --limits own_deck/limits.toml`` with ``--corner ss
--corner ff --supply vdd=3,3.6``, and with ``--samples 20 --seed 1``.
"""

from pathlib import Path

from spicesim.characterise import Conditions, find_yields, judge, load_limits, measure_deck, settings
from spicesim.chip import preset
from spicesim.netlist import read_deck

FOLDER = Path(__file__).parent / "own_deck"


def main() -> None:
    """Print the worst of every limit, and what share of chips holds them all."""
    deck, chip = read_deck(FOLDER / "amplifier.cir"), preset("gf180-1t1r")
    limits = load_limits(FOLDER / "limits.toml")
    places = settings(["ss", "ff"], supplies={"vdd": [3.0, 3.6]})
    verdicts = judge(measure_deck(deck, chip, places, Conditions()), limits)
    for verdict in verdicts:
        print(
            f"{verdict.entry.text}: {verdict.words}; worst {verdict.entry.format_value(verdict.value)}, {verdict.where}"
        )
    assert all(verdict.is_met for verdict in verdicts)

    (found,) = find_yields(measure_deck(deck, chip, settings(), Conditions(samples=20, seed=1)), limits)
    low, high = found.interval
    print(f"{found.passed} of {found.samples} chips hold all limits: {100 * low:.0f} to {100 * high:.0f} % of all")
    print(f"the worst: spicesim netlist deck amplifier.cir --mismatch 1 --sample {found.worst} --analysis dc")
    assert found.passed > found.samples / 2


if __name__ == "__main__":
    main()
