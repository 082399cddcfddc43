"""Arrays of linear cells as matrices: found once, by the fastest way that keeps the digits."""

import functools

import numpy as np

from spicesim._cext import transfer_matrix
from spicesim.arrays import Floats, Reals, Singles
from spicesim.cells import Linear
from spicesim.crossbar.blas import one_blas_thread
from spicesim.crossbar.extreme import ExtremeArray
from spicesim.crossbar.marching import LinearMarch
from spicesim.crossbar.nodal import NodalArray
from spicesim.crossbar.star_mesh import StarMesh
from spicesim.crossbar.wiring import Wiring
from spicesim.errors import SpecError

__all__ = ["LinearArray"]

MARCH_ERROR = 1e-12
"""Error from rounding up to which a march is believed."""
ENDS_ERROR = 1e-10
"""Error of a small current at one end of a bit line, from rounding at the other, up to which a march is believed."""
ORDINARY_DROP = 1e3
"""Resistance times conductance up to which elimination and nodal analysis keep enough digits."""
FIELD_ERROR = 1e-8
"""The same where only voltages in single precision are wanted."""
LARGEST = 1e290
"""Largest number of a linear map [S]: currents are numbers yet."""
SINGLE_LARGEST = 1e18
"""Largest number of a transfer matrix in single precision [S]."""
EXACT = 1e-12
"""Tolerance of solvers that find a map source by source."""
ROUNDING = 2.3e-15
"""Rounding of a march without growth, as a fraction of the largest voltage."""


