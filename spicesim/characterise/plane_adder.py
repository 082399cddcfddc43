"""Data sheet of what adds bit planes as charge."""

from collections.abc import Mapping

import numpy as np

from spicesim.arrays import Floats
from spicesim.characterise.bench import Bench, Measurement, waves
from spicesim.characterise.sheet import Panel, draw_panels, entry
from spicesim.chip import Chip
from spicesim.netlist.plane_adder import build_plane_sums, summed_times
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["plane_adder_bench"]

LEVELS = 3
"""Voltages of either capacitor."""


def plane_adder_bench(chip: Chip) -> Bench:
    """Build the testbench of two capacitors, each at one of three voltages, that a switch joins."""
    axis, bits = chip.dac.v_span * np.linspace(-1, 1, LEVELS), chip.dac.bits
    netlists = {"sums": build_plane_sums(chip, np.repeat(axis, LEVELS), np.tile(axis, LEVELS))}

    def measure(results: Mapping[str, Results]) -> Measurement:
        def joined() -> tuple[Floats, Floats]:
            """Return sums (pairs,) [V], and of what: the new plane, the sum before, and an offset, (pairs, 3)."""
            found, (before, after) = waves(results["sums"]), summed_times(chip)

            def at(node: str, time: float) -> Floats:
                volts = [np.interp(time, found["time"], found[f"v({node}_{k})"]) for k in range(LEVELS**2)]
                return np.array(volts) - chip.sense_amplifier.v_reference

            held, stored = at("held", before), at("out", before)
            return at("out", after), np.stack([held, stored, np.ones(LEVELS**2)], axis=1)

        def weights() -> Floats:
            summed, design = joined()
            return np.asarray(np.linalg.lstsq(design, summed, rcond=None)[0])

        def dnl() -> float:
            new, old, _ = weights()
            each = new * old ** np.arange(bits - 1.0, -1, -1)  # of each bit, the least first
            ends = np.cumsum(each)[:-1]  # all bits below the next one
            step = float(each.sum()) / (2**bits - 1)
            return float(np.abs((each[1:] - ends) / step - 1).max())

        def curvature() -> float:
            summed, design = joined()
            return float(np.abs(summed - design @ weights()).max())

        def pedestal() -> float:
            return float((joined()[1][:, 1] - np.repeat(axis, LEVELS)).mean())

        drawn = "pairs within the span of inputs"
        entries = (
            entry("new", "weight of the new plane", lambda: weights()[0], "", drawn),
            entry("old", "weight of those before", lambda: weights()[1], "", drawn),
            entry("offset", "offset", lambda: weights()[2], "V"),
            entry("curvature", "largest distance from those weights", curvature, "V", drawn),
            entry("dnl", "DNL of the bits' weights", dnl, "LSB", f"{bits} planes"),
            entry("pedestal", "what cutting off the sum adds", pedestal, "V"),
        )  # fmt: skip

        def curve() -> Panel:
            found = waves(results["sums"])
            return Panel(
                title="a plane and the sum before it, joined", x=found["time"], x_label="time [s]",
                curves={"new plane": found["v(held_2)"], "sum": found["v(out_2)"]}, y_label="voltage [V]",
            )  # fmt: skip

        return Measurement(entries=entries, panels=draw_panels(curve))

    return Bench(
        block="plane_adder",
        title=f"adder of bit planes, {format_si(chip.hold.capacitor, 'F')} twice",
        netlists=netlists,
        measure=measure,
        varied=("sums",),
    )
