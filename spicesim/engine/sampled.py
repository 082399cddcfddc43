"""The engine that samples early: outputs some time after the change of codes, settled or not."""

from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.calibration import Calibration
from spicesim.coding import rest_code
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile
from spicesim.errors import SpecError

__all__ = ["SampledEngine", "SampledTile"]

_AT_ONCE = 2048
"""Outputs followed at a time: few enough for a processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledTile(PreparedTile):
    """A tile programmed on the calibrated chip, to be followed in time."""

    tile: Tile
    """What was wanted."""
    transient: TileTransient
    """The behavioural tile in time."""
    rest: int
    """Code before the change: that of 0 V, or the lower of two levels."""
    t_read: float
    """Time from the change of codes to the sample [s]."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        after, step = np.asarray(codes), max(1, _AT_ONCE // self.tile.g.shape[1])
        pieces = [after[start : start + step] for start in range(0, len(after), step)]
        found = [self.transient.outputs(np.full_like(part, self.rest), part, [self.t_read]) for part in pieces]
        return np.concatenate(found)[:, 0]

    @property
    def form(self) -> str:
        """Followed in time."""
        return "in time"


class SampledEngine(Engine):
    """The calibrated chip, its outputs sampled at a time after the change of codes.

    Before each product all drivers rest at 0 V, those of bits at their lower level, as on a chip that returns to zero;
    so no product knows of the last one. Late enough it is the engine "exact". Every output is followed in time: it
    takes some milliseconds of a processor.

    Parameters
    ----------
    calibration : Calibration
        Of the chip, with its settling.
    t_read : float
        Time from the change of codes to the sample [s].
    mismatch_seed : int, optional
        As :class:`~spicesim.engine.ExactEngine`.

    Raises
    ------
    SpecError
        If it is no time above 0, or cells have selectors.
    CalibrationError
        If the settling was not calibrated.
    """

    def __init__(self, calibration: Calibration, t_read: float, *, mismatch_seed: int | None = None) -> None:
        if not 0 < t_read < np.inf:
            raise SpecError(f"t_read must be a time > 0 s, got {t_read}")
        if calibration.chip.cell.kind == "1s1r":
            raise SpecError(
                "cells with selectors are not followed in time: their slopes change by orders of magnitude on the way; "
                "sample settled outputs, without an early t_read"
            )
        self._settling = calibration.require_settling()
        self._exact = ExactEngine(calibration, mismatch_seed=mismatch_seed)
        self.name = f"exact at {1e9 * t_read:.4g} ns"
        self._calibration, self._t_read = calibration, t_read

    def prepare(self, tile: Tile) -> SampledTile:
        """Program the devices by write-verify, as :class:`spicesim.engine.ExactEngine`, and build the tile in time.

        Raises
        ------
        ValidityError
            If a line's own time constant is too long for the model.
        """
        model = self._exact.prepare(tile).model
        assert isinstance(model, BehaviouralTile)  # chips of pulses have no settling
        return SampledTile(
            tile=tile,
            transient=TileTransient(model, self._settling),
            rest=rest_code(tile.polarity, self._calibration.chip.dac.code_bits),
            t_read=self._t_read,
        )
