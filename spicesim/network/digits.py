"""The example that ships with the package: handwritten digits and two small networks that read them."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np

from spicesim.arrays import Integers, Singles

__all__ = ["Digits", "digits_network", "load_digits"]

_DATA = Path(str(resources.files("spicesim").joinpath("network", "data")))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """Images of 8x8 pixels that neither network was trained on."""

    x: Singles
    """Test images, (400, 1, 8, 8), 0..1."""
    y: Integers
    """Their labels, (400,)."""
    x_calibration: Singles
    """Other images, for the ranges of the converters, (128, 1, 8, 8)."""


def load_digits() -> Digits:
    """Read the images and labels."""
    with np.load(_DATA / "digits.npz") as data:
        return Digits(x=data["x"], y=data["y"], x_calibration=data["x_calibration"])


def digits_network(kind: Literal["mlp", "cnn"]) -> Path:
    """Return the path of the ONNX file of one of the two networks."""
    return _DATA / f"digits_{kind}.onnx"
