"""From a run of a network to what its report tells."""

from collections.abc import Mapping

import numpy as np

from spicesim.arrays import Integers
from spicesim.experiment.metric import accuracy_of
from spicesim.experiment.outcome import Experiment
from spicesim.experiment.run import Run
from spicesim.report.network import AccuracyRow, NetworkReport

__all__ = ["describe_run"]


def describe_run(run: Run, name: str, others: Mapping[str, Run] | None = None) -> NetworkReport:
    """Gather what the report of a run tells.

    Parameters
    ----------
    run : Run
        The run.
    name : str
        Name of the network.
    others : mapping of str to Run, optional
        Runs of the same network on the same inputs to compare with, by label.
    """
    experiment, plan = run.first, run.plan
    result, several = experiment.result, len(run.experiments) > 1
    runs = {**(others or {}), f"{plan.title}, first chip" if several else plan.title: run}
    rows = [("digital", experiment.digital_accuracy, "the network itself, in floating point")]
    rows += [(label, one.first.accuracy, NOTES.get(one.plan.engine, "")) for label, one in runs.items()]
    accuracies = [
        AccuracyRow(label=label, accuracy=accuracy, note=note, interval=experiment.interval(accuracy))
        for label, accuracy, note in rows
        if accuracy is not None
    ]
    if several and (found := run.accuracies) is not None:
        what = "" if run.device is None else f" of {run.device.name} devices"
        accuracies.append(
            AccuracyRow(
                label=f"{plan.title}, {len(found)} chips", accuracy=float(found.mean()), interval=run.interval,
                note=f"mean of chips{what}; the interval is of that mean",
            )
        )  # fmt: skip
    return NetworkReport(
        model=name,
        engine=plan.title,
        images=result.stats.images,
        layers=result.stats.layers,
        accuracies=tuple(accuracies),
        confusion=_confusion(experiment),
        audit=experiment.audit,
        product_seconds=experiment.product_seconds,
        verdict=experiment.verdict,
        findings=run.findings,
        notes=result.stats.notes,
        provenance=experiment.document()["provenance"] | {"plan": plan.document(), "subject": run.subject.document()},
    )


NOTES = {
    "fast": "the calibrated chip, whole, within the tolerance of the fast tier",
    "ideal": "real converters around an ideal dot product",
    "exact": "the calibrated chip: wires, cells, drivers and amplifiers solved together",
    "ngspice": "whole tiles at transistor level",
}
"""What engines are."""


def _confusion(experiment: Experiment) -> Integers | None:
    """Count inputs by true class and answer; None where there are no classes."""
    labels, logits = experiment.dataset.labels, experiment.result.logits
    if labels is None or labels.dtype.kind not in "iub" or accuracy_of(logits, None, labels) is None:
        return None
    true, answers = np.asarray(labels, dtype=np.int64), np.argmax(logits, axis=1)
    if true.size and (true.min() < 0 or true.max() >= logits.shape[1]):
        return None
    counts = np.zeros((logits.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (true, answers), 1)
    return counts
