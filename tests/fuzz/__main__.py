"""The command line of ``scripts/fuzz``."""

import collections
import pkgutil
import sys
import time
from pathlib import Path

import click
from tqdm import tqdm

from fuzz.driver import load, run
from fuzz.verdict import FAILURES, KINDS


def campaigns() -> list[str]:
    modules = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return [name for name in modules if name != "__main__" and hasattr(load(name), "judge")]


@click.command(
    epilog="Example: scripts/fuzz arrays --count 10000 --seed 1. One case again: scripts/fuzz arrays --seed 1 "
    "--first 4711 --count 1. A run that was stopped goes on with --first."
)
@click.argument("campaign", type=click.Choice(campaigns()))
@click.option("--count", default=1000, show_default=True, help="Cases.")
@click.option("--seed", default=0, show_default=True, help="Another seed gives other cases.")
@click.option("--first", default=0, show_default=True, help="Number of the first case.")
@click.option("--processes", default=2, show_default=True, help="Cases at a time.")
@click.option("--limit", default=10.0, show_default=True, help="Longest processor time of a case [s].")
@click.option("--show", default=20, show_default=True, help="Failures that are printed.")
@click.option("--minimise/--no-minimise", default=True, help="Make failures as simple as possible first.")
@click.option("--refusals", is_flag=True, help="Count the messages of refusals.")
def main(
    campaign: str, count: int, seed: int, first: int, processes: int, limit: float, show: int, minimise: bool,
    refusals: bool,
) -> None:  # fmt: skip
    """Try random cases of a CAMPAIGN: each is answered rightly or refused in one clear line.

    Exit status 1 if a case is answered wrongly, crashes, or takes too long.
    """
    counts: collections.Counter[str] = collections.Counter()
    messages: collections.Counter[str] = collections.Counter()
    start = time.monotonic()
    with tqdm(total=count, unit="case", smoothing=0.05) as bar:
        for number, verdict, script in run(campaign, seed, range(first, first + count), processes, limit, minimise):
            counts[verdict.kind] += 1
            if verdict.kind == "refused":
                messages["".join("#" if c.isdigit() else c for c in verdict.detail)[:100]] += 1
            if verdict.kind in FAILURES and sum(counts[kind] for kind in FAILURES) <= show:
                bar.write(f"--- case {number} is {verdict.kind}: {verdict.detail}\n{script}\n")
            bar.update()
            bar.set_postfix({kind: counts[kind] for kind in KINDS if counts[kind]}, refresh=False)
    if refusals:
        for message, times in messages.most_common():
            click.echo(f"{times:7d}  {message}")
    told = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    click.echo(
        f"{campaign}: {told}; seed {seed}, cases {first} to {first + count - 1}; {time.monotonic() - start:.0f} s"
    )
    sys.exit(any(counts[kind] for kind in FAILURES))


if __name__ == "__main__":
    main()
