"""The wires of an array in the one orientation that the kernels know: driven at column 0, sensed below the last row."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Wiring"]

Floats = npt.NDArray[np.float64]

DROP_LIMIT = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wiring:
    """Resistances of segments, drivers and senses [ohm]."""

    word: Floats
    """Segment to the left of each node, (rows, columns)."""
    bit: Floats
    """Segment below each node, (rows, columns)."""
    driver: Floats
    """In series with the source at the left, (rows,)."""
    sense: Floats
    """In series with the virtual ground below, (columns,)."""
    right: Floats | None = None
    """From the last node of a row to a second source of the same voltage, (rows,); None: an open end."""
    top: Floats | None = None
    """From the first node of a column to a second virtual ground, (columns,); None: an open end."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of word lines and bit lines."""
        rows, columns = self.word.shape
        return rows, columns

    def drops_little(self, g: Floats) -> bool:
        """Tell whether no resistance is so large that sums of currents lose their digits in it; g (rows, columns)."""
        parts = (self.word, self.bit, self.driver, self.sense, self.right, self.top)
        greatest = max(float(part.max()) for part in parts if part is not None)
        with np.errstate(over="ignore"):
            return bool(greatest * max(float(g.sum(axis=0).max()), float(g.sum(axis=1).max())) <= DROP_LIMIT)

    @property
    def is_finite(self) -> bool:
        """Whether no segment is broken."""
        parts = (self.word, self.bit, self.driver, self.sense, self.right, self.top)
        return all(part is None or bool(np.isfinite(part).all()) for part in parts)
