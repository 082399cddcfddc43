"""From a run of a network to what its report tells."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.bound import share_interval
from spicesim.budget import Budget
from spicesim.calibration.calibration import Calibration
from spicesim.engine import ExactEngine
from spicesim.experiment import Experiment
from spicesim.footprint import Footprint
from spicesim.network import Network
from spicesim.network.result import SampledMvm
from spicesim.network.uncalibrated import calibrated
from spicesim.report.network import AccuracyRow, IrDropMap, NetworkReport, TileUse
from spicesim.study import Study

__all__ = ["describe_run"]

MOST_MAPS = 4
"""Layers whose voltages are mapped: those that lose most."""


def describe_run(
    experiment: Experiment,
    name: str,
    others: Mapping[str, Experiment] | None = None,
    *,
    study: Study | None = None,
    network: Network | None = None,
    budget: Budget | None = None,
    footprint: Footprint | None = None,
) -> NetworkReport:
    """Gather what the report of a run tells.

    Parameters
    ----------
    experiment : Experiment
        The run; with an audit, its samples give the map of a tile.
    name : str
        Name of the network.
    others : mapping of str to Experiment, optional
        Runs of the same network on the same inputs to compare with, by label.
    study : Study, optional
        The run on several chips, of which `experiment` is the first; gives the accuracy's mean and interval.
    network : Network, optional
        The network, for a map of its tiles.
    budget, footprint
        What more is known of it.
    """
    result, array = experiment.result, experiment.calibration.chip.array
    runs = {**(others or {}), result.engine: experiment}
    rows = [("digital", experiment.digital_accuracy, "the network itself, in floating point")]
    rows += [(label, run.accuracy, _note(run)) for label, run in runs.items()]
    accuracies = [
        AccuracyRow(label=label, accuracy=accuracy, note=note, interval=_interval(accuracy, result.stats.images))
        for label, accuracy, note in rows
        if accuracy is not None
    ]
    if study is not None and (found := study.accuracies) is not None and len(found) > 1:
        accuracies.append(
            AccuracyRow(
                label=f"{result.engine}, {len(found)} chips", accuracy=float(found.mean()), interval=study.interval,
                note=f"mean of chips of {study.model.name} devices; the interval is of that mean",
            )
        )  # fmt: skip
    document = experiment.document()
    return NetworkReport(
        model=name,
        engine=result.engine,
        images=result.stats.images,
        layers=result.stats.layers,
        accuracies=tuple(accuracies),
        confusion=_confusion(experiment),
        audit=experiment.audit,
        product_seconds=experiment.product_seconds,
        ir_drops=_ir_drop_maps(result.samples, calibrated(experiment.calibration)) if result.samples else (),
        tiles=() if network is None else _tile_uses(network),
        array=(array.rows, array.columns),
        budget=budget,
        footprint=footprint,
        notes=result.stats.notes,
        provenance=document["provenance"],
    )


def _note(run: Experiment) -> str:
    """Say what an engine is."""
    notes = {
        "fast": "the calibrated chip, whole, within the tolerance of the fast tier",
        "ideal": "real converters around an ideal dot product",
        "exact": "the calibrated chip: wires, cells, drivers and amplifiers solved together",
        "exact without wires": "the calibrated chip, had its lines no resistance",
        "ngspice": "whole tiles at transistor level",
    }
    return notes.get(run.result.engine, "")


def _confusion(experiment: Experiment) -> npt.NDArray[np.int64] | None:
    """Count inputs by true class and answer; None where there are no classes."""
    labels, logits = experiment.dataset.labels, experiment.result.logits
    if labels is None or logits.ndim != 2:
        return None
    true, answers = np.asarray(labels, dtype=np.int64), np.argmax(logits, axis=1)
    if true.size and (true.min() < 0 or true.max() >= logits.shape[1]):
        return None
    counts = np.zeros((logits.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (true, answers), 1)
    return counts


def _interval(accuracy: float, images: int) -> tuple[float, float]:
    """Return the interval of an accuracy, the inputs being a sample of all there could be."""
    return share_interval(round(accuracy * images), images)


def _tile_uses(network: Network) -> tuple[TileUse, ...]:
    return tuple(
        TileUse(layer=layer.name, rows=tile.g.shape[0], columns=tile.g.shape[1])
        for layer, tiles in zip(network.layers, network.tiles(), strict=True)
        for tile in tiles
    )


def _ir_drop_maps(samples: tuple[SampledMvm, ...], calibration: Calibration) -> tuple[IrDropMap, ...]:
    """Solve the sampled products again; of each layer keep the one that loses most, of layers those that do."""
    engine, worst = ExactEngine(calibration), dict[str, IrDropMap]()

    def size(drop: IrDropMap) -> float:
        return float(np.abs(drop.loss).max())

    for sample in samples:
        state = engine.prepare(sample.tile).model.solve(np.asarray(sample.codes)[None, :], fields=True)
        assert state.solution.cell_voltages is not None
        loss = state.v_word_line[0][:, None] - state.v_in[0][None, :] - state.solution.cell_voltages[0]
        found = IrDropMap(name=sample.tile.name, loss=loss, input_name="the sampled input that loses most")
        if sample.layer not in worst or size(found) > size(worst[sample.layer]):
            worst[sample.layer] = found
    chosen = sorted(worst.values(), key=size, reverse=True)[:MOST_MAPS]
    return tuple(drop for drop in worst.values() if any(drop is one for one in chosen))
