"""Circuit laws of few physical parameters, and their fits: what a data sheet says of a block.

They do not compute products; tables and polynomials do that, without a misfit. A law says what a block is, with numbers
that can be compared between chips, corners, and silicon.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.cell import ONSET
from spicesim.calibration.fit import Fit, Loss, simplest
from spicesim.calibration.least_squares import Unknown, fit_parameters
from spicesim.calibration.sense_amplifier import linear_range
from spicesim.errors import CalibrationError

__all__ = [
    "fit_access_cell", "fit_amplifier", "fit_bare_cell", "fit_core", "fit_driver", "fit_rails", "fit_selected_cell",
    "inner_range",
]  # fmt: skip

Numbers = Any
"""An array of floats or, for the complex step, of complex numbers."""

INNER = 0.5
"""Share of an amplifier's swing within which its law is fitted; its gain falls towards the rails."""

_SUFFICES = 1e-5
"""RMS misfit of a form that is good enough, as a fraction of full scale."""
_OVERDRIVE = 1.1
"""Output that an amplifier was asked for, relative to what it gives, from which on it is stuck at its rail."""
_RAIL_SUFFICES = 3e-4
"""The same at the rails, where an amplifier is of little use."""


def inner_range(i: Floats, v_out: Floats) -> slice:
    """Find the inner half of an amplifier's linear range; currents ascending [A], outputs below the reference [V]."""
    part = linear_range(i, v_out)
    swing = min(-float(v_out[part].min()), float(v_out[part].max()))
    inside = np.flatnonzero(np.abs(v_out[part]) <= INNER * swing) + part.start
    return slice(int(inside[0]), int(inside[-1]) + 1)


def fit_amplifier(i: Floats, v_out: Floats, v_in: Floats | None, *, r_feedback: float, loss: Loss = "linear") -> Fit:
    """Fit the law of a transimpedance amplifier between its rails.

    All current flows through the feedback resistor, so v_out = r_feedback i - v_in; and v_in = offset + r_in i.

    Parameters
    ----------
    i : ndarray of shape (points,)
        Currents into the virtual ground, ascending [A]. Points out of :func:`inner_range` are left out.
    v_out : ndarray of shape (points,)
        Outputs below the reference [V].
    v_in : ndarray of shape (points,), optional
        Inputs above the reference [V]. Without them only the transimpedance, r_feedback - r_in, can be told.
    r_feedback : float
        First guess of the feedback resistance [ohm].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        r_feedback, r_in [ohm] and offset [V]; where that does not suffice also r_in_2 [ohm/A] and r_in_3 [ohm/A^2].
    """
    part = inner_range(i, v_out)
    i, v_out = i[part], v_out[part]
    full = float(np.abs(i).max())
    resistances = [
        Unknown(name="r_feedback", unit="ohm", start=r_feedback, low=0.0, scale=r_feedback),
        Unknown(name="r_in", unit="ohm", start=1e-3 * r_feedback, scale=1e-2 * r_feedback),
    ]
    offset = Unknown(name="offset", unit="V", start=0.0, scale=1e-3)
    bends = [
        Unknown(name=f"r_in_{power}", unit=unit, start=0.0, scale=1e-3 * r_feedback / full ** (power - 1))
        for power, unit in ((2, "ohm/A"), (3, "ohm/A^2"))
    ]

    def input_of(p: Numbers) -> Numbers:
        return p[2] + sum(r * i ** (power + 1) for power, r in enumerate((p[1], *p[3:])))

    if v_in is None:
        inner = fit_parameters(
            lambda p: p[0] * i - input_of(p) - v_out, [*resistances, offset], unit="V", loss=loss, ordered=True
        )
        law = [Unknown(name="transimpedance", unit="ohm", start=r_feedback, low=0.0, scale=r_feedback), offset]
        fit = fit_parameters(lambda p: p[0] * i - p[1] - v_out, law, unit="V", loss=loss, ordered=True)
        return fit.model_copy(update={"form": "transimpedance", "unidentifiable": inner.unidentifiable})
    x = v_in[part]

    def residuals(p: Numbers) -> Numbers:
        modelled = input_of(p)
        return np.concatenate([p[0] * i - modelled - v_out, modelled - x])

    forms = {"input resistance": [*resistances, offset], "bending input": [*resistances, offset, *bends]}
    fits = {n: fit_parameters(residuals, law, unit="V", loss=loss, ordered=True) for n, law in forms.items()}
    return simplest(fits, tolerance=_SUFFICES * float(np.abs(v_out).max()))


