"""Convolution as matrix-vector products: which patch of an image drives the word lines."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spicesim.arrays import Array, Floats
from spicesim.errors import NetworkError

__all__ = ["ConvGeometry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvGeometry:
    """Shape of a convolution, a number an axis: (width,), (height, width) or (depth, height, width)."""

    kernel: tuple[int, ...]
    """Size of the kernel."""
    strides: tuple[int, ...]
    """Steps from patch to patch."""
    dilations: tuple[int, ...]
    """Steps within a patch."""
    pads: tuple[int, ...]
    """Zeros added before all axes, then after them, as in ONNX; unused with `auto_pad`."""
    auto_pad: str = "NOTSET"
    """NOTSET, VALID, SAME_UPPER or SAME_LOWER, as in ONNX."""

    @property
    def dimensions(self) -> int:
        """Axes of what is convolved."""
        return len(self.kernel)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of a patch, dilation included."""
        return tuple(step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilations, strict=True))

    def padding(self, *sizes: int) -> tuple[int, ...]:
        """Return the zeros before and after the axes of an image of this size, in the order of :attr:`pads`."""
        if self.auto_pad == "NOTSET":
            return self.pads
        if self.auto_pad == "VALID":
            return (0,) * (2 * self.dimensions)
        before, after = [], []
        for size, extent, stride in zip(sizes, self.extent, self.strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            small, large = total // 2, total - total // 2
            before.append(small if self.auto_pad == "SAME_UPPER" else large)
            after.append(large if self.auto_pad == "SAME_UPPER" else small)
        return (*before, *after)

    def output_size(self, *sizes: int) -> tuple[int, ...]:
        """Return the size of the output for an image of this size.

        Raises
        ------
        NetworkError
            If the padded image is smaller than a patch.
        """
        pads, count = self.padding(*sizes), self.dimensions
        found = tuple(
            (size + before + after - extent) // stride + 1
            for size, before, after, extent, stride in zip(
                sizes, pads[:count], pads[count:], self.extent, self.strides, strict=True
            )
        )
        if min(found) < 1:
            raise NetworkError(
                f"an image of {'x'.join(map(str, sizes))} pixels is smaller than a convolution's patch of "
                f"{'x'.join(map(str, self.extent))}; feed larger images"
            )
        return found

    def patches(self, x: Array, limit: int) -> Iterator[Floats]:
        """Cut images into patches, block by block.

        Parameters
        ----------
        x : ndarray of shape (images, channels, ...)
            Images, one axis for each of the kernel's.
        limit : int
            Most patches a block holds, though never less than one line of an output image.

        Yields
        ------
        ndarray of shape (patches, channels * numbers of a kernel)
            Patches, image by image, line by line; their elements ordered as an ONNX kernel's.
        """
        count, sizes = self.dimensions, x.shape[2:]
        pads, output = self.padding(*sizes), self.output_size(*sizes)
        padded = np.pad(x, ((0, 0), (0, 0), *zip(pads[:count], pads[count:], strict=True)))
        axes = tuple(range(2, 2 + count))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.extent, axis=axes)
        steps = tuple(slice(None, None, step) for step in (*self.strides, *self.dilations))
        # no copy yet: (images, output's axes, channels, kernel's axes)
        view = np.moveaxis(windows[:, :, *steps], 1, 1 + count)
        whole = (len(x), *output[:-1])
        lines, step = math.prod(whole), max(1, limit // output[-1])
        for start in range(0, lines, step):
            block = view[np.unravel_index(np.arange(start, min(start + step, lines)), whole)]
            patches = np.empty(block.shape)
            patches[...] = block  # laid out and made double in one pass
            yield patches.reshape(len(block) * output[-1], -1)
