"""The description of a chip: frozen, validated, hashed; its process, its blocks, its circuits."""

from spicesim.chip.description import (
    CORNERS,
    Adc,
    Array,
    Cell,
    Chip,
    Dac,
    Library,
    ModelFile,
    Process,
    Section,
    SenseAmplifier,
    format_chip,
    load_chip,
    save_chip,
)
from spicesim.chip.presets import PRESETS, preset

__all__ = [
    "CORNERS",
    "PRESETS",
    "Adc",
    "Array",
    "Cell",
    "Chip",
    "Dac",
    "Library",
    "ModelFile",
    "Process",
    "Section",
    "SenseAmplifier",
    "format_chip",
    "load_chip",
    "preset",
    "save_chip",
]
