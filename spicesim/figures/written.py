"""Devices written within a given error, for runs that ask for a device by the name of one here."""

from spicesim.devices import DeviceModel

__all__ = ["SIGMAS", "written_name"]

SIGMAS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Standard deviations over g_max."""


def _written(sigma: float) -> DeviceModel:
    return DeviceModel(
        name=f"written within {100 * sigma:g} %", programming=(sigma,), sources=("a deviation to try, no measurement",)
    )


W0, W1, W2, W3, W4, W5 = map(_written, SIGMAS)


def written_name(k: int) -> str:
    """Return the name by which a plan asks for devices of the k-th of :data:`SIGMAS`."""
    return f"{__name__}:W{k}"
