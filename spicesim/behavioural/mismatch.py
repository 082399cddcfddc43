"""Mismatch: what the devices of a drawn chip make of the blocks' parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar

import numpy as np
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_rising, require_shape
from spicesim.behavioural.buffer import BufferMismatch, DrawnBuffers
from spicesim.behavioural.feedback import find_amplifier
from spicesim.behavioural.hand_over import HandOverMismatch
from spicesim.behavioural.hold_mismatch import DrawnHolds, HoldMismatch
from spicesim.behavioural.integrator_mismatch import IntegratorMismatch
from spicesim.behavioural.response import Response, Shift
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tables import CubicTables
from spicesim.chip import Chip
from spicesim.chip.blocks import ChargeDac
from spicesim.coding import Polarity
from spicesim.draws import CAPACITOR, CONVERTER, ChipDraw
from spicesim.errors import CalibrationError
from spicesim.ports import PortTables

__all__ = [
    "DacMismatch",
    "LevelMismatch",
    "MismatchModel",
    "MismatchShift",
    "SenseAmplifierMismatch",
    "TileInstance",
    "code_basis",
]


def code_basis(bits: int) -> Floats:
    """Return what an offset and each bit add to every code, shape (codes, 1 + bits)."""
    codes = np.arange(2**bits)
    return np.concatenate([np.ones((len(codes), 1)), (codes[:, None] >> np.arange(bits)) & 1], axis=1)


class DacMismatch(Model):
    """How word-line drivers differ: an offset and a weight for each bit add to their codes' voltages [V]."""

    response: Response
    """Of offset and weights, from the least significant bit on [V]."""
    residual: float
    """Largest error of a code's voltage by these parameters, over held-out instances and codes [V]."""
    finer: int = 0
    """Bits that a driver has beyond those of the response: codes evenly between its own."""

    def v_open(self, parameters: Floats) -> Floats:
        """Return what parameters (rows, 1 + bits) add to the codes' voltages, shape (rows, codes) [V]."""
        coarse = np.asarray(parameters @ code_basis(len(self.response.names) - 1).T)
        if not self.finer:
            return coarse
        step = 2**self.finer
        codes, fine = np.arange(coarse.shape[1]), np.arange(step * coarse.shape[1]) / step
        return np.stack([np.interp(fine, codes, own) for own in coarse])

    def droop(self, nominal: PortTables, parameters: Floats) -> PortTables:
        """Return the droop of drivers with these parameters: the nominal one of all."""
        return nominal

    def refined(self, bits: int) -> Self:
        """Return the same with drivers of more codes, evenly between those they have."""
        return self.model_copy(update={"finer": bits})


class LevelMismatch(Model):
    """How word-line drivers that switch between two levels differ: by the resistance of either switch."""

    kind: Literal["levels"]
    """Tells this from :class:`DacMismatch`."""
    response: Response
    """Of the resistances, that of the lower level first, relative to the nominal ones [1]."""
    residual: float
    """Largest error of a level's voltage by these parameters, over held-out instances, with half a row's load [V]."""

    @classmethod
    def alike(cls, devices: tuple[str, ...]) -> Self:
        """Return that of drivers of gates, which put out their supplies whatever their devices are."""
        numbers = 2 * len(devices)
        response = Response(
            block="xdac", devices=devices, names=("resistance of level 0 [1]", "resistance of level 1 [1]"),
            rest=np.zeros(2), slopes=np.zeros((2, numbers)), directions=np.zeros((1, numbers)),
            bends=np.zeros((2, 1, 1)), simulated=0,
        )  # fmt: skip
        return cls(kind="levels", response=response, residual=0.0)

    def v_open(self, parameters: Floats) -> Floats:
        """Return what parameters (rows, levels) add to the voltages without load, shape (rows, levels): nothing [V]."""
        return np.zeros(parameters.shape)

    def droop(self, nominal: PortTables, parameters: Floats) -> PortTables:
        """Return the droop of drivers with parameters (rows, levels): the tables of all levels, row by row."""
        factors = 1 + parameters[..., None]
        values, slopes = (factors * own for own in (nominal.values, nominal.slopes))
        return replace(
            nominal, values=values.reshape(-1, values.shape[-1]), slopes=slopes.reshape(-1, slopes.shape[-1])
        )

    def refined(self, bits: int) -> Self:
        """Return the same: inputs of more bits take the same drivers."""
        return self


