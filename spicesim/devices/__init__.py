"""What real memory devices do: laws, and kinds of devices by name."""

from spicesim.devices.model import (
    DeviceModel,
    PowerDrift,
    PulsedWrite,
    ReadNoise,
    Relaxation,
    TileDevices,
    tile_generator,
)

__all__ = [
    "DeviceModel",
    "PowerDrift",
    "PulsedWrite",
    "ReadNoise",
    "Relaxation",
    "TileDevices",
    "tile_generator",
]
