"""Static errors of a converter, in steps (LSB) of the line through its first and its last code."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats
from spicesim.characterise.sheet import Panel
from spicesim.errors import SpecError

__all__ = ["Linearity", "linearity_panel", "measure_linearity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearity:
    """Static errors of a converter."""

    inl: Floats
    """Distance of each level from the line through the first and the last [LSB]."""
    dnl: Floats
    """Each step less one [LSB], one fewer than levels."""
    lsb: float
    """Mean step, in the levels' unit."""
    offset: float
    """First level less the ideal one, in the levels' unit."""
    gain_error: float
    """Mean step over the ideal one, less one [1]."""

    @property
    def worst_inl(self) -> float:
        """Largest size of the INL [LSB]."""
        return float(np.abs(self.inl).max())

    @property
    def worst_dnl(self) -> float:
        """Largest size of the DNL [LSB]."""
        return float(np.abs(self.dnl).max())

    @property
    def monotone(self) -> bool:
        """Whether no step is zero or backwards."""
        return bool((self.dnl > -1).all())


def measure_linearity(levels: npt.ArrayLike, first: float, lsb: float) -> Linearity:
    """Compare the levels of a converter with evenly spaced ones.

    Parameters
    ----------
    levels : array_like of shape (codes,)
        Output at every code of a DAC, or input at every code transition of an ADC.
    first : float
        Ideal first level.
    lsb : float
        Ideal step; negative for a converter that falls.
    """
    values = np.asarray(levels, dtype=float)
    if values.ndim != 1 or len(values) < 3 or not np.isfinite(values).all():
        raise SpecError(f"linearity needs three finite levels at least, got shape {values.shape}")
    step = float(values[-1] - values[0]) / (len(values) - 1)
    if step == 0 or not lsb:
        raise SpecError("a converter whose first and last level are equal has no linearity")
    return Linearity(
        inl=(values - values[0]) / step - np.arange(len(values)),
        dnl=np.diff(values) / step - 1,
        lsb=step,
        offset=float(values[0] - first),
        gain_error=step / lsb - 1,
    )


def linearity_panel(line: Linearity, first: int = 0) -> Panel:
    """Draw INL and DNL against the code, from the first one on."""
    return Panel(
        title="linearity",
        x=np.arange(float(first), first + len(line.inl)),
        x_label="code",
        curves={"INL": line.inl, "DNL": np.append(line.dnl, 0.0)},
        y_label="error [LSB]",
    )