class LinearArray:
    """The linear maps of an array.

    Parameters
    ----------
    wiring : Wiring
        Its wires.
    g : ndarray of shape (rows, columns)
        Conductances [S].
    flip : slice
        Order of the user's columns.
    """

    def __init__(self, wiring: Wiring, g: Floats, flip: slice) -> None:
        self._wiring, self._g, self._flip = wiring, g, flip

    @functools.cached_property
    def _any_march(self) -> LinearMarch | None:
        return LinearMarch.prepare(self._wiring, self._g) if self._wiring.is_whole else None

    @property
    def _march(self) -> LinearMarch | None:
        march = self._any_march
        is_believed = march is not None and march.error <= MARCH_ERROR and self._wiring.ends_matter(ENDS_ERROR)
        return march if is_believed else None

    def fill_voltages(self, v: Floats, across: Singles, bit: Singles | None, threads: int) -> Floats | None:
        """March for voltages across cells and of bit-line nodes, (rows, columns, batch); return the drivers' currents.

        None if marching would lose too many digits.
        """
        march = self._any_march
        if march is None or march.error > FIELD_ERROR or ROUNDING * march.spread > FIELD_ERROR:
            return None
        march.fill_voltages(v, across[:, self._flip], None if bit is None else bit[:, self._flip], threads)
        return np.asarray(v @ march.input_matrix)

    @functools.cached_property
    def _is_ordinary(self) -> bool:
        """Whether nodal analysis keeps the digits."""
        return self._wiring.drops_little(self._g, ORDINARY_DROP) and self._wiring.keeps_digits(self._g)

    @functools.cached_property
    def _mesh_maps(self) -> tuple[Floats, Floats, Floats]:
        return StarMesh(self._wiring, self._g).linear_maps()

    @functools.cached_property
    def _nodal_maps(self) -> tuple[Floats, Floats]:
        return NodalArray(self._wiring, self._g, Linear()).linear_maps()

    @functools.cached_property
    def transfer(self) -> Floats:
        """From source voltages to output currents, (columns, rows) [S]."""
        wiring = self._wiring
        if self._march is not None:
            matrix = (self._march.matrix + self._march.guess * self._march.top_i).T
        elif wiring.has_one_end and wiring.is_finite and wiring.drops_little(self._g, ORDINARY_DROP):
            matrix = _eliminate(self._g, wiring.word, wiring.bit, wiring.driver, wiring.sense)
        else:
            matrix = (self._nodal_maps if self._is_ordinary else self._mesh_maps)[0].T
        return _frozen(np.where(wiring.open_feet[:, None], 0.0, matrix)[self._flip])

    @functools.cached_property
    def feet(self) -> Floats:
        """From source voltages to the voltages of the feet, (columns, rows)."""
        floats = self._wiring.open_feet
        ohm = np.where(floats, 0.0, self._wiring.sense)[self._flip]
        matrix = ohm[:, None] * self.transfer
        if not floats.any():
            return _frozen(matrix)
        if self._march is not None:
            found = self._march.matrix.T
        else:
            system = NodalArray if self._is_ordinary else ExtremeArray
            solver = system(self._wiring, self._g, Linear())
            found = np.stack([solver.solve(v, EXACT).bit[-1] for v in np.eye(len(self._g))], axis=1)
        return _frozen(np.where(floats[self._flip][:, None], found[self._flip], matrix))

    @functools.cached_property
    def input_admittance(self) -> Floats:
        """From source voltages to the currents of the drivers, (rows, rows) [S]."""
        if self._march is not None:
            return _frozen(self._march.input_matrix)
        return _frozen((self._nodal_maps if self._is_ordinary else self._mesh_maps)[1])

    @functools.cached_property
    def output_admittance(self) -> Floats:
        """Current out of each virtual ground for voltages at them, (columns, columns) [S]."""
        if self._march is not None:
            matrix = self._march.correction @ self._march.response
        elif not self._is_ordinary:
            matrix = self._mesh_maps[2]
        else:  # what the sources see of the array turned about, word lines for bit lines
            wiring = self._wiring
            turned = Wiring(
                word=wiring.bit[::-1, ::-1].T,
                bit=wiring.word[::-1, ::-1].T,
                driver=wiring.sense[::-1],
                sense=wiring.driver[::-1],
                top=None if wiring.right is None else wiring.right[::-1],
            )
            matrix = NodalArray(turned, self._g[::-1, ::-1].T, Linear()).linear_maps()[1][::-1, ::-1]
        return _frozen(matrix[self._flip][:, self._flip])

    def map(self, precision: str) -> Reals:
        """Return the transposed transfer matrix, ready for a product."""
        return self._single_map if precision == "single" else self.transfer.T

    @functools.cached_property
    def _single_map(self) -> Singles:
        if self.transfer.max() > SINGLE_LARGEST:
            raise SpecError("the currents of the array overflow single precision; ask for double precision")
        with np.errstate(under="ignore"):
            return np.ascontiguousarray(self.transfer.T, dtype=np.float32)


def _frozen(matrix: Floats) -> Floats:
    result = np.ascontiguousarray(matrix)
    if not (np.abs(result) <= LARGEST).all():
        raise SpecError("the numbers of the array overflow: conductance times resistance is beyond double precision")
    result.flags.writeable = False
    return result


def _eliminate(g: Floats, r_word_line: Floats, r_bit_line: Floats, r_driver: Floats, r_sense: Floats) -> Floats:
    """Return the transfer matrix (columns, rows), eliminating along the cheaper axis.

    A resistive network is reciprocal: the array seen from its other corner, word lines for bit lines, has the
    transposed transfer matrix. The work is columns * rows**3, so the longer axis should be that of the
    columns.
    """
    if g.shape[0] > g.shape[1]:
        turned = [np.ascontiguousarray(x[::-1, ::-1].T) for x in (g, r_bit_line, r_word_line)]
        matrix = _eliminate(turned[0], turned[1], turned[2], r_sense[::-1].copy(), r_driver[::-1].copy())
        return np.ascontiguousarray(matrix[::-1, ::-1].T)
    matrix = np.empty(g.shape[::-1])
    with one_blas_thread():
        info = transfer_matrix.transfer_matrix(g, r_word_line, r_bit_line, r_driver, r_sense, matrix)
    if info:
        matrix[:] = np.nan
    return matrix
