"""Data sheet of the StrongARM comparator: delay, kickback, energy, and its offset by bisection."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Bools, Floats
from spicesim.characterise.bench import Bench, Conditions, Measurement, waves
from spicesim.characterise.sheet import Panel, Spread, draw_panels, entry
from spicesim.characterise.waveform import crossing, integral
from spicesim.chip import Chip
from spicesim.chip.blocks import Comparator
from spicesim.draws import ChipDraw
from spicesim.errors import ValidityError
from spicesim.netlist.comparator import Clock, build_comparators
from spicesim.netlist.mismatch import Draw, read_mismatch, with_mismatch
from spicesim.ngspice.outcome import Results

__all__ = ["comparator_bench", "find_offsets", "sample_draws"]

_OVERDRIVES = np.array([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1])
_SOURCE = 1e3
_SEARCH = Clock(period=3e-9, step=10e-12)
"""A short clock: decisions count, not levels."""

_TRIES = 9
"""Halvings of the searched range: to 1/512 of it."""


def comparator_bench(chip: Chip, sizes: Comparator | None = None) -> Bench:
    """Build the testbench of the StrongARM comparator."""
    sizes = sizes or chip.comparator
    two = Clock(cycles=2, step=50e-12)
    netlists = {
        "delay": build_comparators(chip, _OVERDRIVES, sizes=sizes),
        "kickback": build_comparators(chip, [10e-3], sizes=sizes, r_source=_SOURCE),
        "energy": build_comparators(chip, [10e-3], sizes=sizes, clock=two),
    }

    def measure(results: Mapping[str, Results]) -> Measurement:
        @cache
        def delays() -> Floats:
            found = waves(results["delay"])
            time, half = found["time"], chip.process.supply / 2
            start = crossing(time, found["v(clk)"], half, rising=True)
            differences = [found[f"v(outp_{k})"] - found[f"v(outn_{k})"] for k in range(len(_OVERDRIVES))]
            return np.array([crossing(time, difference, half) - start for difference in differences])

        def delay(k: int) -> float:
            if not np.isfinite(delays()[k]):
                raise ValidityError("the comparator does not decide within half its clock; widen its transistors")
            return float(delays()[k])

        def kickback(sign: int, scale: float) -> float:
            kicked = waves(results["kickback"])
            wave = scale * (kicked["v(inp_0)"] + sign * kicked["v(inn_0)"])
            return float(np.abs(wave - wave[0]).max())

        def energy() -> float:
            spent = waves(results["energy"])
            begin = two.start + two.period / 2
            return integral(
                spent["time"], -chip.process.supply * spent["i(vdd)"], begin, min(begin + two.period, spent["time"][-1])
            )

        def tau() -> float:
            # the last decades are regeneration alone: the delay grows by tau ln 10 for each
            return float((delay(0) - delay(2)) / np.log(_OVERDRIVES[2] / _OVERDRIVES[0]))

        entries = (
            entry("delay_1mv", "delay at 1 mV", partial(delay, 2), "s", "to a difference of half the supply, 5 fF"),
            entry(
                "delay_100mv", "delay at 100 mV", partial(delay, -1), "s", "to a difference of half the supply, 5 fF"
            ),
            entry("tau", "regeneration time constant", tau, "s", "from 0.1 and 1 mV"),
            entry("kickback", "kickback, difference", partial(kickback, -1, 1.0), "V", "1 kohm sources"),
            entry("kickback_common", "kickback, common", partial(kickback, 1, 0.5), "V", "1 kohm sources"),
            entry("energy", "energy a decision", energy, "J", "10 mV, with reset, from vdd"),
        )

        def curve() -> Panel:
            decided = np.isfinite(delays())
            return Panel(
                title="delay", x=_OVERDRIVES[decided], x_label="overdrive [V]", curves={"delay": delays()[decided]},
                y_label="delay [s]", logarithmic=True,
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(curve))

    def extra(chip: Chip, conditions: Conditions) -> Measurement:
        if not conditions.samples:
            return Measurement(entries=())
        draws = [ChipDraw(conditions.seed, str(sample)) for sample in range(conditions.samples)]

        @cache
        def spread() -> Spread:
            offsets = find_offsets(chip, draws, conditions, sizes=sizes)
            return Spread(
                mean=float(offsets.mean()), sigma=float(offsets.std(ddof=1)), samples=len(offsets),
                values=tuple(map(float, offsets)),
            )  # fmt: skip

        pelgrom = read_mismatch(chip.process)[chip.process.nmos]
        pair = float(np.sqrt(2)) * pelgrom.sigma_threshold(sizes.input_width, chip.process.min_length)

        def condition() -> str:
            error = spread().sigma / np.sqrt(2 * (spread().samples - 1))
            return f"sigma +- {1e3 * error:.2g} mV; its pair's threshold alone {1e3 * pair:.3g} mV"

        return Measurement(entries=(entry("offset", "offset", spread, "V", condition),))

    return Bench(
        block="comparator",
        title="StrongARM comparator",
        netlists=netlists,
        measure=measure,
        extra=extra,
    )


def sample_draws(draws: Sequence[Draw]) -> Draw:
    """Return the draws of a testbench whose device ``xdut_K`` is sample K: there, they are those of ``xdut``."""

    def draw(path: str) -> tuple[float, float]:
        first, _, rest = path.partition(".")
        name, _, sample = first.rpartition("_")
        return draws[int(sample)](f"{name}.{rest}")

    return draw


def find_offsets(
    chip: Chip,
    draws: Sequence[Draw],
    conditions: Conditions,
    *,
    sizes: Comparator | None = None,
    limit: float | None = None,
) -> Floats:
    """Find the input difference at which each sample of a comparator changes its mind, by bisection.

    All samples are simulated together, once for each halving.

    Parameters
    ----------
    chip : Chip
        The chip.
    draws : sequence of Draw
        Mismatch of each sample, by the paths of ``xdut``.
    conditions : Conditions
        Time-out and jobs.
    sizes : Comparator, optional
        Of the comparator.
    limit : float, optional
        Searched are offsets within ``-limit..limit`` [V]; by default eight times the sigma of the input pair.

    Returns
    -------
    ndarray of shape (samples,)
        Offsets [V], to 1/512 of the range.

    Raises
    ------
    ValidityError
        If one lies outside the range.
    """
    used = sizes or chip.comparator
    if limit is None:
        pelgrom = read_mismatch(chip.process)[chip.process.nmos]
        limit = 8 * float(np.sqrt(2)) * pelgrom.sigma_threshold(used.input_width, chip.process.min_length)
    groups: list[npt.NDArray[np.int_]] = np.array_split(
        np.arange(len(draws)), max(1, min(len(draws), conditions.jobs or 2))
    )
    low, high = np.full(len(draws), -limit), np.full(len(draws), limit)

    def decide(differences: Floats, label: str) -> Bools:
        netlists = [
            with_mismatch(
                build_comparators(chip, differences[group], sizes=used, clock=_SEARCH),
                chip.process,
                sample_draws([draws[k] for k in group]),
                resistors=0.0,
            )
            for group in groups
        ]
        above = []
        for group, results in zip(groups, conditions.run(netlists, label), strict=True):
            found = waves(results)
            above += [found[f"v(outp_{k})"][-1] > found[f"v(outn_{k})"][-1] for k in range(len(group))]
        return np.array(above)

    if decide(low, "search").any() or not decide(high, "search").all():
        raise ValidityError(f"an offset lies outside +-{limit:.3g} V; widen the input pair or the search")
    for k in range(_TRIES):
        middle = (low + high) / 2
        above = decide(middle, f"halving {k + 1} of {_TRIES}")
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray((low + high) / 2)
