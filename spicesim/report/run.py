"""From a run of a network to what its report tells."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.calibration.calibration import Calibration
from spicesim.engine import ExactEngine
from spicesim.experiment import Experiment
from spicesim.network.result import SampledMvm
from spicesim.network.uncalibrated import calibrated
from spicesim.report.network import AccuracyRow, IrDropMap, NetworkReport

__all__ = ["describe_run"]


def describe_run(experiment: Experiment, name: str, others: Mapping[str, Experiment] | None = None) -> NetworkReport:
    """Gather what the report of a run tells.

    Parameters
    ----------
    experiment : Experiment
        The run; with an audit, its samples give the map of a tile.
    name : str
        Name of the network.
    others : mapping of str to Experiment, optional
        Runs of the same network on the same inputs to compare with, by label.
    """
    result = experiment.result
    runs = {**(others or {}), result.engine: experiment}
    rows = [("digital", experiment.digital_accuracy, "the network itself, in floating point")]
    rows += [(label, run.accuracy, _note(run)) for label, run in runs.items()]
    document = experiment.document()
    return NetworkReport(
        model=name,
        engine=result.engine,
        images=result.stats.images,
        layers=result.stats.layers,
        accuracies=tuple(
            AccuracyRow(label=label, accuracy=accuracy, note=note)
            for label, accuracy, note in rows
            if accuracy is not None
        ),
        confusion=_confusion(experiment),
        audit=experiment.audit,
        product_seconds=experiment.product_seconds,
        ir_drop=_ir_drop_map(result.samples, calibrated(experiment.calibration)) if result.samples else None,
        notes=result.stats.notes,
        provenance=document["provenance"],
    )


def _note(run: Experiment) -> str:
    """Say what an engine is."""
    notes = {
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


def _ir_drop_map(samples: tuple[SampledMvm, ...], calibration: Calibration) -> IrDropMap:
    """Solve the sampled products again and keep the voltages of the one that loses most."""
    engine, maps = ExactEngine(calibration), []
    for sample in samples:
        state = engine.prepare(sample.tile).model.solve(np.asarray(sample.codes)[None, :], fields=True)
        assert state.solution.cell_voltages is not None
        loss = state.v_word_line[0][:, None] - state.v_in[0][None, :] - state.solution.cell_voltages[0]
        maps.append(IrDropMap(name=sample.tile.name, loss=loss, input_name="the sampled input that loses most"))
    return max(maps, key=lambda found: float(np.abs(found.loss).max()))
