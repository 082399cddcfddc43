"""What wires cost: the error of products against the size of an array and the resistance of its lines."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.figures.product import Product, make_product
from spicesim.figures.signal import bands
from spicesim.figures.study import Study
from spicesim.plots.chart import Chart, Panel, Series

__all__ = ["RESISTANCES", "error_by_wires"]

RESISTANCES = (0.0, 1.0, 3.0, 10.0)
"""Of a segment of both lines [ohm]."""


def error_by_wires(study: Study) -> Chart:
    """Plot the error of products against rows for some resistances, with and without digital gains."""
    products = [make_product(study, rows) for rows in study.rows]
    corrected: list[Series] = []
    raw: list[Series] = []
    for ohm in RESISTANCES:
        wired = study.changed(array={"r_word_line": ohm, "r_bit_line": ohm})
        label = f"{ohm:g} Ω a segment"
        corrected.append(bands(label, study.rows, (_error(each, wired, gains=True) for each in products)))
        raw.append(bands(label, study.rows, (_error(each, wired, gains=False) for each in products)))
    return Chart(
        title="Error against array size and wires",
        caption="Root mean square error of products over the largest product in size, of uniform inputs and normal "
        f"weights; {study.vectors} vectors, {products[0].weights.shape[1]} outputs. Above as they are, below with a "
        "digital gain and offset an output, fitted on other inputs. Engine exact, nominal circuit; steps of converters "
        f"are in it. {study.ideal_parts}",
        x_label="rows",
        x_log=True,
        panels=(
            Panel(y_label="as it is [%]", series=tuple(raw), y_log=True),
            Panel(y_label="with gains [%]", series=tuple(corrected), y_log=True),
        ),
    )


def _error(product: Product, study: Study, *, gains: bool) -> Floats:
    """Return the error over the largest product in size, in per cent."""
    exact = product.exact
    (found,) = product.outputs(study, study.nominal.changed(gains=gains))
    return np.array([100 * float(np.sqrt(np.mean((found - exact) ** 2)) / np.abs(exact).max())])
