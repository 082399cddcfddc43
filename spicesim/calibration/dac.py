"""Calibrate the word-line driver: all codes unloaded, the load curve at a few."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import ValidationError, model_validator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import Model
from spicesim.behavioural.dac import DacModel
from spicesim.calibration.block import BlockPlan, Judged
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError
from spicesim.netlist.dac import build_dac
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["DacPlan", "LoadSweep", "fit_dac", "plan_dac", "read_supply"]


class LoadSweep(Model):
    """Load currents at some codes, from code 0 on."""

    i_limit: float
    """Largest load current [A]."""
    points: int
    """Load currents, evenly from -i_limit to i_limit."""
    code_step: int
    """Distance of the codes."""

    def netlist(self, chip: Chip, polarity: Polarity) -> Netlist:
        """Build the simulation."""
        return build_dac(chip, polarity, i_limit=self.i_limit, load_points=self.points, code_step=self.code_step)

    def currents(self) -> Floats:
        """Return the load currents of one code [A]."""
        return np.linspace(-self.i_limit, self.i_limit, self.points)

    def rows(self, top: int) -> set[tuple[int, float]]:
        """Return the points, code and current, as a set."""
        return {(code, i) for code in range(0, top + 1, self.code_step) for i in self.currents().tolist()}


class DacPlan(BlockPlan):
    """Sweeps of one driver: all codes without load, and load currents at some codes."""

    polarity: Polarity
    """Coding."""
    bits: int
    """Of its codes."""
    load: LoadSweep
    """Of the fit, an odd number of currents."""
    validation: LoadSweep
    """Decides on refinements."""
    test: LoadSweep
    """Decides nothing."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitted, validation, test = (sweep.rows(self.top) for sweep in (self.load, self.validation, self.test))
        if fitted & validation or fitted & test or validation & test:
            raise ValueError("the points of fit, validation and test must be disjoint")
        return self

    @property
    def top(self) -> int:
        """Largest code."""
        return int(2**self.bits) - 1

    @property
    def name(self) -> str:
        """Name of the block."""
        return f"DAC, {self.polarity}"

    @property
    def design(self) -> str:
        """The design of the fitted points, in words."""
        codes = self.top // self.load.code_step + 1
        return f"all codes unloaded; {codes} codes x {self.load.points} loads"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Points of each simulation."""
        sweeps = (self.load, self.validation, self.test)
        return self.top + 1, *((self.top // sweep.code_step + 1) * sweep.points for sweep in sweeps)

    def netlists(self, chip: Chip) -> list[Netlist]:
        """Build the simulations: unloaded, loaded, of validation, of the test."""
        sweeps = (self.load, self.validation, self.test)
        return [build_dac(chip, self.polarity), *(sweep.netlist(chip, self.polarity) for sweep in sweeps)]

    def probe(self, chip: Chip, points: int) -> Netlist:
        """Build a small simulation of the same kind, to measure what a point costs."""
        return LoadSweep(i_limit=self.load.i_limit, points=points // 2, code_step=self.top).netlist(chip, self.polarity)

    def fit(self, chip: Chip, results: Sequence[Results]) -> Judged:
        """Fit the model to the results of the netlists."""
        return fit_dac(chip, self, results)

    def refined(self, judged: Judged) -> Self | None:
        """Halve the steps of the loads or take more codes, whichever limits the model.

        Of the two, that one limits without which the model would be worse: with every second of its points taken away.
        """
        model: DacModel = judged.model
        (held_out,) = judged.validation.values()
        finer = max((n for n in range(1, self.load.code_step) if self.top % n == 0), default=None)
        thinned = model.model_copy(update={"droop": model.droop[:, ::2]}) if model.droop.shape[1] % 4 == 1 else model
        kept = [k for k in range(len(model.knots)) if k % 2 == 0 or k == len(model.knots) - 1]
        fewer = model.model_copy(update={"droop": model.droop[kept], "knots": tuple(model.knots[k] for k in kept)})
        codes, currents = held_out.coordinates["code"], held_out.coordinates["load [A]"]
        loads_matter, codes_matter = (
            float(np.abs(coarser.volts(codes, currents) - held_out.measured).max()) for coarser in (thinned, fewer)
        )
        if finer is not None and codes_matter > loads_matter:
            load = self.load.model_copy(update={"code_step": finer})
        else:
            load = self.load.model_copy(update={"points": 2 * self.load.points - 1})
        return self.model_copy(update={"load": load})


def plan_dac(chip: Chip, polarity: Polarity, *, quick: bool = False) -> DacPlan:
    """Plan the sweeps of one driver.

    The load reaches twice the current of a whole row of largest devices at full input: with saturated columns of the
    other sign every cell of a row can see twice the DAC's span.
    """
    top = 2**chip.dac.level_bits - 1
    i_limit = 2 * chip.array.columns * chip.cell.g_max * chip.dac.v_span
    return DacPlan(
        polarity=polarity,
        bits=chip.dac.level_bits,
        load=LoadSweep(i_limit=i_limit, points=129 if quick else 513, code_step=max(1, top // 5)),
        validation=LoadSweep(i_limit=0.985 * i_limit, points=34, code_step=max(1, top // 8 - 1)),
        test=LoadSweep(i_limit=0.97 * i_limit, points=38, code_step=max(1, top // 9 - 1)),
    )


def read_supply(chip: Chip) -> DacModel:
    """Return what stands for the drivers where these drive gates: the supply of all word lines, which is ideal.

    Its levels are what a row that is off and one that is on are worth, 0 V and the span.
    """
    i_limit = 2 * chip.array.columns * chip.cell.g_max * chip.dac.v_span
    v_open = chip.dac.volts([0, 1], "unipolar")
    return DacModel(polarity="unipolar", v_open=v_open, knots=(0, 1), i_limit=i_limit, droop=np.zeros((2, 3)))


def _outputs(results: Results, reference: float) -> tuple[Floats, Floats]:
    vectors = results[0].vectors
    return np.rint(vectors["v(code)"].real), np.asarray(vectors["v(out)"].real - reference)


def fit_dac(chip: Chip, plan: DacPlan, results: Sequence[Results]) -> Judged:
    """Build the driver's tables.

    Returns
    -------
    Judged
        Code table and load curves; errors at other codes and currents, full scale is the DAC's span.
    """
    reference = chip.sense_amplifier.v_reference
    _, v_open = _outputs(results[0], reference)
    codes, loaded = _outputs(results[1], reference)
    knots = np.unique(codes).astype(int)
    curves = loaded.reshape(len(knots), plan.load.points)
    middle = plan.load.points // 2
    try:
        model = DacModel(
            polarity=plan.polarity,
            v_open=v_open,
            knots=tuple(int(k) for k in knots),
            i_limit=plan.load.i_limit,
            droop=curves[:, middle : middle + 1] - curves,
        )
    except ValidationError as error:
        raise CalibrationError(
            f"{plan.polarity} word-line drivers cannot put out all of dac.v_span = {chip.dac.v_span:g} V around "
            f"sense_amplifier.v_reference = {reference:g} V under load ({error.errors()[0]['msg']}); lower dac.v_span, "
            "or strengthen dac.buffer_current and dac.buffer_drive"
        ) from None

    def compare(sweep: LoadSweep, found: Results) -> dict[str, HeldOut]:
        held_codes, measured = _outputs(found, reference)
        currents = np.tile(sweep.currents(), len(np.unique(held_codes)))
        held_out = HeldOut(
            unit="V",
            full_scale=chip.dac.v_span,
            coordinates={"code": held_codes, "load [A]": currents},
            measured=measured,
            predicted=model.volts(held_codes, currents),
        )
        return {f"DAC output, {plan.polarity}": held_out}

    return Judged(model=model, validation=compare(plan.validation, results[2]), test=compare(plan.test, results[3]))
