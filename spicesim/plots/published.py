"""Figures of published macros beside ours: operations for an energy over bits, and conversions against their bounds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from spicesim.arrays import Floats
from spicesim.plots.figure import MUTED, SERIES, log_axis, new_axes, styled

__all__ = ["plot_conversions", "plot_efficiencies"]

_MARKERS = "osD^vP"


@styled
def plot_efficiencies(
    published: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    own: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> Figure:
    """Plot operations for an energy against the bits of inputs, published ones dashed.

    Parameters
    ----------
    published, own : mapping of str to (bits of inputs, operations for an energy [1e12/J])
        By label.
    """
    figure, (axes,) = new_axes(3.9)
    for k, (label, (bits, values)) in enumerate(published.items()):
        axes.plot(bits, values, _MARKERS[k % 6], color=MUTED, markersize=4, linestyle="--", linewidth=0.9, label=label)
    for k, (label, (bits, values)) in enumerate(own.items()):
        axes.plot(bits, values, _MARKERS[k % 6], color=SERIES[k % 4], markersize=5, linestyle="-", label=label)
    log_axis(axes)
    axes.set_xlabel("bits of an input")
    axes.set_ylabel("operations for an energy [TOPS/W]")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled
def plot_conversions(
    bits: Floats, bounds: Mapping[str, Floats], found: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> Figure:
    """Plot the energy of a conversion against its bits, with bounds.

    Parameters
    ----------
    bits : ndarray of shape (points,)
        Bits of the bounds.
    bounds : mapping of str to ndarray of shape (points,)
        Energies by label [J].
    found : mapping of str to (bits, energies [J])
        Converters by label.
    """
    figure, (axes,) = new_axes(3.5)
    for style, (label, values) in zip(("--", ":", "-."), bounds.items(), strict=False):
        axes.plot(bits, 1e12 * values, color=MUTED, linestyle=style, label=label)
    for k, (label, (places, energies)) in enumerate(found.items()):
        axes.plot(places, 1e12 * np.asarray(energies), _MARKERS[k % 6], color=SERIES[k % 4], markersize=5, label=label)
    log_axis(axes)
    axes.set_xlabel("bits of an output")
    axes.set_ylabel("energy of a conversion [pJ]")
    figure.legend(loc="outside upper left", ncols=2)
    return figure
