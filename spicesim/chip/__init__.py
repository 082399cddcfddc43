"""The description of a chip: frozen, validated, hashed; its process, its blocks, its circuits."""

from spicesim.chip.description import Chip, Library, format_chip, load_chip, save_chip
from spicesim.chip.model_file import CORNERS, ModelFile
from spicesim.chip.presets import PRESETS, preset
from spicesim.chip.process import Process
from spicesim.chip.roles import Adc, Array, Cell, Dac, Rails, SenseAmplifier
from spicesim.chip.section import Section

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
    "Rails",
    "Section",
    "SenseAmplifier",
    "format_chip",
    "load_chip",
    "preset",
    "save_chip",
]
