"""Noise of a tile's outputs: amplifier, feedback resistor, cells and drivers, as one sigma an output."""

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from scipy.interpolate import PchipInterpolator

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model, require_positive, require_rising, require_shape
from spicesim.behavioural.feedback import find_amplifier
from spicesim.errors import CalibrationError, SpecError, ValidityError

__all__ = ["AmplifierNoise", "NoiseModel"]


class AmplifierNoise(Model):
    """A sense amplifier with one feedback resistor, below columns of any conductance."""

    r_feedback: float
    """Feedback resistance [ohm]."""
    conductances: FloatArray
    """Ascending total conductances of a column, from 0 [S]."""
    variance: FloatArray
    """Of the output by the amplifier, its feedback resistor and the thermal noise of the column, one value a
    conductance [V^2]."""
    driver_variance: FloatArray
    """Of the output by the drivers, for 1 S^2 of the sum of the squares of the column's cells [V^2/S^2]."""
    spectrum_conductance: float = 0.0
    """Total conductance of the column that the spectrum is of [S]."""
    frequencies: FloatArray = np.empty(0)
    """Ascending frequencies of what follows [Hz]."""
    density: FloatArray = np.empty(0)
    """Spectral density of the output's noise, drivers left out [V/sqrt(Hz)]."""
    below: FloatArray = np.empty((0, 0))
    """The part of `variance` below each frequency, shape (conductances, frequencies) [V^2]."""
    driver_below: FloatArray = np.empty((0, 0))
    """The part of `driver_variance` below each frequency, shape (conductances, frequencies) [V^2/S^2]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.conductances) == len(self.variance) == len(self.driver_variance):
            raise ValueError("variances need one value a conductance")
        require_rising("conductances", self.conductances)
        for name in ("variance", "driver_variance"):
            require_shape(name, getattr(self, name), len(self.conductances))
            if (getattr(self, name) < 0).any():
                raise ValueError(f"{name} must not be negative")
        if self.frequencies.size:
            require_rising("frequencies", self.frequencies)
            require_positive(frequencies=float(self.frequencies[0]))
            require_shape("density", self.density, len(self.frequencies))
            for name in ("below", "driver_below"):
                require_shape(name, getattr(self, name), len(self.conductances), len(self.frequencies))
        return self

    def _between(self, low: float, high: float) -> tuple[Floats, Floats]:
        """Return the parts of both variances between two frequencies [Hz]."""
        ends = np.log([low, high])
        own, driver = (
            np.maximum(np.diff(PchipInterpolator(np.log(self.frequencies), part, axis=1)(ends), axis=1)[:, 0], 0.0)
            for part in (self.below, self.driver_below)
        )
        return own, driver

    def without(self, low: float, high: float) -> Self:
        """Return the same amplifier without its noise between two frequencies [Hz]."""
        own, driver = self._between(low, high)
        update = {"variance": self.variance - own, "driver_variance": self.driver_variance - driver}
        return self.model_copy(update=update)

    def within(self, low: float, high: float) -> Self:
        """Return the same amplifier with its noise between two frequencies alone [Hz]."""
        own, driver = self._between(low, high)
        return self.model_copy(update={"variance": own, "driver_variance": driver})

    def __call__(self, total: Floats, squares: Floats) -> Floats:
        """Return the variance of outputs by total, and sum of squares, of their columns' conductances [V^2]."""
        own, driver = (PchipInterpolator(self.conductances, y)(total) for y in (self.variance, self.driver_variance))
        return np.asarray(own + driver * squares)


