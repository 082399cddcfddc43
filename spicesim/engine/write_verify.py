"""Write-verify by the circuit itself: devices for wanted cells, found in ngspice and without the calibration."""

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from spicesim.arrays import Floats
from spicesim.chip import Chip
from spicesim.errors import ConvergenceError, MappingError
from spicesim.netlist.cell import build_cell_samples
from spicesim.netlist.ensemble import build_cells
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["WriteVerify"]

_NODES = 65
"""Devices that are read, at Chebyshev's nodes in the logarithm of their conductance."""
_BEYOND = 1.1
"""How far devices are read beyond the limits: a wrong model of the cell may want some more of them."""
_TOLERANCE = 1e-12
"""Largest relative last change of a device."""
_VERIFIED = 1e-8
"""The same of a drawn cell's device, which takes a simulation a change."""
_CELLS = 400
"""Drawn cells in one netlist; each is two subcircuits of its own, of which ngspice takes 4000."""


class WriteVerify:
    """Programs cells as a chip does: it reads whole cells, which take no part in any fit, and knows no model of them.

    Cells of devices of many conductances are read in one simulation when the first is programmed; the conductance of a
    cell over that of its device is smooth, so that between them a polynomial is as good as the simulator.

    Parameters
    ----------
    chip : Chip
        The chip.
    limits : tuple of float
        Least and greatest conductance of its devices [S].
    simulator : BatchSimulator, optional
        Gives the time-out.
    """

    def __init__(self, chip: Chip, limits: tuple[float, float], *, simulator: BatchSimulator | None = None) -> None:
        self._chip, self._simulator, self._lock = chip, simulator, threading.Lock()
        self._limits = limits
        low, high = np.log(limits[0] / _BEYOND), np.log(limits[1] * _BEYOND)
        self._middle, self._half = 0.5 * (low + high), 0.5 * (high - low)
        self._series: Floats | None = None

    def read(self, g: npt.ArrayLike) -> Floats:
        """Return the conductances of whole cells at the read voltage of devices `g`, within what is read [S]."""
        with self._lock:
            if self._series is None:
                self._series = self._measure()
        device = np.asarray(g, dtype=float)
        return np.asarray(device * np.exp(chebyshev.chebval(self._place(device), self._series)))

    def program(self, g_cell: npt.ArrayLike) -> Floats:
        """Return the devices that give cells of conductances `g_cell` at the read voltage, of the same shape [S].

        Raises
        ------
        MappingError
            If no device of the chip does.
        SimulationError
            If the cells cannot be simulated.
        """
        wanted = np.asarray(g_cell, dtype=float)
        ends = np.exp(self._middle + self._half * np.array([-1.0, 1.0]))
        low, high = self.read(ends)
        if wanted.size and not (wanted.min() >= low and wanted.max() <= high):
            raise MappingError(
                f"cells of {wanted.min():.4g}..{wanted.max():.4g} S are wanted, and the circuit of the chip's cell can "
                f"be programmed to {low:.4g}..{high:.4g} S; calibrate the chip again"
            )
        device = np.clip(wanted, *ends)
        for _ in range(60):
            # in logarithms the cell follows its device with a slope of at most one: a secant contracts
            ahead = self.read(device * (1 + 1e-6))
            found = self.read(device)
            slope = np.log(ahead / found) / np.log1p(1e-6)
            after = np.clip(device * (wanted / found) ** (1 / slope), *ends)
            change = np.abs(after / device - 1).max(initial=0.0)
            device = after
            if change <= _TOLERANCE:
                return np.asarray(device)
        raise ConvergenceError("write-verify does not settle: the cell's conductance does not rise with its device's")

    def program_drawn(self, g_cell: npt.ArrayLike, drawn: Callable[[Netlist], Netlist]) -> Floats:
        """Return the devices that give the cells of a drawn tile what is wanted, as far as devices go.

        Parameters
        ----------
        g_cell : array_like of shape (rows, columns)
            Conductances wanted of the cells at the read voltage [S].
        drawn : callable
            Draws the transistors of the tile's netlists.

        Returns
        -------
        ndarray of shape (rows, columns)
            Conductances of the devices [S].

        Raises
        ------
        MappingError, SimulationError
            As :meth:`program` does.
        ConvergenceError
            If the cells do not settle.
        """
        wanted = np.asarray(g_cell, dtype=float)
        device = np.clip(self.program(wanted), *self._limits)
        for _ in range(8):
            # a drawn cell follows its device nearly as the nominal one does: each step leaves a hundredth
            slope = np.log(self.read(device * (1 + 1e-6)) / self.read(device)) / np.log1p(1e-6)
            after = np.clip(device * (wanted / self._read_drawn(device, drawn)) ** (1 / slope), *self._limits)
            change = np.abs(after / device - 1).max(initial=0.0)
            device = after
            if change <= _VERIFIED:
                return np.asarray(device)
        raise ConvergenceError("write-verify of drawn cells does not settle: a cell does not rise with its device")

    def _read_drawn(self, device: Floats, drawn: Callable[[Netlist], Netlist]) -> Floats:
        """Read all cells of a drawn tile in ngspice, each alone [S]."""
        rows, columns = device.shape
        v, band = self._chip.cell.v_read, max(1, _CELLS // columns)
        bands = [range(k, min(k + band, rows)) for k in range(0, rows, band)]
        netlists = [drawn(build_cells(self._chip, own, device[own.start : own.stop], v)) for own in bands]
        found = run_all(netlists, simulator=self._simulator)
        return np.array([
            [float(results[0].vectors[f"i(vsense_{i}_{j})"][0].real) / v for j in range(columns)]
            for own, results in zip(bands, found, strict=True)
            for i in own
        ])  # fmt: skip

    def _place(self, device: Floats) -> Floats:
        return np.asarray((np.log(device) - self._middle) / self._half)

    def _measure(self) -> Floats:
        """Read cells of all devices in ngspice; return Chebyshev's series of the logarithm of cell over device."""
        nodes = np.cos((np.arange(_NODES) + 0.5) * np.pi / _NODES)
        g, v = np.exp(self._middle + self._half * nodes), self._chip.cell.v_read
        netlist = build_cell_samples(self._chip, g, np.full(_NODES, v), np.zeros(_NODES))
        (results,) = run_all([netlist], simulator=self._simulator)
        currents = np.array([float(results[0].vectors[f"i(vsense_{k})"][0].real) for k in range(_NODES)])
        return np.asarray(chebyshev.chebfit(nodes, np.log(currents / v / g), 24))
