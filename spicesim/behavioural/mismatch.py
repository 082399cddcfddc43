"""Mismatch: the joint distributions of the blocks' parameters, and chip instances drawn from them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.behavioural.arrays import FloatArray, Floats, Model, require_rising, require_shape
from spicesim.behavioural.feedback import find_amplifier
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.behavioural.tables import CubicTables
from spicesim.coding import Polarity

__all__ = ["DacMismatch", "Gaussian", "MismatchModel", "SenseAmplifierMismatch", "TileInstance", "code_basis"]


def code_basis(bits: int) -> Floats:
    """Return what an offset and each bit add to every code, shape (codes, 1 + bits)."""
    codes = np.arange(2**bits)
    return np.concatenate([np.ones((len(codes), 1)), (codes[:, None] >> np.arange(bits)) & 1], axis=1)


class Gaussian(Model):
    """A joint normal distribution of a block's parameters."""

    names: tuple[str, ...]
    """What they are, with unit."""
    mean: FloatArray
    """Shape (parameters,); not 0, as a large shift of a device does not act like a small one."""
    covariance: FloatArray
    """Shape (parameters, parameters)."""
    draws: int
    """Simulated instances behind it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(self.names)
        if self.mean.shape != (count,) or self.covariance.shape != (count, count):
            raise ValueError(f"mean and covariance must be of {count} parameters")
        if (np.diag(self.covariance) < 0).any():
            raise ValueError("variances must not be negative")
        return self

    @classmethod
    def fit(cls, names: tuple[str, ...], values: Floats) -> Self:
        """Fit the distribution to values of shape (draws, parameters)."""
        covariance = np.atleast_2d(np.cov(values, rowvar=False))
        return cls(names=names, mean=values.mean(axis=0), covariance=covariance, draws=len(values))

    @property
    def sigma(self) -> Floats:
        """Standard deviations, shape (parameters,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))

    @property
    def correlation(self) -> Floats:
        """Correlation matrix, shape (parameters, parameters)."""
        scale = np.where(self.sigma > 0, self.sigma, 1.0)
        return np.asarray(self.covariance / np.outer(scale, scale))

    @cached_property
    def _root(self) -> Floats:
        sizes, axes = np.linalg.eigh(self.covariance)
        return np.asarray(axes * np.sqrt(np.maximum(sizes, 0.0)))

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw instances, shape (count, parameters)."""
        return np.asarray(self.mean + rng.standard_normal((count, len(self.mean))) @ self._root.T)


class DacMismatch(Model):
    """How word-line drivers differ: an offset and a weight for each bit add to their codes' voltages [V]."""

    parameters: Gaussian
    """Offset and weights, from the least significant bit on [V]."""
    residual: float
    """Largest error of a code's voltage by these parameters, over held-out instances and codes [V]."""

    def v_open(self, parameters: Floats) -> Floats:
        """Return what parameters (rows, 1 + bits) add to the codes' voltages, shape (rows, codes) [V]."""
        return np.asarray(parameters @ code_basis(len(self.parameters.names) - 1).T)


