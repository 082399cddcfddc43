"""Forms of floating bit lines: each line's voltage from one small equation, whose numbers are matrix products.

A floating line moves as far as its inputs do, so an expansion in what linear cells would make of it converges slowly.
Here the current of a cell beyond its slope is a polynomial in its own input and in the voltage y of its foot, and
``y = sum_m c_m(x) y^m`` is solved for each output: the sums over rows, c_m, are linear in powers of x.
"""

from dataclasses import dataclass

import numpy as np

from spicesim._cext import fast
from spicesim.arrays import Floats, Reals, Shorts, Singles
from spicesim.crossbar.blas import one_blas_thread
from spicesim.errors import SpecError
from spicesim.fast.expansion import Expansion, Modes
from spicesim.fast.fields import shapes
from spicesim.fast.numbers import Numbers, take, take_scalar

__all__ = ["FLOATING_FORMS", "FloatingForm", "FloatingOrders", "build_floating"]

FOOT_NODES = 7
"""Voltages of the foot at which cells are evaluated."""
FEATURE_TERMS = 2
"""Powers of the foot, from none on, with each feature."""
STEPS = 3
"""Newton steps from what linear cells make of the line; each squares an error of some per cent."""


@dataclass(frozen=True, slots=True)
class FloatingOrders:
    """How far a form goes."""

    inputs: int
    """Order of the polynomials in the inputs: 1 is exact where each has two values."""
    rank: int
    """Features of a column beside its foot: how unevenly other inputs lift it, and lower the word lines."""
    foot: int
    """Order of the polynomials in the voltage of the foot."""

    @property
    def sums(self) -> int:
        """Sums of a column over its inputs."""
        return 1 + self.foot + (1 + FEATURE_TERMS) * self.rank

    @property
    def cost(self) -> int:
        """Products of a (batch, rows) by a (rows, columns) matrix."""
        return self.inputs * self.sums

    def __str__(self) -> str:
        return f"floating, rank {self.rank}, order {self.inputs}, {self.foot} of the foot"


