"""Whole columns, code to code: integral and differential nonlinearity of an output over the codes of all its inputs."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.engine import ExactEngine, PreparedTile, Tile
from spicesim.figures.study import Study
from spicesim.plots.chart import Chart, Panel, Series

__all__ = ["column_linearity"]

REACH = 0.9
"""The full column's share of the linear swing."""


def column_linearity(study: Study) -> Chart:
    """Plot INL and DNL of one column whose rows all get the same code, nominal and drawn."""
    calibration, chip = study.calibration, study.calibration.chip
    tile = _column(study)
    chips = study.chips if calibration.mismatch is not None else 0
    nominal = _sweep(ExactEngine(calibration).prepare(tile), study)
    drawn = [_sweep(ExactEngine(calibration, mismatch_seed=study.seed + k).prepare(tile), study) for k in range(chips)]
    codes = np.arange(len(nominal))
    step = (nominal[-1] - nominal[0]) / (2**chip.adc.bits - 1)
    panels = []
    for word, bend in (("INL", _integral), ("DNL", _differential)):
        places = codes[len(codes) - len(bend(nominal)) :].astype(float)
        series = [Series(label="nominal circuit", x=places, y=bend(nominal) / step, style="curve")]
        if drawn:
            all_of_them = np.stack([bend(each) for each in drawn]) / step
            series.insert(
                0,
                Series(
                    label=f"{chips} drawn chips", x=places, y=all_of_them.mean(axis=0), low=all_of_them.min(axis=0),
                    high=all_of_them.max(axis=0), style="curve",
                ),
            )  # fmt: skip
        panels.append(Panel(y_label=f"{word} [LSB]", series=tuple(series)))
    band = f"The band reaches from the least to the greatest of {chips} chips of calibrated mismatch. " if drawn else ""
    return Chart(
        title="Linearity of a column, code to code",
        caption=f"One column of {len(tile.g)} equal cells, all rows at the same code; its output before the converter, "
        f"from a line through both ends, in steps of {chip.adc.bits} bits over this column's swing. {band}Engine "
        "exact; the converter's own steps are not in it.",
        x_label="code of all inputs",
        panels=tuple(panels),
    )


def _column(study: Study) -> Tile:
    """Return a column of the conductance that fills most of the linear swing with the least feedback."""
    calibration, chip = study.calibration, study.calibration.chip
    low, high = calibration.conductance_range
    rows, setting = chip.array.rows, chip.settings[0]
    polarity = chip.polarities[0]
    g = np.full((rows, 1), high)
    full = float(chip.transresistance(g, setting)[0]) * rows * chip.dac.v_span * high
    swing = REACH * calibration.linear_swing(setting)
    return Tile(
        name="column", g=np.clip(g * min(1.0, swing / full), low, high), polarity=polarity, r_feedback=setting, adc=None
    )


def _sweep(ready: PreparedTile, study: Study) -> Floats:
    """Return the column's outputs over all codes [V]."""
    chip = study.calibration.chip
    codes = np.repeat(np.arange(2**chip.code_bits)[:, None], chip.array.rows, axis=1)
    return np.asarray(ready.mvm(codes)[:, 0])


def _integral(volts: Floats) -> Floats:
    return np.asarray(volts - np.linspace(volts[0], volts[-1], len(volts)))


def _differential(volts: Floats) -> Floats:
    return np.asarray(np.diff(volts) - (volts[-1] - volts[0]) / (len(volts) - 1))
