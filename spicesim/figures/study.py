"""What figures are made of: a calibration, how much to try, and a network with its data if there is one."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.calibration.calibration import Calibration
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import Run, Subject, run_subject
from spicesim.network.dataset import Dataset
from spicesim.network.loading import load_model

__all__ = ["Study"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """A calibrated chip, what to try on it and how much."""

    calibration: Calibration
    """The chip."""
    model: str | None = None
    """Path of a network."""
    dataset: Dataset | None = None
    """Its data, with labels."""
    chips: int = 10
    """Chips of a band."""
    vectors: int = 200
    """Products of a point."""
    images: int = 200
    """Inputs of the network."""
    seed: int = 0
    """Of everything that is drawn."""
    keeping: Keeping = field(default_factory=Keeping)
    """What runs keep."""

    @property
    def rng(self) -> np.random.Generator:
        """A generator that begins anew."""
        return np.random.default_rng(self.seed)

    @property
    def rows(self) -> list[int]:
        """Numbers of rows to try: powers of two up to those of the array, and these."""
        most = self.calibration.chip.array.rows
        return sorted({*(2**k for k in range(2, 12) if 2**k < most), most})

    @property
    def temperatures(self) -> list[float]:
        """Temperatures to try: the chip's own, the ends of what is calibrated and some between [degree Celsius]."""
        own, climate = self.calibration.chip.process.temperature_c, self.calibration.climate
        found = sorted(() if climate is None else climate.temperatures_c)
        few = np.unique(np.rint(np.linspace(0, len(found) - 1, min(len(found), 4))).astype(int))
        return sorted({own, *(found[k] for k in few)})

    @property
    def nominal(self) -> RunPlan:
        """A run of the circuit as it was calibrated: every product solved, nothing drawn."""
        return RunPlan(engine="exact", seed=self.seed)

    @property
    def drawn(self) -> RunPlan:
        """The same on chips that differ by all that was calibrated of it; by programmed devices if nothing was."""
        words = self._drawn
        return self.nominal.changed(chips=self.chips, **words) if words else self.nominal

    @property
    def _drawn(self) -> dict[str, Any]:
        calibration = self.calibration
        words: dict[str, Any] = {}
        if calibration.mismatch is not None:
            words["mismatch"] = self.seed
        if calibration.noise is not None or calibration.hold is not None:  # whose noise is that of a capacitor
            words["noise"] = True
        return words or {"device": "typical"}

    @property
    def differing(self) -> str:
        """What drawn chips differ by, in words for captions."""
        words = {"mismatch": "calibrated mismatch", "noise": "noise of circuits"}
        found = [words[name] for name in self._drawn if name in words]
        return (
            " and ".join(found)
            or "devices alone, as no mismatch is calibrated: written to 1 % of g_max, read to .5 %, .1 % stuck"
        )

    @property
    def band(self) -> str:
        """What bands mean, in words for captions."""
        return (
            f"Lines are means of {self.chips} chips, bands reach from the least to the greatest; chips differ by "
            f"{self.differing}."
        )

    @property
    def ideal_parts(self) -> str:
        """What is ideal in every circuit, in words for captions."""
        adc = "" if self.calibration.chip.adc.is_real else "The ADC is an ideal quantiser. "
        return f"{adc}Supplies and references are ideal."

    def changed(self, **changes: Any) -> "Study":
        """Return the study of a chip with other values of some keys that no block's calibration depends on."""
        chip = self.calibration.chip.changed(**changes)
        return replace(self, calibration=self.calibration.model_copy(update={"chip": chip}))

    def run_network(self, plan: RunPlan) -> Run:
        """Run the network.

        Parameters
        ----------
        plan : RunPlan
            Its number of images is that of the study.
        """
        assert self.model is not None
        assert self.dataset is not None
        subject = Subject.of(load_model(self.model), self.dataset, self.calibration)
        return run_subject(plan.changed(images=self.images), subject, keeping=self.keeping)

    def accuracies(self, plan: RunPlan) -> Floats:
        """Return the accuracy of each chip of a plan in per cent."""
        found = self.run_network(plan).accuracies
        assert found is not None  # figures of networks ask for labels
        return 100 * found
