"""Data files: inputs, labels and calibration inputs in one .npz."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.files.arrays import read_archive

__all__ = ["Dataset", "load_dataset"]

_TYPICAL = "_calibration"
"""What the names of typical inputs have after those of the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What a .npz file holds."""

    inputs: dict[str, Array]
    """One array for each graph input, by its name, or a sole "x"."""
    labels: Array | None
    """Class labels, (batch,), or whatever a metric compares outputs with, the batch first; if there are any."""
    calibration_inputs: Array | dict[str, Array] | None
    """Typical inputs to fit ranges on, if there are any; by name if the network has several inputs."""

    def arrays(self) -> dict[str, Array]:
        """Return all arrays by the names that they have in a file."""
        typical = self.calibration_inputs
        by_name = typical if isinstance(typical, dict) else {} if typical is None else {"x": typical}
        labels = {} if self.labels is None else {"y": self.labels}
        return self.inputs | labels | {f"{name}{_TYPICAL}": array for name, array in by_name.items()}

    def first(self, count: int | None, axes: Mapping[str, int | None] | None = None, skip: int = 0) -> "Dataset":
        """Keep the first `count` inputs after `skip` others, all if None.

        Axes count them as :attr:`Network.batch_axes` says, or else the first.
        """
        if count is None and not skip:
            return self
        chosen = slice(skip, None if count is None else skip + count)
        axes = axes or {}
        alone = next(iter(axes.values())) if len(axes) == 1 else 0

        def cut(name: str, array: Array) -> Array:
            axis = axes.get(name, alone)
            return array if axis is None or axis >= array.ndim else array[(slice(None),) * axis + (chosen,)]

        return replace(
            self,
            inputs={name: cut(name, array) for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[chosen],
        )


def load_dataset(path: str | Path) -> Dataset:
    """Read a data file.

    Raises
    ------
    NetworkError
        If the file is not there, is no .npz, or holds no inputs.
    """
    arrays = read_archive(path, "data file", "write one with numpy.savez(path, x=..., y=...)", NetworkError)
    labels = arrays.pop("y", None)
    names = [name for name in arrays if name.removesuffix(_TYPICAL) in {*arrays, "x"} and name.endswith(_TYPICAL)]
    typical = {name.removesuffix(_TYPICAL): arrays.pop(name) for name in names}
    if not arrays:
        raise NetworkError(f"{path} has no inputs; it must hold 'x', or one array for each graph input")
    if (labels is not None and labels.ndim == 0) or all(array.ndim == 0 for array in arrays.values()):
        raise NetworkError(f"{path} holds single numbers only, or as labels; an axis must count the inputs")
    return Dataset(
        inputs=arrays, labels=labels, calibration_inputs=typical["x"] if list(typical) == ["x"] else typical or None
    )
