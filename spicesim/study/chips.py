"""Calibrations of a study's chips: made once for all chips that differ in keys on which no block depends.

Blocks are calibrated alone, so the lines' resistance is in none of them; nor are the range of an ideal converter and,
but for the energy of a conversion, its bits. A calibration of many rows and columns holds for arrays of fewer: its box
of loads, currents and cells of a column is the larger one. What rests on the largest array there is the load of a line,
in settling and in what a converter takes over of an amplifier. No whole tiles are checked: those of the points that
matter are, by their audits.
"""

from collections.abc import Sequence
from pathlib import Path

from spicesim.calibration.aspects import possible_aspects
from spicesim.calibration.calibrate import ASPECTS, calibrate_blocks, wanted_aspects
from spicesim.calibration.calibration import Calibration, load_calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.carried import carry_blocks
from spicesim.calibration.energy import calibrate_adc_energy
from spicesim.calibration.plan import plan_calibration
from spicesim.chip import Chip
from spicesim.experiment.plan import RunPlan
from spicesim.files.lock import one_at_a_time
from spicesim.ngspice.batch import BatchSimulator

__all__ = ["Calibrations", "needed_aspects"]


def needed_aspects(chip: Chip, plan: RunPlan) -> tuple[str, ...]:
    """Return the aspects of a calibration that a run needs; asking for more than there are is refused by the run."""
    needs_settling = plan.early or (plan.energy and plan.t_read is None and chip.sense_amplifier.kind == "tia")
    wanted = {
        "converter": chip.adc.is_real, "energy": plan.energy, "settling": needs_settling, "noise": plan.noise,
        "mismatch": plan.mismatch is not None, "climate": plan.is_elsewhere,
    }  # fmt: skip
    there, _ = possible_aspects(chip)
    return tuple(name for name, is_wanted in wanted.items() if is_wanted and name in there)


class Calibrations:
    """Calibrations of a study, kept in a folder.

    Parameters
    ----------
    folder : Path
        Where.
    largest : tuple of int
        Rows and columns of the largest array of the study.
    quick : bool
        Whether fewer points are taken.
    jobs : int, optional
        Simulations at a time.
    """

    def __init__(self, folder: Path, largest: tuple[int, int], *, quick: bool, jobs: int | None = None) -> None:
        self._folder, self._largest, self._quick, self._jobs = folder, largest, quick, jobs
        self._kept: dict[tuple[str, tuple[str, ...]], Calibration] = {}

    def shared_chip(self, chip: Chip, aspects: Sequence[str]) -> Chip:
        """Return the chip whose calibration a chip shares: the largest array, and the usual wires and ranges."""
        rows, columns = (max(own, most) for own, most in zip(_size(chip), self._largest, strict=True))
        keys: dict[str, object] = {
            "array.rows": rows, "array.columns": columns, "array.r_word_line": 1.0, "array.r_bit_line": 1.0,
            "adc.percentile": 99.99,
        }  # fmt: skip
        if not chip.adc.is_real and "climate" not in aspects:  # a climate holds energies of conversions, too
            keys["adc.bits"] = 8
        return chip.changed(keys)

    def of(self, chip: Chip, aspects: Sequence[str]) -> Calibration:
        """Return the calibration of a chip, made now if there is none that it shares.

        Raises
        ------
        SimulationError, MissingDependencyError, StorageError, CalibrationError
            If it cannot be made.
        """
        shared = self.shared_chip(chip, aspects)
        key = shared.hash, tuple(aspects)
        if key not in self._kept:
            self._kept.clear()  # points of one calibration mostly come together, and one takes 100 MB
            self._kept[key] = self._find(shared, aspects)
        found = self._kept[key]
        carried = carry_blocks(found, chip)
        update = {name: getattr(found, name) for name in aspects}
        if found.energy is not None and chip.adc.bits != shared.adc.bits:
            adc = calibrate_adc_energy(carried, self._campaign())
            update["energy"] = found.energy.model_copy(update={"adc": adc})
        return carried.model_copy(update=update)

    def _find(self, chip: Chip, aspects: Sequence[str]) -> Calibration:
        path = self._folder / f"{'-'.join((chip.hash, *aspects))}.cal.json"
        with one_at_a_time(path):
            if path.exists():
                return load_calibration(path)
            plan = plan_calibration(chip, aspects=tuple(aspects), quick=self._quick)
            campaign = self._campaign()
            calibration = calibrate_blocks(plan, campaign)
            for name in wanted_aspects(plan):
                calibration = calibration.model_copy(update={name: ASPECTS[name](calibration, campaign)})
            calibration = calibration.model_copy(
                update={"simulations": campaign.simulations, "costs": campaign.costs, "aids": dict(campaign.aids)}
            )
            calibration.save(path)
            return calibration

    def _campaign(self) -> Campaign:
        return Campaign(quick=self._quick, simulator=BatchSimulator(), jobs=self._jobs)


def _size(chip: Chip) -> tuple[int, int]:
    return chip.array.rows, chip.array.columns
