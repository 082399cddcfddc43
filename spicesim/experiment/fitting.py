"""Settings of a network as a plan fits them, or as they are found where an equal plan fitted them before."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spicesim.errors import NetworkError
from spicesim.experiment.chip import BuiltChip
from spicesim.experiment.plan import RunPlan
from spicesim.files.shelf import Shelf
from spicesim.network import Network
from spicesim.network.compiled import Inputs
from spicesim.network.dataset import Dataset
from spicesim.provenance import code_hash, hash_arrays

__all__ = ["Fitting", "fit_ranges"]

INDIFFERENT = (
    "images", "skip", "chips", "audit", "macros", "explain", "energy", "metric", "noise", "time", "seed", "mismatch",
)  # fmt: skip
"""Fields of a plan that say nothing of gains: they are fitted right after programming, without noise of circuits;
seeds count as those of the chip."""


def fit_ranges(network: Network, dataset: Dataset) -> Inputs:
    """Fit the converters' ranges on the data's calibration inputs, or its first ones; return those inputs."""
    typical = _calibration_inputs(network, dataset)
    if typical is None:
        return network.fit_on_first(dataset.inputs)
    network.fit_ranges(typical)
    return typical


def _calibration_inputs(network: Network, dataset: Dataset) -> Inputs | None:
    typical: Inputs | None = dataset.calibration_inputs
    if isinstance(typical, dict):  # what all inputs share, these do, too
        shared = [name for name, axis in network.batch_axes.items() if axis is None and name in dataset.inputs]
        typical = {name: dataset.inputs[name] for name in shared} | typical
    return typical


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """Fits ranges once a run, and gains once a chip."""

    plan: RunPlan
    """The plan."""
    network: Network
    """The network, on which settings are left."""
    dataset: Dataset
    """Gives typical inputs."""
    shelf: Shelf | None
    """Keeps settings, if any does."""

    def ranges(self) -> Inputs:
        """Fit the converters' ranges, and return the typical inputs."""
        network, dataset = self.network, self.dataset
        typical = _calibration_inputs(network, dataset)
        if typical is None:
            typical = network.first(dataset.inputs)
        self._recall("ranges", typical, lambda: fit_ranges(network, dataset))
        return typical

    def gains(
        self, typical: Inputs, chip: BuiltChip, seeds: tuple[int, int | None], *, memory: int | None, progress: bool
    ) -> None:
        """Fit the digital gains of a chip, if the plan has any.

        Parameters
        ----------
        typical : array_like or mapping of str to array_like
            Typical inputs.
        chip : BuiltChip
            The chip.
        seeds : tuple of int and int or None
            Of its devices, and of its blocks.
        memory, progress
            As for :meth:`Network.run`.
        """
        network, plan = self.network, self.plan
        network.clear_gains()
        if not plan.has_gains:
            return

        def fit() -> None:
            network.fit_gains(typical, chip.fitted, memory=memory, progress=progress)

        if plan.device is not None and chip.fitted is chip.engine:
            fit()  # read noise of the devices goes on from the fit into the run
            return
        about = {name: own for name, own in plan.document().items() if name not in INDIFFERENT}
        self._recall(json.dumps([about, seeds]), typical, fit)

    def _recall(self, about: str, typical: Inputs, fit: Callable[[], object]) -> None:
        """Take settings that were kept, or fit them now and keep them."""
        key = None if self.shelf is None else self._key(about, typical)
        if self.shelf is None or key is None:
            fit()
            return
        if (found := self.shelf.find(key)) is not None:
            try:
                self.network.use_settings(found, typical)
            except NetworkError:  # damaged: whatever is wrong with it, it is fitted anew
                self.shelf.drop(key)
            else:
                return
        fit()
        self.shelf.keep(key, self.network.settings())

    def _key(self, about: str, typical: Inputs) -> str | None:
        """Return a hash of all that settings depend on; None where that is code of the user's own."""
        if set(self.plan.own_code) - {self.plan.metric}:
            return None
        arrays: dict[str, Any] = dict(typical) if isinstance(typical, dict) else {"x": typical}
        words = [code_hash(), self.network.subject, hash_arrays(arrays), about]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()