class SenseAmplifierMismatch(Model):
    """How sense amplifiers of one feedback resistor differ.

    An amplifier whose resistor is larger by a factor meets its rails at currents smaller by that factor, and one whose
    input lies higher meets them later, by the same voltage. So its tables are the nominal ones at
    ``gain * current - offset / feedback``, plus a few components, and its input the offset.
    """

    r_feedback: float
    """Feedback resistance [ohm]."""
    currents: FloatArray
    """Currents at which components are known, denser where an amplifier meets its rails, shape (points,) [A]."""
    components: FloatArray
    """Of a unit of each size, in the input's and the output's table, shape (components, 2, points) [V]."""
    response: Response
    """Of gain, offset, and sizes of the components."""
    residual: float
    """Largest error of a table by these parameters, over held-out instances [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_rising("currents", self.currents)
        require_shape("components", self.components, len(self.response.names) - 2, 2, len(self.currents))
        return self

    def widened(self, ideal: SenseAmplifierModel) -> Self:
        """Return how amplifiers without rails differ: as real ones in the middle of their range, everywhere."""
        reach = 0.5 * float(np.abs(self.currents).max())
        known = np.clip(ideal.currents, -reach, reach)
        components = PchipInterpolator(self.currents, self.components, axis=2)(known)
        return self.model_copy(update={"currents": ideal.currents, "components": components})

    def tables(self, nominal: SenseAmplifierModel, parameters: Floats) -> tuple[CubicTables, CubicTables]:
        """Return the tables of amplifiers with these parameters (columns, 2 + components).

        Parameters
        ----------
        nominal : SenseAmplifierModel
            The amplifier without mismatch.
        parameters : ndarray of shape (columns, 2 + components)
            Of each amplifier.

        Returns
        -------
        v_in, v_out : CubicTables
            Inputs above and outputs below the reference against the current, a table a column, on the same grid.

        Raises
        ------
        CalibrationError
            If an offset is larger than all the currents that are calibrated.
        """
        gain, offset = parameters[:, :2].T
        basis = PchipInterpolator(self.currents, self.components, axis=2)(nominal.currents)
        added = np.einsum("jk,ktp->tjp", parameters[:, 2:], basis, optimize=True)
        added[0] += offset[:, None]
        shift = offset / nominal.feedback
        limit = (nominal.i_limit - float(np.abs(shift).max())) / max(1.0, float(gain.max()))
        if not limit > 0:
            raise CalibrationError(
                f"offsets of up to {np.abs(offset).max():g} V leave a drawn amplifier no current; calibrate again"
            )
        currents = np.linspace(-limit, limit, len(nominal.v_in))
        scaled, table = currents[:, None] * gain - shift, np.arange(len(gain))
        v_in, v_out = (
            CubicTables.of(nominal.currents, plain + more).evaluate(scaled, table).T
            for plain, more in zip((nominal.v_in, nominal.v_out), added, strict=True)
        )
        # noise of the simulator may bend an input back by some nV where it hardly moves
        return CubicTables.of(currents, np.maximum.accumulate(v_in, axis=1)), CubicTables.of(currents, v_out)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileInstance:
    """The blocks of one tile, each with its parameters."""

    drivers: DacMismatch | LevelMismatch
    """What the drivers' parameters mean."""
    driver_parameters: Floats
    """Shape (rows, 1 + bits) [V]; of levels (rows, levels) [1]."""
    amplifiers: SenseAmplifierMismatch | IntegratorMismatch | None
    """What the amplifiers' parameters mean, or those of integrators; None where bit lines float."""
    amplifier_parameters: Floats
    """Shape (columns, 2 + components); of integrators (columns, 1 + components)."""
    r_cell: Floats
    """In series with each cell, of either sign, shape (rows, columns) [ohm]."""
    holds: DrawnHolds | None = None
    """Hold switches; None where amplifiers hold the bit lines."""
    buffers: DrawnBuffers | None = None
    """Buffers behind them; None where these are ideal."""

    def conductances(self, g: Floats) -> Floats:
        """Return devices for nominal cells that conduct as these cells with devices `g` (rows, columns) do [S]."""
        return np.asarray(g / (1 + g * self.r_cell))

    def compensated(self, g: Floats, g_limits: tuple[float, float]) -> Floats:
        """Return the devices that write-verify leaves where the nominal cells need `g` (rows, columns) [S].

        It reads whole cells, so it meets the wanted conductance whatever their transistors are, as far as devices go.
        """
        wanted = np.clip(g / (1 - g * self.r_cell), *g_limits)
        return np.asarray(np.where(g == 0, 0.0, wanted))


