"""Convolution as matrix-vector products: which patch of an image drives the word lines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.errors import NetworkError

__all__ = ["ConvGeometry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvGeometry:
    """Shape of a convolution, every pair as (height, width)."""

    kernel: tuple[int, int]
    """Size of the kernel."""
    strides: tuple[int, int] = (1, 1)
    """Steps from patch to patch."""
    dilations: tuple[int, int] = (1, 1)
    """Steps within a patch."""
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Zeros added at top, left, bottom and right, as in ONNX; unused with `auto_pad`."""
    auto_pad: str = "NOTSET"
    """NOTSET, VALID, SAME_UPPER or SAME_LOWER, as in ONNX."""
    dimensions: int = 2
    """Dimensions of what is convolved; lines, of one dimension, are images of height 1."""

    def images(self, x: Array) -> Array:
        """Return a batch (images, channels, [height,] width) as images."""
        return x if self.dimensions == 2 else x[:, :, None]

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of a patch, dilation included."""
        return (
            self.dilations[0] * (self.kernel[0] - 1) + 1,
            self.dilations[1] * (self.kernel[1] - 1) + 1,
        )

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the zeros at top, left, bottom and right of an image of this size."""
        if self.auto_pad == "NOTSET":
            return self.pads
        if self.auto_pad == "VALID":
            return (0, 0, 0, 0)
        before, after = [], []
        for size, extent, stride in zip((height, width), self.extent, self.strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            small, large = total // 2, total - total // 2
            before.append(small if self.auto_pad == "SAME_UPPER" else large)
            after.append(large if self.auto_pad == "SAME_UPPER" else small)
        return (before[0], before[1], after[0], after[1])

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the output.

        Raises
        ------
        NetworkError
            If the padded image is smaller than a patch.
        """
        top, left, bottom, right = self.padding(height, width)
        rows = (height + top + bottom - self.extent[0]) // self.strides[0] + 1
        columns = (width + left + right - self.extent[1]) // self.strides[1] + 1
        if rows < 1 or columns < 1:
            raise NetworkError(
                f"an image of {height}x{width} pixels is smaller than a convolution's patch of "
                f"{self.extent[0]}x{self.extent[1]}; feed larger images"
            )
        return rows, columns

    def patches(self, x: Array, limit: int) -> Iterator[Floats]:
        """Cut images into patches, block by block.

        Parameters
        ----------
        x : ndarray of shape (images, channels, height, width)
            Images, as :meth:`images` returns them.
        limit : int
            Most patches a block holds, though never less than one line of an output image.

        Yields
        ------
        ndarray of shape (patches, channels * kernel height * kernel width)
            Patches, image by image, line by line; their elements ordered as an ONNX kernel's.
        """
        images, _, height, width = x.shape
        top, left, bottom, right = self.padding(height, width)
        lines, columns = self.output_size(height, width)
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.extent, axis=(2, 3))
        (dy, dx), (ky, kx) = self.strides, self.dilations
        view = windows[:, :, ::dy, ::dx, ::ky, ::kx]
        view = view.transpose(0, 2, 3, 1, 4, 5)  # no copy yet: (images, lines, columns, channels, kernel)
        step = max(1, limit // columns)
        for start in range(0, images * lines, step):
            image, line = np.divmod(np.arange(start, min(start + step, images * lines)), lines)
            block = view[image, line]
            yield block.reshape(len(block) * columns, -1).astype(float)
