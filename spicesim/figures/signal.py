"""Compute signal-to-noise ratio against rows, bits and what inputs are like, with what steps alone leave."""

from collections.abc import Iterable, Sequence

import numpy as np

from spicesim.arrays import Floats
from spicesim.figures.product import Activations, Product, make_product, step_limit
from spicesim.figures.study import Study
from spicesim.plots.chart import Chart, Panel, Series

__all__ = ["bands", "snr_by_activations", "snr_by_input_bits", "snr_by_output_bits", "snr_by_rows"]

_RATIO = "compute SNR [dB]"
_METHOD = (
    "Products of normal weights in pairs of columns, each output with the digital gain and offset of its own that "
    "other inputs gave; the ratio is the variance of products in floating point by the mean squared error. Engine "
    "exact. "
)
_LIMIT = (
    "Dashed: what the steps of inputs and outputs alone leave, 12 times variance by squared step, added as 1/SNR "
    "(Gonugondla et al., arXiv 2012.13645), where the converters' range fits the outputs. "
)


def bands(label: str, x: Sequence[float], values: Iterable[Floats]) -> Series:
    """Return a line of means with a band from the least to the greatest of chips.

    Parameters
    ----------
    label : str
        What it is.
    x : sequence of float
        Places.
    values : iterable of ndarray of shape (chips,)
        Those of each chip, one array a place.
    """
    found = list(values)
    several = max(map(len, found)) > 1
    return Series(
        label=label,
        x=np.array(x, dtype=float),
        y=np.array([np.mean(each) for each in found]),
        low=np.array([np.min(each) for each in found]) if several else None,
        high=np.array([np.max(each) for each in found]) if several else None,
    )


def _bits(study: Study) -> tuple[int, int]:
    return study.calibration.chip.dac.bits, study.calibration.chip.adc.bits


def _limit(label: str, study: Study, x: Sequence[float], products: Sequence[Product]) -> Series:
    inputs, outputs = _bits(study)
    found = [step_limit(each, study, input_bits=inputs, output_bits=outputs) for each in products]
    return Series(label=label, x=np.array(x, dtype=float), y=np.array(found), style="limit")


def snr_by_rows(study: Study) -> Chart:
    """Plot the ratio against the rows of a product: nominal, of drawn chips, and of steps alone."""
    products = [make_product(study, rows) for rows in study.rows]
    inputs, outputs = _bits(study)
    series = (
        bands("nominal circuit", study.rows, (each.snr_db(study, study.nominal) for each in products)),
        bands(f"{study.chips} drawn chips", study.rows, (each.snr_db(study, study.drawn) for each in products)),
        _limit(f"limit, {inputs} bits in, {outputs} out", study, study.rows, products),
    )
    return Chart(
        title="Compute SNR against rows",
        caption=f"{_METHOD}Uniform inputs, {study.vectors} vectors. {study.band} {_LIMIT}{study.ideal_parts}",
        x_label="rows of a product",
        x_log=True,
        panels=(Panel(y_label=_RATIO, series=series, enob=True),),
    )


def snr_by_output_bits(study: Study) -> Chart:
    """Plot the ratio against the bits of ideal converters, over all rows."""
    bits = [3, 4, 6, 8, 10, 12]
    product = make_product(study, study.rows[-1])
    studies = [study.changed(adc={"bits": each}) for each in bits]
    limit = [step_limit(product, study, input_bits=_bits(study)[0], output_bits=each) for each in bits]
    series = (
        bands("nominal circuit", bits, (product.snr_db(each, each.nominal) for each in studies)),
        bands(f"{study.chips} drawn chips", bits, (product.snr_db(each, each.drawn) for each in studies)),
        Series(label="limit of steps", x=np.array(bits, dtype=float), y=np.array(limit), style="limit"),
    )
    return Chart(
        title="Compute SNR against bits of outputs",
        caption=f"{_METHOD}{study.rows[-1]} rows, uniform inputs, {study.vectors} vectors. {study.band} {_LIMIT}"
        f"{study.ideal_parts}",
        x_label="bits of an output",
        panels=(Panel(y_label=_RATIO, series=series, enob=True),),
    )


def snr_by_input_bits(study: Study) -> Chart:
    """Plot the ratio against the bits that inputs are rounded to before they are driven, over all rows."""
    bits = [bits for bits in (1, 2, 3, 4, 6, 8) if bits < _bits(study)[0]] + [_bits(study)[0]]
    product = make_product(study, study.rows[-1])
    limit = [step_limit(product, study, input_bits=each, output_bits=_bits(study)[1]) for each in bits]
    series = (
        bands("nominal circuit", bits, (product.snr_db(study, study.nominal, bits=each) for each in bits)),
        bands(f"{study.chips} drawn chips", bits, (product.snr_db(study, study.drawn, bits=each) for each in bits)),
        Series(label="limit of steps", x=np.array(bits, dtype=float), y=np.array(limit), style="limit"),
    )
    return Chart(
        title="Compute SNR against bits of inputs",
        caption=f"{_METHOD}{study.rows[-1]} rows, uniform inputs, {study.vectors} vectors, rounded to fewer bits "
        f"before drivers of {_bits(study)[0]}. {study.band} {_LIMIT}{study.ideal_parts}",
        x_label="bits of an input",
        panels=(Panel(y_label=_RATIO, series=series, enob=True),),
    )


def snr_by_activations(study: Study) -> Chart:
    """Plot the ratio against the share of inputs that are 0, for inputs of one and of both signs."""
    zeros = [0.0, 0.3, 0.6, 0.9]
    kinds: tuple[Activations, ...] = ("uniform", "half normal", "normal")
    if "bipolar" not in study.calibration.chip.polarities:
        kinds = kinds[:2]
    series: list[Series] = []
    for kind in kinds:
        products = [make_product(study, study.rows[-1], kind, zeros=share) for share in zeros]
        percent = [100 * share for share in zeros]
        series.append(bands(kind, percent, (each.snr_db(study, study.drawn) for each in products)))
        series.append(_limit(f"limit, {kind}", study, percent, products))
    return Chart(
        title="Compute SNR against activations",
        caption=f"{_METHOD}{study.rows[-1]} rows, {study.vectors} vectors; half normal as behind a ReLU, all within 3 "
        f"sigma, some set to 0. {study.band} {_LIMIT}{study.ideal_parts}",
        x_label="inputs that are 0 [%]",
        panels=(Panel(y_label=_RATIO, series=tuple(series), enob=True),),
    )
