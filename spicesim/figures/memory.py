"""Devices: conductances after programming, and how they drift."""

import numpy as np

from spicesim.devices import TileDevices
from spicesim.devices.presets import DEVICES
from spicesim.errors import SpecError
from spicesim.figures.study import Study
from spicesim.plots.chart import Chart, Panel, Series

__all__ = ["TIMES", "conductance_drift", "programmed_conductances"]

CELLS = 2000
"""Of a level."""
TIMES = tuple(10.0 ** np.linspace(0, np.log10(365.25 * 86400), 16))
"""From a second to a year [s]."""


def _devices(name: str, target: float, study: Study) -> TileDevices:
    """Return cells of one target, of the chip's range."""
    limits = study.calibration.conductance_range
    return TileDevices(
        DEVICES[name], np.full((CELLS, 1), target), limits, seed=study.seed, name=f"{name} {target:g}",
        box=study.calibration.conductance_limits,
    )  # fmt: skip


def programmed_conductances(study: Study) -> Chart:
    """Plot how far cells are from what was wanted of them, for each kind of device."""
    low, high = study.calibration.conductance_range
    targets = np.linspace(low, high, 9)
    series = []
    for name in DEVICES:
        found = [_devices(name, float(target), study).conductances() for target in targets]
        off = [100 * (each[:, 0] - target) / high for each, target in zip(found, targets, strict=True)]
        series.append(
            Series(
                label=name, x=1e6 * targets, y=np.array([each.mean() for each in off]),
                low=np.array([np.percentile(each, 15.9) for each in off]),
                high=np.array([np.percentile(each, 84.1) for each in off]),
            )
        )  # fmt: skip
    return Chart(
        title="Conductances after programming",
        caption=f"What cells have less what was wanted, over the largest conductance; {CELLS} cells a level. Lines are "
        "means, bands hold the middle 68 %. Published statistics of devices, scaled to the range of this chip's cells, "
        "and no simulation of a device: "
        + "; ".join(f"{name}: {model.sources[0].partition(',')[0]}" for name, model in DEVICES.items())
        + ".",
        x_label="wanted conductance [µS]",
        panels=(Panel(y_label="deviation [% of g_max]", series=tuple(series)),),
    )


def conductance_drift(study: Study) -> Chart:
    """Plot how conductances change from a second to a year, of a high and a low level."""
    low, high = study.calibration.conductance_range
    panels = []
    for target in (high * 0.8, low + 0.2 * (high - low)):
        series = []
        for name in DEVICES:
            devices = _devices(name, target, study)
            times, found = [], []
            for time in TIMES:
                try:
                    found.append(devices.conductances(time)[:, 0] / target)
                except SpecError:  # nobody measured that late
                    break
                times.append(time)
            series.append(
                Series(
                    label=name, x=np.array(times), y=np.array([each.mean() for each in found]),
                    low=np.array([np.percentile(each, 15.9) for each in found]),
                    high=np.array([np.percentile(each, 84.1) for each in found]), style="curve",
                )
            )  # fmt: skip
        panels.append(Panel(y_label=f"g over {1e6 * target:.3g} µS", series=tuple(series)))
    return Chart(
        title="Drift of conductances",
        caption=f"Conductances over what was wanted of them, of a high and a low level, {CELLS} cells each. Lines are "
        "means, bands hold the middle 68 %; stuck cells are among them. A line ends where nobody measured later. "
        "Published statistics, no simulation of a device.",
        x_label="time since programming [s]",
        x_log=True,
        panels=tuple(panels),
    )
