"""From a run of a network to what its report tells."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spicesim.experiment.findings import Findings
from spicesim.experiment.run import Experiment
from spicesim.experiment.study import Study
from spicesim.report.network import AccuracyRow, NetworkReport

__all__ = ["describe_run"]


def describe_run(
    experiment: Experiment,
    name: str,
    others: Mapping[str, Experiment] | None = None,
    *,
    study: Study | None = None,
    findings: Findings | None = None,
) -> NetworkReport:
    """Gather what the report of a run tells.

    Parameters
    ----------
    experiment : Experiment
        The run.
    name : str
        Name of the network.
    others : mapping of str to Experiment, optional
        Runs of the same network on the same inputs to compare with, by label.
    study : Study, optional
        The run on several chips, of which `experiment` is the first; gives the accuracy's mean and interval.
    findings : Findings, optional
        What more is known of it.
    """
    result = experiment.result
    several = study is not None and len(study.seeds) > 1
    runs = {**(others or {}), f"{result.engine}, first chip" if several else result.engine: experiment}
    rows = [("digital", experiment.digital_accuracy, "the network itself, in floating point")]
    rows += [(label, run.accuracy, _note(run)) for label, run in runs.items()]
    accuracies = [
        AccuracyRow(label=label, accuracy=accuracy, note=note, interval=experiment.interval(accuracy))
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
        findings=findings or Findings(),
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
    base, _, more = run.result.engine.partition(" with ")
    note = notes.get(base, "")
    return f"{note}; with {more}" if note and more else note


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