_Block = TypeVar("_Block", DacMismatch | LevelMismatch, SenseAmplifierMismatch, HoldMismatch, IntegratorMismatch)


def _alike(block: _Block) -> _Block:
    """Return how blocks of a kind differ if their devices do not."""
    return block.model_copy(update={"response": block.response.alike()})


class MismatchShift(Model):
    """What a condition adds to the responses of a chip's blocks.

    Gains, weights of bits and the shapes of knees are ratios of like devices and stay what they are.
    """

    driver: Shift
    """To the offset of drivers [V]."""
    senseamp: Shift | None
    """To the offset of sense amplifiers [V]; None where bit lines float."""
    cell: Shift
    """To the resistance in series with a cell [ohm]."""
    other_half: Shift | None = None
    """The same of the second half of a cell of two bit lines."""
    converter: Shift | None = None
    """To the threshold of a column converter's comparator [V], beyond what it adds to a nominal one."""
    converter_levels: FloatArray | None = None
    """To what bits that are set add to it, by the numbers of devices, (bits, 2 devices) [V]; None for no such ADC."""
    buffer: Shift | None = None
    """To the offset of a buffer behind a hold switch [V]."""
    hand_over: FloatArray | None = None
    """To what arrays have more for a unit of each sum of numbers, shaped as its slopes [V]."""


