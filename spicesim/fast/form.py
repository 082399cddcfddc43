"""Forms: output currents as polynomials in the inputs and in a few features of each column."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Reals, Shorts, Singles
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import SpecError
from spicesim.fast.numbers import Numbers, take, take_scalar

__all__ = ["FORMS", "Form", "FormOrders"]


@dataclass(frozen=True, slots=True)
class FormOrders:
    """How far a form goes.

    The current of a column is a sum of terms: a product of its features times a polynomial of each input.
    """

    rank: int
    """Features of a column: how far its bit line is lifted, in shapes along the line."""
    orders: tuple[int, ...]
    """Order of the polynomials in the inputs with no feature, with one, with two, .."""

    @property
    def terms(self) -> list[tuple[int, ...]]:
        """Exponents of the features in each term; beyond the first order only such with the first feature."""
        if self.rank == 0:
            return [()]
        unit = np.eye(self.rank, dtype=int)
        found = [(0,) * self.rank]
        if len(self.orders) > 1:
            found += [tuple(int(e) for e in row) for row in unit]
        if len(self.orders) > 2:
            found += [tuple(int(e) for e in unit[0] + row) for row in unit]
        found += [(degree, *(0,) * (self.rank - 1)) for degree in range(3, len(self.orders))]
        return found

    @property
    def cost(self) -> int:
        """Products of a (batch, rows) by a (rows, columns) matrix."""
        return self.rank + sum(self.orders[sum(term)] for term in self.terms)

    def __str__(self) -> str:
        return f"rank {self.rank}, orders {'-'.join(map(str, self.orders))}"


FORMS = (
    FormOrders(0, (1,)),
    FormOrders(0, (2,)),
    FormOrders(0, (3,)),
    FormOrders(1, (2, 1, 0)),
    FormOrders(1, (3, 1, 0)),
    FormOrders(1, (3, 2, 0)),
    FormOrders(1, (4, 2, 1, 0)),
    FormOrders(2, (4, 2, 0, 0)),
    FormOrders(2, (4, 2, 1, 0)),
    FormOrders(2, (5, 3, 2, 0)),
    FormOrders(3, (6, 4, 2, 0)),
)
"""Those that are tried, by their cost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Form:
    """One form with its numbers, ready to run."""

    shape: FormOrders
    """How far it goes."""
    centre: float
    """Input at which it was expanded [V]."""
    half: float
    """Half of the range of the inputs [V]."""
    features: Singles
    """Features for inputs in halves of the range, (rows, rank, columns)."""
    exponents: Shorts
    """Exponents of the features, (terms, rank + 1); the last column is of no meaning."""
    orders: Shorts
    """Order of the polynomial in the inputs, (terms,)."""
    constants: Singles
    """Terms at the centre, (terms, columns) [A]."""
    weights: Singles
    """Coefficients of the powers, (order, rows, columns) for each term, in one row [A]."""

    @property
    def nbytes(self) -> int:
        """Memory of its numbers [byte]."""
        return self.features.nbytes + self.constants.nbytes + self.weights.nbytes

    @property
    def numbers(self) -> Numbers:
        """What :meth:`of` makes the form of again."""
        rank, orders = np.array(self.shape.rank), np.array(self.shape.orders)
        return {
            "rank": rank, "orders": orders, "centre": np.array(self.centre), "half": np.array(self.half),
            "features": self.features, "constants": self.constants, "weights": self.weights,
        }  # fmt: skip

    @classmethod
    def of(cls, numbers: Numbers, shapes: Collection[FormOrders], rows: int, columns: int) -> "Form":
        """Make a form of its numbers, of one of the shapes and for an array of so many lines.

        Raises
        ------
        SpecError
            If they are not those of such a form.
        """
        shape = next((s for s in shapes if _same(numbers, s)), None)
        if shape is None:
            raise SpecError("what was kept of a tile has a form of unknown orders")
        terms = shape.terms
        orders = [shape.orders[sum(term)] for term in terms]
        return cls(
            shape=shape,
            centre=take_scalar(numbers, "centre"),
            half=take_scalar(numbers, "half"),
            features=take(numbers, "features", (rows, shape.rank, columns), np.float32),
            exponents=np.array([(*term, 0) for term in terms], np.int32),
            orders=np.array(orders, np.int32),
            constants=take(numbers, "constants", (len(terms), columns), np.float32),
            weights=take(numbers, "weights", (sum(orders) * rows * columns,), np.float32),
        )

    def evaluate(self, v: Reals, threads: int = 1) -> tuple[Reals, float]:
        """Return currents, of the type of `v`, and how far the farthest input lies from the centre.

        Parameters
        ----------
        v : ndarray of float64 or float32, shape (batch, rows)
            Source voltages, contiguous [V].
        threads : int
            Threads; the result is the same for any number.

        Returns
        -------
        ndarray of shape (batch, columns)
            Currents into the virtual grounds [A].
        float
            Largest distance from the centre, in halves of the range; NaN if an input is.
        """
        out = np.empty((len(v), self.constants.shape[1]), v.dtype)
        if not len(v):
            return out, 0.0
        with one_blas_thread():  # threads work on parts of the batch, and BLAS within them
            reached = fast.evaluate(
                v, self.centre, self.half, self.features.reshape(-1), self.exponents, self.orders,
                self.constants, self.weights, threads, out,
            )  # fmt: skip
        return out, reached


def _same(numbers: Numbers, shape: FormOrders) -> bool:
    rank, orders = (numbers.get(name, np.zeros(0)) for name in ("rank", "orders"))
    return np.array_equal(rank, shape.rank) and np.array_equal(orders, shape.orders)
