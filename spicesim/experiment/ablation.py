"""Chips with some of their imperfections taken away: what each of them costs can then be told."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.interpolate import PchipInterpolator

from spicesim.behavioural.arrays import Floats
from spicesim.behavioural.cell import CellModel
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.mismatch import DacMismatch, MismatchModel, SenseAmplifierMismatch
from spicesim.behavioural.senseamp import SenseAmplifierModel
from spicesim.calibration.calibration import Calibration
from spicesim.coding import dac_voltages
from spicesim.devices import DeviceModel, ReadNoise, Relaxation
from spicesim.errors import SpecError

__all__ = ["CIRCUIT", "DEVICE", "RANDOM", "SOURCES", "ablate_calibration", "ablate_device", "device_sources"]

CIRCUIT = {
    "input bits": "the DACs' steps",
    "output bits": "the ADCs' steps",
    "drivers": "the DACs' static errors and their droop under load",
    "wires": "resistance of word and bit lines",
    "cells": "nonlinearity of device and access transistor",
    "amplifiers": "gain, offset, input resistance and rails of the sense amplifiers",
}
"""Imperfections of the circuit, by name."""

RANDOM = {
    "mismatch": "differences of drivers, amplifiers and access transistors from chip to chip and block to block",
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

FINE_DAC, FINE_ADC = 12, 16
"""Bits of converters whose steps are taken away: the finest that a chip may have."""
REACH = 4.0
"""Currents that an ideal amplifier takes, over those of the one it stands for."""


def ablate_calibration(calibration: Calibration, sources: Collection[str]) -> Calibration:
    """Return the calibration of a chip that has no imperfections of the circuit but some.

    Parameters
    ----------
    calibration : Calibration
        Of the real chip.
    sources : collection of str
        Of :data:`CIRCUIT`, what to keep; others of :data:`SOURCES` are no matter here.

    Returns
    -------
    Calibration
        With the same range of conductances, and the mismatch of the blocks that it has. Converters without steps have
        12 and 16 bits, so codes differ.

    Raises
    ------
    SpecError
        If a source is unknown.
    """
    _check(sources)
    chip = calibration.chip
    dac_bits = chip.dac.bits if "input bits" in sources else max(FINE_DAC, chip.dac.bits)
    adc_bits = chip.adc.bits if "output bits" in sources else max(FINE_ADC, chip.adc.bits)
    array = {} if "wires" in sources else {"r_word_line": 0.0, "r_bit_line": 0.0}
    changes = {"chip": chip.changed(dac={"bits": dac_bits}, adc={"bits": adc_bits}, array=array)}
    models = {
        "dacs": {
            polarity: _refine_dac(model, dac_bits - chip.dac.bits)
            if "drivers" in sources
            else _ideal_dac(model, dac_bits, chip.dac.v_span)
            for polarity, model in calibration.dacs.items()
        },
        "cell": calibration.cell if "cells" in sources else _linear_cell(calibration.cell),
        "senseamps": calibration.senseamps
        if "amplifiers" in sources
        else tuple(map(_ideal_senseamp, calibration.senseamps)),
    }
    changed = calibration.model_copy(update=changes | models)
    if calibration.mismatch is None:
        return changed
    return changed.model_copy(
        update={"mismatch": _carry_over(calibration.mismatch, changed, dac_bits - chip.dac.bits, sources)}
    )


def _check(sources: Collection[str]) -> None:
    unknown = [name for name in sources if name not in SOURCES]
    if unknown:
        raise SpecError(f"no imperfection {unknown[0]!r}; there are: {', '.join(SOURCES)}")


def _refine_dac(model: DacModel, bits: int) -> DacModel:
    """Give a driver more codes, evenly between those it has; the last ones go on as those before."""
    if bits == 0:
        return model
    step = 2**bits
    codes, fine = np.arange(len(model.v_open)), np.arange(step * len(model.v_open)) / step
    beyond = np.maximum(fine - codes[-1], 0.0)
    v_open = np.interp(fine, codes, model.v_open) + beyond * (model.v_open[-1] - model.v_open[-2])
    return model.model_copy(update={"v_open": v_open, "knots": tuple(step * knot for knot in model.knots)})


def _ideal_dac(model: DacModel, bits: int, v_span: float) -> DacModel:
    v_open = dac_voltages(np.arange(2**bits), bits, v_span, model.polarity)
    return DacModel(
        polarity=model.polarity, v_open=v_open, knots=(0, 2**bits - 1), i_limit=REACH * model.i_limit,
        droop=np.zeros((2, 3)),
    )  # fmt: skip


class _FineDacMismatch(DacMismatch):
    """The same drivers with more codes, evenly between those they have."""

    finer: int
    """Bits more."""

    def v_open(self, parameters: Floats) -> Floats:
        coarse = DacMismatch.v_open(self, parameters)
        step = 2**self.finer
        codes, fine = np.arange(coarse.shape[1]), np.arange(step * coarse.shape[1]) / step
        return np.stack([np.interp(fine, codes, own) for own in coarse])


def _carry_over(mismatch: MismatchModel, changed: Calibration, finer: int, sources: Collection[str]) -> MismatchModel:
    """Let the blocks of a changed chip differ as those of the real one; seeds draw the same."""
    dacs, senseamps = mismatch.dacs, mismatch.senseamps
    if finer:
        dacs = {
            polarity: _FineDacMismatch(response=model.response, residual=model.residual, finer=finer)
            for polarity, model in dacs.items()
        }
    if "amplifiers" not in sources:
        senseamps = tuple(_widen(model, changed.senseamp(model.r_feedback)) for model in senseamps)
    return mismatch.model_copy(update={"dacs": dacs, "senseamps": senseamps})


def _widen(mismatch: SenseAmplifierMismatch, ideal: SenseAmplifierModel) -> SenseAmplifierMismatch:
    """Let amplifiers without rails differ as real ones do in the middle of their range, whatever the current."""
    reach = 0.5 * float(np.abs(mismatch.currents).max())
    known = np.clip(ideal.currents, -reach, reach)
    components = PchipInterpolator(mismatch.currents, mismatch.components, axis=2)(known)
    return mismatch.model_copy(update={"currents": ideal.currents, "components": components})


def _linear_cell(model: CellModel) -> CellModel:
    """Return a resistor with the cell's conductance at the read voltage."""
    return model.model_copy(
        update={"coefficients": np.ones((1, 1, 1)), "folds": 0, "leakage": 0.0, "g_limits": model.conductance_range}
    )


def _ideal_senseamp(model: SenseAmplifierModel) -> SenseAmplifierModel:
    limit = REACH * model.i_limit
    currents = np.linspace(-limit, limit, len(model.v_in))
    changes = {"i_limit": limit, "v_in": np.zeros_like(currents), "v_out": model.r_feedback * currents}
    return model.model_copy(update=changes)


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
