"""The engine "fast": the calibrated chip at the speed of a few matrix products, with its measured error."""

import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.fast_pulses import FastPulseTile
from spicesim.behavioural.fast_tile import FastTile
from spicesim.behavioural.integration import PulseTile
from spicesim.calibration.calibration import Calibration
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile

__all__ = ["ApproximateTile", "FastEngine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApproximateTile(PreparedTile):
    """A tile programmed on the calibrated chip, ready for fast products."""

    tile: Tile
    """What was wanted."""
    model: FastTile | FastPulseTile
    """The behavioural tile with its form; ``model.tile`` is the exact one."""
    threads: int = 1
    """Threads to spread a batch over."""

    def mvm(self, codes: Codes) -> Floats:
        """Multiply; see :meth:`PreparedTile.mvm`."""
        return self.model.outputs(codes, threads=self.threads)

    @property
    def form(self) -> str:
        """Orders of the form that was taken, or "exact"."""
        return self.model.form

    @property
    def error(self) -> float:
        """What the form promises."""
        return self.model.max_error


STEP_SHARE = 0.1
"""Default tolerance, in steps of the converters."""
TOLERANCE_LIMIT = 1e-3
"""Largest default tolerance, for converters of few bits."""
MOST_LAYERS = 6
"""Layers that a note names, those with most tiles."""
ROOM = 1.2
"""Tolerance that a note proposes, over what forms were found to err by: more is found of one that may be taken."""


class FastEngine(Engine):
    """Wires, nonlinear cells, drivers and amplifiers within a tolerance; see :class:`FastTile`.

    A tile for which no form meets the tolerance is solved exactly; :attr:`ApproximateTile.form` tells, and
    :attr:`notes` say how many, and what tolerance they want.

    Parameters
    ----------
    calibration : Calibration
        Of the chip.
    tolerance : float, optional
        Largest error of an output, as a fraction of the range of the tile's converters; of the amplifier's swing where
        a tile has none. By default a tenth of a converter's step, but at most .1 %.
    seed : int
        Of the codes on which forms are measured.
    threads : int
        Threads to spread a batch over.
    mismatch_seed : int, optional
        As :class:`~spicesim.engine.ExactEngine`.
    """

    name = "fast"

    def __init__(
        self,
        calibration: Calibration,
        *,
        tolerance: float | None = None,
        seed: int = 0,
        threads: int = 1,
        mismatch_seed: int | None = None,
    ) -> None:
        self._exact = ExactEngine(calibration, threads=threads, mismatch_seed=mismatch_seed)
        if tolerance is None:
            tolerance = min(STEP_SHARE / (2**calibration.chip.adc.bits - 1), TOLERANCE_LIMIT)
        self.tolerance, self._seed, self._threads = tolerance, seed, threads
        self._forms: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on tiles that are solved exactly, if there are any."""
        needed = {name: wanted for name, (form, wanted) in self._forms.items() if "exact" in form}
        if not needed:
            return ()
        layers = Counter(name.rpartition(":")[0] for name in needed)
        where = ", ".join(f"{count} of {layer!r}" for layer, count in layers.most_common(MOST_LAYERS))
        more = len(layers) - MOST_LAYERS
        tried = [wanted for wanted in needed.values() if np.isfinite(wanted)]
        said = [
            f"the engine fast solves {len(needed)} of {len(self._forms)} tiles exactly, many times slower: "
            f"{where}" + (f", and others of {more} layers" if more > 0 else "")
        ]
        if tried:
            said.append(
                f"the best forms of {len(tried)} err by up to {max(tried):.2g} of their converters' range, where "
                f"{self.tolerance:.2g} is allowed; --tolerance {ROOM * max(tried):.2g} takes them"
            )
        if len(tried) < len(needed):
            said.append(
                f"for {len(needed) - len(tried)} there is no form: they have selectors, are too large, or have "
                "currents beyond what was calibrated"
            )
        return ("; ".join(said),)

    def prepare(self, tile: Tile) -> ApproximateTile:
        """Program the devices by write-verify, expand the tile and measure its forms."""
        exact = self._exact.prepare(tile).model
        model: FastTile | FastPulseTile
        if isinstance(exact, PulseTile):
            model = FastPulseTile(exact, tolerance=self.tolerance, adc=tile.adc, seed=self._seed)
        else:
            model = FastTile(exact, tolerance=self.tolerance, adc=tile.adc, seed=self._seed)
        with self._lock:  # tiles are prepared in several threads
            self._forms[tile.name] = model.form, model.needed
        return ApproximateTile(tile=tile, model=model, threads=self._threads)
