"""The kinds of column converters: those of the library by a word, those of one's own by ``package.module:Name``."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.sar import SarModel
from spicesim.behavioural.steps import StepModel
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.conversions import conversions, read_outputs
from spicesim.calibration.converter import Conversions, Converter
from spicesim.calibration.ramp import RampConverter
from spicesim.calibration.sar import calibrate_converter
from spicesim.calibration.sar_elsewhere import converters_elsewhere
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import Polarity
from spicesim.netlist.mismatch import Draw
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results
from spicesim.own_code import load_class

__all__ = ["KINDS", "SarConverter", "calibrate_converters", "find_comparator", "find_converter"]


class SarConverter(Converter):
    """The successive-approximation ADC of the library."""

    unseen: ClassVar[str] = "an ideal buffer in front of the ADC, and its logic"

    def span(self, chip: Chip) -> float:
        """Return the widest span of its DAC [V]."""
        return chip.sar_adc.dac.span

    def comparator(self, chip: Chip) -> SarAdc | None:
        """Return its own sizes."""
        return chip.converter

    def conversions(
        self, chip: Chip, polarity: Polarity, volts: Floats, draws: Sequence[Draw] | None = None
    ) -> Conversions:
        """Build conversions, one after the other: nominal converters are all alike, drawn ones do what is theirs."""
        order = {} if draws is None else {id(draw): draw for draw in draws}
        groups = [np.flatnonzero([id(draw) == key for draw in draws or ()]) for key in order]
        groups = groups or [np.arange(len(volts))]
        own: list[Draw | None] = [*order.values()] or [None]
        parts = [conversions(chip, polarity, volts[k], draw) for k, draw in zip(groups, own, strict=True)]
        ends = np.cumsum([len(part) for part in parts])

        def read(results: Sequence[Results]) -> Codes:
            codes = np.zeros(len(volts), dtype=np.int64)
            for group, part, end in zip(groups, parts, ends, strict=True):
                codes[group] = read_outputs(results[end - len(part) : end], chip)
            return codes

        netlists: tuple[Netlist, ...] = tuple(one for part in parts for one in part)
        return Conversions(netlists=netlists, read=read)

    def calibrate(self, chip: Chip, campaign: Campaign) -> SarModel:
        """Find the model."""
        return calibrate_converter(chip, campaign)

    def elsewhere(
        self, calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
    ) -> list[SarModel]:
        """Find what conditions change, from few conversions."""
        return converters_elsewhere(calibration, conditions, campaign)


KINDS: dict[str, type[Converter]] = {"sar": SarConverter, "ramp": RampConverter}
"""Those of the library."""


def find_converter(chip: Chip) -> Converter | None:
    """Return the kind of a chip's column converters; None if they are ideal.

    Raises
    ------
    SpecError
        If it is code of the user's own, and cannot be imported.
    """
    if not chip.adc.is_real:
        return None
    kind = chip.adc.kind
    made: Converter = (KINDS[kind] if kind in KINDS else load_class(kind, Converter))()
    return made


def find_comparator(chip: Chip) -> SarAdc | None:
    """Return sizes of an ADC with the comparator of a chip's converters; None if they have none that is known."""
    kind = find_converter(chip)
    return None if kind is None else kind.comparator(chip)


def calibrate_converters(calibration: Calibration, campaign: Campaign) -> SarModel | StepModel | None:
    """Find the converters of a chip; None if they are ideal.

    Raises
    ------
    CalibrationError
        If conversions that took no part in the fit are other than the model says too often.
    """
    converter = find_converter(calibration.chip)
    return None if converter is None else converter.calibrate(calibration.chip, campaign)
