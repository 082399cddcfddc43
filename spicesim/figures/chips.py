"""Drawn chips: how far their products are spread, and how many reach what; and other corners and temperatures."""

import numpy as np

from spicesim.chip import CORNERS
from spicesim.errors import CalibrationError
from spicesim.figures.product import make_product
from spicesim.figures.study import Study
from spicesim.plots.chart import Chart, Grid, Panel, Series

__all__ = ["PER_BAND", "chip_yield", "corner_matrix"]

PER_BAND = 10
"""Chips of the histogram for each of a band."""


def chip_yield(study: Study) -> Chart:
    """Plot a histogram of the ratio of drawn chips, and how many of them are at or above it."""
    count = PER_BAND * study.chips
    product = make_product(study, study.rows[-1])
    found = product.snr_db(study, study.drawn.changed(chips=count))
    nominal = float(product.snr_db(study, study.nominal)[0])
    series = Series(label=f"{count} chips", x=np.arange(float(count)), y=found)
    return Chart(
        title="Drawn chips and yield",
        caption=f"Compute SNR of {count} chips, which differ by {study.differing}; {study.rows[-1]} rows, uniform "
        f"inputs, {study.vectors} vectors, digital gains fitted on each chip. The line says how many chips are at or "
        f"above a value: the yield, were it the limit. The nominal circuit has {nominal:.1f} dB. Engine exact. "
        f"{study.ideal_parts}",
        kind="histogram",
        x_label="compute SNR [dB]",
        panels=(Panel(y_label="chips", series=(series,)),),
    )


def corner_matrix(study: Study) -> Chart:
    """Show the ratio over corners and temperatures, gains fitted at the chip's own condition or anew."""
    climate = study.calibration.climate
    assert climate is not None  # the catalogue asks for it
    places = study.temperatures
    corners = [None, *(name for name in CORNERS if name in climate.corners)]
    product = make_product(study, study.rows[-1])
    values = np.full((len(corners), len(places)), np.nan)
    for i, corner in enumerate(corners):
        for j, celsius in enumerate(places):
            if corner is not None and not _between(celsius, climate.corner_temperatures_c):
                continue
            try:
                plan = study.nominal.changed(corner=corner, temperature_c=celsius)
                values[i, j] = product.snr_db(study, plan)[0]
            except CalibrationError:  # not calibrated there; the page shows the rest
                continue
    keep = ~np.isnan(values).all(axis=0)
    if np.isnan(values[:, keep]).any():
        keep = ~np.isnan(values).any(axis=0)
    return Chart(
        title="Corners and temperatures",
        caption=f"Compute SNR of the nominal circuit [dB], {study.rows[-1]} rows, uniform inputs, {study.vectors} "
        "vectors; digital gains fitted at each condition; what was not calibrated is left out. The supply is the "
        f"chip's own: no other was calibrated. Engine exact. {study.ideal_parts}",
        kind="matrix",
        x_label="temperature [°C]",
        grid=Grid(
            rows=tuple(name or "own corner" for name in corners),
            columns=tuple(f"{celsius:g}" for celsius, kept in zip(places, keep, strict=True) if kept),
            values=values[:, keep],
            unit="compute SNR [dB]",
        ),
    )


def _between(celsius: float, known: tuple[float, ...]) -> bool:
    return bool(known) and min(known) <= celsius <= max(known)
