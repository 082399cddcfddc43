"""A chip's calibration: the models of its blocks, how good they are, and where they hold; a JSON file."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from spicesim.behavioural.arrays import FloatArray, Model, mix_models
from spicesim.behavioural.cell import AnyCell, SelectorCellModel
from spicesim.behavioural.climate import ClimateModel, Condition
from spicesim.behavioural.converter import ConverterModel
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.energy import EnergyModel
from spicesim.behavioural.feedback import find_amplifier
from spicesim.behavioural.hold import HoldModel
from spicesim.behavioural.integration import IntegratorModel, PulseTile
from spicesim.behavioural.mismatch import MismatchModel, TileInstance
from spicesim.behavioural.noise import NoiseModel
from spicesim.behavioural.rails import RailsModel
from spicesim.behavioural.sar import SarModel
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.behavioural.settling import SettlingModel
from spicesim.behavioural.steps import StepModel
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.behavioural.transient import TileTransient
from spicesim.calibration.aspects import lacks
from spicesim.calibration.campaign import Cost
from spicesim.calibration.fit import Fit
from spicesim.calibration.heldout import ErrorSummary, HeldOut
from spicesim.calibration.parts import Reuse
from spicesim.calibration.plan import PlanSummary
from spicesim.calibration.readout import on_rails, require_readout
from spicesim.calibration.sense_amplifier import named_parameters
from spicesim.calibration.tile_check import TileCheck
from spicesim.calibration.verdict import Verdict
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import CalibrationError, quote
from spicesim.files import write_text
from spicesim.files.documents import read_json, validate

__all__ = ["Calibration", "load_calibration"]


class Calibration(Model):
    """Calibrated models of all blocks of one chip, with their held-out errors."""

    schema_version: Literal[6] = 6
    """Version of this file's format."""
    chip: Chip
    """The chip, whole."""
    quick: bool
    """Whether fewer points were taken."""
    seed: int
    """Of the held-out points and the checks."""
    created: str
    """When, UTC."""
    seconds: float
    """How long it took [s]."""
    simulations: int
    """Ngspice runs behind it."""
    versions: dict[str, str]
    """Of ngspice and every package with a say."""
    cell: AnyCell
    dacs: dict[Polarity, DacModel]
    """Word-line drivers by polarity."""
    senseamps: tuple[SenseAmplifierModel, ...]
    """Sense amplifiers, one a feedback resistance, ascending; none where bit lines float."""
    hold: HoldModel | None = None
    """Hold switches of floating bit lines."""
    integrator: IntegratorModel | None = None
    """Integrators of pulses."""
    rails: RailsModel | None = None
    """Drivers and amplifiers on rails that have moved; None where these are ideal."""
    errors: dict[str, ErrorSummary]
    """Held-out errors by block, in short."""
    held_out: dict[str, HeldOut]
    """The points behind them."""
    checks: tuple[TileCheck, ...]
    """Whole tiles against transistor level."""
    verdict: Verdict | None = None
    """What was asked of it, what it reached and what it claims; None where no whole tile was checked."""
    plan: PlanSummary | None = None
    """What was planned for the blocks, and refined."""
    costs: dict[str, Cost] = Field(default_factory=dict)
    """What was simulated, step by step."""
    aids: dict[str, int] = Field(default_factory=dict)
    """Simulations that converged only with an aid, by its name; see :data:`spicesim.ngspice.aids.AIDS`."""
    failures: tuple[str, ...] = ()
    """Simulations that failed and were done without, each with its rerun command. None is behind a fit."""
    reuse: Reuse | None = None
    """What was taken from earlier calibrations, and what was made."""
    parameters: dict[str, Fit] | None = None
    """Data sheet: physical parameters of the blocks with their intervals; it computes nothing."""
    converter: SarModel | StepModel | None = None
    """Column converters; None if they are ideal."""
    energy: EnergyModel | None = None
    """What blocks draw from their supplies."""
    settling: SettlingModel | None = None
    """How drivers and amplifiers settle."""
    noise: NoiseModel | None = None
    """Noise of outputs."""
    mismatch: MismatchModel | None = None
    """How blocks of one kind differ from each other."""
    climate: ClimateModel | None = None
    """What other temperatures and corners make of the blocks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse blocks that are not those of the chip."""
        codes = 2**self.chip.dac.level_bits
        if set(self.dacs) != set(self.chip.polarities):
            raise ValueError(f"dacs must be {' and '.join(self.chip.polarities)}")
        for polarity, dac in self.dacs.items():
            if dac.polarity != polarity or len(dac.v_open) != codes:
                raise ValueError(f"dacs.{polarity} must be a {polarity} driver of {codes} codes")
        require_readout(self.chip, self.senseamps, self.hold, self.integrator)
        if isinstance(self.cell, SelectorCellModel) != (self.chip.cell.kind == "1s1r"):
            raise ValueError("cell must be that of a selector for cells of kind 1s1r, and for no others")
        if self.energy is not None and any(len(dac.power_open) != codes for dac in self.energy.dacs.values()):
            raise ValueError(f"energy.dacs must be drivers of {codes} codes")
        if self.mismatch is not None:
            self.mismatch.require_chip(self.chip)
        if self.converter is not None:
            if not self.chip.adc.is_real:
                raise ValueError("converter must be left out of a chip whose adc.kind is ideal")
            self.converter.require_chip(self.chip)
        if self.climate is not None:
            self.climate.require_blocks(self.cell, self.dacs, len(self.senseamps))
            if (self.climate.hold is None) != (self.hold is None):
                raise ValueError("climate must have hold switches for a chip of floating bit lines, and for no other")
            if (self.climate.integrator is None) != (self.integrator is None):
                raise ValueError("climate must have integrators for a chip of them, and for no other")
        return self

    @cached_property
    def hash(self) -> str:
        """Hash of the models: equal for calibrations that compute equal results."""
        about = {"quick", "seed", "created", "seconds", "simulations", "versions", "errors", "held_out", "checks"}
        about |= {"parameters", "plan", "verdict", "costs", "aids", "failures", "reuse"}
        return hashlib.sha256(self.model_dump_json(exclude=about, exclude_none=True).encode()).hexdigest()[:16]

    @property
    def conductance_range(self) -> tuple[float, float]:
        """Conductances that whole cells are programmed to [S]."""
        low, high = self.cell.read_conductance((self.chip.cell.g_min, self.chip.cell.g_max))
        return float(low), float(high)

    @property
    def conductance_limits(self) -> tuple[float, float]:
        """Conductances of whole cells that are calibrated [S]: some more, as devices miss what is wanted."""
        return self.cell.conductance_range

    def senseamp(self, r_feedback: float) -> SenseAmplifierModel:
        """Return the amplifier with that feedback resistance.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        if self.chip.sense_amplifier.kind != "tia":
            why = "integrators read this chip" if self.hold is None else "the bit lines of this chip float"
            raise CalibrationError(
                f"{why}, so it has no amplifiers at rest; take an engine that knows them, ideal, fast, exact, ngspice, "
                "or set dac.kind = r2r and sense_amplifier.kind = tia"
            )
        return find_amplifier(self.senseamps, r_feedback, "sense amplifier")

    def readout(self, setting: float) -> SenseAmplifierModel | HoldModel | IntegratorModel:
        """Return what reads the bit lines, by one of the settings of the chip's read-out.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        return self.hold or self.integrator or self.senseamp(setting)

    def linear_swing(self, r_feedback: float) -> float:
        """Return the largest output of either sign in the linear range of what reads the bit lines [V]."""
        return self.readout(r_feedback).linear_swing

    def require_converter(self) -> ConverterModel | None:
        """Return the column converters; None if the chip has ideal ones.

        Raises
        ------
        CalibrationError
            If it has real ones that were not calibrated, at this corner and temperature.
        """
        if self.converter is None and self.chip.adc.is_real:
            raise CalibrationError(
                "the column converters were not calibrated, or not at this corner and temperature; calibrate the chip "
                "with the aspect converter, and climate for other conditions, or set adc.kind = ideal"
            )
        return self.converter

    def require_noise(self) -> NoiseModel:
        """Return the noise of outputs.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        if self.noise is None:
            raise lacks(self.chip, "noise")
        return self.noise

    def require_settling(self) -> SettlingModel:
        """Return how drivers and amplifiers settle.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        if self.settling is None:
            raise lacks(self.chip, "settling")
        return self.settling

    def require_energy(self) -> EnergyModel:
        """Return the energies of the blocks.

        Raises
        ------
        CalibrationError
            If they were not calibrated.
        """
        if self.energy is None:
            raise lacks(self.chip, "energy", "energies")
        return self.energy

    def at(self, *, corner: str | None = None, temperature_c: float | None = None) -> "Calibration":
        """Return the calibration of the same chip at another corner, another temperature [degree Celsius], or both.

        Operating points and all aspects are calibrated at a few temperatures, and at corners at some of these; between
        them their numbers follow polynomials. An aspect that was not calibrated when the climate was is None.

        Raises
        ------
        CalibrationError
            If the climate was not calibrated, or not there.
        """
        if self.climate is None:
            raise CalibrationError(
                "the calibration has no climate; run: spicesim calibrate CHIP.toml -o chip.cal.json --aspects climate"
            )
        chip = self.chip.at(corner=corner, temperature_c=temperature_c)
        if corner is not None and self.chip.process.corner(corner) == self.chip.process:
            corner = None  # the chip's own
        if chip.process == self.chip.process:
            return self
        condition = self.climate.at(corner, temperature_c)
        none = dict.fromkeys(("plan", "parameters", "climate"))
        kept = {name: getattr(self, name) for name in type(self).model_fields}  # without the hash of this one
        return self.model_construct(
            **kept
            | none
            | self._aspects_at(corner, chip.process.temperature_c)
            | {
                "chip": chip,
                "cell": self.cell.model_copy(
                    update={
                        "coefficients": self.cell.coefficients + condition.cell,
                        "leakage": self.cell.leakage + condition.leakage,
                    }
                ),
                "dacs": {polarity: condition.dacs[polarity].apply(dac) for polarity, dac in self.dacs.items()},
                "senseamps": tuple(self._senseamp_at(k, condition) for k in range(len(self.senseamps))),
                "errors": {},
                "held_out": {},
                "checks": (),
            }
        )

    def _aspects_at(self, corner: str | None, temperature_c: float) -> dict[str, Model | None]:
        """Return the aspects at a condition; None for those that were not calibrated there."""
        assert self.climate is not None
        climate = self.climate
        aspects: dict[str, Model | None] = dict.fromkeys(
            ("mismatch", "settling", "noise", "energy", "converter", "hold", "integrator", "rails")
        )
        try:
            if self.hold is not None and climate.hold is not None:
                aspects["hold"] = climate.hold.at(self.hold, corner, temperature_c)
            if self.integrator is not None and climate.integrator is not None:
                aspects["integrator"] = climate.integrator.at(self.integrator, corner, temperature_c)
            if self.converter is not None and climate.converter is not None:
                aspects["converter"] = climate.converter_at(self.converter, corner, temperature_c)
            if self.mismatch is not None and climate.mismatch is not None:
                nothing = mix_models([0.0], climate.mismatch.temperatures[:1])
                aspects["mismatch"] = self.mismatch.shifted(climate.mismatch.at(nothing, corner, temperature_c))
            if self.settling is not None and climate.settling is not None:
                own = self.settling.model_copy(update={"checks": ()})
                aspects["settling"] = climate.settling.at(own, corner, temperature_c)
            if self.noise is not None and climate.noise is not None:
                noise = climate.noise.at(self.noise, corner, temperature_c)
                aspects["noise"] = noise.model_copy(update={"max_error": self.noise.max_error})
            if self.energy is not None and climate.energy is not None:
                aspects["energy"] = climate.energy.at(self.energy, corner, temperature_c)
        except ValueError as error:  # of pydantic, or of numpy for tables of other sizes
            why = quote(str(error).splitlines()[-1])
            raise CalibrationError(
                f"the climate does not fit the chip's own aspects ({why}); calibrate again"
            ) from None
        return aspects

    def _senseamp_at(self, k: int, condition: Condition) -> SenseAmplifierModel:
        assert self.climate is not None
        nominal = self.senseamps[k]
        change = condition.feedbacks[k], self.climate.sense_currents[k], condition.senseamps[k]
        try:
            v_in, v_out = nominal.moved(*change)
            # changes between their points are interpolated, which may bend an input back by less than a microvolt
            v_in = np.maximum.accumulate(v_in)
            update: dict[str, object] = {"v_in": v_in, "v_out": v_out}
            parameters, limits = named_parameters(nominal.currents, v_in, v_out, nominal.r_feedback)
            update |= {"parameters": parameters, "linear_limits": limits}
            return SenseAmplifierModel.model_validate(nominal.model_copy(update=update).model_dump())
        except (CalibrationError, ValueError) as error:  # pydantic's are ValueErrors, too
            why = quote(str(error).splitlines()[-1])
            raise CalibrationError(
                f"the climate makes no amplifier of the calibrated one ({why}); calibrate again"
            ) from None

    def require_mismatch(self) -> MismatchModel:
        """Return the mismatch.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        if self.mismatch is None:
            raise lacks(self.chip, "mismatch")
        return self.mismatch

    def tile(
        self, g: FloatArray, polarity: Polarity, r_feedback: float, *, instance: TileInstance | None = None
    ) -> BehaviouralTile | PulseTile:
        """Build the behavioural tile of devices with conductances `g` (rows, columns) [S].

        Parameters
        ----------
        g : ndarray of shape (rows, columns)
            Conductances of the devices [S].
        polarity : {"unipolar", "bipolar"}
            Coding of the inputs.
        r_feedback : float
            Feedback resistance [ohm].
        instance : TileInstance, optional
            What each block of the tile is beyond the calibrated one; see :meth:`MismatchModel.draw`.

        Raises
        ------
        CalibrationError
            If the drivers have no such coding.
        """
        if self.integrator is None:
            return self.static_tile(g, polarity, r_feedback, instance=instance)
        static = self._static(g, polarity, self.integrator.port, instance)
        return PulseTile(static, self.integrator, instance=instance)

    def static_tile(
        self, g: FloatArray, polarity: Polarity, r_feedback: float, *, instance: TileInstance | None = None
    ) -> BehaviouralTile:
        """Build a behavioural tile that rests between changes of codes; arguments as for :meth:`tile`.

        Raises
        ------
        CalibrationError
            If the chip is driven by pulses, or the drivers have no such coding.
        """
        readout = self.readout(r_feedback)
        if isinstance(readout, IntegratorModel):
            raise CalibrationError(
                "a chip of pulses does not rest in a product; set dac.kind = r2r and sense_amplifier.kind = tia"
            )
        return self._static(g, polarity, readout, instance)

    def _static(
        self, g: FloatArray, polarity: Polarity, readout: SenseAmplifierModel | HoldModel,
        instance: TileInstance | None,
    ) -> BehaviouralTile:  # fmt: skip
        if polarity not in self.dacs:
            raise CalibrationError(
                f"gates turn rows on or off, so a tile takes unipolar bits alone, got {polarity}; inputs with a sign "
                "are cut into planes of such bits by a network, or set cell.inputs = word_line"
            )
        tile = BehaviouralTile(
            g, array=self.chip.array, cell=self.cell, dac=self.dacs[polarity], readout=readout, instance=instance,
            paired=self.chip.cell.is_paired, gated=self.chip.cell.is_gated,
        )  # fmt: skip
        return on_rails(self.chip, self.rails, tile, drawn=instance is not None)

    def transient(self, g: FloatArray, polarity: Polarity, r_feedback: float) -> TileTransient:
        """Build a tile that is followed in time; arguments as for :meth:`tile`.

        Raises
        ------
        CalibrationError
            If the settling was not calibrated.
        ValidityError
            If a line's own time constant is too long for the model.
        """
        return TileTransient(self.static_tile(g, polarity, r_feedback), self.require_settling())

    def save(self, path: str | Path) -> None:
        """Write the file, atomically: first a checksum and the hashes, then all fields.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        body = self.model_dump_json(indent=1)
        head = {"checksum": _checksum(json.loads(body)), "chip_hash": self.chip.hash, "calibration_hash": self.hash}
        lines = [f" {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
        write_text(path, "\n".join(["{", *lines, body.removeprefix("{\n"), ""]))

    def require_verdict(self) -> None:
        """Refuse a calibration that misses what was asked of it, unless that was accepted.

        Raises
        ------
        CalibrationError
            If so; it says what misses by how much, and what to do.
        """
        if self.verdict is None or self.verdict.is_met or self.verdict.accepted:
            return
        raise CalibrationError(
            f"the calibration misses the {self.verdict.asked:.2g} of full scale asked for: {self.verdict.missed}; "
            f"refine it by more points with --error E --budget N (without --quick), ask for what it reaches "
            f"with --error {1.05 * self.verdict.claim:.1e}, or keep it with --accept 'WHY'"
        )

    def require_chip(self, chip: Chip, source: str = "the calibration") -> None:
        """Refuse another chip than the one calibrated.

        Raises
        ------
        CalibrationError
            If the hashes differ.
        """
        if chip.hash != self.chip.hash:
            raise CalibrationError(
                f"{source} belongs to chip {self.chip.name} (hash {self.chip.hash}), not to {chip.name} "
                f"(hash {chip.hash}); run: spicesim calibrate CHIP.toml -o {Path(source).name}"
            )


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    CalibrationError
        If the file is not there, is no calibration of this version, or was damaged or edited since it was written.
    """
    path = Path(path)
    remedy = f"run: spicesim calibrate CHIP.toml -o {path.name}"
    document = read_json(path, "calibration", remedy, CalibrationError)
    if (version := document.get("schema_version")) != _VERSION:
        kind = f"has schema_version {quote(version)}" if "schema_version" in document else "is no calibration"
        raise CalibrationError(f"{path} {kind}, and this spicesim reads version {_VERSION}; {remedy}")
    head = {name: document.pop(name, None) for name in _HEAD}
    if head["checksum"] != _checksum(document):
        what = "has no checksum" if head["checksum"] is None else "does not match its checksum"
        raise CalibrationError(
            f"{path} was edited or damaged after it was written, its content {what}; restore it, or {remedy}"
        )
    calibration = validate(Calibration, document, f"{path} is no calibration", remedy, CalibrationError)
    for name, own in {"chip_hash": calibration.chip.hash, "calibration_hash": calibration.hash}.items():
        if head[name] != own:
            raise CalibrationError(
                f"{path} was edited, or written by another version of spicesim: its {name} is {quote(head[name])}, "
                f"its content makes it {own}; {remedy}"
            )
    calibration.chip.require_near(path.parent)
    return calibration


_VERSION = Calibration.model_fields["schema_version"].default
_HEAD = ("checksum", "chip_hash", "calibration_hash")
"""What a file has beyond the fields."""


def _checksum(document: Any) -> str:
    """Hash the content of a file, however it is laid out."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
