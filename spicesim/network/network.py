"""A network on a chip, as users hold it: compiled, its settings fitted, prepared for any engine, and run."""

import hashlib
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import onnx

from spicesim.arrays import Array
from spicesim.audit import Audit, audit_samples
from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.engine import Engine, IdealEngine, PreparedTile, Tile, build_engine
from spicesim.errors import NetworkError
from spicesim.files.arrays import read_archive
from spicesim.mapping import DEFAULT_OPTIONS, map_weights
from spicesim.network.compiled import CompiledNetwork, CompileOptions, Inputs
from spicesim.network.exporter import export_module, is_module
from spicesim.network.gains import Gains
from spicesim.network.prepared import PreparedNetwork, Room, TileStock
from spicesim.network.ranges import LayerRanges
from spicesim.network.result import Result
from spicesim.network.run import run_batch
from spicesim.network.settings import write_settings
from spicesim.network.tuning import AllGains, Tuning
from spicesim.network.uncalibrated import UncalibratedChip, calibrated

if TYPE_CHECKING:
    import torch

__all__ = ["Network", "compile_network"]

Word = Literal["ideal", "fast", "exact", "ngspice"]

_CLOSED = (
    "the selectors of 1s1r cells close between 0 V and the inputs' full scale, so that products of any other input are "
    "far too small; drive inputs bit by bit, input_digit = 1",
)


