"""Calibrate what adds bit planes as charge: two capacitors with a voltage each, joined by a switch."""

from typing import Self

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_shape
from spicesim.behavioural.plane_adder import ORDERS, PlaneAdder
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.plane_adder import build_plane_sums, summed_times
from spicesim.ngspice.outcome import Results

__all__ = ["JOINED", "JoinPoints", "fit_adder", "plan_joins", "read_sums"]

JOINED = "joined planes"
"""Name of its held-out errors."""
GRID = 5
"""Points of the fit in each voltage."""
BEYOND = 1.25
"""Voltages of the fit over the largest that inputs make of a line: pedestals come on top of those."""


class JoinPoints(Model):
    """Pairs of voltages to join."""

    fitted: int
    """So many are fitted; the rest decide nothing."""
    stored: FloatArray
    """Of the sum before, (points,) [V]."""
    sampled: FloatArray
    """Of the new plane, (points,) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("sampled", self.sampled, None)
        require_shape("stored", self.stored, len(self.sampled))
        if not 0 < self.fitted < len(self.sampled):
            raise ValueError(f"fitted must be some of the {len(self.sampled)} points, got {self.fitted}")
        return self

    def netlist(self, chip: Chip) -> Netlist:
        """Build the simulation."""
        return build_plane_sums(chip, self.stored, self.sampled)


def plan_joins(chip: Chip, *, quick: bool = False, seed: int = 0) -> JoinPoints:
    """Plan a grid of both voltages, and pairs drawn beside it."""
    axis = BEYOND * chip.dac.v_span * np.linspace(-1, 1, GRID)
    drawn = np.random.default_rng([seed, 37]).uniform(-1, 1, (2, 8 if quick else 24)) * chip.dac.v_span
    return JoinPoints(
        fitted=GRID**2,
        stored=np.concatenate([np.repeat(axis, GRID), drawn[0]]),
        sampled=np.concatenate([np.tile(axis, GRID), drawn[1]]),
    )


def fit_adder(chip: Chip, points: JoinPoints, results: Results, resets: Floats) -> tuple[PlaneAdder, HeldOut]:
    """Fit the sum to what both capacitors had before, and compare it with the points left over.

    Parameters
    ----------
    chip : Chip
        The chip.
    points : JoinPoints
        As planned.
    results : Results
        Of their netlist.
    resets : ndarray of shape (rows, orders, orders)
        What cutting off the sum adds at rest, which columns tell.
    """
    held, stored, summed = read_sums(chip, results, len(points.stored))
    fit, rest = slice(points.fitted), slice(points.fitted, None)
    limit = float(min(side for x in (held[fit], stored[fit]) for side in (x.max(), -x.min())))
    powers = [(i, j) for i in range(ORDERS) for j in range(ORDERS - i)]
    design = np.stack([(held / limit) ** i * (stored / limit) ** j for i, j in powers], axis=1)
    joins = np.zeros((ORDERS, ORDERS))
    for (i, j), value in zip(powers, np.linalg.lstsq(design[fit], summed[fit], rcond=None)[0], strict=True):
        joins[i, j] = value
    sizes = chip.hold
    adder = PlaneAdder(
        bits=chip.dac.bits, share=sizes.share, c_plane=sizes.capacitor, v_limit=limit, resets=resets, joins=joins
    )
    return adder, HeldOut(
        unit="V",
        full_scale=chip.dac.v_span,
        coordinates={"new plane [V]": held[rest], "sum before [V]": stored[rest]},
        measured=summed[rest],
        predicted=adder.joined(held[rest], stored[rest]),
    )


def read_sums(chip: Chip, results: Results, adders: int) -> tuple[Floats, Floats, Floats]:
    """Return a plane held, the sum before, and the sum of both, of :func:`build_plane_sums`, (adders,) each [V]."""
    before, after = summed_times(chip)
    vectors = results[0].vectors

    def read(node: str, at: float) -> Floats:
        each = (vectors[f"v({node}_{k})"].real for k in range(adders))
        found = [float(np.interp(at, vectors["time"].real, volts)) for volts in each]
        return np.array(found) - chip.sense_amplifier.v_reference

    return read("held", before), read("out", before), read("out", after)