def fit_core(sweeps: Mapping[float, tuple[Floats, Floats]], *, loss: Loss = "linear") -> Fit:
    """Fit the amplifier behind several feedback resistors: v_in = offset + (r_feedback + r_out) i / (gain + 1).

    Parameters
    ----------
    sweeps : mapping of float to (ndarray, ndarray)
        By feedback resistance [ohm]: currents in :func:`inner_range` [A] and inputs above the reference [V].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        Open-loop gain [1], open-loop output resistance r_out [ohm] and offset [V]. One feedback resistor cannot tell
        gain from r_out; they then are unidentifiable.
    """
    r = np.concatenate([np.full(len(i), r_feedback) for r_feedback, (i, _) in sweeps.items()])
    i = np.concatenate([i for i, _ in sweeps.values()])
    x = np.concatenate([v_in for _, v_in in sweeps.values()])
    unknowns = [
        Unknown(name="gain", unit="1", start=3e3, low=1.0, scale=1e3),
        Unknown(name="r_out", unit="ohm", start=1e4, low=0.0, scale=1e4),
        Unknown(name="offset", unit="V", start=0.0, scale=1e-3),
    ]
    fit = fit_parameters(lambda p: p[2] + (r + p[1]) * i / (p[0] + 1) - x, unknowns, unit="V", loss=loss, ordered=True)
    return fit.model_copy(update={"form": "gain and output resistance"})


def fit_rails(i: Floats, v_out: Floats, *, r_feedback: float, loss: Loss = "linear") -> Fit:
    """Fit the saturated ends of an amplifier: v_out = rail - r_rail i, where it falls short of r_feedback i by a tenth.

    Parameters
    ----------
    i, v_out : ndarray of shape (points,)
        Currents, ascending [A], and outputs below the reference [V].
    r_feedback : float
        Feedback resistance [ohm].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        Rails [V] and, where that does not suffice, resistances of the output stuck at them [ohm]. A rail that was not
        reached is unidentifiable.
    """
    stuck = np.abs(r_feedback * i) > _OVERDRIVE * np.abs(v_out)
    stuck &= np.abs(v_out) > 0.5 * float(np.abs(v_out).max())  # near zero the offset rules the ratio
    down, up = stuck & (i > 0), stuck & (i < 0)
    if np.count_nonzero(down | up) < 5:
        raise CalibrationError(
            f"the output reaches no rail within {i[0]:g}..{i[-1]:g} A at {r_feedback:g} ohm; sweep further, "
            "or leave the rails out"
        )
    rails = [Unknown(name=f"rail_{side}", unit="V", start=0.0, scale=0.1) for side in ("low", "high")]
    resistances = [
        Unknown(name=f"r_rail_{side}", unit="ohm", start=0.0, low=0.0, scale=100.0) for side in ("low", "high")
    ]

    def residuals(p: Numbers) -> Numbers:
        drops = (p[2] * i[down], p[3] * i[up]) if len(p) > 2 else (0, 0)
        return np.concatenate([p[1] - drops[1] - v_out[up], p[0] - drops[0] - v_out[down]])

    forms = {"rails": rails, "rails and resistances": [*rails, *resistances]}
    fits = {n: fit_parameters(residuals, law, unit="V", loss=loss, ordered=True) for n, law in forms.items()}
    return simplest(fits, tolerance=_RAIL_SUFFICES * float(np.abs(v_out).max()))


