"""What more can be told of a run: which layer sits where, where voltage is lost, what costs how much, what it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.integration import PulseTile
from spicesim.engine import ExactEngine, SampledMvm
from spicesim.experiment.budget import Budget
from spicesim.experiment.deviation import Deviation
from spicesim.experiment.footprint import Footprint
from spicesim.experiment.outcome import Experiment
from spicesim.network import Network

__all__ = ["Findings", "IrDropMap", "TileUse", "gather_findings", "map_ir_drops"]

MOST_MAPS = 4
"""Layers whose voltages are mapped: those that lose most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileUse:
    """What one array holds."""

    layer: str
    """Name of the layer."""
    rows: int
    """Word lines it takes."""
    columns: int
    """Bit lines it takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IrDropMap:
    """Where one tile loses its voltage."""

    name: str
    """Name of the tile."""
    loss: Floats
    """Voltage between driver and virtual ground that is not across the cell, shape (rows, columns) [V]."""
    input_name: str
    """What drove it, such as "all inputs at full scale"."""

    @property
    def worst(self) -> tuple[int, int, float]:
        """Row and column of the largest loss, and the loss itself [V]."""
        loss = np.asarray(self.loss)
        row, column = np.unravel_index(int(np.argmax(np.abs(loss))), loss.shape)
        return int(row), int(column), float(loss[row, column])


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What is known of a run beyond its accuracy and its layers."""

    array: tuple[int, int] = (0, 0)
    """Rows and columns of an array."""
    tiles: tuple[TileUse, ...] = ()
    """All tiles, layer by layer."""
    map_drops: Callable[[], tuple[IrDropMap, ...]] = tuple
    """Maps voltages, once somebody asks for them: studies of many chips do not."""
    budget: Budget | None = None
    """What costs how much, if that was asked for."""
    footprint: Footprint | None = None
    """Energy, time and area, if they were asked for."""
    deviation: Deviation | None = None
    """How far outputs lie from those of the engine exact, of a run on linear cells."""

    @cached_property
    def ir_drops(self) -> tuple[IrDropMap, ...]:
        """Voltage maps of tiles."""
        return self.map_drops()

    def document(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        drops = [(drop, *drop.worst) for drop in self.ir_drops]
        return {
            "array": list(self.array),
            "tiles": [{"layer": use.layer, "rows": use.rows, "columns": use.columns} for use in self.tiles],
            "ir_drops": [
                {
                    "tile": drop.name, "input": drop.input_name, "row": row, "column": column, "max_loss": loss,
                    "mean_loss": float(np.mean(drop.loss)),
                }
                for drop, row, column, loss in drops
            ],
            "budget": None if self.budget is None else self.budget.document(),
            "footprint": None if self.footprint is None else self.footprint.document(),
            "deviation": None if self.deviation is None else self.deviation.document(),
        }  # fmt: skip


def gather_findings(
    network: Network,
    experiment: Experiment,
    exact: ExactEngine | None,
    *,
    budget: Budget | None = None,
    footprint: Footprint | None = None,
) -> Findings:
    """Gather what is known of a run.

    Parameters
    ----------
    network : Network
        The network that ran, with ranges fitted.
    experiment : Experiment
        The run; its sampled products give the voltage maps.
    exact : ExactEngine or None
        The circuit of the chip that ran; None if nobody calibrated it.
    budget, footprint
        What more was found.
    """
    array = experiment.calibration.chip.array
    maps = tuple if exact is None else partial(map_ir_drops, experiment.result.samples, exact)
    uses = [
        TileUse(layer=layer.name, rows=tile.g.shape[0], columns=tile.g.shape[1])
        for layer, tiles in zip(network.layers, network.tiles(), strict=True)
        for tile in tiles[: layer.own_tiles]
    ]
    return Findings(
        array=(array.rows, array.columns), tiles=tuple(uses), map_drops=maps, budget=budget, footprint=footprint
    )


def map_ir_drops(samples: tuple[SampledMvm, ...], exact: ExactEngine) -> tuple[IrDropMap, ...]:
    """Solve sampled products again; of each layer keep the one that loses most, of layers those that do.

    Parameters
    ----------
    samples : tuple of SampledMvm
        What the network did.
    exact : ExactEngine
        The circuit of the chip.
    """
    worst = dict[str, IrDropMap]()

    def size(drop: IrDropMap) -> float:
        return abs(drop.worst[2])

    for sample in samples:
        model, codes = exact.prepare(sample.tile).model, np.asarray(sample.codes)[None, :]
        if isinstance(model, PulseTile):  # lines lose most while all pulses are on
            codes, model = (model.lengths(codes) > 0).astype(np.int64), model.static
        state = model.solve(codes, fields=True)
        assert state.solution.cell_voltages is not None
        loss = state.v_word_line[0][:, None] - state.v_in[0][None, :] - state.solution.cell_voltages[0]
        found = IrDropMap(name=sample.tile.name, loss=loss, input_name="the sampled input that loses most")
        if sample.layer not in worst or size(found) > size(worst[sample.layer]):
            worst[sample.layer] = found
    chosen = sorted(worst.values(), key=size, reverse=True)[:MOST_MAPS]
    return tuple(drop for drop in worst.values() if any(drop is one for one in chosen))
