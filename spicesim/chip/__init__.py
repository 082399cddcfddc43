"""The description of a chip: frozen, validated, hashed; its process, its blocks, its circuits."""

from spicesim.chip.description import (
    CORNERS,
    PRESETS,
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
    preset,
    save_chip,
)

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
