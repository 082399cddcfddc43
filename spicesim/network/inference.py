"""A network compiled for a chip: its ranges fitted, its batches run through any engine."""

import weakref
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from tqdm import tqdm

from spicesim.behavioural.converter import AdcRange, Codes
from spicesim.calibration.calibration import Calibration as WholeCalibration
from spicesim.engine import Engine, Tile, build_engine
from spicesim.errors import NetworkError
from spicesim.network.graph import AnalogNode, find_analog_nodes
from spicesim.network.inputs import check_inputs, input_specs
from spicesim.network.layer import BLOCK, AnalogLayer, Calibration, Floats, LayerRanges, Observer
from spicesim.network.model import find_constants, load_model, run_session
from spicesim.network.reservoir import Reservoir
from spicesim.network.result import LayerMeter, Result, RunStats, SampledMvm
from spicesim.network.segments import Segment, cut_network

if TYPE_CHECKING:
    from spicesim.audit import Audit

__all__ = ["Network", "compile_network"]

Word = Literal["ideal", "exact", "ngspice"]

Array = npt.NDArray[Any]
Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]

CHUNK = 64
"""Most inputs run at once, unless network or caller say otherwise; and those that fit ranges by default."""
FIT_VECTORS = 4096
"""Vectors a layer keeps, about, to fit its ranges."""


def compile_network(
    model: str | Path | onnx.ModelProto,
    calibration: Calibration,
    *,
    x_calibration: Inputs | None = None,
    digital: Collection[str] = (),
) -> "Network":
    """Compile an ONNX network for a chip: products with constant weights to arrays, the rest digital.

    Parameters
    ----------
    model : str, Path or ModelProto
        The network.
    calibration : Calibration
        The chip, calibrated.
    x_calibration : array_like or mapping of str to array_like, optional
        Typical inputs, to fit the ranges of the converters; without them the first run takes its own.
    digital : collection of str
        Names of nodes that shall stay digital.

    Returns
    -------
    Network
        The network, ready to run.

    Raises
    ------
    NetworkError
        If the network cannot be loaded, or has no or no possible analog nodes.
    MappingError
        If a layer's weights cannot be mapped.
    """
    network = Network(model, calibration, digital=digital)
    if x_calibration is not None:
        network.fit_ranges(x_calibration)
    return network