def fit_driver(codes: Floats, load: Floats, volts: Floats, *, bits: int, v_span: float, loss: Loss = "linear") -> Fit:
    """Fit the law of a DAC: volts = offset + sum of the weights of the bits that are on - r_out load.

    Parameters
    ----------
    codes, load, volts : ndarray of shape (points,)
        Codes, load currents out of the driver [A] and outputs above the reference [V].
    bits : int
        Resolution.
    v_span : float
        Full scale, for first guesses [V].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        weight_0 (least significant) .., offset [V] and r_out [ohm]; where that does not suffice also r_out_2 [ohm/A]
        and r_out_3 [ohm/A^2], by which r_out changes with the load. Weights of bits that never change are
        unidentifiable.
    """
    on = (codes.astype(np.int64)[:, None] >> np.arange(bits)) & 1
    full = float(np.abs(load).max()) or 1.0
    weights = [
        Unknown(name=f"weight_{k}", unit="V", start=v_span / 2 ** (bits - k), scale=v_span / 2**bits)
        for k in range(bits)
    ]
    law = [
        *weights,
        Unknown(name="offset", unit="V", start=0.0, scale=v_span / 2**bits),
        Unknown(name="r_out", unit="ohm", start=1.0, scale=1.0),
    ]
    bends = [
        Unknown(name=f"r_out_{power}", unit=unit, start=0.0, scale=1.0 / full ** (power - 1))
        for power, unit in ((2, "ohm/A"), (3, "ohm/A^2"))
    ]

    def fit(unknowns: list[Unknown]) -> Fit:
        design = np.column_stack([on, np.ones_like(load), -load, -(load**2), -(load**3)])[:, : len(unknowns)]
        return fit_parameters(
            lambda p: design @ p - volts, unknowns, unit="V", jacobian=lambda p: design, loss=loss, ordered=True
        )

    forms = {"weights and output resistance": law}
    if float(np.ptp(load)) > 0 and len(volts) > len(law) + len(bends):
        forms["bending output"] = [*law, *bends]
    return simplest({name: fit(unknowns) for name, unknowns in forms.items()}, tolerance=_SUFFICES * v_span)


def fit_bare_cell(g: Floats, v: Floats, current: Floats, *, loss: Loss = "linear") -> Fit:
    """Fit the law of a device alone: current = g_scale g sinh(kappa v) / kappa.

    Parameters
    ----------
    g, v, current : ndarray of shape (points,)
        Conductance of the device [S], voltage across it [V], and its current [A].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        g_scale [1], the factor of the conductances, and kappa [1/V] if the device is not linear.
    """
    scale = Unknown(name="g_scale", unit="1", start=1.0, low=0.0, scale=1.0)
    forms = {"linear device": [scale], "sinh device": [scale, _kappa()]}
    fits = {
        name: fit_parameters(
            lambda p: p[0] * _device(g, v, p[1] if len(p) > 1 else None)[0] - current, law, unit="A", loss=loss
        )
        for name, law in forms.items()
    }
    return simplest(fits, tolerance=_SUFFICES * float(np.abs(current).max()))


def fit_selected_cell(g: Floats, v: Floats, current: Floats, *, loss: Loss = "linear") -> Fit:
    """Fit the law of a device in series with a selector, which follows i0 sinh(x / v0) of its voltage x.

    The voltage of either is a closed function of the current, so the misfit is one of the voltage, times the slope of
    the cell: one of the current.

    Parameters
    ----------
    g, v, current : ndarray of shape (points,)
        Conductance of the device [S], voltage across the cell [V], and its current [A].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.

    Returns
    -------
    Fit
        g_scale [1], the factor of the conductances; v_on [V], the selector's voltage at 1 uA; v_selector [V], that of
        a factor e; and kappa [1/V] if the device is not linear.

    Raises
    ------
    CalibrationError
        If so little of the voltage falls off at selectors, or at devices, that their law does not show.
    """
    size, across = np.abs(current), np.abs(v)
    # where the device takes little, what is left falls off at the selector, a line in the logarithm of the current
    closing = (size > 1e-4 * size.max()) & (size < 0.3 * g * across)
    if np.count_nonzero(closing) < 8:
        raise CalibrationError("no selector shows in the currents; look at the voltages across the cells")
    steep, onset = np.polyfit(np.log(size[closing] / ONSET), (across - size / g)[closing], 1)
    law = [
        Unknown(name="g_scale", unit="1", start=1.0, low=0.0, scale=1.0),
        Unknown(name="v_on", unit="V", start=float(onset), scale=0.1),
        Unknown(name="v_selector", unit="V", start=max(float(steep), 1e-3), low=1e-4, scale=1e-2),
    ]

    def residuals(p: Numbers) -> Numbers:
        i0 = ONSET / np.sinh(p[1] / p[2])
        y, bend = current / (p[0] * g), p[3] if len(p) > 3 else 0.0
        device = np.arcsinh(bend * y) / bend if len(p) > 3 else y
        missed = device + p[2] * np.arcsinh(current / i0) - v
        return missed / (p[2] / np.sqrt(current**2 + i0**2) + 1 / (p[0] * g * np.sqrt(1 + (bend * y) ** 2)))

    forms = {"selector, linear device": law, "selector, sinh device": [*law, _kappa()]}
    fits = {name: fit_parameters(residuals, unknowns, unit="A", loss=loss) for name, unknowns in forms.items()}
    found = simplest(fits, tolerance=_SUFFICES**2 * float(size.max()))
    if found.unidentifiable:
        raise CalibrationError(
            f"the currents of cells do not tell {', '.join(found.unidentifiable)} of their selectors; look at cell.v0"
        )
    return found


