"""The chip of a plan: which variant of the calibration, and the stack of engines. The only place that stacks them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from spicesim.calibration.calibration import Calibration
from spicesim.coding import AdcRange
from spicesim.devices import DeviceModel
from spicesim.devices.presets import DEVICES, device_preset
from spicesim.engine import (
    CONVERTER_PARTS,
    ConverterEngine,
    DeviceEngine,
    Engine,
    ExactEngine,
    HandOverEngine,
    IdealEngine,
    MixedEngine,
    NoisyEngine,
    PartialConverterEngine,
)
from spicesim.engine.choice import build_engine
from spicesim.engine.noisy import T_PRODUCT
from spicesim.errors import SpecError
from spicesim.experiment.plan import ENGINES, RunPlan
from spicesim.files.shelf import Shelf
from spicesim.network import Network
from spicesim.network.compiled import CompileOptions
from spicesim.network.uncalibrated import UncalibratedChip, calibrated
from spicesim.ngspice.batch import BatchSimulator
from spicesim.own_code import load_class, load_own

__all__ = ["BuiltChip", "ChipMaker", "chip_variant", "compile_options", "find_device"]


def find_device(plan: RunPlan) -> DeviceModel | None:
    """Return the statistics of a plan's devices, None without.

    Raises
    ------
    SpecError
        If code of the user's own is none.
    """
    if plan.device is None or plan.device in DEVICES:
        return None if plan.device is None else device_preset(plan.device)
    found = load_own(plan.device)
    model = found() if callable(found) else found
    if not isinstance(model, DeviceModel):
        raise SpecError(f"{plan.device!r} must be a spicesim.devices.DeviceModel, or make one; got {type(model)}")
    return model


def compile_options(plan: RunPlan) -> CompileOptions:
    """Return words for :func:`spicesim.network.compile_network`, code of the user's own among them.

    Raises
    ------
    SpecError
        If such code is not what it must be.
    """
    options = plan.mapping.options
    if plan.mapping.mapper is not None:
        options["mapper"] = load_own(plan.mapping.mapper)
        if not callable(options["mapper"]):
            raise SpecError(f"{plan.mapping.mapper!r} must be a function as spicesim.mapping.map_weights")
    if plan.converter is not None:
        options["converter"] = load_class(plan.converter, AdcRange)
    return options


def chip_variant(plan: RunPlan, calibration: Calibration | UncalibratedChip) -> Calibration | UncalibratedChip:
    """Return the calibration at the plan's corner and temperature, with or without wires.

    Raises
    ------
    CalibrationError
        If that was not calibrated.
    NetworkError
        If nobody calibrated the chip, and the plan asks for more than the engine ideal.
    """
    found = calibration
    if plan.is_elsewhere:
        found = calibrated(found).at(corner=plan.corner, temperature_c=plan.temperature_c)
    if not plan.wires:
        chip = calibrated(found).chip.changed(array={"r_word_line": 0.0, "r_bit_line": 0.0})
        found = calibrated(found).model_copy(update={"chip": chip})
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltChip:
    """One chip, ready to multiply."""

    engine: Engine
    """What multiplies, in use."""
    fitted: Engine
    """The same right after programming, without the noise of circuits, which a fit averages over: for digital gains.
    The circuit's model stands for ngspice, which would take days."""
    quick: Engine
    """What multiplies, or its model where that is ngspice: for work besides."""
    exact: ExactEngine | None
    """The circuit's model with the chip's own blocks, for what is asked of it besides; None if nobody calibrated it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipMaker:
    """Makes the chips of a plan.

    Raises
    ------
    CalibrationError
        If the plan asks for what was not calibrated.
    """

    plan: RunPlan
    """The plan."""
    calibration: Calibration | UncalibratedChip
    """The variant that :func:`chip_variant` returned."""
    device: DeviceModel | None
    """Statistics of real devices."""
    simulator: BatchSimulator | None = None
    """Time-out of ngspice."""
    jobs: int | None = None
    """Simulations at a time."""
    shelf: Shelf | None = None
    """Keeps what tiles were made ready as."""
    converter_parts: Collection[str] = CONVERTER_PARTS
    """What imperfections converters have; by default all."""

    def make(self, network: Network, seed: int) -> BuiltChip:
        """Make the chip of a seed, one of the plan's :attr:`~RunPlan.seeds`, for the network."""
        plan = self.plan
        circuit, fitted = self._circuit(network, seed, lambda word: word), None
        if "ngspice" in (plan.engine, *plan.places.values()):
            fitted = self._circuit(network, seed, lambda word: "exact" if word == "ngspice" else word)
        fitted_is_circuit = fitted is None
        engine, fitted = self._noisy(circuit, seed), fitted or circuit
        if self.device is not None:
            used = self._with_devices(engine, seed, plan.time)
            # programmed and read at once: one chip, prepared once
            same = engine is fitted and plan.time == 0
            engine, fitted = used, used if same else self._with_devices(fitted, seed, 0.0)
        exact = None
        if isinstance(self.calibration, Calibration):
            exact = ExactEngine(self.calibration, mismatch_seed=self.mismatch(seed))
        return BuiltChip(engine=engine, fitted=fitted, quick=engine if fitted_is_circuit else fitted, exact=exact)

    def mismatch(self, seed: int) -> int | None:
        """Return the seed of the blocks of a chip; None if they are nominal."""
        return None if self.plan.mismatch is None else self.plan.mismatch + seed - self.plan.seed

    def _circuit(self, network: Network, seed: int, choose: Callable[[str], str]) -> Engine:
        engines: dict[str, Engine] = {}

        def find(word: str) -> Engine:
            if word not in engines:
                engines[word] = self._handed_over(word, self._engine(word, seed), seed)
            return engines[word]

        places: Mapping[str, str] = self.plan.places
        chosen = {name: find(choose(word)) for place, word in places.items() for name in network.select(place)}
        engine = find(choose(self.plan.engine))
        if chosen:
            engine = MixedEngine(engine, chosen)
        drawn = self.mismatch(seed)
        if drawn is not None and isinstance(self.calibration, Calibration) and self.calibration.converter is not None:
            shared = self.plan.shared_columns(self.calibration.chip)
            engine = ConverterEngine(engine, self.calibration, seed=drawn, columns_per_adc=shared)
        if set(CONVERTER_PARTS) <= set(self.converter_parts):
            return engine
        return PartialConverterEngine(engine, self.converter_parts)

    def _handed_over(self, word: str, engine: Engine, seed: int) -> Engine:
        """Return an engine whose outputs are handed over to converters; ideal ones come from no amplifier."""
        calibration = self.calibration
        if word == "ideal" or not isinstance(calibration, Calibration):
            return engine
        shared = self.plan.shared_columns(calibration.chip)
        return HandOverEngine.of(engine, calibration, self.mismatch(seed), shared)

    def _engine(self, word: str, seed: int) -> Engine:
        plan = self.plan
        if word == "ideal":
            return IdealEngine(self.calibration.chip)
        calibration = calibrated(self.calibration)
        if word not in ENGINES:
            made: Engine = load_class(word, Engine)(calibration)
            return made
        return build_engine(
            word, calibration, simulator=self.simulator, jobs=self.jobs, tolerance=plan.tolerance,
            mismatch_seed=self.mismatch(seed), t_read=plan.t_read if plan.early else None, shelf=self.shelf,
        )  # fmt: skip

    def _noisy(self, engine: Engine, seed: int) -> Engine:
        if not self.plan.noise:
            return engine
        calibration = calibrated(self.calibration)
        converter = None if calibration.energy is None else calibration.energy.adc
        t_product = T_PRODUCT
        if self.plan.t_read is not None:
            shared = self.plan.shared_columns(calibration.chip)
            t_product = self.plan.t_read + (0.0 if converter is None else shared * converter.time)
        real = calibration.require_converter()
        hold, chip = calibration.hold, calibration.chip
        return NoisyEngine(
            engine, calibration.require_noise() if hold is None else None, seed=seed, t_product=t_product,
            converter=0.0 if real is None else real.noise,
            held=0.0 if hold is None else hold.output_noise(chip.hold.capacitor, chip.process.temperature_c),
        )  # fmt: skip

    def _with_devices(self, engine: Engine, seed: int, time: float) -> DeviceEngine:
        assert self.device is not None
        return DeviceEngine(
            engine, self.calibration.chip, self.device, self.calibration.conductance_range, seed=seed, time=time,
            compensate=self.plan.drift_compensation and self.device.drift is not None,
            box=self.calibration.conductance_limits,
        )  # fmt: skip

    def without(
        self,
        calibration: Calibration,
        device: DeviceModel | None,
        *,
        converter_parts: Collection[str] = CONVERTER_PARTS,
        **changes: object,
    ) -> "ChipMaker":
        """Return what makes the same chips with some imperfections taken away.

        Parameters
        ----------
        calibration : Calibration
            Without those of the circuit.
        device : DeviceModel or None
            Without those of devices.
        converter_parts : collection of str
            Those that converters keep.
        **changes
            Fields of the plan that the rest are taken away by.
        """
        return replace(
            self, plan=self.plan.model_copy(update=changes), calibration=calibration, device=device,
            converter_parts=converter_parts,
        )  # fmt: skip
