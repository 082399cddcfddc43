"""What a fit says: parameters with intervals, what the data do not determine, and the residuals to judge it by."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from spicesim.arrays import Floats
from spicesim.behavioural.arrays import FloatArray, Model
from spicesim.behavioural.parameter import Parameter
from spicesim.metrics import rms

__all__ = ["Fit", "FormScore", "Loss", "simplest"]

Loss = Literal["linear", "soft_l1", "huber"]
"""linear is plain least squares; the others bound the pull of outliers."""

_BETTER = 10.0
"""Gain in BIC that makes a richer form worth its parameters: "very strong" by Kass and Raftery, JASA 90 (1995) 773."""


class FormScore(Model):
    """How well one form of a model does."""

    parameters: int
    """Determined parameters."""
    rms: float
    """RMS of the residuals, in the fit's unit."""
    aicc: float
    """Akaike's information criterion, corrected for few data; less is better."""
    bic: float
    """Bayesian information criterion; less is better."""


class Fit(Model):
    """A least-squares fit of named parameters."""

    form: str = ""
    """The form of the model, in words."""
    unit: str
    """Unit of the residuals."""
    parameters: dict[str, Parameter]
    """What the data determine."""
    unidentifiable: dict[str, str]
    """What they do not, and why; no value is given."""
    covariance: FloatArray
    """Of the parameters in their order, shape (parameters, parameters)."""
    residuals: FloatArray
    """Model less data, shape (data,)."""
    degrees_of_freedom: int
    """Data less determined parameters."""
    loss: Loss
    """What was minimised."""
    jacobian: str
    """How derivatives were taken: analytic, complex-step or 3-point."""
    serial_correlation: float = 0.0
    """Of neighbours among ordered residuals; it widens the intervals. Not 0 means that the misfit is systematic."""
    errors: dict[str, Parameter] = Field(default_factory=dict)
    """Of an array: standard deviations of the errors found in its readings, by kind, and an offset that all share."""
    warnings: tuple[str, ...] = ()
    """What to know before the numbers are used."""
    message: str
    """Why the fit ended."""
    forms: dict[str, FormScore] = Field(default_factory=dict)
    """All forms that were tried, the simplest first."""

    @property
    def values(self) -> dict[str, float]:
        """Estimates by name."""
        return {name: parameter.value for name, parameter in self.parameters.items()}

    @property
    def rms(self) -> float:
        """RMS of the residuals, in their unit."""
        return rms(self.residuals)

    @property
    def correlation(self) -> Floats:
        """Correlations of the estimates, shape (parameters, parameters)."""
        sigma = np.sqrt(np.diag(self.covariance))
        known = np.where(sigma > 0, sigma, 1.0)
        return np.asarray(self.covariance / np.outer(known, known) + np.diag(np.where(sigma > 0, 0.0, 1.0)))

    @property
    def score(self) -> FormScore:
        """How well this form does; for Gaussian errors of unknown size."""
        n, p = len(self.residuals), len(self.residuals) - self.degrees_of_freedom
        deviance = n * math.log(max(float(np.mean(self.residuals**2)), 1e-300))
        k = p + 1  # the size of the errors is a parameter, too
        aicc = deviance + 2 * k + 2 * k * (k + 1) / max(1, n - k - 1)
        return FormScore(parameters=p, rms=self.rms, aicc=aicc, bic=deviance + k * math.log(n))


def simplest(fits: Mapping[str, Fit], *, tolerance: float = 0.0) -> Fit:
    """Take the simplest form that suffices.

    A form suffices if the RMS of its residuals is within `tolerance`, or if no richer form has a BIC that is lower by
    ten. Simulations have no noise, so by the criterion alone the richest form would always win there.

    Parameters
    ----------
    fits : mapping of str to Fit
        One a form, the simplest first, all to the same data.
    tolerance : float
        RMS of the residuals that is good enough, in their unit.

    Returns
    -------
    Fit
        The chosen one, with the scores of all.
    """
    scores = {name: fit.score for name, fit in fits.items()}
    names: Sequence[str] = list(fits)
    chosen = next(
        name
        for place, name in enumerate(names)
        if scores[name].rms <= tolerance
        or all(scores[richer].bic > scores[name].bic - _BETTER for richer in names[place + 1 :])
    )
    return fits[chosen].model_copy(update={"form": chosen, "forms": scores})