def fit_access_cell(
    g: Floats, v: Floats, u: Floats, current: Floats, *, loss: Loss = "linear", ordered: bool = False
) -> Fit:
    """Fit the law of a device in series with an access transistor.

    The device follows g sinh(kappa w) / kappa. The transistor, in its triode region with a voltage x across it and its
    source at u, follows ((1 - body u) x - bend x^2 / 2) (1 + modulation |x|) / r_access; by the square law bend = body.
    Without its modulation, which bends the law at x = 0, other parameters would take its place.

    Parameters
    ----------
    g, v, u, current : ndarray of shape (points,)
        Conductance of the device [S], voltage across the cell [V], bit line above the reference [V], current [A].
    loss : {"linear", "soft_l1", "huber"}
        What to minimise.
    ordered : bool
        Whether neighbours among the points lie near each other: then what they misfit alike widens the intervals.

    Returns
    -------
    Fit
        r_access [ohm] and body [1/V], the relative loss of the transistor's conductance a volt of the bit line; kappa
        [1/V] if the device is not linear; bend [1/V] where the square law does not suffice, and modulation [1/V], that
        of the channel's length, where this does not either.
    """
    law = [
        Unknown(name="r_access", unit="ohm", start=0.05 / float(g.max()), low=0.0, scale=0.05 / float(g.max())),
        Unknown(name="body", unit="1/V", start=0.5, scale=0.5),
    ]
    bend = Unknown(name="bend", unit="1/V", start=0.5, scale=0.5)
    modulation = Unknown(name="modulation", unit="1/V", start=0.0, scale=0.1)
    forms: dict[str, tuple[list[Unknown], Literal[0, 1], Literal[0, 1, 2]]] = {
        "square law, linear device": (law, 0, 0),
        "square law, sinh device": ([*law, _kappa()], 1, 0),
        "free bend, sinh device": ([*law, _kappa(), bend], 1, 1),
        "free bend, channel-length modulation, sinh device": ([*law, _kappa(), bend, modulation], 1, 2),
    }

    def newton(x: Numbers, p: Numbers, curved: int, bent: int) -> Numbers:
        across = p[3] if bent else p[1]
        device, slope = _device(g, v - x, p[2] if curved else None)
        channel = ((1 - p[1] * u) * x - across * x**2 / 2) / p[0]
        steepness = (1 - p[1] * u - across * x) / p[0]
        if bent > 1:
            side = np.sign(x.real)
            longer = 1 + p[4] * side * x
            channel, steepness = channel * longer, steepness * longer + channel * p[4] * side
        return (channel - device) / (steepness + slope)

    def residuals(p: Numbers, curved: int, bent: int) -> Numbers:
        x = 0.05 * v
        for _ in range(30):
            step = newton(x, p.real, curved, bent)
            x = x - step
            if float(np.abs(step).max()) <= 1e-12:
                break
        if np.iscomplexobj(p):
            x = x - newton(x, p, curved, bent)  # one step from the root carries the complex step over, exactly
        return _device(g, v - x, p[2] if curved else None)[0] - current

    fits = {
        name: fit_parameters(
            lambda p, c=c, b=b: residuals(p, c, b),  # type: ignore[misc]
            unknowns,
            unit="A",
            loss=loss,
            ordered=ordered,
        )
        for name, (unknowns, c, b) in forms.items()
    }
    return simplest(fits, tolerance=_SUFFICES * float(np.abs(current).max()))


def _kappa() -> Unknown:
    return Unknown(name="kappa", unit="1/V", start=1.0, low=1e-3, high=50.0, scale=0.1)


def _device(g: Floats, w: Numbers, kappa: Numbers) -> tuple[Numbers, Numbers]:
    """Return current [A] and slope [S] of a device, linear without kappa."""
    if kappa is None:
        return g * w, g + 0 * w
    return g * np.sinh(kappa * w) / kappa, g * np.cosh(kappa * w)
