"""A tile in time: amplifier outputs after a change of all codes."""

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Codes, Floats
from spicesim.behavioural.settling import SettlingModel
from spicesim.behavioural.tile import BehaviouralTile, TileState
from spicesim.cells import Linear
from spicesim.errors import ConvergenceError, SpecError, ValidityError

__all__ = ["TileTransient"]

GAMMA = 1 - np.sqrt(0.5)
"""Of the two-stage, L-stable implicit Runge-Kutta method."""
NEWTON_LIMIT = 20
NEWTON_TOLERANCE = 1e-6
"""Largest last change of a voltage [V]."""
LARGEST_CHANGE = 0.5
"""Of a voltage in one iteration [V]."""
LINE_DELAY_LIMIT = 0.5e-9
"""Longest RC time of a line that the lumped model is believed for [s]: of full scale .13 ns cost .04 %, .64 ns .26 %,
in 16x16 tiles at transistor level from 75 % of settling on."""
LEAST_WAY = 1e-3
"""Way of an output that tells how much of it has gone [V]; of a shorter one the drivers tell."""
FIRST_WINDOW, LONGEST_WINDOW, WINDOW_POINTS = 0.3e-6, 10e-6, 201
"""Times to look for the end of settling [s], and points in them."""
IN, P, N, OUT = range(4)


