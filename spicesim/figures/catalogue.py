"""The figures by name: how each is made, and what it needs."""

from collections.abc import Callable
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.figures.accuracy import (
    accuracy_by_drift,
    accuracy_by_output_bits,
    accuracy_by_temperature,
    accuracy_by_writing,
)
from spicesim.figures.chips import chip_yield, corner_matrix
from spicesim.figures.linearity import column_linearity
from spicesim.figures.memory import conductance_drift, programmed_conductances
from spicesim.figures.shares import energy_and_area
from spicesim.figures.signal import snr_by_activations, snr_by_input_bits, snr_by_output_bits, snr_by_rows
from spicesim.figures.study import Study
from spicesim.figures.wires import error_by_wires
from spicesim.plots.chart import Chart

__all__ = ["FIGURES", "Recipe", "choose_figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a figure is made."""

    make: Callable[[Study], Chart]
    """Makes it."""
    needs: tuple[str, ...] = ()
    """Of :data:`_NEEDS`."""
    about: str
    """What it shows, for lists."""

    def lacks(self, study: Study) -> str:
        """Say what a study lacks for it; empty if nothing."""
        return "; ".join(text for name in self.needs for is_there, text in [_NEEDS[name]] if not is_there(study))


def _has_network(study: Study) -> bool:
    return study.model is not None and study.dataset is not None and study.dataset.labels is not None


_NEEDS: dict[str, tuple[Callable[[Study], bool], str]] = {
    "network": (_has_network, "needs a network and data with labels: --network MODEL.onnx --data DATA.npz"),
    "climate": (lambda study: study.calibration.climate is not None, "needs the aspect climate"),
    "energy": (
        lambda study: study.calibration.energy is not None and study.calibration.energy.adc is not None,
        "needs the aspect energy, of a converter of 10 bits or less",
    ),
    "ideal ADC": (
        lambda study: not study.calibration.chip.adc.is_real,
        "needs adc.kind = ideal: converters of transistors are calibrated at their own bits",
    ),
    "codes": (lambda study: study.calibration.chip.code_bits > 1, "needs inputs of more than a bit at a time"),
    "word lines": (
        lambda study: not study.calibration.chip.cell.is_gated,
        "needs inputs on the word lines: gates take single bits",
    ),
}
"""What a figure may need: how it is known, and what to tell where it is not there."""

FIGURES: dict[str, Recipe] = {
    "snr-rows": Recipe(make=snr_by_rows, about="compute SNR and effective bits against rows"),
    "snr-output-bits": Recipe(
        make=snr_by_output_bits, needs=("ideal ADC",), about="compute SNR against bits of outputs"
    ),
    "snr-input-bits": Recipe(make=snr_by_input_bits, about="compute SNR against bits of inputs"),
    "snr-activations": Recipe(make=snr_by_activations, about="compute SNR against what inputs are like"),
    "error-wires": Recipe(make=error_by_wires, about="error against array size and wire resistance"),
    "linearity": Recipe(
        make=column_linearity, needs=("codes", "word lines"), about="INL and DNL of a whole column, code to code"
    ),
    "yield": Recipe(make=chip_yield, about="histogram of drawn chips, with yield"),
    "corners": Recipe(make=corner_matrix, needs=("climate",), about="compute SNR over corners and temperatures"),
    "programming": Recipe(make=programmed_conductances, about="conductances after programming"),
    "drift": Recipe(make=conductance_drift, about="drift of conductances from 1 s to 1 year"),
    "shares": Recipe(make=energy_and_area, needs=("energy",), about="energy of a product and area of a tile by block"),
    "accuracy-output-bits": Recipe(
        make=accuracy_by_output_bits, needs=("network", "ideal ADC"), about="accuracy against bits of outputs"
    ),
    "accuracy-drift": Recipe(make=accuracy_by_drift, needs=("network",), about="accuracy from 1 s to 1 year"),
    "accuracy-temperature": Recipe(
        make=accuracy_by_temperature, needs=("network", "climate"), about="accuracy against temperature"
    ),
    "accuracy-programming": Recipe(
        make=accuracy_by_writing, needs=("network",), about="accuracy against programming error"
    ),
}
"""All figures, in the order of the page."""


def choose_figures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the figures of those names, in the order of the page; all if there are none.

    Raises
    ------
    SpecError
        If there is none of a name.
    """
    if unknown := [name for name in names if name not in FIGURES]:
        raise SpecError(f"no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}")
    return tuple(name for name in FIGURES if not names or name in names)
