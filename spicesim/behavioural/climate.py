"""Climate: what other temperatures and process corners make of a chip's blocks."""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.interpolate import CubicSpline, PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, mix_models, require_rising, require_shape
from spicesim.behavioural.cell import ProgrammableCell
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.elsewhere import Elsewhere, lagrange_weights
from spicesim.behavioural.energy import EnergyModel
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import IntegratorModel
from spicesim.behavioural.mismatch import MismatchShift
from spicesim.behavioural.noise import NoiseModel
from spicesim.behavioural.sar import SarModel
from spicesim.behavioural.settling import SettlingModel
from spicesim.behavioural.steps import StepModel
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError, quote

__all__ = ["ClimateModel", "Condition", "DacChange"]


class DacChange(Model):
    """What a condition adds to a word-line driver."""

    v_open: FloatArray
    """To the unloaded voltages, one value a code [V]."""
    knots: tuple[int, ...]
    """Codes whose load curve was taken."""
    droop: FloatArray
    """To the droop at evenly spaced currents up to the driver's limit, shape (knots, currents) [V]."""

    def apply(self, dac: DacModel) -> DacModel:
        """Return the driver under this condition.

        Raises
        ------
        CalibrationError
            If that is no driver: its voltages do not rise, or its droop falls.
        """
        try:
            return self._applied(dac)
        except ValueError as error:  # of pydantic, or of a spline through points that do not rise
            why = quote(str(error).splitlines()[-1])
            raise CalibrationError(
                f"the climate makes no driver of the calibrated one ({why}); calibrate again"
            ) from None

    def _applied(self, dac: DacModel) -> DacModel:
        fine = self._droops(dac.i_limit, dac.currents)
        level = dac.v_open[np.array(self.knots)]
        change = CubicSpline(level, fine, axis=0)(dac.v_open[np.array(dac.knots)])
        changed = dac.model_copy(update={"v_open": dac.v_open + self.v_open, "droop": dac.droop + change})
        return DacModel.model_validate(changed.model_dump())

    def _droops(self, limit: float, currents: Floats) -> Floats:
        """Interpolate what is added to the droop, on either side of no load by itself, (knots, currents) [V].

        Transistors change source and drain there, and their resistance goes with the size of the current: one curve
        through both sides is .8 uV off, which a full column of 128 rows makes .007 % of full scale.
        """
        known = np.linspace(-limit, limit, self.droop.shape[1])
        middle, has_middle = divmod(len(known), 2)
        if not has_middle or middle < 2:
            return np.asarray(PchipInterpolator(known, self.droop, axis=1)(currents))
        sides = [(slice(middle + 1), currents < 0), (slice(middle, None), currents >= 0)]
        return np.concatenate(
            [PchipInterpolator(known[own], self.droop[:, own], axis=1)(currents[at]) for own, at in sides], axis=1
        )


class Condition(Model):
    """What one condition adds to the numbers of all blocks of a chip."""

    cell: FloatArray
    """To the coefficients of the cell."""
    leakage: FloatArray
    """To its leakage."""
    dacs: dict[Polarity, DacChange]
    """To the drivers."""
    feedbacks: tuple[float, ...]
    """To the feedback resistance of each amplifier, relative [1]."""
    senseamps: tuple[FloatArray, ...]
    """To the input's and the output's table of each amplifier, each of shape (2, points) [V], against the current times
    one and the above: so rails are met where they were, however resistors change."""