class TileTransient:
    """A behavioural tile that follows its amplifiers in time.

    At rest before and after it is the operating point of the tile exactly. Between, drivers follow their calibrated
    shapes, the array is its static linear map (its own time constants are far below a nanosecond), and every amplifier
    has four states. Capacitances of lines and cells are lumped at drivers and amplifiers.

    Parameters
    ----------
    tile : BehaviouralTile
        The tile.
    model : SettlingModel
        Calibrated for the same chip.

    Raises
    ------
    ValidityError
        If a line's own time constant is too long for a lumped model.
    SpecError
        If the tile has rails with impedances.
    """

    def __init__(self, tile: BehaviouralTile, model: SettlingModel) -> None:
        if tile.rails is not None:
            raise SpecError(
                "rails with impedances or buffers are known at rest alone; take settled outputs, or leave rails out"
            )
        self.tile, self.model = tile, model
        rows, columns = tile.g.shape
        array = tile.crossbar
        for name, r, c, count in (
            ("word", array.r_word_line, model.c_word_line, columns),
            ("bit", array.r_bit_line, model.c_bit_line, rows),
        ):
            delay = 0.5 * float(np.max(r)) * c * count**2
            if delay > LINE_DELAY_LIMIT:
                raise ValidityError(
                    f"a {name} line of {count} cells has a time constant of {delay:.3g} s of its own, more than the "
                    f"{LINE_DELAY_LIMIT:g} s up to which lines count as lumped; use smaller tiles or a full .tran"
                )
        g = np.asarray(array.g)
        slopes = np.where(g > 0, tile.cell.chord(g), 0.0)
        linear = array.changed(g=slopes, cell=Linear())
        self._transfer, self._admittance = linear.transfer_matrix(), linear.output_admittance()
        self._loads = slopes.sum(axis=1)
        # an open cell has no transistor that would load its bit line
        wire = tile.array.c_bit_line
        self._c_in = wire * rows + (model.c_bit_line - wire) * np.count_nonzero(tile.g, axis=0)

    def outputs(self, before: Codes, after: Codes, times: npt.ArrayLike) -> Floats:
        """Return the amplifier outputs at times after a change of codes.

        Parameters
        ----------
        before, after : ndarray of int, shape (batch, rows)
            DAC codes; before the change the tile is at rest.
        times : array_like of shape (times,)
            Ascending times after the change, 0 or later [s].

        Returns
        -------
        ndarray of shape (batch, times, columns)
            Outputs below the reference [V].

        Raises
        ------
        SpecError
            If shapes or times make no sense.
        ConvergenceError
            If a step in time cannot be solved.
        ValidityError, ConvergenceError
            As :meth:`BehaviouralTile.solve`, for either operating point.
        """
        wanted = np.asarray(times, dtype=float)
        if wanted.ndim != 1 or not wanted.size or not (np.isfinite(wanted).all() and wanted[0] >= 0):
            raise SpecError("times must be a list of finite numbers, 0 s or later")
        if (np.diff(wanted) <= 0).any():
            raise SpecError("times must ascend")
        if np.shape(before) != np.shape(after):
            raise SpecError(f"codes before and after must have one shape, got {np.shape(before)} and {np.shape(after)}")
        return _Course(self, self.tile.solve(before), self.tile.solve(after)).outputs(wanted)

    def t_settle(self, before: Codes, after: Codes, *, band: float = 2e-3) -> Floats:
        """Return when the outputs have settled.

        Parameters
        ----------
        before, after : ndarray of int, shape (batch, rows)
            DAC codes; before the change the tile is at rest.
        band : float
            Largest distance from the end, as a fraction of full scale.

        Returns
        -------
        ndarray of shape (batch, columns)
            Time after which an output stays within the band [s].

        Raises
        ------
        SpecError
            If the band is no number between 0 and 1.
        ConvergenceError
            If an output is not in its band after 10 us, and as :meth:`outputs`.
        """
        if not 0 < band < 1:
            raise SpecError(f"band must be a fraction of full scale between 0 and 1, got {band}")
        limit = band * self.tile.senseamp.full_scale
        end = self.tile.solve(after).v_out[:, None]
        stop = FIRST_WINDOW
        while stop <= LONGEST_WINDOW:
            times = np.linspace(0.0, stop, WINDOW_POINTS)
            distance = np.abs(self.outputs(before, after, times) - end)
            outside = distance > limit
            if not outside[:, -(WINDOW_POINTS // 10) :].any():
                # the last point outside, and where the straight line to the next enters
                last = WINDOW_POINTS - 1 - np.argmax(outside[:, ::-1], axis=1)
                ever = outside.any(axis=1)
                index = np.where(ever, last, 0)[:, None]
                high = np.take_along_axis(distance, index, axis=1)[:, 0]
                low = np.take_along_axis(distance, index + 1, axis=1)[:, 0]
                way = np.where(ever, (high - limit) / np.where(high > low, high - low, 1.0), 0.0)
                return np.asarray(times[index[:, 0]] + way * times[1])
            stop *= 2
        raise ConvergenceError(
            f"an output is not within {band:g} of full scale of its end after {LONGEST_WINDOW:g} s; use a wider band"
        )


class _Course:
    """One batch of changes; states have shape (batch * columns, 4), of in, p, n and out, absolute [V]."""

    def __init__(self, transient: TileTransient, before: TileState, after: TileState) -> None:
        self.transient = transient
        self.stages = transient.model.amplifier
        self.reference = self.stages.v_reference
        self.before, self.after = before, after
        self.shape = before.v_out.shape
        shapes = transient.model.driver
        self._times = np.concatenate([shapes.times, [1.0]])
        share = shapes.share(after.v_word_line - before.v_word_line, transient._loads)
        share = np.concatenate([share, np.ones_like(share[:1])])
        move = (after.v_word_line - before.v_word_line) * share
        self._currents = (before.v_word_line + move) @ transient._transfer.T  # (times, batch, columns)
        # what the linear map lacks at either end; between, by the way the drivers have gone
        lack = [self._lack(state) for state in (before, after)]
        self._driven = share.mean(axis=2)
        mean = self._driven[..., None]
        self._currents += lack[0] + mean * (lack[1] - lack[0])
        self._feedback = transient.model.c_feedback
        self._r = transient.tile.senseamp.feedback
        self._ground = (transient.model.c_resistor or 0.0) * transient.tile.senseamp.r_feedback

    def _lack(self, state: TileState) -> Floats:
        linear = state.v_word_line @ self.transient._transfer.T - state.v_in @ self.transient._admittance.T
        return state.solution.currents - linear

    def _array(self, time: float) -> Floats:
        """Return the currents into the feet if they were at the reference, shape (batch, columns) [A]."""
        k = min(int(np.searchsorted(self._times, time, side="right")), len(self._times) - 1)
        t = (time - self._times[k - 1]) / (self._times[k] - self._times[k - 1])
        return np.asarray(self._currents[k - 1] + min(max(t, 0.0), 1.0) * (self._currents[k] - self._currents[k - 1]))

    def flows(self, x: Floats, held: Floats, step: float, time: float) -> tuple[Floats, Floats, Floats]:
        """Return currents into the nodes (systems, 4), their derivatives and the capacitances (systems, 4, 4).

        The voltages of the two compensation capacitors, (systems, 2), change by an implicit `step` from `held`.
        """
        stages, count = self.stages, len(x)
        v_in, p, n, out = x.T
        first, first_in, first_p = stages.first_stage(v_in, p)
        mesh_p, pp, pn = stages.mesh[0](p, n)
        mesh_n, np_, nn = stages.mesh[1](p, n)
        upper, up, uo = stages.output[0](p, out)
        lower, ln, lo = stages.output[1](n, out)
        flow, slope, c = np.empty((count, 4)), np.zeros((count, 4, 4)), np.zeros((count, 4, 4))
        u = (v_in - self.reference).reshape(self.shape)
        array = self._array(time) - u @ self.transient._admittance.T
        back = (out - v_in) / self._r
        flow[:, IN] = array.ravel() + back
        flow[:, P] = first[:, 0] + mesh_p[:, 0]
        flow[:, N] = mesh_n[:, 0]
        flow[:, OUT] = upper[:, 0] + lower[:, 0] - back
        own = np.tile(np.diag(self.transient._admittance), self.shape[0])
        slope[:, IN, IN], slope[:, IN, OUT] = -own - 1 / self._r, 1 / self._r
        slope[:, P, IN], slope[:, P, P], slope[:, P, N] = first_in, first_p + pp, pn
        slope[:, N, P], slope[:, N, N] = np_, nn
        slope[:, OUT, IN], slope[:, OUT, P], slope[:, OUT, N] = 1 / self._r, up, ln
        slope[:, OUT, OUT] = uo + lo - 1 / self._r
        c[:, IN, IN] = first[:, 1] + np.tile(self.transient._c_in, self.shape[0]) + self._feedback + self._ground
        c[:, IN, OUT] = c[:, OUT, IN] = -self._feedback
        c[:, P, IN] = first[:, 2]
        c[:, P, P], c[:, P, OUT], c[:, OUT, P] = upper[:, 1], upper[:, 2], upper[:, 3]
        c[:, N, N], c[:, N, OUT], c[:, OUT, N] = lower[:, 1], lower[:, 2], lower[:, 3]
        c[:, OUT, OUT] = upper[:, 4] + lower[:, 4] + self._feedback + self._ground
        compensation = stages.compensation
        conductance = compensation / (step + stages.lead)
        for k, node in enumerate((P, N)):
            # the tables count these capacitors, too, as if they had no resistor
            c[:, node, node] -= compensation
            c[:, OUT, OUT] -= compensation
            c[:, node, OUT] += compensation
            c[:, OUT, node] += compensation
            current = conductance * (out - x[:, node] - held[:, k])
            flow[:, node] += current
            flow[:, OUT] -= current
            slope[:, node, node] -= conductance
            slope[:, OUT, OUT] -= conductance
            slope[:, node, OUT] += conductance
            slope[:, OUT, node] += conductance
        return flow, slope, c

    def _stage(self, base: Floats, rate: Floats, step: float, time: float) -> Floats:
        """Solve for the rates of nodes and capacitors, (systems, 6), if both are `base` + `step` rate."""
        nodes, rate = base[:, :4], rate[:, :4].copy()
        for _ in range(NEWTON_LIMIT):
            x = nodes + step * rate
            flow, slope, c = self.flows(x, base[:, 4:], step, time)
            residual = flow - np.einsum("kij,kj->ki", c, rate)
            change = np.linalg.solve(c - step * slope, residual[..., None])[..., 0]
            limit = np.maximum(1.0, step * np.abs(change).max(axis=1, keepdims=True) / LARGEST_CHANGE)
            rate += change / limit
            if step * np.abs(change).max() < NEWTON_TOLERANCE:
                x = nodes + step * rate
                held = (x[:, OUT, None] - x[:, P:OUT] - base[:, 4:]) / (step + self.stages.lead)
                return np.concatenate([rate, held], axis=1)
        raise ConvergenceError(
            f"no state of the amplifiers found {time:.4g} s after the change of codes, within {NEWTON_LIMIT} "
            "iterations; calibrate again with the aspect settling, or use a .tran of the tile"
        )

    def _rest(self, state: TileState, time: float) -> Floats:
        """Find the model's own state of rest, by implicit steps that grow."""
        supply = float(self.stages.nodes[-1] + self.stages.nodes[0])
        x = np.empty((state.v_out.size, 6))
        x[:, IN], x[:, OUT] = (self.reference + state.v_in).ravel(), (self.reference - state.v_out).ravel()
        x[:, P], x[:, N] = 0.75 * supply, 0.25 * supply
        x[:, 4:] = x[:, OUT, None] - x[:, P:OUT]
        step = 0.1e-9
        while step < 1e-3:
            x = x + step * self._stage(x, np.zeros_like(x), step, time)
            step *= 1.6
        return x

    def outputs(self, wanted: Floats) -> Floats:
        """Return outputs below the reference, shape (batch, times, columns) [V]."""
        start, end = self._rest(self.before, 0.0), self._rest(self.after, 1.0)
        x, rate = start, np.zeros_like(start)
        found = np.empty((len(wanted), len(x)))
        time = 0.0
        for k, until in enumerate(wanted):
            while time < until:
                step = min(max(0.25e-9, 0.02 * time), max(3e-9, 2e-3 * time), until - time)
                first = self._stage(x, rate, GAMMA * step, time + GAMMA * step)
                rate = self._stage(x + (1 - GAMMA) * step * first, first, GAMMA * step, time + step)
                x = x + step * ((1 - GAMMA) * first + GAMMA * rate)
                time = until if until - time - step < 1e-15 else time + step
            found[k] = x[:, OUT]
        # the model's own states of rest are a little off; the tile's are not
        off = [
            (self.reference - state.v_out).ravel() - rest[:, OUT]
            for state, rest in ((self.before, start), (self.after, end))
        ]
        way = end[:, OUT] - start[:, OUT]
        is_long = np.abs(way) > LEAST_WAY
        driven = np.stack([np.interp(wanted, self._times, one) for one in self._driven.T], axis=1)
        gone = np.where(
            is_long, (found - start[:, OUT]) / np.where(is_long, way, 1.0), driven.repeat(self.shape[1], axis=1)
        ).clip(0, 1)
        v = found + off[0] + gone * (off[1] - off[0])
        batch, columns = self.shape
        return np.asarray((self.reference - v).reshape(len(wanted), batch, columns).transpose(1, 0, 2))
