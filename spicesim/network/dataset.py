"""Data files: inputs, labels and calibration inputs in one .npz."""

from dataclasses import dataclass, replace
from pathlib import Path

from spicesim.arrays import Array
from spicesim.errors import NetworkError, quote
from spicesim.files.arrays import read_archive

__all__ = ["Dataset", "load_dataset"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What a .npz file holds."""

    inputs: dict[str, Array]
    """One array for each graph input, by its name, or a sole "x"."""
    labels: Array | None
    """Class labels, (batch,), if there are any."""
    calibration_inputs: Array | None
    """Typical inputs to fit ranges on, if there are any."""

    def arrays(self) -> dict[str, Array]:
        """Return all arrays by the names that they have in a file."""
        others = {"y": self.labels, "x_calibration": self.calibration_inputs}
        return self.inputs | {name: array for name, array in others.items() if array is not None}

    def first(self, count: int | None) -> "Dataset":
        """Keep the first `count` inputs; all if None."""
        if count is None:
            return self
        return replace(
            self,
            inputs={name: array[:count] for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[:count],
        )


def load_dataset(path: str | Path) -> Dataset:
    """Read a data file.

    Raises
    ------
    NetworkError
        If the file is not there, is no .npz, or has labels that do not fit its inputs.
    """
    arrays = read_archive(path, "data file", "write one with numpy.savez(path, x=..., y=...)", NetworkError)
    if scalars := [name for name, array in arrays.items() if array.ndim == 0]:
        raise NetworkError(f"{path}: {quote(scalars[0])} is a single number; the first axis must count the inputs")
    labels, calibration = arrays.pop("y", None), arrays.pop("x_calibration", None)
    if not arrays:
        raise NetworkError(f"{path} has no inputs; it must hold 'x', or one array for each graph input")
    length = len(next(iter(arrays.values())))
    if labels is not None and labels.shape != (length,):
        raise NetworkError(f"{path}: y must hold one class for each of the {length} inputs, got shape {labels.shape}")
    return Dataset(inputs=arrays, labels=labels, calibration_inputs=calibration)
