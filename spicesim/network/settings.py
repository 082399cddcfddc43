"""Settings of all layers as plain arrays: to be kept in a file, and taken from one that anybody wrote."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import numpy as np
from pydantic import Field, ValidationError

from spicesim.arrays import Array
from spicesim.behavioural.arrays import Model
from spicesim.calibration.calibration import Calibration
from spicesim.chip import Chip
from spicesim.coding import AdcRange, Polarity
from spicesim.errors import NetworkError, SpecError
from spicesim.fast.numbers import take
from spicesim.files import write_bytes
from spicesim.network.gains import GAIN_LIMITS, Gains
from spicesim.network.layer import AnalogLayer
from spicesim.network.pulses import Digits, choose_pulses
from spicesim.network.ranges import AdcFit, InputScale, LayerRanges
from spicesim.network.uncalibrated import UncalibratedChip
from spicesim.provenance import now, versions

__all__ = ["FitWords", "Settings", "pack_settings", "unpack_settings", "write_settings"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class FitWords(TypedDict):
    """How ranges are fitted, as :meth:`AnalogLayer.fit` takes it."""

    scaling: InputScale
    adc_fit: AdcFit
    input_digit: int | None
    converter: type[AdcRange]


class _Layer(Model):
    """What was fitted of a layer's ranges; all else follows from the chip and the options."""

    polarity: Polarity
    input_scale: Positive
    r_feedback: Positive
    low: Finite
    high: Finite
    drive: Positive
    height: Annotated[int, Field(ge=0)]
    smoothing: tuple[Positive, ...]
    span: Positive | None = None


class _Document(Model):
    """What is no array."""

    schema_version: Literal[1] = 1
    subject: str
    layers: tuple[_Layer, ...]
    range_notes: tuple[str, ...]
    gain_notes: tuple[str, ...]
    left_out: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """Ranges, gains, and what is to be said about them."""

    ranges: tuple[LayerRanges, ...]
    """Of every layer."""
    gains: tuple[tuple[Gains, ...], ...] | None
    """Of every layer's tiles, if any were fitted."""
    range_notes: tuple[str, ...]
    """How ranges were fitted."""
    gain_notes: tuple[str, ...]
    """How gains were."""


def pack_settings(settings: Settings, subject: str) -> dict[str, Array]:
    """Return arrays of numbers.

    Parameters
    ----------
    settings : Settings
        The settings.
    subject : str
        Hash of what they are for.

    Returns
    -------
    dict of str to ndarray
        "document", JSON as bytes, and of gains "gain" and "offset", all tiles' one after the other.
    """
    gains = settings.gains
    layers = tuple(
        _Layer(
            polarity=own.polarity, input_scale=own.input_scale, r_feedback=own.r_feedback, low=own.adc.low,
            high=own.adc.high, drive=own.drive, height=own.pulses.height if isinstance(own.pulses, Digits) else 0,
            smoothing=own.smoothing, span=own.span,
        )
        for own in settings.ranges
    )  # fmt: skip
    document = _Document(
        subject=subject, layers=layers, range_notes=settings.range_notes, gain_notes=settings.gain_notes,
        left_out=None if gains is None else tuple(tuple(own.left_out for own in tiles) for tiles in gains),
    )  # fmt: skip
    packed: dict[str, Array] = {"document": np.frombuffer(document.model_dump_json().encode(), np.uint8)}
    if gains is not None:
        every = [own for tiles in gains for own in tiles]
        packed |= {"gain": np.concatenate([own.gain for own in every])}
        packed |= {"offset": np.concatenate([own.offset for own in every])}
    return packed


