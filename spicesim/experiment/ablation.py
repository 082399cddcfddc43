"""Chips with some of their imperfections taken away: what each of them costs can then be told."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from spicesim.arrays import Floats
from spicesim.calibration.calibration import Calibration
from spicesim.chip import Rails
from spicesim.devices import DeviceModel, ReadNoise, Relaxation
from spicesim.errors import SpecError

__all__ = [
    "CIRCUIT",
    "DEVICE",
    "RANDOM",
    "SOURCES",
    "ablate_calibration",
    "ablate_device",
    "circuit_sources",
    "device_sources",
    "mismatch_sources",
]

CIRCUIT = {
    "input bits": "the DACs' steps",
    "output bits": "the ADCs' steps",
    "converters": "what calibrated ADCs do other than ideal ones of their bits and range, and what they receive",
    "drivers": "the DACs' static errors and their droop under load",
    "wires": "resistance of word and bit lines",
    "cells": "nonlinearity of device and access transistor",
    "amplifiers": "gain, offset, input resistance and rails of sense amplifiers or integrators",
    "rails": "impedances of supply, ground and references, or buffers of these, which the blocks of a tile share",
    "hold switches": "charge of the switches that sample floating lines and add planes, and what has not settled",
    "early sampling": "what outputs lack of where they settle when they are sampled",
}
"""Imperfections of the circuit, by name."""

RANDOM = {
    "array mismatch": "differences of drivers and access transistors from chip to chip and block to block",
    "read-out mismatch": "the same of what reads the lines: offsets and gains of amplifiers, integrators or switches",
    "converter mismatch": "the same of calibrated ADCs: thresholds of their comparators, and their capacitors",
    "circuit noise": "noise of amplifiers, resistors, cells and drivers in each sample",
}
"""Imperfections of the circuit that are drawn by seed, by name."""

DEVICE = {
    "programming": "what write-verify leaves",
    "faults": "stuck cells",
    "read noise": "noise of each read",
    "drift": "change of conductances with time, after compensation if there is any",
}
"""Imperfections of real devices, by name."""

SOURCES = CIRCUIT | RANDOM | DEVICE
"""All imperfections that can be taken away."""

FINE_DAC = 12
"""Bits of DACs whose steps are taken away: the finest that a chip may have."""


def ablate_calibration(calibration: Calibration, sources: Collection[str]) -> Calibration:
    """Return the calibration of a chip that has no imperfections of the circuit but some.

    Parameters
    ----------
    calibration : Calibration
        Of the real chip.
    sources : collection of str
        Of :data:`CIRCUIT` and :data:`RANDOM`, what to keep; others of :data:`SOURCES`, and when outputs are sampled,
        are no matter here, nor what is told of converters: see :class:`spicesim.engine.parts.PartialConverterEngine`.

    Returns
    -------
    Calibration
        With the same range of conductances. DACs without steps have 12 bits, so codes differ.

    Raises
    ------
    SpecError
        If a source is unknown.
    """
    _check(sources)
    chip = calibration.chip
    dac_bits = chip.dac.bits if "input bits" in sources else max(FINE_DAC, chip.dac.bits)
    array = {} if "wires" in sources else {"r_word_line": 0.0, "r_bit_line": 0.0}
    unit = chip.dac.unit * 2.0 ** (chip.dac.bits - dac_bits)  # pulses of more steps are as long
    held = {} if "amplifiers" in sources else {"r_input": 0.0}  # ideal integrators hold their lines
    wanted = chip.changed(
        dac={"bits": dac_bits, "unit": unit}, array=array,
        integrator=held if chip.sense_amplifier.kind == "integrator" else {},
        rails={} if "rails" in sources else Rails().model_dump() | {"references": "ideal"},
    )  # fmt: skip
    finer = wanted.dac.level_bits - chip.dac.level_bits
    changes: dict[str, Any] = {"chip": wanted}
    if calibration.converter is not None and "amplifiers" not in sources:  # ideal ones drive any array
        changes["converter"] = calibration.converter.model_copy(update={"hand_over": None})
    models: dict[str, Any] = {
        "dacs": {
            polarity: model.refined(finer) if "drivers" in sources else model.ideal(wanted.dac)
            for polarity, model in calibration.dacs.items()
        },
        "cell": calibration.cell if "cells" in sources else calibration.cell.ideal(),
        "senseamps": calibration.senseamps
        if "amplifiers" in sources
        else tuple(model.ideal() for model in calibration.senseamps),
    }
    if calibration.rails is not None:
        models["rails"] = calibration.rails.refined(finer)
    if calibration.hold is not None:
        hold = calibration.hold if "hold switches" in sources else calibration.hold.ideal()
        models["hold"] = (
            hold
            if hold.adder is None
            else hold.model_copy(update={"adder": hold.adder.model_copy(update={"bits": dac_bits})})
        )
    if calibration.integrator is not None:
        finer_pulses = calibration.integrator.refined(wanted.dac.bits)
        models["integrator"] = finer_pulses if "amplifiers" in sources else finer_pulses.ideal()
    changed = calibration.model_copy(update=changes | models)
    if calibration.mismatch is None:
        return changed
    # the blocks of the changed chip differ as those of the real one; seeds draw the same
    mismatch = calibration.mismatch.refined(finer).within(
        array="array mismatch" in sources, readouts="read-out mismatch" in sources
    )
    if "amplifiers" not in sources:
        mismatch = mismatch.widened(changed.senseamps)  # integrators' tables go on as flat as they end
    return changed.model_copy(update={"mismatch": mismatch})


def _check(sources: Collection[str]) -> None:
    unknown = [name for name in sources if name not in SOURCES]
    if unknown:
        raise SpecError(f"no imperfection {unknown[0]!r}; there are: {', '.join(SOURCES)}")


def circuit_sources(calibration: Calibration) -> tuple[str, ...]:
    """Return which of :data:`CIRCUIT` a chip may have."""
    floats = calibration.hold is not None
    lacks = {
        "converters": calibration.converter is None,
        "amplifiers": floats,
        "hold switches": not floats,
        "rails": calibration.chip.rails.are_ideal,
    }
    return tuple(name for name in CIRCUIT if not lacks.get(name))


def mismatch_sources(calibration: Calibration) -> tuple[str, ...]:
    """Return which of :data:`RANDOM` a drawn chip has by the differences of its blocks."""
    ideal = calibration.converter is None
    return tuple(name for name in RANDOM if "mismatch" in name and not (ideal and name == "converter mismatch"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widening(Relaxation):
    """What time alone adds to the deviation that was there after programming."""

    def sigma(self, x: Floats, time: float) -> Floats:
        later, first = Relaxation.sigma(self, x, time), Relaxation.sigma(self, x, 0.0)
        return np.asarray(np.sqrt(np.maximum(later**2 - first**2, 0.0)))


def _read_later(wanted: Floats, x: Floats, _: float, *, read: ReadNoise, time: float) -> Floats:
    """Return the read noise of a time, whenever it is asked for."""
    return read(wanted, x, time)


def device_sources(model: DeviceModel, time: float) -> tuple[str, ...]:
    """Return which of :data:`DEVICE` devices have at a time after programming [s]."""
    has = {
        "programming": bool(model.programming or model.pulses or model.relaxation),
        "faults": model.stuck_low + model.stuck_high > 0,
        "read noise": model.read is not None,
        "drift": time > 0 and (model.drift is not None or model.relaxation is not None),
    }
    return tuple(name for name in DEVICE if has[name])


def ablate_device(model: DeviceModel, time: float, sources: Collection[str]) -> DeviceModel | None:
    """Return devices, to be used `time` after programming [s], without their imperfections but some.

    The draws of what is kept are the same. Read noise is that of the given time even if drift is taken away, but of
    the conductances as they then are.

    Parameters
    ----------
    model : DeviceModel
        The real devices.
    time : float
        When they are used [s].
    sources : collection of str
        Of :data:`DEVICE`, what to keep; others of :data:`SOURCES` are no matter here.

    Returns
    -------
    DeviceModel or None
        None if nothing is left. Without drift it is the same at any time.

    Raises
    ------
    SpecError
        If a source is unknown.
    """
    _check(sources)
    kept = set(sources) & set(device_sources(model, time))
    if not kept:
        return None
    relaxation, read = model.relaxation, model.read
    if relaxation is not None and "drift" not in kept:
        first = relaxation.coefficients[0]
        relaxation = Relaxation(times=relaxation.times, coefficients=(first,) * len(relaxation.times))
    if relaxation is not None and "programming" not in kept:
        relaxation = _Widening(times=relaxation.times, coefficients=relaxation.coefficients)
    if read is not None and "read noise" not in kept:
        read = None
    elif read is not None and "drift" not in kept:
        read = partial(_read_later, read=read, time=time)
    return replace(
        model,
        programming=model.programming if "programming" in kept else (),
        pulses=model.pulses if "programming" in kept else None,
        relaxation=relaxation if {"programming", "drift"} & kept else None,
        drift=model.drift if "drift" in kept else None,
        read=read,
        stuck_low=model.stuck_low if "faults" in kept else 0.0,
        stuck_high=model.stuck_high if "faults" in kept else 0.0,
    )
