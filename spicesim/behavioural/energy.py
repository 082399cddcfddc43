"""What the blocks of a tile draw from their supplies: at rest, for each change of code, for each conversion."""

from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.feedback import find_amplifier
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import PulseState, PulseTile
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tile import BehaviouralTile, TileState
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError, SpecError

__all__ = ["AdcEnergy", "AmplifierEnergy", "DacEnergy", "EnergyModel"]


class DacEnergy(Model):
    """A word-line driver with one coding."""

    power_open: FloatArray
    """Drawn from all its sources without load, one value a code [W]."""
    knots: tuple[int, ...]
    """Codes at which the load was varied."""
    i_limit: float
    """The loads span -i_limit..i_limit evenly; positive out of the driver [A]."""
    power_loaded: FloatArray
    """Drawn more than without load, shape (knots, currents) [W]."""
    rise: FloatArray
    """Drawn for a bit that rises beyond the power at rest, one value a bit from the least significant [J]."""
    fall: FloatArray
    """The same for a bit that falls [J]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.power_loaded.ndim != 2 or self.power_loaded.shape[0] != len(self.knots):
            raise ValueError("power_loaded must have one row a knot")
        if self.rise.shape != self.fall.shape or len(self.power_open) != 2 ** len(self.rise):
            raise ValueError("rise and fall need one value a bit")
        require_positive(i_limit=self.i_limit)
        require_rising("knots", self.knots)
        require_shape("power_open", self.power_open, None)
        if self.power_loaded.shape[1] < 2:
            raise ValueError("power_loaded must have two currents or more")
        return self

    def power(self, codes: Codes, currents: Floats) -> Floats:
        """Return what a driver draws from all its sources at rest, its load included.

        Parameters
        ----------
        codes : ndarray of int
            Codes.
        currents : ndarray of the same shape
            Load currents [A].

        Returns
        -------
        ndarray of the same shape
            Power [W].
        """
        grid = np.linspace(-self.i_limit, self.i_limit, self.power_loaded.shape[1])
        at_knots = PchipInterpolator(grid, self.power_loaded, axis=1)(currents)  # (knots, *shape)
        right = np.clip(np.searchsorted(self.knots, codes, side="right"), 1, len(self.knots) - 1)
        left_code, right_code = np.take(self.knots, right - 1), np.take(self.knots, right)
        share = (codes - left_code) / (right_code - left_code)
        left = np.take_along_axis(at_knots, (right - 1)[None], axis=0)[0]
        return np.asarray(
            self.power_open[codes] + left + share * (np.take_along_axis(at_knots, right[None], axis=0)[0] - left)
        )

    def switching(self, codes: Codes, before: Codes | None = None) -> Floats:
        """Return what a change of code draws beyond the power at rest [J].

        Parameters
        ----------
        codes : ndarray of int
            Codes after the change.
        before : ndarray of int, optional
            Codes before; by default any code is equally probable, and the mean is returned.
        """
        energy = np.zeros(np.shape(codes))
        for k, (rise, fall) in enumerate(zip(self.rise, self.fall, strict=True)):
            after = codes >> k & 1
            changed = 0.5 if before is None else (before >> k & 1) != after
            energy += changed * np.where(after == 1, rise, fall)
        return energy


class AmplifierEnergy(Model):
    """A sense amplifier with one feedback resistor."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    i_limit: float
    """The currents span -i_limit..i_limit evenly; positive into the virtual ground [A]."""
    power: FloatArray
    """Drawn from the supply, one value a current [W]."""
    charge: float
    """Drawn from the supply for a swing of the output, either way, beyond the power at rest [J/V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_positive(r_feedback=self.r_feedback, i_limit=self.i_limit)
        if self.power.ndim != 1 or len(self.power) < 2:
            raise ValueError("power must be a list of two numbers or more")
        return self

    def at(self, currents: Floats) -> Floats:
        """Return the power at currents of any shape [W]."""
        grid = np.linspace(-self.i_limit, self.i_limit, len(self.power))
        return np.asarray(PchipInterpolator(grid, self.power)(currents))


class AdcEnergy(Model):
    """The converter of a column; its logic is counted where it is of cells."""

    bits: int
    """Resolution [bit]."""
    energy: float
    """A conversion, from all supplies and references [J]."""
    logic: float | None = None
    """The part of it that logic of cells takes, from its own supply and its inputs [J]; None of ideal logic, which is
    not counted."""
    leakage: float | None = None
    """What such logic draws while nothing switches [W]; it is in `logic` for the time of a conversion."""
    time: float
    """A conversion [s]."""
    inputs: int
    """Voltages, spread over the range, that `energy` is the mean of."""


class EnergyModel(Model):
    """Energy of a tile, block by block.

    Every source of a tile belongs to one block: drivers have supply, references and bits, amplifiers the supply. So
    the sum over blocks is the supplies' energy. What the array dissipates comes through the drivers; the solver's
    currents say how much, and it is shown apart.
    """

    v_reference: float
    """The reference that voltages of a state are relative to [V]."""
    dacs: dict[Polarity, DacEnergy]
    """Drivers by polarity."""
    amplifiers: tuple[AmplifierEnergy, ...]
    """Sense amplifiers, one a feedback resistance."""
    adc: AdcEnergy | None
    """Converter of a column; None if it is finer than any there is a netlist of."""
    hold: float | None = None
    """What a hold switch takes to open and close once, for each plane that it adds, or the switches of an integrator in
    a product [J]; None where amplifiers read."""
    buffer: float | None = None
    """What the buffer behind a hold switch draws, which is on all the time [W]; None where it is ideal, or none."""
    bias: float | None = None
    """What the bias generator of a tile draws, mirrors left out, which are in blocks [W]; None where it is ideal."""

    def amplifier(self, r_feedback: float) -> AmplifierEnergy:
        """Return the amplifier with that feedback resistance.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        return find_amplifier(self.amplifiers, r_feedback, "energy of a sense amplifier")

    def tile_power(self, tile: BehaviouralTile, codes: Codes, state: TileState) -> dict[str, Floats]:
        """Return what the blocks of a tile dissipate at rest.

        Parameters
        ----------
        tile : BehaviouralTile
            The tile.
        codes : ndarray of int, shape (batch, rows)
            DAC codes.
        state : TileState
            What ``tile.solve(codes)`` returned.

        Returns
        -------
        dict of ndarray of shape (batch,)
            "dac", "array" (cells and wires) and "amplifier", with the bias generator; their sum is what the supplies
            deliver [W]. On rails with impedances or buffers "rails", too; what impedances dissipate is taken from
            drivers and amplifiers in proportion to what these draw.
        """
        solution = state.solution
        drawn = self.dacs[tile.dac.polarity].power(np.asarray(codes), solution.row_currents).sum(axis=1)
        into_rows = ((self.v_reference + state.v_word_line) * solution.row_currents).sum(axis=1)
        into_columns = ((self.v_reference + state.v_in) * solution.currents).sum(axis=1)
        if isinstance(tile.readout, HoldModel):
            return {"dac": drawn - into_rows, "array": into_rows, "amplifier": np.zeros(len(drawn))}
        amplifiers = self.amplifier(tile.readout.r_feedback).at(solution.currents).sum(axis=1)
        amplifiers = amplifiers + (self.bias or 0.0)
        power = {"dac": drawn - into_rows, "array": into_rows - into_columns, "amplifier": amplifiers + into_columns}
        if state.droops is None or tile.rails is None:
            return power
        lost = state.droops.lost(tile.rails.rails)
        power["rails"] = lost + state.droops.buffers
        left = 1 - lost / (drawn + amplifiers)
        return power | {"dac": drawn * left - into_rows, "amplifier": amplifiers * left + into_columns}

    def tile_energy(
        self,
        tile: BehaviouralTile | PulseTile,
        codes: Codes,
        state: TileState | PulseState,
        t_read: float,
        *,
        before: tuple[Codes, TileState] | None = None,
        conversions: int | None = None,
    ) -> dict[str, Floats]:
        """Return the energy of one product: a change of code, a read, and the conversion of every column.

        Parameters
        ----------
        tile, codes, state
            As for :meth:`tile_power`.
        t_read : float
            Time from the change of code to the sample [s]; of pulses from the reset. As long amplifiers and buffers are
            on.
        before : tuple of codes and TileState, optional
            What was before; by default random codes, and outputs at the reference.
        conversions : int, optional
            Conversions a product; by default one a column.

        Returns
        -------
        dict of ndarray of shape (batch,)
            "dac", "array", "amplifier" and "adc" [J]; "logic" where that of converters is of cells.

        Raises
        ------
        SpecError
            If `t_read` is no positive time.
        CalibrationError
            If conversions are asked for and the ADC is not calibrated.
        """
        if not (np.isfinite(t_read) and t_read > 0):
            raise SpecError(f"t_read must be a time > 0 s, got {t_read}")
        if isinstance(tile, PulseTile):
            energy = self._pulsed_energy(tile, np.asarray(codes), t_read)
        elif isinstance(tile.readout, HoldModel):
            assert isinstance(state, TileState)
            energy = self._floating_energy(tile, tile.readout, np.asarray(codes), state, t_read)
        else:
            assert isinstance(state, TileState)
            energy = self._held_energy(tile, tile.readout, np.asarray(codes), state, t_read, before)
        columns = tile.g.shape[1] if conversions is None else conversions
        if columns and self.adc is None:
            raise CalibrationError(
                "no energy of so fine an ADC is calibrated; set adc.bits to 10 or less, or ask with conversions=0"
            )
        logic = self.adc.logic if self.adc else None
        energy["adc"] = np.full(len(state.v_out), columns * (self.adc.energy - (logic or 0.0)) if self.adc else 0.0)
        if logic is not None:
            energy["logic"] = np.full(len(state.v_out), columns * logic)
        return energy

    def _held_energy(
        self, tile: BehaviouralTile, readout: SenseAmplifierModel, codes: Codes, state: TileState, t_read: float,
        before: tuple[Codes, TileState] | None,
    ) -> dict[str, Floats]:  # fmt: skip
        """Return what drivers, array and amplifiers draw from a change of code to the end of a product [J]."""
        energy = {name: power * t_read for name, power in self.tile_power(tile, codes, state).items()}
        codes_before, v_before = (None, 0.0) if before is None else (np.asarray(before[0]), before[1].v_out)
        energy["dac"] = energy["dac"] + self.dacs[tile.dac.polarity].switching(codes, codes_before).sum(1)
        swing = np.abs(state.v_out - v_before).sum(axis=1)
        energy["amplifier"] = energy["amplifier"] + self.amplifier(readout.r_feedback).charge * swing
        return energy

    def _floating_energy(
        self, tile: BehaviouralTile, readout: HoldModel, codes: Codes, state: TileState, t_read: float
    ) -> dict[str, Floats]:
        """Return what a product of floating lines draws: from rest, until the switches open, and back to rest [J].

        At rest all rows are at one voltage, and nothing flows. Planes that are added as charge follow each other
        without a rest, and their inputs stay on while they are added. Buffers are on all the time.
        """
        if self.hold is None:
            raise CalibrationError("the energies are not of floating bit lines; calibrate the aspect energy again")
        rows, planes = len(tile.g), tile.planes
        bits, each = tile.driven(codes), readout.duration / planes
        power = self.tile_power(tile, bits, state)
        energy = {name: (each * own).reshape(planes, -1).sum(axis=0) for name, own in power.items()}
        driver, rest = self.dacs[tile.dac.polarity], np.full((1, *codes.shape), tile.rest_code)
        course = np.concatenate([rest, bits.reshape(planes, -1, rows), rest])
        energy["dac"] = energy["dac"] + driver.switching(course[1:], course[:-1]).sum(axis=(0, 2))
        farads = readout.c_hold + rows * readout.c_cell
        # half of what a change draws stays in no capacitor, and in the end all are as they were
        feet = state.v_in.reshape(planes, -1, tile.g.shape[1]) - tile.rest_voltage
        changes = np.diff(feet, axis=0, prepend=0.0, append=0.0)
        energy["array"] = energy["array"] + farads / 2 * (changes**2).sum(axis=(0, 2))
        if (readout.buffer is None) != (self.buffer is None):
            raise CalibrationError("the energies are not of such buffers; calibrate the aspect energy again")
        each = planes * self.hold + (self.buffer or 0.0) * t_read
        energy["amplifier"] = np.full(len(codes), tile.g.shape[1] * each)
        return energy

    def _pulsed_energy(self, tile: PulseTile, codes: Codes, t_read: float) -> dict[str, Floats]:
        """Return what a product by pulses draws, from the reset until outputs are converted [J].

        While integrators do not run, all rows are at the lower level and no current flows to speak of: amplifiers take
        what they take at rest, and with levels of both signs the array what it takes there, too. As of charges, single
        rows give nearly all for as long as they are on, and some operating points what several make beyond it.
        """
        if self.hold is None:
            raise CalibrationError("the energies are not of integrators; calibrate the aspect energy again")
        model, rest = tile.readout, np.zeros((1, codes.shape[1]), dtype=np.int64)
        at_rest = self.tile_power(tile.static, rest, tile.static.solve(rest))
        energy = {name: np.full(len(codes), float(power[0]) * t_read) for name, power in at_rest.items()}
        pulses = tile.pulses(codes)
        on = np.concatenate([np.eye(codes.shape[1], dtype=np.int64), pulses.on.reshape(-1, codes.shape[1])])
        left = tile.lengths(codes) - np.einsum("bp,bpr->br", pulses.weights, pulses.on)
        for name, power in self.tile_power(tile.static, on, tile.static.solve(on)).items():
            more = power - float(at_rest[name][0])
            alone, together = more[: codes.shape[1]], more[codes.shape[1] :].reshape(pulses.weights.shape)
            energy[name] = energy[name] + model.unit * (left @ alone + (pulses.weights * together).sum(axis=1))
        driver, off = self.dacs[tile.dac.polarity], np.zeros_like(codes)
        driven = (tile.lengths(codes) > 0).astype(np.int64)
        energy["dac"] = energy["dac"] + (driver.switching(driven, off) + driver.switching(off, driven)).sum(axis=1)
        energy["amplifier"] = energy["amplifier"] + tile.g.shape[1] * self.hold
        return energy