class MismatchModel(Model):
    """How the devices of a chip make its blocks differ."""

    resistors: float
    """Relative standard deviation of resistors that was simulated [1]."""
    dacs: dict[Polarity, DacMismatch | LevelMismatch]
    """Word-line drivers by polarity."""
    senseamps: tuple[SenseAmplifierMismatch, ...]
    """Sense amplifiers, one a feedback resistance, ascending."""
    cell: Response
    """Of the resistance in series with a cell [ohm]."""
    converter: Response | None = None
    """Of the threshold of a column converter's comparator, and of what each bit of one of kind `sar` that is set adds
    to it, half of it up and half of it down [V]; None where converters are ideal."""
    converter_residual: float | None = None
    """Largest error of a threshold that it tells, over held-out comparators [V]."""
    other_half: Response | None = None
    """The same of the second half of a cell of two bit lines; None where cells have one."""
    hold: HoldMismatch | None = None
    """Hold switches; None where amplifiers hold the bit lines."""
    integrator: IntegratorMismatch | None = None
    """Integrators; None where something else reads the bit lines."""
    buffer: BufferMismatch | None = None
    """Buffers behind hold switches; None where there are none, or ideal ones."""
    hand_over: HandOverMismatch | None = None
    """Hand-overs of amplifiers to converters; None where arrays are not cut off as amplifiers still ring."""

    def require_chip(self, chip: Chip) -> None:
        """Refuse to be of a chip whose blocks are others, by a ValueError."""
        names = {len(dac.response.names) for dac in self.dacs.values()}
        if names - {1 + chip.dac.level_bits} or len(self.cell.names) != 1:
            raise ValueError("mismatch must have an offset and a weight for each bit, and one parameter of cells")
        if (self.other_half is not None) != chip.cell.is_paired:
            raise ValueError("mismatch must have an other half for cells of kind 2t2r, and for no others")
        if (self.hold is not None) != (chip.sense_amplifier.kind == "voltage"):
            raise ValueError("mismatch must have hold switches for a chip of floating bit lines, and for no other")
        if self.hold is not None and (self.hold.joins is not None) != chip.hold.adds_planes:
            raise ValueError("mismatch must have joined planes for a chip that adds them as charge, and for no other")
        if (self.buffer is not None) != (self.hold is not None and chip.hold.is_buffered):
            raise ValueError("mismatch must have buffers for a chip of hold.buffer = opamp, and for no other")
        if (self.integrator is not None) != (chip.sense_amplifier.kind == "integrator"):
            raise ValueError("mismatch must have integrators for a chip of them, and for no other")
        sizes, handed = chip.converter, self.hand_over
        bits = 0 if sizes is None else sizes.dac.bits
        if self.converter is not None and len(self.converter.names) != 1 + bits:
            raise ValueError(f"mismatch must have 1 + {bits} parameters of converters: of a threshold and of bits")
        if handed is not None and (sizes is None or abs(handed.sample - sizes.sample) > 1e-9 * sizes.sample):
            raise ValueError("mismatch.hand_over must be of the chip's sar_adc.sample")

    def shifted(self, shift: MismatchShift) -> Self:
        """Return the same under a condition."""
        dacs = {
            polarity: model.model_copy(update={"response": model.response.shifted(0, shift.driver)})
            for polarity, model in self.dacs.items()
        }
        senseamps = self.senseamps
        if shift.senseamp is not None:
            senseamps = tuple(
                model.model_copy(update={"response": model.response.shifted(1, shift.senseamp)}) for model in senseamps
            )
        cells = {"cell": self.cell.shifted(0, shift.cell)}
        if self.converter is not None and shift.converter is not None:
            moved = self.converter.shifted(0, shift.converter)
            if shift.converter_levels is not None:
                slopes = np.concatenate([moved.slopes[:1], moved.slopes[1:] + shift.converter_levels])
                moved = moved.model_copy(update={"slopes": slopes})
            cells["converter"] = moved
        if self.other_half is not None and shift.other_half is not None:
            cells["other_half"] = self.other_half.shifted(0, shift.other_half)
        buffer = self.buffer
        if buffer is not None and shift.buffer is not None:
            buffer = buffer.model_copy(update={"response": buffer.response.shifted(0, shift.buffer)})
        hand_over = self.hand_over
        if hand_over is not None and shift.hand_over is not None:
            hand_over = hand_over.model_copy(update={"slopes": hand_over.slopes + shift.hand_over})
        return self.model_copy(
            update={"dacs": dacs, "senseamps": senseamps, "buffer": buffer, "hand_over": hand_over, **cells}
        )

    def within(self, *, array: bool, readouts: bool) -> Self:
        """Return the same with blocks that are all alike but those asked for; converters stay as they are.

        Parameters
        ----------
        array : bool
            Whether drivers and access transistors differ.
        readouts : bool
            Whether amplifiers, integrators or hold switches do.
        """
        changes: dict[str, Any] = {}
        if not array:
            changes["dacs"] = {polarity: _alike(model) for polarity, model in self.dacs.items()}
            changes["cell"] = self.cell.alike()
            changes["other_half"] = None if self.other_half is None else self.other_half.alike()
        if not readouts:
            changes["senseamps"] = tuple(map(_alike, self.senseamps))
            changes["hold"] = None if self.hold is None else _alike(self.hold)
            changes["integrator"] = None if self.integrator is None else _alike(self.integrator)
            changes["hand_over"] = None
        return self.model_copy(update=changes)

    def refined(self, bits: int) -> Self:
        """Return the same with drivers of more codes, evenly between those they have."""
        dacs = {polarity: model.refined(bits) for polarity, model in self.dacs.items()}
        return self.model_copy(update={"dacs": dacs})

    def widened(self, ideal: Sequence[SenseAmplifierModel]) -> Self:
        """Return the same with amplifiers without rails, in the order of these."""
        pairs = zip(self.senseamps, ideal, strict=True)
        return self.model_copy(update={"senseamps": tuple(model.widened(other) for model, other in pairs)})

    def senseamp(self, r_feedback: float) -> SenseAmplifierMismatch:
        """Return the amplifiers with that feedback resistance.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        return find_amplifier(self.senseamps, r_feedback, "mismatch of a sense amplifier")

    def draw_converters(self, sizes: ChargeDac, count: int, *, seed: int, name: str = "") -> tuple[Floats, Floats]:
        """Return what the converters of one tile of a drawn chip differ by, as it follows from their devices.

        Parameters
        ----------
        sizes : ChargeDac
            Of their capacitors.
        count : int
            Converters.
        seed, name
            As for :meth:`draw`.

        Returns
        -------
        thresholds : ndarray of shape (converters, 1 + bits)
            What they add to those of nominal ones, and each bit to that if it is set, half of it up and half of it
            down [V].
        errors : ndarray of shape (converters, bits)
            Relative ones of their capacitors [1].

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        response, draw = self.require_converter(), ChipDraw(seed, name)
        numbers = [draw.numbers(CONVERTER, f"{CAPACITOR}{k}", count)[:, 0] for k in range(sizes.bits)]
        return response.draw(draw, count), np.stack(numbers, axis=1) * sizes.spreads

    @property
    def threshold_spread(self) -> float:
        """Standard deviation of thresholds of drawn converters, but for bends [V]; 0 if they were not calibrated."""
        return 0.0 if self.converter is None else float(np.linalg.norm(self.converter.slopes, axis=1).max())

    def require_converter(self) -> Response:
        """Return how the thresholds of column converters follow from their devices.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        if self.converter is None:
            raise CalibrationError(
                "the calibration has no mismatch of the column converters; run: spicesim calibrate CHIP.toml "
                "-o chip.cal.json --aspects converter,mismatch"
            )
        return self.converter

    def draw(
        self, rows: int, columns: int, *, polarity: Polarity, r_feedback: float, seed: int, name: str = ""
    ) -> TileInstance:
        """Return the blocks of one tile of a drawn chip, as they follow from the numbers of its devices.

        Parameters
        ----------
        rows, columns : int
            Size of the tile.
        polarity : {"unipolar", "bipolar"}
            Coding of the inputs.
        r_feedback : float
            Feedback resistance [ohm].
        seed : int
            Of the chip.
        name : str
            Of the tile within the chip; tiles of other names have other blocks.
        """
        draw, dac = ChipDraw(seed, name), self.dacs[polarity]
        amplifiers = self.integrator or (self.senseamp(r_feedback) if self.hold is None else None)
        return TileInstance(
            drivers=dac,
            driver_parameters=dac.response.draw(draw, rows),
            amplifiers=amplifiers,
            amplifier_parameters=(
                np.zeros((columns, 0)) if amplifiers is None else amplifiers.response.draw(draw, columns)
            ),
            r_cell=np.stack([self._cell_row(draw, i, columns) for i in range(rows)]),
            holds=(
                None if self.hold is None else DrawnHolds(kind=self.hold, sizes=self.hold.response.draw(draw, columns))
            ),
            buffers=(
                None
                if self.buffer is None
                else DrawnBuffers(kind=self.buffer, parameters=self.buffer.response.draw(draw, columns))
            ),
        )

    def _cell_row(self, draw: ChipDraw, row: int, columns: int) -> Floats:
        """Draw the resistances in series with the cells of a word line, shape (columns,) [ohm]."""
        halves = [self.cell] if self.other_half is None else [self.cell, self.other_half]
        drawn = [half.draw(draw, columns // len(halves), f"{half.block}_{row}")[:, 0] for half in halves]
        return np.stack(drawn, axis=1).ravel()
