"""The array at the speed of a few matrix products, with its measured error."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Floats, Reals
from spicesim.cells import Linear
from spicesim.crossbar import Crossbar
from spicesim.errors import SpecError, ValidityError
from spicesim.fast.expansion import Expansion, can_expand
from spicesim.fast.form import FORMS, Form
from spicesim.fast.trial import MARGIN, Adversary, Trial, held_out_inputs, measure, promise

__all__ = ["FIELD_BYTES", "FastCrossbar", "FastSolution"]

FIELD_BYTES = 2**30
"""Arrays whose fields take more memory are solved exactly [byte]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FastSolution:
    """Currents, and how far they can be trusted."""

    currents: Reals
    """Into the virtual grounds, (batch, columns) [A]."""
    form: str
    """What computed them, or "exact"."""
    max_error: float
    """Promised largest error of the form on any input, as a fraction of full scale; 0 for "exact"."""
    rms_error: float
    """Root-mean-square error on random and structured inputs, the same."""
    full_scale: float
    """Largest column current over the inputs of the trial [A]."""


class FastCrossbar:
    """An array whose currents come from the cheapest form that meets a tolerance.

    Forms are polynomials in the inputs and in a few features of each column, evaluated by matrix products; see
    :class:`~spicesim.fast.form.FormOrders`. All are expanded about the middle of the range of the inputs. Each, from
    the cheapest on, is measured against the exact solution on random, structured and adversarial inputs that took no
    part in its making, and on those that a search near the worst of them finds; twice the largest error found is
    `max_error`, what the form promises for any input, see :data:`~spicesim.fast.trial.MARGIN`. The first form is taken
    with ``max_error <= tolerance``. Where there is none, where the fields would take more than ``FIELD_BYTES`` of
    memory, or where the cells have no kernel or a selector, the array is solved exactly: `form` is then "exact". Lines
    driven or sensed at other ends and broken segments are in the forms as in the array; gates are not: vectors with a
    mask are solved exactly.

    Parameters
    ----------
    array : Crossbar
        The array.
    tolerance : float
        Largest error, as a fraction of full scale, the largest column current.
    v_range : tuple of float
        Least and greatest source voltage [V].
    seed : int
        Of the held-out inputs.
    threads : int
        Threads of the preparation; they do not change the result.

    Raises
    ------
    SpecError
        If the tolerance or the range makes no sense.
    ConvergenceError, ValidityError
        If the exact solver cannot solve a held-out input; see :meth:`Crossbar.solve`.
    """

    def __init__(
        self,
        array: Crossbar,
        *,
        tolerance: float = 1e-3,
        v_range: tuple[float, float] = (0.0, 0.2),
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise SpecError(f"tolerance must be a number > 0, got {tolerance}")
        low, high = (float(v) for v in v_range)
        if not (np.isfinite([low, high]).all() and low < high):
            raise SpecError(f"v_range must be two rising voltages, got {v_range}")
        self.array, self.tolerance, self.v_range = array, float(tolerance), (low, high)
        rows, columns = array.shape
        inputs = held_out_inputs(rows, low, high, seed)
        truth = float(np.clip(1e-3 * self.tolerance, 1e-11, 1e-6))

        def solve(v: Floats) -> Floats:
            return array.solve(v, tolerance=truth, threads=threads).currents

        exact = solve(inputs)
        self.full_scale = float(np.abs(exact).max())
        """Largest column current over the held-out inputs [A]."""
        self.trials: tuple[Trial, ...] = ()
        """What was tried, from the cheapest on; the last was taken unless `form` is "exact"."""
        self._form: Form | None = None
        if 4 * rows * columns**2 > FIELD_BYTES or not can_expand(array):
            return
        expansion = Expansion(array, low, high, threads=threads)
        adversary = Adversary(lambda v: solve(v) / self.full_scale, rows, low, high)
        for orders in FORMS[:1] if isinstance(array.cell, Linear) else FORMS:
            form = expansion.build(orders)
            largest, rms = measure(form.evaluate(inputs, threads)[0], exact, self.full_scale)
            if self.full_scale > 0 and promise(largest) <= self.tolerance:

                def shares(v: Floats, _: Floats, form: Form = form) -> Floats:
                    return np.asarray(form.evaluate(v, threads)[0] / self.full_scale)

                largest = max(largest, adversary.attack(shares, self.tolerance / MARGIN))
            self.trials += (Trial(form=str(orders), cost=orders.cost, max_error=promise(largest), rms_error=rms),)
            if promise(largest) <= self.tolerance:
                self._form = form
                return

    @property
    def form(self) -> str:
        """What computes the currents: a form by its orders, or "exact"."""
        return "exact" if self._form is None else str(self._form.shape)

    @property
    def cost(self) -> float:
        """Matrix products a batch; infinite for "exact"."""
        return float("inf") if self._form is None else self._form.shape.cost

    @property
    def max_error(self) -> float:
        """Promised largest error on any input, as a fraction of full scale; 0 for "exact"."""
        return 0.0 if self._form is None else self.trials[-1].max_error

    @property
    def rms_error(self) -> float:
        """Root-mean-square error on random and structured inputs, as a fraction of full scale; 0 for "exact"."""
        return 0.0 if self._form is None else self.trials[-1].rms_error

    def currents(self, v: npt.ArrayLike, threads: int = 1, *, mask: npt.ArrayLike | None = None) -> Reals:
        """Compute the currents into the virtual grounds.

        Parameters
        ----------
        v : array_like of shape (batch, rows) or (rows,)
            Source voltages within `v_range` [V]. float32 gives float32; all else is computed from float64.
        threads : int
            Threads; the result is the same for any number.
        mask : array_like of shape (batch, rows) or (rows,), optional
            As :meth:`Crossbar.solve`; with it the array is solved exactly.

        Returns
        -------
        ndarray of shape (batch, columns) or (columns,)
            Currents, positive into the virtual ground [A].

        Raises
        ------
        SpecError
            If the shape is wrong or a number is not finite.
        ValidityError
            If a voltage is outside `v_range`.
        """
        if threads < 1:
            raise SpecError(f"threads must be at least 1, got {threads}")
        try:
            given = np.asarray(v)
            if given.dtype.kind not in "biufO":
                raise TypeError(f"of type {given.dtype}")
            given = np.asarray(given, dtype=np.float32 if given.dtype == np.float32 else np.float64, order="C")
        except (TypeError, ValueError) as error:
            raise SpecError(f"v must be an array of real numbers ({error})") from None
        rows = self.array.shape[0]
        if given.ndim not in (1, 2) or given.shape[-1] != rows:
            raise SpecError(f"v must have shape (batch, {rows}) or ({rows},), got {given.shape}")
        batch = np.atleast_2d(given)
        if self._form is None or mask is not None:
            self._check(batch, float(np.abs(batch - self._centre).max(initial=0.0)) / self._half)
            tolerance = float(np.clip(1e-2 * self.tolerance, 1e-11, 3e-6))
            found = self.array.solve(
                batch, mask=mask, tolerance=tolerance, precision="single", threads=threads
            ).currents
            out: Reals = found.astype(given.dtype)
        else:
            out, reached = self._form.evaluate(batch, threads)
            self._check(batch, reached)
        return out[0] if given.ndim == 1 else out

    def solve(self, v: npt.ArrayLike, threads: int = 1, *, mask: npt.ArrayLike | None = None) -> FastSolution:
        """Compute the currents, with the form and its measured error; see :meth:`currents`."""
        currents, is_exact = np.atleast_2d(self.currents(v, threads, mask=mask)), mask is not None
        return FastSolution(
            currents=currents,
            form="exact" if is_exact else self.form,
            max_error=0.0 if is_exact else self.max_error,
            rms_error=0.0 if is_exact else self.rms_error,
            full_scale=self.full_scale,
        )

    @property
    def _centre(self) -> float:
        return 0.5 * (self.v_range[0] + self.v_range[1])

    @property
    def _half(self) -> float:
        return 0.5 * (self.v_range[1] - self.v_range[0])

    def _check(self, batch: Reals, reached: float) -> None:
        """Refuse inputs outside the range; reached: largest distance from its middle, in halves of it."""
        if reached <= 1 + 1e-6:
            return
        if not np.isfinite(batch).all():
            raise SpecError("v must hold finite voltages; look for the NaN or infinity in the input")
        item, row = (int(k) for k in np.unravel_index(np.argmax(np.abs(batch - self._centre)), batch.shape))
        raise ValidityError(
            f"the source of row {row} is at {batch[item, row]:.6g} V in batch item {item}, outside the prepared "
            f"{self.v_range[0]:.6g}..{self.v_range[1]:.6g} V; prepare with a wider v_range"
        )