class Network:
    """A network on a chip; made by :func:`spicesim.network.compile_network`.

    Attributes
    ----------
    layers : tuple of AnalogLayer
        The nodes on arrays, in the order of execution.
    model : str, Path or ModelProto
        What it was compiled from.
    calibration : Calibration
        Of the chip it was compiled for.
    """

    def __init__(
        self,
        model: str | Path | onnx.ModelProto,
        calibration: Calibration | UncalibratedChip,
        options: CompileOptions | None = None,
    ) -> None:
        words: CompileOptions = options or {}
        if strange := sorted(set(words) - set(CompileOptions.__annotations__)):
            raise TypeError(f"no option {strange[0]!r}; there are: {', '.join(CompileOptions.__annotations__)}")
        self._compiled = CompiledNetwork(
            model, calibration, digital=words.get("digital", ()), mapping=words.get("mapping", DEFAULT_OPTIONS),
            batch_axes=words.get("batch_axes"), max_tiles=words.get("max_tiles"),
            mapper=words.get("mapper", map_weights),
        )  # fmt: skip
        self._tuning, self._words = Tuning(self._compiled, words), words
        is_serial = words.get("input_digit") == 1 or calibration.chip.dac.kind == "bits"
        self._chip_notes = _CLOSED if calibration.chip.cell.kind == "1s1r" and not is_serial else ()
        self.layers = self._compiled.layers
        self.model, self.calibration, self._engines = model, calibration, dict[str, Engine]()
        self._own_gains = dict[str, AllGains]()
        self._stocks: weakref.WeakKeyDictionary[Engine, TileStock] = weakref.WeakKeyDictionary()

    @property
    def ranges(self) -> tuple[LayerRanges, ...] | None:
        """Settings of the layers' converters and amplifiers, once fitted."""
        return self._tuning.ranges

    @property
    def gains(self) -> tuple[tuple[Gains, ...], ...] | None:
        """Digital corrections of every layer's tiles, once fitted."""
        return self._tuning.gains

    @property
    def typical(self) -> Inputs | None:
        """Inputs on which ranges were fitted."""
        return self._tuning.typical

    def fit_ranges(self, x: Inputs) -> None:
        """Fit the settings of every layer to a batch of typical inputs, run digitally; gains are forgotten.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants, or the network makes NaN or infinity of it.
        """
        self._tuning.fit_ranges(x)
        self._forget()

    def fit_gains(
        self, x: Inputs, engine: Engine | Word = "exact", *, memory: int | None = None, progress: bool = False
    ) -> None:
        """Fit a digital gain and offset for every output of every tile; later runs apply them, whatever their engine.

        Parameters
        ----------
        x : array_like or mapping of str to array_like
            Typical inputs, run digitally; where they have more vectors, about 256 a layer are taken at random.
        engine : Engine or {"ideal", "fast", "exact", "ngspice"}
            The chip on which to fit.
        memory, progress
            As for :meth:`run`.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.

        Notes
        -----
        A fit is by least squares on samples that no converter clipped, and its gain stays within
        :data:`spicesim.network.gains.GAIN_LIMITS`. If no ranges have been fitted, they are, on the same inputs.
        """
        if isinstance(engine, str):
            engine = self._engine(engine)
        if self.ranges is None:
            self.fit_ranges(x)
        self._tuning.fit_gains(x, self._stock(engine).each(engine, room=Room.of(memory), progress=progress))

    def first(self, x: Inputs) -> dict[str, Array]:
        """Return the first inputs of a batch, which stand for typical ones where no others are given."""
        return self._tuning.first(x)

    def fit_on_first(self, x: Inputs) -> dict[str, Array]:
        """Fit the settings to the first inputs of a batch, for want of others, note it, and return those inputs."""
        self._forget()
        return self._tuning.fit_ranges_on_first(x)

    def use_ranges(self, ranges: Sequence[LayerRanges]) -> None:
        """Take settings of the layers from elsewhere, such as another network of the same file; gains are forgotten.

        Raises
        ------
        NetworkError
            If there are not as many as layers.
        """
        if len(ranges) != len(self.layers):
            raise NetworkError(f"the network has {len(self.layers)} layers on arrays, got ranges for {len(ranges)}")
        self._tuning.ranges = tuple(ranges)
        self._tuning.clear_gains()
        self._forget()

    @property
    def subject(self) -> str:
        """Hash of what settings are fitted for: network, calibration, and how the network is put on the chip."""
        words = [f"{name} {getattr(word, '__qualname__', word)!r}" for name, word in sorted(self._words.items())]
        about = [self._compiled.hash, self.calibration.hash, *words]
        return hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]

    def settings(self) -> dict[str, Array]:
        """Return ranges and gains, as they were fitted, as arrays of numbers: for :meth:`use_settings`.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        """
        return self._tuning.pack(self.subject)

    def use_settings(self, settings: Mapping[str, Array], typical: Inputs | None = None) -> None:
        """Take ranges and gains that were fitted before, for the same network, chip and options.

        Parameters
        ----------
        settings : mapping of str to ndarray
            As :meth:`settings` returned them.
        typical : array_like or mapping of str to array_like, optional
            The inputs that they were fitted on, for fits to come.

        Raises
        ------
        NetworkError
            If they are no settings, or those of something else; nothing is changed.
        """
        self._tuning.unpack(settings, self.subject)
        self._tuning.typical = typical
        self._forget()

    def save(self, path: str | Path) -> None:
        """Write ranges and gains, as they were fitted, to a file, with what they are for and the versions that made it.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        StorageError
            If the file cannot be written.
        """
        write_settings(path, self.settings(), self.calibration)

    def load(self, path: str | Path) -> None:
        """Take ranges and gains from a file that :meth:`save` wrote.

        Raises
        ------
        NetworkError
            If it is no such file, or was saved for another network, chip or other options; nothing is changed.
        """
        self.use_settings(read_archive(path, "settings of a network", "write them with Network.save", NetworkError))

    def _forget(self) -> None:
        """Drop what holds for other ranges only."""
        self._stocks.clear()
        self._own_gains.clear()

    def clear_gains(self) -> None:
        """Forget gains and offsets."""
        self._tuning.clear_gains()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on products that stay digital, and on how ranges and gains were fitted."""
        return (*self._compiled.notes, *self._chip_notes, *self._tuning.notes)

    @property
    def answers(self) -> str | None:
        """Name of the output that holds classes, not scores; see :class:`spicesim.network.Result`."""
        return self._compiled.answers

    @property
    def batch_axes(self) -> Mapping[str, int | None]:
        """Axis of every input that counts the batch; None of those that all inputs of a batch share."""
        return self._compiled.axes.inputs

    def count(self, x: Inputs) -> int:
        """Return how many inputs a batch has.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.
        """
        return self._compiled.axes.length(self._compiled.check(x))

    def tiles(self) -> list[tuple[Tile, ...]]:
        """Return the tiles of every layer.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        """
        if self.ranges is None:
            raise NetworkError("no ranges fitted yet; call fit_ranges with typical inputs first")
        return [layer.tiles(ranges) for layer, ranges in zip(self.layers, self.ranges, strict=True)]

    def select(self, words: str) -> tuple[str, ...]:
        """Return the names of a layer's tiles, or of one, as :class:`spicesim.engine.mixed.MixedEngine` wants them.

        Parameters
        ----------
        words : str
            A layer by its name, or "layer3" by its number from 0; then, if not all of its tiles, ":tile2" or ":2".

        Raises
        ------
        NetworkError
            If there is no such layer or tile.
        """
        by_word = {f"layer{k}": layer for k, layer in enumerate(self.layers)}
        by_word.update((layer.name, layer) for layer in self.layers)
        name, _, rest = words.rpartition(":") if words not in by_word else (words, "", "")
        if name not in by_word:
            known = ", ".join(f"{k} {layer.name!r}" for k, layer in enumerate(self.layers[:12]))
            raise NetworkError(f"no layer or tile {words!r}; write layerN:tileM, or its name; layers are: {known}")
        layer = by_word[name]
        tiles = [f"{layer.name}:{k}" for k in range(len(layer.mapped))]
        if not rest:
            return tuple(tiles)
        number = rest.removeprefix("tile")
        if not number.isdecimal() or int(number) >= len(tiles):
            raise NetworkError(f"no tile {words!r}; layer {layer.name!r} has tile0..tile{len(tiles) - 1}")
        return (tiles[int(number)],)

    def prepare(
        self, engine: Engine, *, jobs: int | None = None, progress: bool = False
    ) -> list[tuple[PreparedTile, ...]]:
        """Return the tiles of every layer as `engine` prepares them, and keep them for its later runs.

        A run prepares what it needs by itself, as far as its memory goes.

        Parameters
        ----------
        engine : Engine
            The engine.
        jobs : int, optional
            Tiles at a time; by default one a processor.
        progress : bool
            Show progress on standard error, if the work takes over a second.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        """
        return list(self._stock(engine).each(engine, room=None, jobs=jobs, progress=progress))

    def _stock(self, engine: Engine) -> TileStock:
        """Return what is kept of the tiles that an engine makes ready."""
        if engine not in self._stocks:
            self._stocks[engine] = TileStock(engine, self.tiles())
        return self._stocks[engine]

    def run(
        self,
        x: Inputs,
        engine: Engine | Word = "exact",
        *,
        sample: int = 0,
        by_layer: bool = False,
        seed: int = 0,
        chunk: int | None = None,
        memory: int | None = None,
        progress: bool = False,
    ) -> Result:
        """Run a batch.

        Parameters
        ----------
        x : array_like or mapping of str to array_like
            Inputs, as the network wants them; by name if it has several.
        engine : Engine or {"ideal", "fast", "exact", "ngspice"}
            What multiplies vectors by tiles. By a word it is the run of a :class:`spicesim.RunPlan` of that engine:
            unless gains were fitted before, each but ideal has those of its own, fitted on the inputs on which ranges
            were. An engine of one's own runs with the gains that were fitted, if any.
        sample : int
            Number of tile products to keep, drawn uniformly from all that were done.
        by_layer : bool
            Whether as many are drawn from each layer instead, one at least.
        seed : int
            Seed of that draw.
        chunk : int, optional
            Inputs to run at once; bounds the memory and changes nothing else.
        memory : int, optional
            Bytes that tiles, and values between layers, may take; by default half of what is free. Tiles that find no
            room are made ready layer by layer and let go; it changes nothing else.
        progress : bool
            Show progress on standard error, if the work takes over a second.

        Returns
        -------
        Result
            Outputs, statistics and the sample.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.
        """
        arrays = self._compiled.check(x)
        if self.ranges is None:
            self.fit_on_first(arrays)
        own = self.gains
        if isinstance(engine, str):
            own = self._gains_of(engine, arrays, memory, progress) if own is None else own
            engine = self._engine(engine)
        assert self.ranges is not None
        prepared = PreparedNetwork(
            compiled=self._compiled, engine=engine, stock=self._stock(engine), ranges=self.ranges, gains=own
        )  # fmt: skip
        result = run_batch(
            prepared, arrays, sample=sample, by_layer=by_layer, seed=seed, chunk=chunk, memory=memory, progress=progress
        )  # fmt: skip
        return replace(result, stats=replace(result.stats, notes=(*self.notes, *result.stats.notes)))

    def audit(self, x: Inputs, count: int = 16, *, seed: int = 0, jobs: int | None = None) -> Audit:
        """Run a batch at circuit fidelity and do a sample of its products again at transistor level.

        Parameters
        ----------
        x : array_like or mapping of str to array_like
            As for :meth:`run`.
        count : int
            Products to do again in ngspice.
        seed : int
            Seed of the sample.
        jobs : int, optional
            Simulations at a time.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.
        SimulationError
            If a simulation fails.
        """
        result = self.run(x, "exact", sample=count, seed=seed)
        return audit_samples(result.samples, calibrated(self.calibration), jobs=jobs)

    def _gains_of(self, word: str, x: dict[str, Array], memory: int | None, progress: bool) -> AllGains | None:
        """Return the gains of an engine by its word, found once a fit of ranges; None for ideal."""
        if word == "ideal":
            return None
        if word not in self._own_gains:
            typical = x if self._tuning.typical is None else self._tuning.typical
            engine = self._engine("exact" if word == "ngspice" else word)  # ngspice would take days
            tiles = self._stock(engine).each(engine, room=Room.of(memory), progress=progress)
            self._own_gains[word] = self._tuning.find_gains(typical, tiles)
        return self._own_gains[word]

    def _engine(self, word: str) -> Engine:
        """Return the engine of that word, the same one each time, so that its prepared tiles are kept."""
        if word not in self._engines:
            chip = self.calibration.chip
            self._engines[word] = (
                IdealEngine(chip) if word == "ideal" else build_engine(word, calibrated(self.calibration))
            )
        return self._engines[word]

    def run_digital(self, x: Inputs, *, chunk: int | None = None, output: str | None = None) -> Array:
        """Run a batch through onnxruntime alone.

        Parameters
        ----------
        x, chunk
            As for :meth:`run`.
        output : str, optional
            Name of an output; by default the scores, see :class:`spicesim.network.Result`.

        Returns
        -------
        ndarray
            The output, the batch brought to its first axis.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.
        """
        return self._compiled.run_digital(x, chunk, output)


def compile_network(
    model: "str | Path | onnx.ModelProto | torch.nn.Module",
    calibration: Calibration | UncalibratedChip | Chip,
    *,
    example: Inputs | None = None,
    x_calibration: Inputs | None = None,
    **options: Unpack[CompileOptions],
) -> Network:
    """Compile an ONNX network for a chip: products with constant weights to arrays, the rest digital.

    Parameters
    ----------
    model : str, Path, ModelProto or torch.nn.Module
        The network: an ONNX file or what is in one, or a PyTorch module, which is exported as it infers.
    calibration : Calibration or Chip
        The chip, calibrated; as it is, it can run on the engine ideal only.
    example : array_like or mapping of str to array_like, optional
        Inputs to export a PyTorch module with, by the names of its arguments if there are several; by default typical
        inputs. The batch leads and its size stays free.
    x_calibration : array_like or mapping of str to array_like, optional
        Typical inputs, to fit the ranges of the converters; without them the first run takes its own.
    **options
        How it is put on the chip, see :class:`spicesim.network.compiled.CompileOptions`.

    Returns
    -------
    Network
        The network, ready to run.

    Raises
    ------
    NetworkError
        If the network cannot be loaded or exported, or has no or no possible analog nodes; or a word is unknown.
    MissingDependencyError
        If a module cannot be exported without onnxscript.
    MappingError
        If a layer's weights cannot be mapped, or take more tiles than there are.
    TypeError
        If there is no such option.
    """
    if isinstance(calibration, Chip):
        calibration = UncalibratedChip(calibration)
    if is_module(model):
        inputs = x_calibration if example is None else example
        if inputs is None:
            raise NetworkError("a PyTorch module is exported with an example of its inputs; give example=")
        model = export_module(model, inputs)
    network = Network(model, calibration, options)
    if x_calibration is not None:
        network.fit_ranges(x_calibration)
    return network
