"""The engine "transfer": the calibrated chip as one matrix a tile, cheap enough to be made anew for every batch."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.coding import rest_code
from spicesim.crossbar import Crossbar
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile

__all__ = ["FloatingTransferTile", "TransferEngine", "TransferTile"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransferTile(PreparedTile):
    """A tile as a linear map between its calibrated converters."""

    tile: Tile
    """What was wanted."""
    transfer: Floats
    """Currents for voltages of the sources, wires and linear ports included, (columns, rows) [S]."""
    v_open: Floats
    """Voltages of the drivers above the amplifiers' inputs at rest, one a code [V]."""
    senseamp: SenseAmplifierModel
    """The amplifiers, whose output table is kept whole."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        return self.senseamp.output(self.v_open[codes] @ self.transfer.T)

    @property
    def linear_map(self) -> Floats:
        """:attr:`transfer`."""
        return self.transfer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatingTransferTile(PreparedTile):
    """A tile of floating bit lines as a linear map between its drivers and its hold switches."""

    tile: Tile
    """What was wanted."""
    feet: Floats
    """Voltages of the lines' feet for voltages of the sources, wires and drivers included, (columns, rows)."""
    v_open: Floats
    """Voltages of the drivers above the reference, one a code [V]."""
    hold: HoldModel
    """The hold switches, whose charge is kept whole."""
    total: Floats
    """Sum of the conductances of each line, (columns,) [S]."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`. Inputs before were at rest."""
        rows = len(self.tile.g)
        rest = self.v_open[rest_code(self.tile.polarity, (len(self.v_open) - 1).bit_length())]
        feet = self.v_open[codes] @ self.feet.T
        held = self.hold.held(feet + self.hold.unsettled(self.total, rows) * (rest - feet), self.total, rows)
        return self.hold.output(held)

    @property
    def linear_map(self) -> Floats:
        """Of currents into held lines that would say the same, (columns, rows) [S]."""
        return np.asarray(self.total[:, None] * self.feet)


class TransferEngine(Engine):
    """Wires exactly, cells as resistors, drivers and amplifiers with the resistances of their linear range.

    What it leaves out, next to :class:`spicesim.engine.ExactEngine`: the nonlinearity of cells and of drivers, and
    what saturated columns do to others. Lines that float do so in the linear array, too.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    """

    name = "transfer"

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def prepare(self, tile: Tile) -> TransferTile | FloatingTransferTile:
        """Extract the linear map of a tile."""
        calibration, array = self._calibration, self._calibration.chip.array
        dac = calibration.dacs[tile.polarity]
        reach = 0.5 * float(np.abs(dac.v_open).max()) * float(tile.g.sum(axis=1).max())
        r_driver = _driver_resistance(dac, min(reach, 0.5 * dac.i_limit))
        r_word_line = array.word_line_segments(*tile.g.shape, paired=calibration.chip.cell.is_paired)
        if calibration.hold is not None:
            feet = Crossbar(tile.g, r_word_line, array.r_bit_line, r_driver, np.inf).foot_matrix()
            return FloatingTransferTile(
                tile=tile, feet=feet, v_open=dac.v_open, hold=calibration.hold, total=tile.g.sum(axis=0)
            )
        senseamp = calibration.senseamp(tile.r_feedback)
        offset, r_sense = _input_line(senseamp)
        crossbar = Crossbar(tile.g, r_word_line, array.r_bit_line, r_driver, r_sense)
        return TransferTile(
            tile=tile, transfer=crossbar.transfer_matrix(), v_open=dac.v_open - offset, senseamp=senseamp
        )


def _driver_resistance(dac: DacModel, reach: float) -> float:
    """Return the slope of a driver's droop between no load and `reach` [A], in the middle of its codes [ohm]."""
    if reach <= 0:
        return 0.0
    droop = dac.ports.evaluate(np.array([0.0, reach]), len(dac.v_open) // 2)[0]
    return max(float(droop[1] - droop[0]) / reach, 0.0)


def _input_line(senseamp: SenseAmplifierModel) -> tuple[float, float]:
    """Return offset [V] and resistance [ohm] of an amplifier's input in its linear range."""
    low, high = (limit / senseamp.feedback for limit in senseamp.linear_limits)
    grid = senseamp.currents
    inside = (grid >= low) & (grid <= high)
    slope, offset = np.polyfit(grid[inside], senseamp.v_in[inside], 1)
    return float(offset), max(float(slope), 0.0)
