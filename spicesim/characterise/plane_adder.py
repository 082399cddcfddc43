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
        found = waves(results["sums"])
        before, after = summed_times(chip)

        def at(node: str, time: float) -> Floats:
            return (
                np.array([np.interp(time, found["time"], found[f"v({node}_{k})"]) for k in range(LEVELS**2)])
                - chip.sense_amplifier.v_reference
            )

        held, stored, summed = at("held", before), at("out", before), at("out", after)
        design = np.stack([held, stored, np.ones(LEVELS**2)], axis=1)
        new, old, offset = (float(value) for value in np.linalg.lstsq(design, summed, rcond=None)[0])
        places = bits - 1 - np.arange(bits)
        weights = new * old ** places.astype(float)  # of each bit, the least first
        ends = np.cumsum(weights)[:-1]  # all bits below the next one
        step = float(weights.sum()) / (2**bits - 1)
        steps = (weights[1:] - ends) / step - 1
        curvature = float(np.abs(summed - design @ [new, old, offset]).max())
        drawn = "pairs within the span of inputs"
        entries = (
            entry("new", "weight of the new plane", new, "", drawn),
            entry("old", "weight of those before", old, "", drawn),
            entry("offset", "offset", offset, "V"),
            entry("curvature", "largest distance from those weights", curvature, "V", drawn),
            entry("dnl", "DNL of the bits' weights", float(np.abs(steps).max()), "LSB", f"{bits} planes"),
            entry("pedestal", "what cutting off the sum adds", float((stored - np.repeat(axis, LEVELS)).mean()), "V"),
        )  # fmt: skip

        def curve() -> Panel:
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