class NoiseModel(Model):
    """Noise of sampled outputs, thermal and flicker, integrated from :attr:`f_low` on.

    Noise is that of a column in its linear range; at a rail it is smaller. Devices' own read noise is not in it, see
    :mod:`spicesim.devices`.
    """

    f_low: float
    """What is slower counts as drift [Hz]."""
    temperature_c: float
    """Temperature [degree Celsius]."""
    amplifiers: tuple[AmplifierNoise, ...]
    """One a feedback resistance."""
    max_error: float
    """Largest relative error of a sigma at conductances between those of the tables [1]."""

    def above(self, f_low: float) -> Self:
        """Return the noise that is left on a chip that zeroes its outputs at `f_low` and so undoes what is slower.

        Flicker noise makes most of a sigma that is integrated from :attr:`f_low` on. Zeroing right before each read, as
        long as the read takes, leaves what is above the inverse of that time.

        Parameters
        ----------
        f_low : float
            The new lower limit, within the frequencies that were calibrated [Hz].

        Raises
        ------
        CalibrationError
            If the calibration has no spectra: it is of an older version.
        SpecError
            If the limit is below this one's or above all frequencies.
        """
        if any(model.frequencies.size == 0 for model in self.amplifiers):
            raise CalibrationError(
                "the calibration has no spectra of noise; run: spicesim calibrate CHIP.toml -o chip.cal.json"
            )
        highest = float(self.amplifiers[0].frequencies[-1])
        if not self.f_low <= f_low < highest:
            raise SpecError(f"noise is known from {self.f_low:g} to {highest:g} Hz, got a lower limit of {f_low:g} Hz")
        kept = tuple(model.without(self.f_low, f_low) for model in self.amplifiers)
        return self.model_copy(update={"f_low": f_low, "amplifiers": kept})

    def within(self, low: float, high: float) -> Self:
        """Return the part of the noise between two frequencies [Hz]; errors as :meth:`above`."""
        self.above(low)
        return self.model_copy(update={"amplifiers": tuple(model.within(low, high) for model in self.amplifiers)})

    def amplifier(self, r_feedback: float) -> AmplifierNoise:
        """Return the amplifier with that feedback resistance.

        Raises
        ------
        CalibrationError
            If it was not calibrated.
        """
        return find_amplifier(self.amplifiers, r_feedback, "noise of a sense amplifier")

    def sigma(
        self, g_column_total: npt.ArrayLike, r_feedback: float, *, g_squares: npt.ArrayLike | None = None
    ) -> Floats:
        """Return the standard deviation of outputs.

        Parameters
        ----------
        g_column_total : array_like
            Sum of the conductances of an output's cells [S].
        r_feedback : float
            Feedback resistance [ohm].
        g_squares : array_like of the same shape, optional
            Sum of their squares, for the noise of the drivers; without, drivers are noiseless [S^2].

        Returns
        -------
        ndarray of the same shape
            Sigma of one sample [V].

        Raises
        ------
        SpecError
            If a conductance is negative or not finite.
        ValidityError
            If a column has more conductance than was calibrated.
        CalibrationError
            If that feedback resistance was not calibrated.
        """
        total = np.asarray(g_column_total, dtype=float)
        squares = np.zeros_like(total) if g_squares is None else np.asarray(g_squares, dtype=float)
        if not (
            np.isfinite(total).all() and np.isfinite(squares).all() and (total >= 0).all() and (squares >= 0).all()
        ):
            raise SpecError("conductances of columns must be finite and not negative")
        amplifier = self.amplifier(r_feedback)
        limit = float(amplifier.conductances[-1])
        if total.size and total.max() > limit * (1 + 1e-9):
            raise ValidityError(
                f"a column of {total.max():.4g} S has more than the calibrated {limit:.4g} S; use smaller tiles or "
                "calibrate a chip of more rows"
            )
        return np.sqrt(amplifier(np.minimum(total, limit), squares))

    def tile_sigma(self, g: npt.ArrayLike, r_feedback: float) -> Floats:
        """Return the standard deviation of every output of a tile, drivers included.

        Parameters
        ----------
        g : array_like of shape (rows, columns)
            Conductances of whole cells [S].
        r_feedback : float
            Feedback resistance [ohm].

        Returns
        -------
        ndarray of shape (columns,)
            Sigma of one sample [V]; errors as :meth:`sigma`.
        """
        cells = np.asarray(g, dtype=float)
        return self.sigma(cells.sum(axis=0), r_feedback, g_squares=(cells**2).sum(axis=0))

    def tile_parts(self, g: npt.ArrayLike, r_feedback: float) -> tuple[Floats, Floats]:
        """Return the noise of a tile's outputs by where it comes from.

        Parameters
        ----------
        g : array_like of shape (rows, columns)
            Conductances of whole cells [S].
        r_feedback : float
            Feedback resistance [ohm].

        Returns
        -------
        own : ndarray of shape (columns,)
            Sigma of each output by what is its own: amplifier, feedback resistor, cells [V].
        drivers : ndarray of shape (rows, columns)
            What one sigma of each driver, common to all columns of its word line, adds to the outputs [V].

        Raises
        ------
        SpecError, ValidityError, CalibrationError
            As :meth:`sigma`.
        """
        cells = np.asarray(g, dtype=float)
        total, amplifier = cells.sum(axis=0), self.amplifier(r_feedback)
        own = self.sigma(total, r_feedback)
        inside = np.minimum(total, amplifier.conductances[-1])
        gain = np.sqrt(PchipInterpolator(amplifier.conductances, amplifier.driver_variance)(inside))
        return own, np.asarray(cells * gain)
