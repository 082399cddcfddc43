"""Accuracy of a network on drawn chips against bits of converters, time, temperature and how well cells are written."""

from collections.abc import Sequence

import numpy as np

from spicesim.errors import CalibrationError
from spicesim.experiment.plan import RunPlan
from spicesim.figures.memory import TIMES
from spicesim.figures.signal import bands
from spicesim.figures.study import Study
from spicesim.figures.written import SIGMAS, written_name
from spicesim.plots.chart import Chart, Panel, Series

__all__ = ["accuracy_by_drift", "accuracy_by_output_bits", "accuracy_by_temperature", "accuracy_by_writing"]


def _fast(plan: RunPlan) -> RunPlan:
    return plan.changed(engine="fast")


def _chart(study: Study, what: str, axis: str, series: Sequence[Series], more: str, *, log: bool = False) -> Chart:
    """Return a chart of accuracies, with that of the network in floating point."""
    places = np.concatenate([each.x for each in series])
    digital = 100 * float(study.run_network(RunPlan(engine="ideal")).first.digital_accuracy or 0.0)
    line = Series(
        label="digital, float32", x=np.array([places.min(), places.max()]), y=np.full(2, digital), style="limit"
    )
    return Chart(
        title=f"Accuracy against {what}",
        caption=f"{study.images} inputs, engine fast, {more} Lines are means, bands reach from the least to the "
        f"greatest of {study.chips} chips. {study.ideal_parts}",
        x_label=axis,
        x_log=log,
        panels=(Panel(y_label="accuracy [%]", series=(*series, line)),),
    )


def accuracy_by_output_bits(study: Study) -> Chart:
    """Plot it against the bits of ideal converters."""
    bits = [3, 4, 5, 6, 7, 8, 10]
    studies = [study.changed(adc={"bits": each}) for each in bits]
    found = bands(f"{study.chips} chips", bits, (each.accuracies(_fast(each.drawn)) for each in studies))
    return _chart(study, "bits of outputs", "bits of an output", [found], f"chips that differ by {study.differing}.")


def accuracy_by_drift(study: Study) -> Chart:
    """Plot it against the time since programming, with and without compensation, of PCM."""
    times, plan = list(TIMES[::3]), RunPlan(engine="fast", device="pcm", chips=study.chips, seed=study.seed)
    series = [
        bands(
            "mean drift undone digitally" if undone else "drift as it is",
            times,
            (study.accuracies(plan.changed(time=time, drift_compensation=undone)) for time in times),
        )
        for undone in (True, False)
    ]
    more = "chips of PCM devices by published statistics, the circuit nominal."
    return _chart(study, "time", "time since programming [s]", series, more, log=True)


def accuracy_by_temperature(study: Study) -> Chart:
    """Plot it against temperature, digital gains fitted at each."""
    found, kept = [], []
    for celsius in study.temperatures:
        try:
            found.append(study.accuracies(_fast(study.drawn).changed(temperature_c=celsius)))
        except CalibrationError:  # an aspect that is not calibrated there
            continue
        kept.append(celsius)
    series = bands(f"{study.chips} chips", kept, found)
    more = f"digital gains fitted at each temperature; chips that differ by {study.differing}."
    return _chart(study, "temperature", "temperature [°C]", [series], more)


def accuracy_by_writing(study: Study) -> Chart:
    """Plot it against the standard deviation of programming."""
    plans = [
        RunPlan(engine="fast", device=written_name(k), chips=study.chips, seed=study.seed) for k in range(len(SIGMAS))
    ]
    found = map(study.accuracies, plans)
    series = bands(f"{study.chips} chips", [100 * sigma for sigma in SIGMAS], found)
    more = "chips of devices written with normal errors of that deviation, the circuit nominal, no read noise or drift."
    return _chart(study, "programming error", "deviation of programming [% of g_max]", [series], more, log=True)
