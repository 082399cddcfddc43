"""Write-verify by the circuit itself: devices for wanted cells, found in ngspice and without the calibration."""

import threading

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from spicesim.behavioural.arrays import Floats
from spicesim.chip import Chip
from spicesim.errors import ConvergenceError, MappingError
from spicesim.netlist.cell import build_cell_samples
from spicesim.ngspice.batch import BatchSimulator
from spicesim.sampling import run_all

__all__ = ["WriteVerify"]

_NODES = 65
"""Devices that are read, at Chebyshev's nodes in the logarithm of their conductance."""
_BEYOND = 1.1
"""How far devices are read beyond the limits: a wrong model of the cell may want some more of them."""
_TOLERANCE = 1e-12
"""Largest relative last change of a device."""


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