class SenseAmplifierMismatch(Model):
    """How sense amplifiers of one feedback resistor differ.

    An amplifier whose resistor is larger by a factor meets its rails at currents smaller by that factor. So its
    tables are the nominal ones at ``gain * current``, plus a few components whose sizes are drawn.
    """

    r_feedback: float
    """Feedback resistance [ohm]."""
    currents: FloatArray
    """Currents at which components are known, denser where an amplifier meets its rails, shape (points,) [A]."""
    components: FloatArray
    """Of a unit of each size, in the input's and the output's table, shape (components, 2, points) [V]."""
    parameters: Gaussian
    """Gain, and the sizes of the components."""
    residual: float
    """Largest error of a table by these parameters, over held-out instances [V]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_rising("currents", self.currents)
        require_shape("components", self.components, len(self.parameters.names) - 1, 2, len(self.currents))
        return self

    def tables(self, nominal: SenseAmplifierModel, parameters: Floats) -> tuple[CubicTables, CubicTables]:
        """Return the tables of amplifiers with these parameters (columns, 1 + components).

        Parameters
        ----------
        nominal : SenseAmplifierModel
            The amplifier without mismatch.
        parameters : ndarray of shape (columns, 1 + components)
            Of each amplifier.

        Returns
        -------
        v_in, v_out : CubicTables
            Inputs above and outputs below the reference against the current, a table a column, on the same grid.
        """
        gain = parameters[:, 0]
        basis = PchipInterpolator(self.currents, self.components, axis=2)(nominal.currents)
        added = np.einsum("jk,ktp->tjp", parameters[:, 1:], basis, optimize=True)
        limit = nominal.i_limit / max(1.0, float(gain.max()))
        currents = np.linspace(-limit, limit, len(nominal.v_in))
        scaled, table = currents[:, None] * gain, np.arange(len(gain))
        v_in, v_out = (
            CubicTables.of(nominal.currents, plain + more).evaluate(scaled, table).T
            for plain, more in zip((nominal.v_in, nominal.v_out), added, strict=True)
        )
        # noise of the simulator may bend an input back by some nV where it hardly moves
        return CubicTables.of(currents, np.maximum.accumulate(v_in, axis=1)), CubicTables.of(currents, v_out)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileInstance:
    """The blocks of one tile, each with its parameters."""

    drivers: DacMismatch
    """What the drivers' parameters mean."""
    driver_parameters: Floats
    """Shape (rows, 1 + bits) [V]."""
    amplifiers: SenseAmplifierMismatch
    """What the amplifiers' parameters mean."""
    amplifier_parameters: Floats
    """Shape (columns, 1 + components)."""
    r_cell: Floats
    """In series with each cell, of either sign, shape (rows, columns) [ohm]."""

    def conductances(self, g: Floats) -> Floats:
        """Return devices for nominal cells that conduct as these cells with devices `g` (rows, columns) do [S]."""
        return np.asarray(g / (1 + g * self.r_cell))

    def compensated(self, g: Floats, g_limits: tuple[float, float]) -> Floats:
        """Return the devices that write-verify leaves where the nominal cells need `g` (rows, columns) [S].

        It reads whole cells, so it meets the wanted conductance whatever their transistors are, as far as devices go.
        """
        wanted = np.clip(g / (1 - g * self.r_cell), *g_limits)
        return np.asarray(np.where(g == 0, 0.0, wanted))


class MismatchModel(Model):
    """Distributions of all blocks of a chip."""

    resistors: float
    """Relative standard deviation of resistors that was simulated [1]."""
    dacs: dict[Polarity, DacMismatch]
    """Word-line drivers by polarity."""
    senseamps: tuple[SenseAmplifierMismatch, ...]
    """Sense amplifiers, one a feedback resistance, ascending."""
    cell: Gaussian
    """Resistance in series with a cell [ohm]."""

    def senseamp(self, r_feedback: float) -> SenseAmplifierMismatch:
        """Return the amplifiers with that feedback resistance.

        Raises
        ------
        CalibrationError
            If their mismatch was not calibrated.
        """
        return find_amplifier(self.senseamps, r_feedback, "mismatch of a sense amplifier")

    def draw(
        self, rows: int, columns: int, *, polarity: Polarity, r_feedback: float, seed: int, name: str = ""
    ) -> TileInstance:
        """Draw the blocks of one tile.

        Parameters
        ----------
        rows, columns : int
            Size of the tile.
        polarity : {"unipolar", "bipolar"}
            Coding of the inputs.
        r_feedback : float
            Feedback resistance [ohm].
        seed : int
            Of the chip.
        name : str
            Of the tile within the chip; tiles of other names have other blocks.
        """
        key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        rng = np.random.default_rng(list(key))
        dac, amplifiers = self.dacs[polarity], self.senseamp(r_feedback)
        return TileInstance(
            drivers=dac,
            driver_parameters=dac.parameters.draw(rows, rng),
            amplifiers=amplifiers,
            amplifier_parameters=amplifiers.parameters.draw(columns, rng),
            r_cell=self.cell.draw(rows * columns, rng).reshape(rows, columns),
        )