def write_settings(path: str | Path, packed: Mapping[str, Array], calibration: Calibration | UncalibratedChip) -> None:
    """Write settings to a .npz file, with the chip, the calibration and the versions they were fitted by.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    about = {"chip": calibration.chip.hash, "calibration": calibration.hash, "made": now(), "versions": versions()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, provenance=np.frombuffer(json.dumps(about).encode(), np.uint8), **packed)
    write_bytes(path, buffer.getvalue())


def unpack_settings(
    packed: Mapping[str, Array], subject: str, layers: Sequence[AnalogLayer], chip: Chip, words: FitWords
) -> Settings:
    """Return the settings that arrays hold.

    Parameters
    ----------
    packed : mapping of str to ndarray
        As :func:`pack_settings` returned them.
    subject : str
        Hash of what they shall be for.
    layers : sequence of AnalogLayer
        The layers they are for.
    chip : Chip
        The chip.
    words : FitWords
        How ranges are fitted.

    Raises
    ------
    NetworkError
        If they are no settings, or those of something else.
    """
    try:
        document = _Document.model_validate_json(packed["document"].tobytes())
    except (KeyError, ValidationError, AttributeError):
        raise NetworkError("these are no settings of a network; fit them, and save them again") from None
    if document.subject != subject:
        raise NetworkError("these are settings of another network, chip or mapping; fit them, and save them again")
    if len(document.layers) != len(layers):
        raise NetworkError(f"these are settings of {len(document.layers)} layers, not of {len(layers)}; fit them again")
    ranges = tuple(_ranges(own, layer, chip, words) for own, layer in zip(document.layers, layers, strict=True))
    gains = None if document.left_out is None else _gains(packed, document.left_out, layers)
    return Settings(ranges=ranges, gains=gains, range_notes=document.range_notes, gain_notes=document.gain_notes)


def _ranges(own: _Layer, layer: AnalogLayer, chip: Chip, words: FitWords) -> LayerRanges:
    is_other_span = own.span is not None and own.span not in (chip.sar_adc.dac.span, *chip.sar_adc.spans)
    is_other_setting = own.r_feedback not in chip.settings or not own.low < own.high
    if is_other_span or is_other_setting or len(own.smoothing) not in (0, layer.node.rows):
        raise NetworkError(f"the settings of {layer.name!r} are none of the chip's; fit them again")
    pulses = choose_pulses(chip, words["input_digit"], own.polarity)
    if isinstance(pulses, Digits):
        if not 1 <= own.height <= pulses.height:
            raise NetworkError(f"the settings of {layer.name!r} are none of the chip's; fit them again")
        pulses = Digits(digit=pulses.digit, height=own.height)
    ranges = LayerRanges(
        polarity=own.polarity, input_scale=own.input_scale, r_feedback=own.r_feedback,
        adc=AdcRange(low=own.low, high=own.high, bits=chip.adc.bits), drive=own.drive, scaling=words["scaling"],
        adc_fit=words["adc_fit"], pulses=pulses, smoothing=own.smoothing, span=own.span,
    )  # fmt: skip
    return layer.converted(ranges, words["converter"])


def _gains(
    packed: Mapping[str, Array], left_out: tuple[tuple[int, ...], ...], layers: Sequence[AnalogLayer]
) -> tuple[tuple[Gains, ...], ...]:
    sizes = [[mapped.weights.shape[1] for mapped in layer.mapped] for layer in layers]
    try:
        gain, offset = (take(packed, name, (sum(map(sum, sizes)),)) for name in ("gain", "offset"))
    except SpecError:
        gain = offset = np.zeros(0)
    is_sound = len(gain) and gain.min() >= GAIN_LIMITS[0] and gain.max() <= GAIN_LIMITS[1]
    if not is_sound or [len(tiles) for tiles in left_out] != [len(tiles) for tiles in sizes]:
        raise NetworkError("the gains are not those of the network's tiles; fit them, and save them again")
    ends = np.cumsum([size for tiles in sizes for size in tiles])[:-1]
    places = zip(np.split(gain, ends), np.split(offset, ends), strict=True)
    return tuple(
        tuple(Gains(gain=own, offset=shift, left_out=count) for count, (own, shift) in zip(tiles, places, strict=False))
        for tiles in left_out
    )