FLOATING_FORMS = tuple(
    FloatingOrders(inputs, rank, foot)
    for inputs in (1, 3, 5)
    for rank, foot in ((0, 2), (0, 3), (0, 4), (1, 4), (2, 4), (3, 4))
)
"""Those that are tried, by their cost for each order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatingForm:
    """One form with its numbers, ready to run."""

    shape: FloatingOrders
    """How far it goes."""
    centre: float
    """Input at which it was expanded [V]."""
    half: float
    """Half of the range of the inputs [V]."""
    middle: Floats
    """Voltages of the feet there, (columns,) [V]."""
    constants: Singles
    """What the sums are at the centre, in halves of the range, (1, sums columns): the powers of the foot, linear cells
    among the first; features; and powers of the foot times each feature."""
    weights: Singles
    """Coefficients of the powers of inputs, (inputs rows, sums columns), in one row."""

    @property
    def nbytes(self) -> int:
        """Memory of its numbers [byte]."""
        return self.constants.nbytes + self.weights.nbytes

    @property
    def numbers(self) -> Numbers:
        """What :meth:`of` makes the form of again."""
        return {
            "inputs": np.array(self.shape.inputs), "rank": np.array(self.shape.rank), "foot": np.array(self.shape.foot),
            "centre": np.array(self.centre), "half": np.array(self.half), "middle": self.middle,
            "constants": self.constants, "weights": self.weights,
        }  # fmt: skip

    @classmethod
    def of(cls, numbers: Numbers, rows: int, columns: int) -> "FloatingForm":
        """Make a form of its numbers, for an array of so many lines.

        Raises
        ------
        SpecError
            If they are not those of such a form.
        """
        shape = FloatingOrders(*(int(take_scalar(numbers, name, np.int64)) for name in ("inputs", "rank", "foot")))
        if shape not in FLOATING_FORMS:
            raise SpecError("what was kept of a tile has a form of unknown orders")
        sums = shape.sums * columns
        return cls(
            shape=shape,
            centre=take_scalar(numbers, "centre"),
            half=take_scalar(numbers, "half"),
            middle=take(numbers, "middle", (columns,)),
            constants=take(numbers, "constants", (1, sums), np.float32),
            weights=take(numbers, "weights", (shape.inputs * rows * sums,), np.float32),
        )

    def evaluate(self, v: Floats, threads: int = 1) -> Floats:
        """Return voltages of the feet, (batch, columns) [V].

        Parameters
        ----------
        v : ndarray of shape (batch, rows)
            Source voltages [V].
        threads : int
            Threads; the result is the same for any number.
        """
        feet = np.empty((len(v), len(self.middle)))
        if not len(v):
            return feet
        sums = np.empty((len(v), self.constants.shape[1]), np.float32)
        with one_blas_thread():
            fast.evaluate(
                np.ascontiguousarray(v, np.float32), self.centre, self.half, np.empty(0, np.float32), _NO_FEATURES,
                np.array([self.shape.inputs], np.int32), self.constants, self.weights, threads, sums,
            )  # fmt: skip
        fast.feet(
            sums, self.shape.rank, self.shape.foot + 1, FEATURE_TERMS, STEPS, self.middle.astype(np.float32),
            self.half, threads, feet,
        )  # fmt: skip
        return feet


_NO_FEATURES: Shorts = np.zeros((1, 1), np.int32)


def build_floating(expansion: Expansion, shape: FloatingOrders) -> FloatingForm:
    """Compute the numbers of a form for an array whose feet are all open."""
    f, half = expansion.fields, expansion.half
    rows, columns = f.own_v.shape
    transfer = f.transfer.T  # (rows, columns)
    basis, powers = shapes(rows), shape.inputs + 1
    others = transfer.sum(axis=0) - transfer
    share = np.divide(1.0, others, out=np.zeros_like(others), where=others > 0)
    # what a volt at the foot, made by all other inputs alike, does at a cell; and what each does beyond that
    lift_v, lift_u = ((all_ - own) * share for all_, own in ((f.all_v, f.own_v), (f.all_u, f.own_u)))
    rest = [
        other - ((basis.T @ lift)[:, :, None] - basis.T[:, None, :] * lift.T) * f.transfer
        for other, lift in ((f.other_v, lift_v), (f.other_u, lift_u))
    ]
    uneven_v, uneven_u, features = Modes(*rest).features(shape.rank, half)
    own_v, own_u = f.own_v - transfer * lift_v, f.own_u - transfer * lift_u
    x = _nodes(powers)
    z = _nodes(FOOT_NODES)
    fit_x = np.linalg.inv(x[:, None] ** np.arange(powers))
    fit_z = np.linalg.pinv(z[:, None] ** np.arange(shape.foot + 1))
    ends = np.array([-0.6, 0.6])
    fit_ends = np.linalg.inv(ends[:, None] ** np.arange(FEATURE_TERMS))

    def beyond(at: float, foot: float, uneven: tuple[Floats, Floats] | None = None) -> Floats:
        """Return the currents beyond the slopes for all own inputs and feet alike, (rows, columns) [A]."""
        v, u = half * (at * own_v + foot * lift_v), half * (at * own_u + foot * lift_u)
        return expansion.beyond_slope(v, u) if uneven is None else expansion.beyond_slope(v + uneven[0], u + uneven[1])

    def fitted(fit: Reals, feet: Floats, values: list[Floats]) -> Floats:
        """Return coefficients (powers of the foot, powers of the input, rows, columns) of values at all nodes."""
        grid = np.stack(values).reshape(powers, len(feet), rows, columns)
        return np.asarray(np.einsum("px,mz,xzij->mpij", fit_x, fit, grid))

    own = [fitted(fit_z, z, [beyond(a, q) for a in x for q in z])]
    for r in range(shape.rank):
        up, down = (uneven_v[r], uneven_u[r]), (-uneven_v[r], -uneven_u[r])
        own.append(fitted(fit_ends, ends, [0.5 * (beyond(a, q, up) - beyond(a, q, down)) for a in x for q in ends]))
    diagonal = np.einsum("jij->ij", f.adjoint).astype(float)
    terms = np.concatenate(own) * diagonal
    across = np.tensordot(fit_x, np.stack([beyond(a, 0.0) for a in x]), 1).astype(np.float32)
    with one_blas_thread():  # what cells of other columns do, with their own feet at rest
        all_columns = np.matmul(across.transpose(1, 0, 2), f.adjoint.transpose(1, 0, 2)).transpose(1, 0, 2)
    terms[0] += all_columns - across * diagonal
    terms[0, 1] += transfer * half
    uneven = np.zeros((shape.rank, powers, rows, columns))
    uneven[:, 1] = features.transpose(0, 2, 1) * half
    foot = shape.foot + 1
    whole = np.concatenate([terms[:foot], uneven, terms[foot:]]) / half  # (sums, powers, rows, columns)
    return FloatingForm(
        shape=shape,
        centre=expansion.centre,
        half=half,
        middle=expansion.outputs,
        constants=whole[:, 0].sum(axis=1).reshape(1, -1).astype(np.float32),
        weights=whole[:, 1:].transpose(1, 2, 0, 3).reshape(-1).astype(np.float32),
    )


def _nodes(count: int) -> Floats:
    """Return Chebyshev's nodes in [-1, 1], stretched to its ends."""
    x = np.cos((np.arange(count) + 0.5) * np.pi / count)
    return np.asarray(x / x[0])
