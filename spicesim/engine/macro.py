"""Products of whole macros in ngspice: codes in, codes out, through one transient."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.converter import ConverterRange
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.conversions import read_macro
from spicesim.chip.blocks import SarAdc
from spicesim.coding import AdcRange
from spicesim.draws import CAPACITOR, CONVERTER, ChipDraw
from spicesim.engine.protocol import Tile
from spicesim.engine.transistor import NgspiceEngine
from spicesim.errors import SpecError
from spicesim.netlist.macro import MacroRead, sampling_start
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.outcome import Results

__all__ = ["MOST_CONVERTERS", "MacroBench", "MacroProduct", "converter_on_chip", "converter_path"]

MOST_CONVERTERS = 8
"""Columns of a tile that are converted at most: a converter has as many transistors as half a dozen rows."""


def converter_on_chip(sizes: SarAdc, draw: ChipDraw, which: int) -> SarAdc:
    """Return the sizes of converter number `which` of a tile of a drawn chip, with the errors of its own capacitors."""
    numbers = [draw(f"{CONVERTER}_{which}.{CAPACITOR}{k}")[0] for k in range(sizes.dac.bits)]
    return sizes.model_copy(update={"dac": sizes.dac.varied(sizes.dac.spreads * numbers)})


def converter_path(path: str, which: Sequence[int]) -> str:
    """Return the path that a device's numbers are drawn by: converters have the names of columns, (columns,)."""
    return re.sub(rf"^{CONVERTER}_(\d+)(?=\.)", lambda found: f"{CONVERTER}_{which[int(found[1])]}", path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MacroProduct:
    """What one transient of a macro gave."""

    volts: Floats
    """Outputs of all columns, (columns,) [V]: before sampling where amplifiers were at rest, else at its end."""
    columns: Codes
    """Columns that have a converter."""
    codes: Codes
    """Their codes, rising with outputs."""


class MacroBench:
    """Tiles with their converters at transistor level.

    Parameters
    ----------
    calibration : Calibration
        Of a chip whose amplifiers, integrators or buffers are read by successive approximation.
    simulator : BatchSimulator, optional
        Gives the time-out.
    mismatch_seed : int, optional
        Of the chip whose devices to draw, those of converters among them; by default all are nominal.
    t_read : float, optional
        From the change of codes until sampling ends [s]; by default amplifiers have settled before it begins.

    Raises
    ------
    SpecError
        If the chip has no such converters or ideal buffers, sampling would begin before the codes change, or `t_read`
        is given for pulses or floating lines.
    """

    def __init__(
        self,
        calibration: Calibration,
        *,
        simulator: BatchSimulator | None = None,
        mismatch_seed: int | None = None,
        t_read: float | None = None,
    ) -> None:
        chip = calibration.chip
        sizes = chip.converter
        if sizes is None or chip.has_ideal_buffers:
            what, key = ("buffers", "hold.buffer") if sizes is not None else ("converters", "adc.kind")
            raise SpecError(
                f"whole macros in ngspice need read-outs that drive SAR converters, and of this chip {what} are "
                f"ideal, {key} = ideal; audit it without macros"
            )
        for polarity in chip.polarities:
            sampling_start(chip, sizes, polarity, t_read)  # refuses what cannot be
        self._chip, self._sizes, self._seed, self._t_read = chip, sizes, mismatch_seed, t_read
        self._engine = NgspiceEngine(calibration, simulator=simulator, mismatch_seed=mismatch_seed, t_read=t_read)

    def netlists(self, tile: Tile, adc: AdcRange | None, codes: Codes) -> tuple[list[Netlist], MacroRead]:
        """Build the macros that multiply vectors by a tile, and what of them is read.

        Parameters
        ----------
        tile : Tile
            The tile; it is programmed in the circuit itself.
        adc : AdcRange or None
            Its converters, whose own devices are drawn where they are those of a drawn chip.
        codes : ndarray of int, shape (batch, rows)
            DAC codes.
        """
        columns = tile.g.shape[1]
        chosen = np.unique(np.linspace(0, columns - 1, min(columns, MOST_CONVERTERS)).round().astype(np.int64))
        drawn = adc.drawn if isinstance(adc, ConverterRange) else None
        # nominal converters are all alike
        which = np.resize([0] if drawn is None else drawn.which, columns).astype(np.int64)
        read = MacroRead(
            converters={int(j): self._converter(tile, adc, int(which[j])) for j in chosen},
            polarity=self._chip.sense_amplifier.output_range(tile.polarity),
            t_read=sampling_start(self._chip, self._sizes, tile.polarity, self._t_read), shared=self._chip.adc.columns,
        )  # fmt: skip
        rename = partial(converter_path, which=which.tolist())
        return self._engine.macros(self._engine.prepare(tile), codes, read, rename), read

    def _converter(self, tile: Tile, adc: AdcRange | None, which: int) -> SarAdc:
        """Return the sizes of a converter over the span of a range, with the errors of its own capacitors."""
        sizes = self._sizes.over(adc.span) if isinstance(adc, ConverterRange) else self._sizes
        return sizes if self._seed is None else converter_on_chip(sizes, ChipDraw(self._seed, tile.place), which)

    def product(self, results: Results, read: MacroRead, columns: int) -> MacroProduct:
        """Return what a transient gave."""
        at = read.start if self._t_read is None else read.start + read.sizes.sample
        volts, codes = read_macro(results, self._chip, read, columns, at)
        return MacroProduct(volts=volts, columns=np.array(list(read.converters)), codes=codes)