class Network:
    """A network on a chip; made by :func:`compile_network`.

    Attributes
    ----------
    layers : tuple of AnalogLayer
        The nodes on arrays, in the order of execution.
    ranges : tuple of LayerRanges or None
        Their settings, once fitted.
    """

    def __init__(
        self, model: str | Path | onnx.ModelProto, calibration: Calibration, *, digital: Collection[str] = ()
    ) -> None:
        loaded = load_model(model)
        constants = find_constants(loaded)
        fixed = [value.name for value in loaded.graph.output if value.name in constants]
        if fixed:
            raise NetworkError(f"output {fixed[0]!r} does not depend on the inputs; remove it")
        nodes, notes = find_analog_nodes(loaded, constants, digital)
        if not nodes:
            raise NetworkError(
                "the network has no Gemm, MatMul or Conv with constant weights, so nothing for arrays to do; "
                "export it with its weights"
            )
        program = cut_network(loaded, constants, nodes)
        self._reference = program.reference
        self._inputs = input_specs(program.reference)
        self._batch = next((spec.shape[0] for spec in self._inputs if spec.shape[0]), None)
        self._output_names = [value.name for value in loaded.graph.output]
        layers = {node.name: AnalogLayer(node, calibration) for node in nodes}
        self._steps = [layers[step.name] if isinstance(step, AnalogNode) else step for step in program.steps]
        self.layers = tuple(step for step in self._steps if isinstance(step, AnalogLayer))
        self.ranges: tuple[LayerRanges, ...] | None = None
        self._digital_notes, self._range_notes = notes, list[str]()
        self._calibration, self._engines = calibration, dict[str, Engine]()
        self._prepared: weakref.WeakKeyDictionary[Engine, list[tuple[Any, ...]]] = weakref.WeakKeyDictionary()

    def fit_ranges(self, x: Inputs) -> None:
        """Fit the settings of every layer to a batch of typical inputs, run digitally.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants, or the network makes NaN or infinity of it.
        """
        arrays = check_inputs(x, self._inputs)
        total = _length(arrays)
        kept: list[list[Floats]] = [[] for _ in self.layers]
        limits = [(np.inf, -np.inf) for _ in self.layers]
        generator = np.random.default_rng(0)
        for chunk in self._chunks(arrays, None):
            values = self._run_reference([layer.node.input for layer in self.layers], chunk)
            for k, layer in enumerate(self.layers):
                value = values[layer.node.input]
                low, high = limits[k]
                limits[k] = min(low, float(value.min())), max(high, float(value.max()))
                for vectors in layer.vectors(value):
                    share = FIT_VECTORS / (layer.count(value) * total / _length(chunk))
                    picked = generator.random(len(vectors)) < share
                    picked[0] |= not kept[k]  # a fit needs one vector at least
                    kept[k].append(vectors[picked])
        self.ranges = tuple(
            layer.fit(np.concatenate(vectors), *limit)
            for layer, vectors, limit in zip(self.layers, kept, limits, strict=True)
        )
        self._range_notes = [
            f"{layer.node.op} {layer.name!r} drives its rows at {ranges.drive:.3g} of the span, "
            "since more overdrives the amplifiers even at their smallest r_feedback"
            for layer, ranges in zip(self.layers, self.ranges, strict=True)
            if ranges.drive < 1
        ]
        self._prepared.clear()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on products that stay digital, and on how the ranges were fitted."""
        return (*self._digital_notes, *self._range_notes)

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

    def prepare(self, engine: Engine) -> list[tuple[Any, ...]]:
        """Return the tiles of every layer as `engine` prepares them, once an engine and fit.

        Raises
        ------
        NetworkError
            If no ranges have been fitted.
        """
        if engine not in self._prepared:
            self._prepared[engine] = [tuple(map(engine.prepare, tiles)) for tiles in self.tiles()]
        return self._prepared[engine]

    def run(
        self,
        x: Inputs,
        engine: Engine | Word = "exact",
        *,
        sample: int = 0,
        seed: int = 0,
        chunk: int | None = None,
        progress: bool = False,
    ) -> Result:
        """Run a batch.

        Parameters
        ----------
        x : array_like or mapping of str to array_like
            Inputs, the batch on the first axis; by name if the network has several.
        engine : Engine or {"ideal", "exact", "ngspice"}
            What multiplies vectors by tiles.
        sample : int
            Number of tile products to keep, drawn uniformly from all that were done.
        seed : int
            Seed of that draw.
        chunk : int, optional
            Inputs to run at once; bounds the memory and changes nothing else.
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
        arrays = check_inputs(x, self._inputs)
        if isinstance(engine, str):
            engine = self._engine(engine)
        if self.ranges is None:
            self._fit_on_first(arrays)
        assert self.ranges is not None
        prepared, tiles = self.prepare(engine), self.tiles()
        numbers = np.cumsum([0, *map(len, tiles)])
        meters = [LayerMeter() for _ in self.layers]
        reservoir = Reservoir[SampledMvm](sample, seed)
        outputs: dict[str, list[Array]] = {name: [] for name in self._output_names}
        with tqdm(total=_length(arrays), unit="input", disable=None if progress else True, delay=1.0) as bar:
            for values in self._chunks(arrays, chunk):
                size = _length(values)
                for step in self._steps:
                    if isinstance(step, Segment):
                        step.run(values)
                        continue
                    k = self.layers.index(step)
                    observe = _sampler(reservoir, step.name, tiles[k], self.ranges[k].adc, int(numbers[k]))
                    values[step.node.output] = step.run(
                        values[step.node.input], self.ranges[k], engine, prepared[k], meters[k], observe
                    )
                for name, parts in outputs.items():
                    parts.append(_check_output(name, values[name], size))
                bar.update(size)
        stats = map(AnalogLayer.stats, self.layers, self.ranges, meters)
        return Result(
            engine=engine.name,
            outputs={name: np.concatenate(parts) for name, parts in outputs.items()},
            stats=RunStats(layers=tuple(stats), images=_length(arrays), notes=self.notes),
            samples=reservoir.items(),
        )

    def audit(self, x: Inputs, count: int = 16, *, seed: int = 0, jobs: int | None = None) -> "Audit":
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
        from spicesim.audit import audit_samples  # it looks at results of this package

        result = self.run(x, "exact", sample=count, seed=seed)
        return audit_samples(result.samples, _whole(self._calibration), jobs=jobs)

    def _engine(self, word: str) -> Engine:
        """Return the engine of that word, the same one each time, so that its prepared tiles are kept."""
        if word not in self._engines:
            self._engines[word] = build_engine(word, _whole(self._calibration))
        return self._engines[word]

    def run_digital(self, x: Inputs, *, chunk: int | None = None) -> Array:
        """Run a batch through onnxruntime alone.

        Parameters
        ----------
        x, chunk
            As for :meth:`run`.

        Returns
        -------
        ndarray
            The first output of the network.

        Raises
        ------
        NetworkError
            If `x` is not what the network wants.
        """
        name = self._output_names[0]
        chunks = self._chunks(check_inputs(x, self._inputs), chunk)
        parts = [_check_output(name, self._run_reference([name], c)[name], _length(c)) for c in chunks]
        return np.concatenate(parts)

    def _run_reference(self, names: list[str], chunk: dict[str, Array]) -> dict[str, Array]:
        """Return values of the network by name, inputs among them, as onnxruntime computes them."""
        wanted = sorted(set(names) - set(chunk))
        return {**chunk, **run_session(self._reference, wanted, chunk)}

    def _fit_on_first(self, arrays: dict[str, Array]) -> None:
        """Fit the ranges on the first inputs of a run, and note it."""
        batch = self._batch or 1
        count = min(_length(arrays), max(CHUNK // batch, 1) * batch)
        self.fit_ranges({name: array[:count] for name, array in arrays.items()})
        self._range_notes.append(f"no calibration inputs were given: ranges fitted on the first {count} inputs run")

    def _chunks(self, arrays: dict[str, Array], chunk: int | None) -> Iterator[dict[str, Array]]:
        """Cut a batch into chunks; a batch size fixed in the network goes before the caller's."""
        if chunk is not None and chunk < 1:
            raise NetworkError(f"chunk must be at least 1 input, got {chunk}")
        numbers = sum(array.size for array in arrays.values()) // _length(arrays)
        step = self._batch or chunk or max(1, min(CHUNK, BLOCK // numbers))
        for start in range(0, _length(arrays), step):
            yield {name: array[start : start + step] for name, array in arrays.items()}


def _whole(calibration: Calibration) -> WholeCalibration:
    """Return a calibration that engines can be built from."""
    if not isinstance(calibration, WholeCalibration):
        raise NetworkError("this network was compiled for a stand-in of a calibration; name an engine object to run it")
    return calibration


def _length(arrays: Mapping[str, Array]) -> int:
    """Return the number of inputs in a batch."""
    return len(next(iter(arrays.values())))


def _check_output(name: str, array: Array, size: int) -> Array:
    """Return an output if its first axis counts the batch."""
    if array.ndim < 1 or len(array) != size:
        raise NetworkError(
            f"output {name!r} has shape {array.shape} for {size} inputs; "
            "export the network so that the first axis of every output counts the batch"
        )
    return array


def _sampler(
    reservoir: Reservoir[SampledMvm], layer: str, tiles: tuple[Tile, ...], adc: AdcRange, number: int
) -> Observer:
    """Return a function that offers a layer's products, of tiles counted from `number`, to the reservoir."""

    def observe(k: int, codes: Codes, volts: Floats) -> None:
        def keep(i: int) -> SampledMvm:
            return SampledMvm(layer=layer, tile=tiles[k], adc=adc, codes=codes[i].copy(), volts=volts[i].copy())

        reservoir.offer(number + k, len(codes), keep)

    return observe
