"""What reads the bit lines of a calibrated chip: one of three kinds of models; and which rails its tiles are on."""

from collections.abc import Sequence

import numpy as np

from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import IntegratorModel
from spicesim.behavioural.rails import RailsModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.chip import Chip
from spicesim.errors import CalibrationError

__all__ = ["on_rails", "require_readout"]


def require_readout(
    chip: Chip, senseamps: Sequence[SenseAmplifierModel], hold: HoldModel | None, integrator: IntegratorModel | None
) -> None:
    """Refuse models that are not those of the chip's read-out."""
    kind, settings = chip.sense_amplifier.kind, list(chip.settings)
    wanted = settings if kind == "tia" else []
    found = [model.r_feedback for model in senseamps]
    if len(found) != len(wanted) or not np.allclose(found, wanted, rtol=1e-9, atol=0):
        raise ValueError(f"senseamps must have the chip's feedback resistances, {wanted} ohm, in this order")
    if (hold is not None) != (kind == "voltage"):
        raise ValueError("hold must be there for a chip of floating bit lines, and for no other")
    adder = None if hold is None else hold.adder
    if (adder is not None) != chip.hold.adds_planes or (adder is not None and adder.bits != chip.dac.bits):
        raise ValueError("hold must have an adder of dac.bits planes for a chip of hold.planes = charge, and no other")
    if hold is not None and (hold.buffer is not None) != chip.hold.is_buffered:
        raise ValueError("hold must have a buffer for a chip of hold.buffer = opamp, and for no other")
    if (integrator is not None) != (kind == "integrator"):
        raise ValueError("integrator must be there for a chip of integrators, and for no other")
    if integrator is not None and not np.isclose(integrator.r_feedback, settings[0], rtol=1e-9):
        raise ValueError("integrator must have the chip's capacitor and its time for pulses")


def on_rails(chip: Chip, model: RailsModel | None, tile: BehaviouralTile, *, drawn: bool) -> BehaviouralTile:
    """Put a tile on the rails of its chip, unless they are ideal; `drawn` says whether its blocks are.

    Raises
    ------
    CalibrationError
        If what they do was not calibrated, or not of such blocks.
    """
    if chip.rails.are_ideal:
        return tile
    if model is None or isinstance(tile.readout, HoldModel):
        raise CalibrationError(
            "what rails with impedances or buffers do was not calibrated, or not at this corner and temperature; "
            "calibrate the chip anew, leave --corner and --temperature, or leave the section rails out"
        )
    if drawn:
        raise CalibrationError(
            "drawn chips are not known on rails with impedances or buffers; leave --mismatch, or the section rails out"
        )
    return tile.on(model.of(chip.rails, tile.dac.polarity, tile.readout.r_feedback))
