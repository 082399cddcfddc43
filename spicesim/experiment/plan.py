"""The plan of a run: one frozen value that says all that decides its result, checked in one place."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from spicesim.chip import CORNERS, Chip
from spicesim.chip.section import Positive, Section
from spicesim.devices.presets import DEVICES
from spicesim.errors import SpecError
from spicesim.files.documents import read_json, read_toml, validate
from spicesim.mapping import MappingOptions, Signs, WeightScale
from spicesim.network.batch import parse_batch_axes
from spicesim.network.compiled import CompileOptions
from spicesim.network.ranges import AdcFit, InputScale
from spicesim.own_code import is_own, require_trusted
from spicesim.units import parse_time

__all__ = ["ENGINES", "MappingPlan", "RunPlan", "load_plan"]

ENGINES = ("ideal", "transfer", "fast", "exact", "ngspice")
"""Words for engines."""

Seconds = Annotated[float, BeforeValidator(parse_time), Field(ge=0, allow_inf_nan=False)]
Names = tuple[str, ...]


class MappingPlan(Section):
    """How the network is put on the chip."""

    input_scale: InputScale = "static"
    """What drives a DAC to its full span: a number of the layer, or each vector's largest magnitude."""
    input_digit: int | None = Field(default=None, ge=1)
    """Drive inputs so many bits at a time, 1 for bit-serial.  [default: as many as drivers take]"""
    adc_range: AdcFit = "percentile"
    """What ADCs cover: the chip's percentile of typical outputs, or what makes their squared error least."""
    smooth: float | None = Field(default=None, ge=0, le=1)
    """Divide inputs digitally and multiply weights by the same, so that few large inputs do not take all digits of a
    converter: 0 evens out weights, 1 inputs, 0.5 both.  [default: leave them as they are]"""
    signs: Signs = "differential"
    """Signs of weights: by a pair of columns, one reference column a tile, or an offset taken off digitally."""
    weight_scale: WeightScale = "column"
    """What shares the weight that takes the highest conductance: an output of a tile, a tile, the layer."""
    weight_clip: float = 100.0
    """Percentile of a scale's weights that it covers; larger ones are clipped."""
    slices: int = 1
    """Columns over which a weight's digits are spread."""
    cell_bits: int | None = None
    """Levels of a cell, 2^BITS.  [default: any conductance]"""
    predistort: bool = False
    """Program conductances that make up for what the wires take."""
    tile_rows: int | None = Field(default=None, ge=1)
    """Word lines of an array that a tile takes at most: where bit lines float, fewer make larger signals.
    [default: all]"""
    mapper: str | None = None
    """What makes tiles of weights: a function of your own, package.module:Name.  [default: map_weights]"""
    max_tiles: int | None = Field(default=None, ge=1)
    """Refuse a network that takes more tiles."""
    digital: Names = ()
    """Keep a node of the network digital; repeatable."""
    batch_axis: Names = ()
    """Which axis of an input or output counts the inputs, such as h0=1, or none; repeatable.  [default: found]"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.weights, parse_batch_axes(self.batch_axis)  # which have their own demands
        return self

    @property
    def weights(self) -> MappingOptions:
        """How weights become conductances."""
        return MappingOptions(
            signs=self.signs, scale=self.weight_scale, clip=self.weight_clip, slices=self.slices,
            cell_bits=self.cell_bits, predistort=self.predistort, tile_rows=self.tile_rows,
        )  # fmt: skip

    @property
    def options(self) -> CompileOptions:
        """Words for :func:`spicesim.network.compile_network`."""
        return {
            "input_scale": self.input_scale, "input_digit": self.input_digit, "adc_range": self.adc_range,
            "smooth": self.smooth, "mapping": self.weights, "max_tiles": self.max_tiles, "digital": self.digital,
            "batch_axes": parse_batch_axes(self.batch_axis),
        }  # fmt: skip


class RunPlan(Section):
    """Everything that decides the result of a run, but for the network, the data and the calibration.

    Each field is an option of ``spicesim infer`` and ``spicesim explain``, and a key of a plan in TOML or JSON. What
    physics forbids is refused here, and nowhere else.
    """

    schema_version: Literal[1] = 1
    """Version of the format."""
    metric: str | None = None
    """A function of your own, package.module:Name, of outputs and labels (y), batch first: told beside accuracy, with
    its interval, such as my_metrics:perplexity."""
    engine: str = "exact"
    """ideal: converters around a dot product; exact: the calibrated circuit; fast: the same within the tolerance;
    transfer: wires and linear cells, its error told; ngspice: transistor level; or a class of your own,
    package.module:Name."""
    places: dict[str, str] = Field(default_factory=dict)
    """Another engine for a layer or a tile, such as layer3:tile2 = exact, counted from 0 or by name."""
    tolerance: Positive | None = None
    """Engine fast: largest error of an output, as a fraction of its ADC's range.
    [default: a tenth of the ADC's step, at most 1e-3]"""
    wires: bool = True
    """Whether lines have resistance."""
    gains: bool | None = None
    """Correct each output of a tile by a digital gain and offset.  [default: yes, but for the engine ideal]"""
    mapping: MappingPlan = MappingPlan()
    """How the network is put on the chip."""
    corner: str | None = None
    """Another corner of the process than the chip's own: typical, ff, ss, fs or sf."""
    temperature_c: float | None = Field(default=None, ge=-273.15, le=1000)
    """Another temperature than the chip's own, programming included [C]."""
    mismatch: int | None = Field(default=None, ge=0)
    """Draw every block of chip S from the calibrated mismatch, of S + 1 for the next chip."""
    noise: bool = False
    """Give every output the calibrated noise of circuits, drawn by the seed."""
    device: str | None = None
    """Real devices by name, or a DeviceModel of your own, package.module:Name.  [default: as programmed]"""
    time: Seconds = 0.0
    """From programming to use: 30s, 5min, 1h, 1d, 1y."""
    drift_compensation: bool = True
    """Undo the mean drift of a tile digitally."""
    converter: str | None = None
    """What quantises outputs: a subclass of AdcRange of your own, package.module:Name.  [default: AdcRange]"""
    t_read: Positive | None = None
    """From a change of codes to the sample, such as 200ns.  [default: until outputs have settled]"""
    early: bool = False
    """Sample outputs t_read after drivers leave 0 V, settled or not (about 1 ms an output)."""
    images: int | None = Field(default=None, ge=1)
    """Take the first N inputs only."""
    skip: int = Field(default=0, ge=0)
    """Leave out the first N inputs before."""
    chips: int = Field(default=1, ge=1)
    """Chips to run, each with its own devices, mismatch and noise, as far as asked for."""
    seed: int = 0
    """Seed of the first chip's devices and noise, and of samples."""
    audit: int = Field(default=0, ge=0)
    """Products of the first chip to do again in ngspice."""
    macros: bool = False
    """Audit whole macros, converters on the amplifiers, codes in and codes out in one transient (minutes a product)."""
    explain: int | None = Field(default=None, ge=2)
    """Tell on the first N inputs what each imperfection costs."""
    energy: bool = False
    """Tell energy, time and area; needs a calibration of energies."""
    columns_per_adc: int = Field(default=1, ge=1)
    """Columns that share a converter; 1 is as the chip says, adc.columns."""

    def shared_columns(self, chip: Chip) -> int:
        """Return how many columns of a chip share a converter.

        Raises
        ------
        SpecError
            If the chip has multiplexers for another number.
        """
        own = chip.adc.columns
        if own > 1 and self.columns_per_adc not in (1, own):
            raise SpecError(
                f"the chip's multiplexers put adc.columns = {own} columns on a converter, got columns_per_adc = "
                f"{self.columns_per_adc}; leave it out, or change the chip and calibrate again"
            )
        return max(self.columns_per_adc, own)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what is no chip, or says nothing."""
        words = (self.engine, *self.places.values())
        for word in words:
            if word not in ENGINES and not is_own(word):
                raise ValueError(f"no engine {word!r}; there are: {', '.join(ENGINES)}, or package.module:Name")
        if self.device is not None and self.device not in DEVICES and not is_own(self.device):
            raise ValueError(f"no device {self.device!r}; there are: {', '.join(DEVICES)}, or package.module:Name")
        for what, name in (("converter", self.converter), ("mapper", self.mapping.mapper), ("metric", self.metric)):
            if name is not None and not is_own(name):
                raise ValueError(f"a {what} of your own is called package.module:Name, got {name!r}")
        if self.corner is not None and self.corner not in CORNERS:
            raise ValueError(f"no corner {self.corner!r}; there are: {', '.join(CORNERS)}")
        if self.tolerance is not None and "fast" not in words:
            raise ValueError("only the engine 'fast' takes a tolerance; leave it out")
        if self.is_ideal and (circuit := self._circuit()):
            raise ValueError(f"the engine 'ideal' has no circuit, so no {circuit[0]}; leave it out, or take exact")
        if any(is_own(word) for word in words) and (self.mismatch is not None or self.early):
            raise ValueError(
                "an engine of your own is made of the calibration alone: it draws no mismatch and samples nothing "
                "early; leave out mismatch and early"
            )
        if "transfer" in words and (self.mismatch is not None or self.early):
            raise ValueError(
                "the engine 'transfer' knows nominal blocks and settled outputs only; leave out mismatch and early, or "
                "take fast or exact"
            )
        if self.early and self.t_read is None:
            raise ValueError("an early sample needs a time, such as t_read = 50ns (--t-read 50ns)")
        if self.early and "fast" in words:
            raise ValueError("the engine 'fast' knows settled outputs only; early samples take the engine exact")
        if self.macros and not self.audit:
            raise ValueError("macros are what an audit simulates: add audit (--audit 4), or leave macros out")
        if self.device is None and self.time:
            raise ValueError(f"time (--time) needs devices: add --device with one of {', '.join(DEVICES)}")
        if self.device is None and not self.drift_compensation:
            raise ValueError("without devices nothing drifts; leave out drift_compensation, or add --device")
        if self.chips > 1 and not self.is_drawn:
            raise ValueError("several chips (--seeds) need something that differs: add --device, --mismatch or --noise")
        if self.explain is not None and self.engine not in ("transfer", "fast", "exact", "ngspice"):
            raise ValueError(
                f"explain takes imperfections from the engines transfer, fast and exact; {self.engine!r} has none to "
                "take away"
            )
        return self

    def _circuit(self) -> list[str]:
        """Return words for what is asked of a circuit."""
        asked = {
            "corner": self.corner is not None, "temperature": self.temperature_c is not None,
            "mismatch": self.mismatch is not None, "early sample": self.early, "wires to leave out": not self.wires,
        }  # fmt: skip
        return [word for word, is_asked in asked.items() if is_asked]

    @property
    def is_drawn(self) -> bool:
        """Whether chips differ."""
        return self.device is not None or self.mismatch is not None or self.noise

    @property
    def is_ideal(self) -> bool:
        """Whether no tile is more than converters around a dot product."""
        return {self.engine, *self.places.values()} == {"ideal"}

    @property
    def is_linear(self) -> bool:
        """Whether any tile has linear cells only, which says nothing of its error by itself."""
        return "transfer" in (self.engine, *self.places.values())

    @property
    def is_elsewhere(self) -> bool:
        """Whether the chip is at another corner or temperature than its own."""
        return self.corner is not None or self.temperature_c is not None

    @property
    def has_gains(self) -> bool:
        """Whether digital gains are fitted."""
        return self.engine != "ideal" if self.gains is None else self.gains

    @property
    def seeds(self) -> range:
        """Seeds of the chips."""
        return range(self.seed, self.seed + self.chips)

    @property
    def own_code(self) -> tuple[str, ...]:
        """Classes and functions of the user's own."""
        others = (self.device, self.converter, self.mapping.mapper, self.metric)
        words = (self.engine, *self.places.values(), *(word or "" for word in others))
        return tuple(dict.fromkeys(word for word in words if is_own(word)))

    @property
    def title(self) -> str:
        """The run in a line: engine and conditions."""
        parts = [self.engine, *(f"{place} {word}" for place, word in self.places.items())]
        if not self.wires:
            parts.append("without wires")
        if self.corner is not None:
            parts.append(f"corner {self.corner}")
        if self.temperature_c is not None:
            parts.append(f"{self.temperature_c:g} C")
        if self.mismatch is not None:
            parts.append(f"mismatch {self.mismatch}")
        if self.device is not None:
            parts.append(f"{self.device} devices" + (f" after {self.time:g} s" if self.time else ""))
        if self.device is not None and self.time and not self.drift_compensation:
            parts.append("drift as it is")
        if self.early and self.t_read is not None:
            parts.append(f"sampled at {1e9 * self.t_read:.4g} ns")
        if self.noise:
            parts.append("with noise")
        return ", ".join(parts)

    def document(self) -> dict[str, Any]:
        """Return all fields that differ from their defaults as plain data, ready for JSON and TOML."""
        return {"schema_version": self.schema_version} | self.model_dump(
            mode="json", exclude_defaults=True, exclude_none=True
        )

    def changed(self, **changes: Any) -> "RunPlan":
        """Return the plan with other values of some fields, checked.

        Raises
        ------
        SpecError
            If that is no plan.
        """
        return make_plan({**self.document(), **changes}, "plan")


def make_plan(document: dict[str, Any], source: str = "plan") -> RunPlan:
    """Make a plan of plain data.

    Raises
    ------
    SpecError
        Saying where it is wrong.
    """
    return validate(RunPlan, document, source)


def load_plan(path: str | Path) -> RunPlan:
    """Read a plan from a TOML or JSON file.

    A plan is data: code of one's own that it names runs only where the user trusts it, see
    :func:`spicesim.own_code.require_trusted`.

    Raises
    ------
    SpecError
        If there is no such file, it is no plan, or names code that is not trusted.
    """
    file = Path(path)
    read, remedy = (read_json if file.suffix == ".json" else read_toml), "see: spicesim infer --help"
    plan = make_plan(read(file, "plan", remedy), str(file))
    for name in plan.own_code:
        require_trusted(name, str(file))
    return plan
