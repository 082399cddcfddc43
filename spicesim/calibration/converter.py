"""A kind of column converter, as calibrations and audits ask for it: its conversions at transistor level, its model.

A converter of one's own is a subclass in a file outside of the package, named by ``adc.kind = "package.module:Name"``.
It says how to convert; thresholds are then found by bisection and held against conversions that took no part in it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import ConverterCheck
from spicesim.behavioural.energy import AdcEnergy
from spicesim.behavioural.sar import SarModel
from spicesim.behavioural.steps import StepModel, StepSearch
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.coding import POLARITIES, Polarity
from spicesim.errors import CalibrationError
from spicesim.netlist.mismatch import Draw
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["Conversions", "Converter", "check_codes", "code_line", "step_search"]

LEAST_IDENTICAL = 0.9
"""A converter whose held-out codes are the model's less often is refused."""
HELD_OUT = 64
"""Inputs that take no part in a fit."""
ROUNDS = 8
"""Halvings of what is left between the two inputs around a threshold, 1.5 steps at first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conversions:
    """Conversions to be simulated."""

    netlists: tuple[Netlist, ...]
    """Their testbenches."""
    read: Callable[[Sequence[Results]], Codes]
    """Returns the codes of their results, rising with outputs, in the order of these."""


class Converter(ABC):
    """One kind of column converter."""

    unseen: ClassVar[str]
    """What of it is the same in the model and in the circuit, so that no audit sees it."""

    @abstractmethod
    def span(self, chip: Chip) -> float:
        """Return the range of inputs [V]."""

    @abstractmethod
    def conversions(
        self, chip: Chip, polarity: Polarity, volts: Floats, draws: Sequence[Draw] | None = None
    ) -> Conversions:
        """Build conversions of outputs at transistor level.

        Parameters
        ----------
        chip : Chip
            With such converters.
        polarity : {"unipolar", "bipolar"}
            Coding of the tile's inputs.
        volts : ndarray of shape (outputs,)
            Outputs, positive for positive products [V].
        draws : sequence of callable, optional
            Of each output: standard normal numbers of the devices of the converter that does it, by their path. By
            default all are nominal.
        """

    def comparator(self, chip: Chip) -> SarAdc | None:
        """Return sizes of an ADC with the comparator whose threshold differs on drawn chips, on its capacitor.

        None where it is not known how converters differ: drawn chips are then refused.
        """
        return None

    def energy(self, chip: Chip, campaign: Campaign) -> AdcEnergy | None:
        """Find what a conversion takes; None if it is not known."""
        return None

    def calibrate(self, chip: Chip, campaign: Campaign) -> SarModel | StepModel:
        """Find the model, by bisection of all thresholds.

        Raises
        ------
        CalibrationError
            If conversions that were held out are other than the model says too often.
        """
        searches, checks = {}, {}
        for polarity in codings(chip):
            thresholds = self._bisect(chip, polarity, campaign)
            searches[polarity] = step_search(chip, polarity, thresholds, self.span(chip))
        model = StepModel(
            kind=chip.adc.kind, bits=chip.adc.bits, span=self.span(chip),
            rising=chip.sense_amplifier.kind == "voltage", searches=searches, checks={}, noises={},
            unknown_noise=f"converters {chip.adc.kind!r} do not tell theirs",
        )  # fmt: skip
        for polarity in searches:
            checks[polarity] = check_codes(self, model, chip, polarity, campaign)
        return model.model_copy(update={"checks": checks})

    def elsewhere(
        self, calibration: Calibration, conditions: Sequence[Calibration], campaign: Campaign
    ) -> Sequence[SarModel | StepModel]:
        """Find the models of a chip at other conditions; by default anew at each."""
        return [self.calibrate(at.chip, campaign) for at in conditions]

    def convert(self, chip: Chip, polarity: Polarity, volts: Floats, campaign: Campaign) -> Codes:
        """Convert outputs by nominal converters."""
        wanted = self.conversions(chip, polarity, volts)
        return wanted.read(campaign.run(wanted.netlists, "calibrate converter"))

    def _bisect(self, chip: Chip, polarity: Polarity, campaign: Campaign) -> Floats:
        """Find the output at which each code begins, (codes - 1,) [V]."""
        low, high = input_range(chip, polarity, self.span(chip))
        codes = np.arange(1, 2**chip.adc.bits)
        lsb = (high - low) / 2**chip.adc.bits
        volts = np.linspace(low - lsb, high + lsb, 2 * len(codes) + 5)
        found = self.convert(chip, polarity, volts, campaign)
        if (np.diff(found) < 0).any():
            raise CalibrationError(
                f"codes of converters {chip.adc.kind!r} fall as outputs rise; a model by thresholds needs rising ones"
            )
        reached = found[:, None] >= codes
        if not reached[-1].all() or reached[0].any():
            raise CalibrationError(
                f"converters {chip.adc.kind!r} give codes {found.min()}..{found.max()} over their span, wanted all of "
                f"0..{codes[-1]}; check its conversions and its span"
            )
        first = reached.argmax(axis=0)
        below, above = volts[first - 1], volts[first]
        for _ in range(ROUNDS):
            middle = (below + above) / 2
            over = self.convert(chip, polarity, middle, campaign) >= codes
            below, above = np.where(over, below, middle), np.where(over, middle, above)
        return np.asarray(np.maximum.accumulate((below + above) / 2))


def codings(chip: Chip) -> tuple[Polarity, ...]:
    """Return the codings of inputs whose outputs have a range of their own."""
    return tuple(dict.fromkeys(chip.sense_amplifier.output_range(polarity) for polarity in chip.polarities))


def input_range(chip: Chip, polarity: Polarity, span: float) -> tuple[float, float]:
    """Return the least and the largest output that converters are for [V]."""
    if chip.sense_amplifier.output_range(polarity) == "unipolar":
        return 0.0, span
    return -span / 2, span / 2


def step_search(
    chip: Chip, polarity: Polarity, thresholds: Floats, span: float, curve: Floats | None = None,
    steps: Floats | None = None,
) -> StepSearch:  # fmt: skip
    """Make a search of thresholds.

    Parameters
    ----------
    chip : Chip
        The chip.
    polarity : {"unipolar", "bipolar"}
        Coding of the tile's inputs.
    thresholds : ndarray of shape (codes - 1,)
        Outputs at which codes begin, rising [V].
    span : float
        Range of inputs [V].
    curve, steps : ndarray, optional
        What is compared in the converter, as in :class:`~spicesim.behavioural.steps.StepSearch`; by default the input.
    """
    rising = chip.sense_amplifier.kind == "voltage"
    middle = -span / 2 if chip.sense_amplifier.output_range(polarity) == "unipolar" else 0.0
    if curve is None or steps is None:
        curve, nodes = np.array([0.0, span / 2]), thresholds if rising else -thresholds[::-1]
        steps = nodes - middle
    first, last = code_line(-thresholds[::-1] if rising else thresholds)
    return StepSearch(middle=middle, curve=curve, steps=steps, low=first, high=last)


def code_line(thresholds: Floats) -> tuple[float, float]:
    """Return the outputs that the first and the last code stand for, by a straight line through all others [V]."""
    codes = np.arange(1, len(thresholds))
    slope, start = np.polyfit(codes, (thresholds[1:] + thresholds[:-1]) / 2, 1)
    return float(start), float(start + slope * len(thresholds))


def check_codes(
    converter: Converter, model: StepModel, chip: Chip, polarity: Polarity, campaign: Campaign
) -> ConverterCheck:
    """Hold a model against conversions of random outputs.

    Raises
    ------
    CalibrationError
        If codes differ too often.
    """
    rng = np.random.default_rng([campaign.seed, 31, POLARITIES.index(polarity)])
    volts = rng.uniform(*input_range(chip, polarity, model.span), HELD_OUT)
    wrong = model.range(polarity).codes(volts) - converter.convert(chip, polarity, volts, campaign)
    check = ConverterCheck(
        conversions=len(wrong), identical=float(np.mean(wrong == 0)), worst=int(np.abs(wrong).max()),
    )  # fmt: skip
    if check.identical < LEAST_IDENTICAL:
        raise CalibrationError(
            f"the {polarity} converter's codes are what the model says for {100 * check.identical:.0f} % of "
            f"{check.conversions} inputs only, wanted {100 * LEAST_IDENTICAL:.0f} %; give its parts more time, or "
            "fewer bits"
        )
    return check
