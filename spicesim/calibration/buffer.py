"""Calibrate the buffer behind a hold capacitor: ideal sources in the place of what is held, from end to end."""

from typing import Self

import numpy as np
from pydantic import model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_shape
from spicesim.behavioural.buffer import BufferModel
from spicesim.calibration.designs import chebyshev_nodes
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.buffer import build_buffers
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.noise import build_buffer_noise
from spicesim.ngspice.outcome import Results

__all__ = ["FOLLOWED", "BufferPoints", "fit_buffer", "plan_buffer", "read_followed"]

FOLLOWED = "buffer"
"""Name of its held-out errors."""
ORDERS = 5
"""Coefficients of the polynomial."""
GRID = 9
"""Voltages of the fit."""
BEYOND = 1.3
"""Voltages of the fit over the largest that inputs make of a line: what switches add comes on top of those."""


class BufferPoints(Model):
    """Voltages to follow."""

    fitted: int
    """So many are fitted; the rest decide nothing."""
    held: FloatArray
    """Of the capacitor above the reference, (points,) [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_shape("held", self.held, None)
        if not 0 < self.fitted < len(self.held):
            raise ValueError(f"fitted must be some of the {len(self.held)} points, got {self.fitted}")
        return self

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations, of outputs and of noise."""
        return [build_buffers(chip, self.held), build_buffer_noise(chip)]


def plan_buffer(chip: Chip, *, quick: bool = False, seed: int = 0) -> BufferPoints:
    """Plan a grid of voltages, and some drawn beside it."""
    limit = BEYOND * chip.dac.v_span
    drawn = np.random.default_rng([seed, 41]).uniform(-limit, limit, 8 if quick else 24)
    return BufferPoints(fitted=GRID, held=np.concatenate([chebyshev_nodes(-limit, limit, GRID), drawn]))


def read_followed(chip: Chip, results: Results, buffers: int) -> Floats:
    """Return the outputs of :func:`spicesim.netlist.buffer.build_buffers` above the reference, (buffers,) [V]."""
    vectors = results[0].vectors
    found = [float(vectors[f"v(out_{k})"][0].real) for k in range(buffers)]
    return np.array(found) - chip.sense_amplifier.v_reference


def fit_buffer(chip: Chip, points: BufferPoints, results: Results, noise: Results) -> tuple[BufferModel, HeldOut]:
    """Fit what the buffer adds, and compare it with the points left over; `noise` is of its own netlist."""
    limit, out = BEYOND * chip.dac.v_span, read_followed(chip, results, len(points.held))
    fit, rest = slice(points.fitted), slice(points.fitted, None)
    powers = np.vander(points.held / limit, ORDERS, increasing=True)
    added = np.asarray(np.linalg.lstsq(powers[fit], (out - points.held)[fit], rcond=None)[0], dtype=float)
    frequency, density = (noise[0].vectors[name].real for name in ("frequency", "onoise_spectrum"))
    sigma = float(np.sqrt(np.trapezoid(density**2, frequency)))
    model = BufferModel(v_limit=limit, settle=chip.hold.buffer_settle, added=added, noise=sigma)
    return model, HeldOut(
        unit="V",
        full_scale=chip.dac.v_span,
        coordinates={"held [V]": points.held[rest]},
        measured=out[rest],
        predicted=model.output(points.held[rest]),
    )