class ClimateModel(Model):
    """Blocks at some temperatures and corners, on grids that do not depend on these.

    Between temperatures every number follows the polynomial through those that were calibrated, the chip's own
    included. What a corner adds to it follows one, too, of its own temperatures.
    """

    temperature_c: float
    """The chip's own temperature [degree Celsius]."""
    temperatures_c: tuple[float, ...]
    """The others that were calibrated [degree Celsius]."""
    temperatures: tuple[Condition, ...]
    """What they add."""
    corner_temperatures_c: tuple[float, ...]
    """Those at which corners were calibrated, the chip's own first [degree Celsius]."""
    corners: dict[str, tuple[Condition, ...]]
    """What other corners of the process add to the chip's own at each of them, by name."""
    sense_currents: tuple[FloatArray, ...]
    """Currents of the amplifiers' changes, for each amplifier, of shape (points,) [A]."""
    held_out_c: tuple[float, ...]
    """Temperatures that took part in no fit, at which whole tiles were compared with ngspice [degree Celsius]."""
    held_out_errors: tuple[float, ...]
    """Largest error of an output at each, as a fraction of full scale."""
    corner_errors: dict[str, float] = Field(default_factory=dict)
    """The same by corner and temperature, such as "ss, 9 C", in no fit either."""
    corner_held_out_c: tuple[float, ...] = ()
    """These temperatures [degree Celsius]."""
    hand_over_errors: tuple[float, ...] | None = None
    """By how much hand-overs to converters that are in no table differ at most, at each of these temperatures and then
    at each corner [V]; None where converters are on no amplifiers."""
    mismatch: Elsewhere[MismatchShift] | None = None
    """What conditions add to how blocks follow from their devices; this and what follows is None if the aspect is not
    calibrated."""
    settling: Elsewhere[SettlingModel] | None = None
    """How drivers and amplifiers settle."""
    noise: Elsewhere[NoiseModel] | None = None
    """Noise of outputs."""
    energy: Elsewhere[EnergyModel] | None = None
    """What blocks draw from their supplies."""
    converter: Elsewhere[SarModel] | Elsewhere[StepModel] | None = None
    """Column converters."""
    hold: Elsewhere[HoldModel] | None = None
    """Hold switches; None where bit lines do not float."""
    integrator: Elsewhere[IntegratorModel] | None = None
    """Integrators; None where something else reads the bit lines."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.temperatures) != len(self.temperatures_c):
            raise ValueError("temperatures need one value each")
        if len(self.held_out_errors) != len(self.held_out_c) or len(self.corner_errors) != len(self.corner_held_out_c):
            raise ValueError("temperatures that were held out need one error each")
        every = len(self.held_out_c) + len(self.corner_held_out_c)
        if self.hand_over_errors is not None and len(self.hand_over_errors) != every:
            raise ValueError("temperatures that were held out need one error of hand-overs each")
        if self.temperature_c in self.temperatures_c or len(set(self.temperatures_c)) < len(self.temperatures_c):
            raise ValueError("temperatures must differ")
        own = self.corner_temperatures_c
        if self.corners and (own[:1] != (self.temperature_c,) or len(set(own)) < len(own)):
            raise ValueError("temperatures of corners must differ, and begin with the chip's own")
        if any(len(conditions) != len(own) for conditions in self.corners.values()):
            raise ValueError("corners need one value a temperature of theirs")
        for currents in self.sense_currents:
            require_rising("sense_currents", currents)
        for name in ("mismatch", "settling", "noise", "energy", "converter", "hold", "integrator"):
            aspect = getattr(self, name)
            if aspect is not None and aspect.corners.keys() != self.corners.keys():
                raise ValueError(f"{name} must be known at the corners {', '.join(self.corners) or '(none)'}")
        return self

    def require_blocks(self, cell: ProgrammableCell, dacs: Mapping[Polarity, DacModel], senseamps: int) -> None:
        """Refuse changes of other numbers than those that the blocks have."""
        if len(self.sense_currents) != senseamps:
            raise ValueError(f"sense_currents must be of {senseamps} amplifiers, got {len(self.sense_currents)}")
        for condition in (*self.temperatures, *chain.from_iterable(self.corners.values())):
            require_shape("cell", condition.cell, *cell.coefficients.shape)
            require_shape("leakage", condition.leakage, *cell.leakage.shape)
            amplifiers = {len(condition.senseamps), len(condition.feedbacks)}
            if set(condition.dacs) != set(dacs) or amplifiers != {senseamps}:
                raise ValueError("a condition must have a change of every driver and every amplifier")
            for polarity, change in condition.dacs.items():
                require_shape("v_open", change.v_open, len(dacs[polarity].v_open))
                require_shape("droop", change.droop, len(change.knots), None)
                require_rising("knots", change.knots)
                if change.knots[0] < 0 or change.knots[-1] >= len(change.v_open) or change.droop.shape[1] < 2:
                    raise ValueError("knots must be codes, with two currents or more each")
            for change_of_amplifier, currents in zip(condition.senseamps, self.sense_currents, strict=True):
                require_shape("senseamps", change_of_amplifier, 2, len(currents))

    def converter_at(self, own: SarModel | StepModel, corner: str | None, temperature_c: float) -> SarModel | StepModel:
        """Return the converters at a condition; arguments as of :meth:`Elsewhere.at`.

        Of a calibration whose hand-over was not looked at elsewhere, it is that of the chip's own condition.
        """
        elsewhere: Elsewhere[Any] | None = self.converter
        assert elsewhere is not None
        known = all(model.hand_over is not None for model in elsewhere.temperatures)
        plain = own.unchecked()
        if not known:
            plain = plain.model_copy(update={"hand_over": None})
        found: SarModel | StepModel = elsewhere.at(plain, corner, temperature_c)
        return found if known else found.model_copy(update={"hand_over": own.hand_over})

    @property
    def errors(self) -> dict[str, float]:
        """Largest error of whole tiles in each climate that was checked, as a fraction of full scale, by its name."""
        temperatures = {f"{t:g} C": error for t, error in zip(self.held_out_c, self.held_out_errors, strict=True)}
        return temperatures | {f"corner {name}": error for name, error in self.corner_errors.items()}

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest temperature [degree Celsius]."""
        every = (self.temperature_c, *self.temperatures_c)
        return min(every), max(every)

    def at_temperature(self, temperature_c: float) -> Condition:
        """Return what a temperature adds.

        Raises
        ------
        CalibrationError
            If it is outside the calibrated ones.
        """
        low, high = self.limits
        if not low <= temperature_c <= high:
            raise CalibrationError(
                f"temperatures of {low:g}..{high:g} C are calibrated, got {temperature_c:g} C; "
                "set process.temperature_c to it and calibrate again"
            )
        weights = lagrange_weights((self.temperature_c, *self.temperatures_c), temperature_c)[1:]
        return mix_models(weights, self.temperatures)

    def at(self, corner: str | None, temperature_c: float | None) -> Condition:
        """Return what a corner, a temperature [degree Celsius] or both add to the chip's own.

        Raises
        ------
        CalibrationError
            If they were not calibrated.
        """
        wanted = self.temperature_c if temperature_c is None else temperature_c
        parts = [] if temperature_c is None else [self.at_temperature(temperature_c)]
        if corner is not None:
            if corner not in self.corners:
                raise CalibrationError(
                    f"no corner {corner!r} beside the chip's own is calibrated, only: "
                    f"{', '.join(self.corners) or 'none'}; choose it with process.models and calibrate again"
                )
            weights = lagrange_weights(self.corner_temperatures_c, wanted)
            parts.append(mix_models(weights, self.corners[corner]))
        return mix_models(np.ones(len(parts)), parts)
