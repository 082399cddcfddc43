"""Calibrate the word-line driver: all codes unloaded, the load curve at a few."""

from dataclasses import dataclass

import numpy as np

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.converter import Polarity
from spicesim.behavioural.dac import DacModel
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.netlist.dac import build_dac
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["DacPlan", "fit_dac", "plan_dac"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DacPlan:
    """Sweeps of one driver."""

    polarity: Polarity
    """Coding."""
    i_limit: float
    """Largest load current [A]."""
    points: int
    """Load currents, odd."""
    code_step: int
    """Distance of the codes whose load curve is taken."""
    held_out_points: int
    """Load currents of the held-out sweep; they fall between those of the fit."""
    held_out_step: int
    """Distance of its codes."""

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the three simulations."""
        load = {"i_limit": self.i_limit, "load_points": self.points, "code_step": self.code_step}
        held_out = {
            "i_limit": 0.97 * self.i_limit,
            "load_points": self.held_out_points,
            "code_step": self.held_out_step,
        }
        return [
            build_dac(chip, self.polarity),
            build_dac(chip, self.polarity, **load),  # type: ignore[arg-type]
            build_dac(chip, self.polarity, **held_out),  # type: ignore[arg-type]
        ]


def plan_dac(chip: Chip, polarity: Polarity, *, quick: bool = False) -> DacPlan:
    """Plan the sweeps of one driver.

    The load reaches twice the current of a whole row of largest devices at full input: with saturated columns of the
    other sign every cell of a row can see twice the DAC's span.
    """
    top = 2**chip.dac.bits - 1
    return DacPlan(
        polarity=polarity,
        i_limit=2 * chip.array.columns * chip.cell.g_max * chip.dac.v_span,
        points=129 if quick else 513,
        code_step=max(1, top // 5),
        held_out_points=38,
        held_out_step=max(1, top // 9 - 1),
    )


def _outputs(results: Results, reference: float) -> tuple[Floats, Floats]:
    vectors = results[0].vectors
    return np.rint(vectors["v(code)"].real), np.asarray(vectors["v(out)"].real - reference)


def fit_dac(chip: Chip, plan: DacPlan, results: list[Results]) -> tuple[DacModel, HeldOut]:
    """Build the driver's tables.

    Returns
    -------
    model : DacModel
        Code table and load curves.
    held_out : HeldOut
        Errors at other codes and currents; full scale is the DAC's span.
    """
    reference = chip.sense_amplifier.v_reference
    _, v_open = _outputs(results[0], reference)
    codes, loaded = _outputs(results[1], reference)
    knots = np.unique(codes).astype(int)
    curves = loaded.reshape(len(knots), plan.points)
    middle = plan.points // 2
    model = DacModel(
        polarity=plan.polarity,
        v_open=v_open,
        knots=tuple(int(k) for k in knots),
        i_limit=plan.i_limit,
        droop=curves[:, middle : middle + 1] - curves,
    )
    held_codes, measured = _outputs(results[2], reference)
    currents = np.tile(
        np.linspace(-0.97 * plan.i_limit, 0.97 * plan.i_limit, plan.held_out_points),
        len(np.unique(held_codes)),
    )
    held_out = HeldOut(
        unit="V",
        full_scale=chip.dac.v_span,
        coordinates={"code": held_codes, "load [A]": currents},
        measured=measured,
        predicted=model.volts(held_codes, currents),
    )
    return model, held_out
