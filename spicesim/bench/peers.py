"""How others solve an array: sparse factorisations of the nodal equations, ngspice, badcrossbar."""

import functools
import importlib
import logging
import re
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from spicesim.arrays import Array, Floats
from spicesim.crossbar import Crossbar
from spicesim.errors import ConvergenceError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.units import spice_number

__all__ = ["NodalEquations", "badcrossbar_currents", "import_peer", "ngspice_currents"]


@functools.cache
def import_peer(name: str) -> ModuleType | None:
    """Import a module of a package that need not be installed, without its warnings; None if it is not."""
    try:
        with warnings.catch_warnings(record=True):  # not a filter: badcrossbar sets one that shows all
            return importlib.import_module(name)
    except ImportError:
        return None


class NodalEquations:
    """The nodal equations of an array with wires of more than 0 ohm, for sparse solvers.

    Nodes 0 .. rows*columns-1 lie on the word lines, the others on the bit lines.
    """

    def __init__(self, array: Crossbar) -> None:
        self.array = array
        rows, columns = array.shape
        nodes = np.arange(rows * columns).reshape(rows, columns)
        bit = nodes + rows * columns
        self._cells = nodes.ravel(), bit.ravel()
        word_g, bit_g = 1 / array.r_word_line, 1 / array.r_bit_line
        self._head = 1 / (array.r_word_line[:, 0] + array.r_driver)
        self._foot = 1 / (array.r_bit_line[-1] + array.r_sense)
        self._wires = (
            _branches(nodes[:, :-1], nodes[:, 1:], word_g[:, 1:], 2 * rows * columns)
            + _branches(bit[:-1], bit[1:], bit_g[:-1], 2 * rows * columns)
            + scipy.sparse.csc_matrix(
                (np.concatenate([self._head, self._foot]), (np.concatenate([nodes[:, 0], bit[-1]]),) * 2),
                shape=(2 * rows * columns,) * 2,
            )
        )
        self._heads, self._feet = nodes[:, 0], bit[-1]

    def _matrix(self, slopes: Floats) -> Any:
        word, bit = self._cells
        return (self._wires + _branches(word, bit, slopes.ravel(), self._wires.shape[0])).tocsc()

    def factor(self, slopes: Floats) -> Any:
        """Factorise by scipy's splu with cells of given slopes (rows, columns) [S]."""
        return scipy.sparse.linalg.splu(
            self._matrix(slopes), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
        )

    def factor_cholmod(self, slopes: Floats) -> Any:
        """Do the same by CHOLMOD, as cvxopt brings it; it must be installed."""
        return _Cholmod(self._matrix(slopes))

    def transfer_matrix(self) -> Floats:
        """One factorisation and one solve a row, (columns, rows) [S]."""
        factor = self.factor(self.array.g)
        rows = self.array.shape[0]
        right = np.zeros((self._wires.shape[0], rows))
        right[self._heads, np.arange(rows)] = self._head
        return np.asarray(self._foot[:, None] * factor.solve(right)[self._feet])

    def chord(self, factor: Any, v: Floats, tolerance: float, limit: int = 100) -> Floats:
        """Solve one vector by Newton's method with one factorisation for all steps, to a change of `tolerance` [V]."""
        word, bit = self._cells
        nodes, cell = np.zeros(self._wires.shape[0]), self.array.cell
        for _ in range(limit):
            across, u = nodes[word] - nodes[bit], nodes[bit]
            current = cell.current(self.array.g, across.reshape(self.array.g.shape), u.reshape(self.array.g.shape))
            residual = self._wires @ nodes
            residual[self._heads] -= self._head * v
            residual[word] += current.ravel()
            residual[bit] -= current.ravel()
            step = factor.solve(residual)
            nodes -= step
            if np.abs(step).max() <= tolerance:
                return np.asarray(self._foot * nodes[self._feet])
        raise ConvergenceError(f"chord Newton does not converge in {limit} steps; lower the inputs")


class _Cholmod:
    """A factorisation of a symmetric matrix, with the method of scipy's."""

    def __init__(self, matrix: Any) -> None:
        cvxopt, cholmod = import_peer("cvxopt"), import_peer("cvxopt.cholmod")
        assert cvxopt is not None
        assert cholmod is not None
        self._cholmod, self._column = cholmod, cvxopt.matrix
        lower = scipy.sparse.tril(matrix).tocoo()
        a = cvxopt.spmatrix(*(cvxopt.matrix(x) for x in (lower.data, lower.row, lower.col)), lower.shape)
        self._factor = self._cholmod.symbolic(a)
        self._cholmod.numeric(a, self._factor)

    def solve(self, right: Floats) -> Floats:
        """Solve for one right side (nodes,)."""
        x = self._column(right)
        self._cholmod.solve(self._factor, x)
        return np.asarray(x)[:, 0]


def _branches(start: Array, end: Array, g: Floats, size: int) -> Any:
    a, b, y = start.ravel(), end.ravel(), g.ravel()
    return scipy.sparse.csc_matrix(
        (np.concatenate([y, y, -y, -y]), (np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a]))),
        shape=(size, size),
    )


def ngspice_currents(array: Crossbar, v: Floats, simulator: BatchSimulator) -> tuple[Floats, float]:
    """Solve vectors in ngspice with KLU: one by ``.op``, several by one ``.dc`` whose word lines are tables.

    Returns
    -------
    ndarray of shape (batch, columns)
        Currents [A].
    float
        Time of the process [s].
    """
    text = array.netlist(v[0])
    body = text[text.index("\n") : text.rindex("\n.op\n")]
    body = re.sub(r"^\.options .*$", "", body, flags=re.MULTILINE)
    analysis = ".op"
    if len(v) > 1:
        for i in range(array.shape[0]):
            points = ", ".join(f"{k}, {spice_number(volts)}" for k, volts in enumerate(v[:, i]))
            body = re.sub(
                rf"^vin_{i} (\S+) 0 dc \S+$", rf"bin_{i} \1 0 v=pwl(v(vector), {points})", body, flags=re.MULTILINE
            )
        body += "\nvvector vector 0 dc 0\n"
        analysis = f".dc vvector 0 {len(v) - 1} 1"
    probes = tuple(f"i(vsense_{j})" for j in range(array.shape[1]))
    results = simulator.run(Netlist(title="* benchmark", body=body, analyses=(analysis,), probes=probes))
    currents = np.stack([np.real(results[0].vectors[probe]) for probe in probes], axis=1)
    return currents, results.seconds


def badcrossbar_currents(array: Crossbar, v: Floats) -> Floats | None:
    """Solve vectors with badcrossbar, or return None if it is not installed."""
    badcrossbar = import_peer("badcrossbar.compute")
    if badcrossbar is None:
        return None
    logging.getLogger("badcrossbar").setLevel(logging.WARNING)  # it tells its steps on standard output
    found = badcrossbar.compute(
        v.T,
        1 / array.g,
        r_i_word_line=float(array.r_word_line[0, 0]),
        r_i_bit_line=float(array.r_bit_line[0, 0]),
        node_voltages=False,
        all_currents=False,
    )
    return np.asarray(found.currents.output, dtype=float)
