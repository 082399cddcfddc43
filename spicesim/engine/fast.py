"""The engine "fast": the calibrated chip at the speed of a few matrix products, with its measured error."""

import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.fast_pulses import FastPulseTile
from spicesim.behavioural.fast_tile import FastTile, Tally
from spicesim.behavioural.integration import PulseTile
from spicesim.behavioural.tile import BehaviouralTile
from spicesim.calibration.calibration import Calibration
from spicesim.coding import AdcRange
from spicesim.engine.exact import ExactEngine
from spicesim.engine.protocol import Codes, Engine, PreparedTile, Tile
from spicesim.errors import SpecError
from spicesim.fast.converting import clip_margin
from spicesim.fast.numbers import Numbers
from spicesim.files.shelf import Shelf
from spicesim.provenance import code_hash

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
    shelf : Shelf, optional
        Keeps what tiles were made ready as, by all that it depends on, and gives it again.
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
        shelf: Shelf | None = None,
    ) -> None:
        self._calibration, self._mismatch_seed, self._shelf = calibration, mismatch_seed, shelf
        self._exact = ExactEngine(calibration, threads=threads, mismatch_seed=mismatch_seed)
        if tolerance is None:
            tolerance = min(STEP_SHARE / (2**calibration.chip.adc.bits - 1), TOLERANCE_LIMIT)
        self.tolerance, self._seed, self._threads = tolerance, seed, threads
        self._forms: dict[str, tuple[str, float]] = {}
        self._tally = Tally()
        self._lock = threading.Lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on tiles that are solved exactly, and on kept ones that were damaged, if there are any."""
        damaged = 0 if self._shelf is None else self._shelf.damaged
        others = [f"{damaged} of the files kept from before were damaged, and made anew"] if damaged else []
        if self._tally.solved:
            share = 100 * self._tally.solved / self._tally.products
            others.append(
                f"the engine fast solved {share:.2g} % of the products of tiles with a form exactly, one by one, since "
                "amplifiers at their rails lifted their inputs"
            )
        needed = {name: wanted for name, (form, wanted) in self._forms.items() if "exact" in form}
        if not needed:
            return tuple(others)
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
                f"for {len(needed) - len(tried)} there is no form: they have selectors, are too large, have "
                "currents beyond what was calibrated, or rails with impedances"
            )
        return ("; ".join(said), *others)

    def prepare(self, tile: Tile) -> ApproximateTile:
        """Program the devices by write-verify, expand the tile and measure its forms."""
        exact = self._exact.prepare(tile).model
        key = "" if self._shelf is None else self._key(tile)
        kept = None if self._shelf is None else self._shelf.find(key)
        try:
            model = self._model(exact, tile.adc, kept)
        except SpecError:  # what was kept is damaged, as nothing else can be wrong of a tile that was prepared before
            if self._shelf is None or kept is None:
                raise
            self._shelf.drop(key)
            kept, model = None, self._model(exact, tile.adc, None)
        if self._shelf is not None and kept is None:
            self._shelf.keep(key, model.numbers)
        with self._lock:  # tiles are prepared in several threads
            self._forms[tile.name] = model.form, model.needed
        return ApproximateTile(tile=tile, model=model, threads=self._threads)

    def _model(
        self, exact: BehaviouralTile | PulseTile, adc: AdcRange | None, kept: Numbers | None
    ) -> FastTile | FastPulseTile:
        if isinstance(exact, PulseTile):
            return FastPulseTile(exact, tolerance=self.tolerance, adc=adc, seed=self._seed, kept=kept)
        return FastTile(exact, tolerance=self.tolerance, adc=adc, seed=self._seed, kept=kept, tally=self._tally)

    @cached_property
    def _blocks_hash(self) -> str:
        """Hash of what tiles follow from: the chip but for its name and its converters, and its blocks at rest."""
        calibration = self._calibration
        names = {"cell", "dacs", "senseamps", "hold", "integrator", "rails"}
        blocks = calibration.model_dump_json(include=names if self._mismatch_seed is None else names | {"mismatch"})
        chip = calibration.chip.model_dump_json(exclude={"name", "adc"})
        return hashlib.sha256(f"{chip}\0{blocks}".encode()).hexdigest()

    def _key(self, tile: Tile) -> str:
        """Return a hash of all that a tile's form depends on."""
        adc = None if tile.adc is None else [tile.adc.low, tile.adc.high, clip_margin(tile.adc)]
        drawn = None if self._mismatch_seed is None else [self._mismatch_seed, tile.place]
        about = [
            code_hash(),
            self._blocks_hash,
            tile.polarity,
            tile.r_feedback,
            adc,
            drawn,
            self.tolerance,
            self._seed,
        ]
        total = hashlib.sha256(json.dumps([*about, tile.g.shape]).encode())
        total.update(np.ascontiguousarray(tile.g, dtype=float).tobytes())
        return total.hexdigest()
