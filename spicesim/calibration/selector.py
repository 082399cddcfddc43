"""Calibrate cells with selectors: whether these open at a chip's voltages, and the law of device and selector."""

import numpy as np

from spicesim.arrays import Floats
from spicesim.calibration.laws import fit_selected_cell
from spicesim.cells import Selected
from spicesim.chip import Chip
from spicesim.errors import SpecError

__all__ = ["LEAST_SHARE", "described_law", "fit_selector", "require_open"]

LEAST_SHARE = 0.1
"""Current of the largest cell over that of its device alone below which the cell is its selector. With it a chip of
1..50 uS still has 40 % of its on/off ratio."""


def fit_selector(g: Floats, v: Floats, current: Floats) -> Floats:
    """Fit the coefficients of a cell, see :class:`~spicesim.behavioural.cell.SelectorCellModel`.

    Parameters
    ----------
    g, v, current : ndarray of shape (points,)
        Conductance of the device [S], voltage across the cell [V], and its current without leakage [A].
    """
    found = fit_selected_cell(g, v, current).values
    return np.array([found["g_scale"], found.get("kappa", 0.0), found["v_on"], found["v_selector"]])


def described_law(chip: Chip) -> Selected:
    """Return the law of a 1s1r cell as it stands in the description, which the chip's library may not follow."""
    cell = chip.cell
    return Selected(i0=cell.selector_current, v0=cell.selector_voltage, kappa=cell.kappa)


def require_open(chip: Chip) -> None:
    """Refuse selectors that leave the devices too little voltage, and say which voltage would do.

    Raises
    ------
    SpecError
        If so.
    """
    cell, nearer = chip.cell, min(chip.cell.v_read, chip.dac.v_span)
    law = described_law(chip)
    share = float(law.current(cell.g_max, nearer)) / (cell.g_max * nearer)
    if share >= LEAST_SHARE:
        return
    # the voltage at which the largest device has its share, with the selector's law as it stands in the description
    enough = nearer
    while float(law.current(cell.g_max, enough)) < LEAST_SHARE * cell.g_max * enough:
        enough *= 1.05
    raise SpecError(
        f"at {nearer:g} V, the lower of cell.v_read = {cell.v_read:g} V and dac.v_span = {chip.dac.v_span:g} V, a 1s1r "
        f"cell of g_max carries {share:.1g} of what its device would alone: the selector takes nearly all, and devices "
        f"are not told apart. Set both to {enough:.2g} V or more, or take a selector "
        "that opens at less: cell.selector_current, cell.selector_voltage"
    )
