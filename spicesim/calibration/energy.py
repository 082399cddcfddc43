"""Calibrate what the blocks draw from their supplies: from sweeps at rest, steps of codes and currents, conversions."""

import dataclasses
import math

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.energy import AdcEnergy, AmplifierEnergy, DacEnergy, EnergyModel
from spicesim.calibration.bias import bias_current, bias_netlist
from spicesim.calibration.calibration import Calibration
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.converters import find_converter
from spicesim.calibration.integrator_energy import (
    fit_integrator_energy,
    integrator_energy_netlists,
    integrator_switching,
)
from spicesim.chip import Chip
from spicesim.chip.blocks import MOST_SAR_BITS, SarAdc
from spicesim.coding import Polarity
from spicesim.netlist.buffer import build_buffers
from spicesim.netlist.dac import build_dac
from spicesim.netlist.gates import build_gate_steps
from spicesim.netlist.hold import build_hold_cycle
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.netlist.step import STEP_TIME
from spicesim.netlist.step_benches import build_current_steps, build_dac_steps
from spicesim.ngspice.outcome import Results

__all__ = [
    "calibrate_adc_energy",
    "calibrate_energy",
    "conversion_inputs",
    "logic_power",
    "mean_conversion",
    "step_sources",
    "supply_power",
    "tile_sources",
]

_LOADS, _KNOTS = 129, 3
_CONVERSIONS = 8
_BUFFERS = 5


def calibrate_energy(calibration: Calibration, campaign: Campaign) -> EnergyModel:
    """Find the energies of all blocks of a chip."""
    chip = calibration.chip
    r_feedback = [model.r_feedback for model in calibration.senseamps]
    bits = range(chip.dac.level_bits)
    toggles = [(0, 1 << k) for k in bits] + [(1 << k, 0) for k in bits]
    limit = {r: calibration.senseamp(r).i_limit for r in r_feedback}
    swings = {r: 0.5 * calibration.linear_swing(r) / r for r in r_feedback}
    netlists: dict[str, Netlist] = {}
    if chip.cell.is_gated:
        netlists["gates"] = build_gate_steps(chip)
    for polarity in () if chip.cell.is_gated else chip.polarities:
        load = {"i_limit": calibration.dacs[polarity].i_limit, "load_points": _LOADS}
        step = max(1, (2**chip.dac.level_bits - 1) // (_KNOTS - 1))
        netlists[f"open {polarity}"] = _with_references(build_dac(chip, polarity))
        netlists[f"loaded {polarity}"] = _with_references(build_dac(chip, polarity, code_step=step, **load))  # type: ignore[arg-type]
        netlists[f"toggles {polarity}"] = build_dac_steps(chip, polarity, toggles, stop=60e-9)
    for r in r_feedback:
        points = 2 * math.ceil(limit[r] * r / 5e-3) + 1
        netlists[f"rest {r}"] = build_sense_amplifier(chip, r, limit[r], points)
        netlists[f"swing {r}"] = build_current_steps(chip, r, [(0.0, swings[r]), (swings[r], 0.0)], stop=0.5e-6)
    if calibration.hold is not None:
        netlists["hold"] = build_hold_cycle(chip)
    if chip.hold.is_buffered:
        netlists["buffer"] = build_buffers(chip, chip.dac.v_span * np.linspace(-1, 1, _BUFFERS))
    if chip.bias.is_mirrored:
        netlists["bias"] = bias_netlist(chip)
    if calibration.integrator is not None:
        netlists |= integrator_energy_netlists(chip, calibration.integrator)
    results = dict(zip(netlists, campaign.run(list(netlists.values()), "calibrate energy"), strict=True))
    return EnergyModel(
        v_reference=chip.sense_amplifier.v_reference,
        dacs={"unipolar": _gates(calibration, results["gates"])}
        if chip.cell.is_gated
        else {polarity: _dac(calibration, polarity, results) for polarity in chip.polarities},
        amplifiers=tuple(
            AmplifierEnergy(
                r_feedback=r,
                i_limit=limit[r],
                power=-chip.process.supply * _real(results[f"rest {r}"], "i(vdd)"),
                charge=_swing_charge(chip, results[f"swing {r}"]),
            )
            for r in r_feedback
        )
        if calibration.integrator is None
        else (fit_integrator_energy(chip, calibration.integrator, results),),
        adc=calibrate_adc_energy(calibration, campaign),
        hold=_switching(calibration, results),
        buffer=_buffer_power(chip, results["buffer"]) if chip.hold.is_buffered else None,
        bias=chip.process.supply * bias_current(results["bias"]) if chip.bias.is_mirrored else None,
    )


def calibrate_adc_energy(calibration: Calibration, campaign: Campaign) -> AdcEnergy | None:
    """Find the energy of a conversion; None of a converter finer than any there is a netlist of.

    Logic of cells is in the testbench, on a supply of its own, so that its part is known by itself.
    """
    chip, sizes = calibration.chip, _adc_sizes(calibration)
    kind = find_converter(chip)
    if kind is not None and chip.converter is None:
        return kind.energy(chip, campaign)
    if sizes is None:
        return None
    netlist = build_sar_adc(chip, conversion_inputs(chip, sizes), sizes)
    return _adc(chip, sizes, campaign.run([netlist], "calibrate energy")[0])


def _buffer_power(chip: Chip, results: Results) -> float:
    """Return what a buffer draws, the mean of voltages over all that it holds [W]."""
    currents = [_real(results, f"i(vdd_{k})")[0] for k in range(_BUFFERS)]
    return -chip.process.supply * float(np.mean(currents))


def _switching(calibration: Calibration, results: dict[str, Results]) -> float | None:
    """Return what switches at the feet of bit lines take in a product [J]; None if there are none."""
    if calibration.integrator is not None:
        return integrator_switching(calibration.chip, calibration.integrator, results)
    return None if calibration.hold is None else _cycle_energy(calibration.chip, results["hold"])


def _cycle_energy(chip: Chip, results: Results) -> float:
    """Return what a hold switch takes to open and close [J]."""
    sources: dict[str, Floats | float] = {
        "vdd": chip.process.supply, "vref": chip.sense_amplifier.v_reference, "vtrack": _real(results, "v(track)"),
    }  # fmt: skip
    if chip.hold.adds_planes:
        sources["vshare"] = _real(results, "v(share)")
    time, power = _real(results, "time"), supply_power(results, sources)
    return float(np.trapezoid(power - power[0], time))


def supply_power(results: Results, sources: dict[str, Floats | float]) -> Floats:
    """Return what sources deliver at each point of an analysis [W].

    Parameters
    ----------
    results : Results
        With the current of every source.
    sources : dict of str to ndarray or float
        Voltage of each source by name [V].
    """
    parts = [-np.asarray(volts) * _real(results, f"i({name})") for name, volts in sources.items()]
    return np.asarray(np.sum(parts, axis=0))


def _real(results: Results, probe: str) -> Floats:
    return np.asarray(results[0].vectors[probe].real, dtype=float)


def _with_references(netlist: Netlist) -> Netlist:
    return dataclasses.replace(netlist, probes=(*netlist.probes, "i(vref)", "i(vlo)", "i(vhi)"))


def step_sources(chip: Chip, time: Floats) -> dict[str, Floats | float]:
    """Return the voltages at some times of the sources that make bits rise and fall, by name [V]."""
    rise = np.clip((time - STEP_TIME) / 0.1e-9 + 0.5, 0.0, 1.0) * chip.process.supply
    return {"vrise": rise, "vfall": chip.process.supply - rise}


def tile_sources(chip: Chip, polarity: Polarity) -> dict[str, Floats | float]:
    """Return the voltages of the sources of a tile, or of a driver alone, by name [V]."""
    if chip.cell.is_gated:
        return {"vdd": chip.process.supply, "vref": chip.sense_amplifier.v_reference, "vread": chip.dac.v_span}
    low = 0.0 if polarity == "unipolar" else -chip.dac.v_span
    return {"vdd": chip.process.supply, "vref": chip.sense_amplifier.v_reference, "vlo": low, "vhi": chip.dac.v_span}


def _dac(calibration: Calibration, polarity: Polarity, results: dict[str, Results]) -> DacEnergy:
    chip = calibration.chip
    sources = tile_sources(chip, polarity)
    open_power = supply_power(results[f"open {polarity}"], sources)
    codes = np.rint(_real(results[f"loaded {polarity}"], "v(code)")).astype(int)
    knots = np.unique(codes)
    loaded = supply_power(results[f"loaded {polarity}"], sources).reshape(len(knots), _LOADS)
    steps = results[f"toggles {polarity}"]
    toggles = [_step_energy(chip, polarity, steps, k) for k in range(2 * chip.dac.level_bits)]
    return DacEnergy(
        power_open=open_power,
        knots=tuple(int(code) for code in knots),
        i_limit=calibration.dacs[polarity].i_limit,
        power_loaded=loaded - loaded[:, _LOADS // 2, None],
        rise=np.array(toggles[: chip.dac.level_bits]),
        fall=np.array(toggles[chip.dac.level_bits :]),
    )


def _gates(calibration: Calibration, results: Results) -> DacEnergy:
    """Return what drivers of gates draw, and what the ideal supply of the word lines delivers in their name."""
    chip, i_limit = calibration.chip, calibration.dacs["unipolar"].i_limit
    time, level = _real(results, "time"), chip.sense_amplifier.v_reference + chip.dac.v_span
    bits, power = step_sources(chip, time), []
    for k in range(2):
        sources: dict[str, Floats | float] = {f"vdd_{k}": chip.process.supply}
        power.append(supply_power(results, sources | {f"{name}_{k}": volts for name, volts in bits.items()}))
    return DacEnergy(
        power_open=np.array([power[0][0], power[1][0]]),
        knots=(0, 1),
        i_limit=i_limit,
        power_loaded=np.tile(level * np.linspace(-i_limit, i_limit, 3), (2, 1)),
        rise=np.array([_beyond_rest(time, power[0])]),
        fall=np.array([_beyond_rest(time, power[1])]),
    )


def _beyond_rest(time: Floats, power: Floats) -> float:
    """Return the energy beyond the power at rest, which changes with the step from the first to the last value [J]."""
    at_rest = power[0] * STEP_TIME + power[-1] * (time[-1] - STEP_TIME)
    return float(np.trapezoid(power, time) - at_rest)


def _step_energy(chip: Chip, polarity: Polarity, results: Results, k: int) -> float:
    time, supply, reference = _real(results, "time"), chip.process.supply, chip.sense_amplifier.v_reference
    low = reference - (chip.dac.v_span if polarity == "bipolar" else 0.0)
    sources: dict[str, Floats | float] = {
        f"vdd_{k}": supply, f"vlo_{k}": low, f"vhi_{k}": reference + chip.dac.v_span,
    }  # fmt: skip
    sources |= {f"{name}_{k}": volts for name, volts in step_sources(chip, time).items()}
    return _beyond_rest(time, supply_power(results, sources))


def _swing_charge(chip: Chip, results: Results) -> float:
    """Return the energy of a swing, the mean of both directions [J/V]."""
    time = _real(results, "time")
    energies = [_beyond_rest(time, supply_power(results, {f"vdd_{k}": chip.process.supply})) for k in range(2)]
    v_out = _real(results, "v(out_0)")
    return float(np.mean(energies) / abs(v_out[-1] - v_out[0]))


def _adc_sizes(calibration: Calibration) -> SarAdc | None:
    if (own := calibration.chip.converter) is not None:
        return own
    bits = calibration.chip.adc.bits
    if bits > MOST_SAR_BITS:
        return None
    widest = max(calibration.readout(setting).full_scale for setting in calibration.chip.settings)
    sizes = calibration.chip.sar_adc
    span = min(2 * widest, 0.5 * calibration.chip.process.supply)
    return sizes.model_copy(update={"dac": sizes.dac.model_copy(update={"bits": bits, "span": span, "errors": ()})})


def conversion_inputs(chip: Chip, sizes: SarAdc) -> Floats:
    """Return inputs of a SAR ADC whose conversions take together what typical ones do, (conversions,) [V].

    What references give goes with the input, and with the one before, whose code the array still has: 8 bits over
    1.6 V take 11 to 21 pJ. So inputs are spread over the range in no order, and the last one comes at the beginning,
    too: each is once what comes and once what was before, and the array ends as it began.
    """
    spread = (np.arange(_CONVERSIONS) + 0.5) / _CONVERSIONS - 0.5
    order = np.random.default_rng(0).permutation(_CONVERSIONS)
    return np.asarray(chip.sense_amplifier.v_reference + sizes.dac.span * spread[[order[-1], *order]])


def mean_conversion(power: Floats, time: Floats, sizes: SarAdc) -> float:
    """Return the energy of the mean conversion of :func:`conversion_inputs` [J].

    Parameters
    ----------
    power : ndarray of shape (points,)
        At each time [W].
    time : ndarray of shape (points,)
        Of a transient of these conversions [s].
    sizes : SarAdc
        What converts.
    """
    parts = np.diff(time) * (power[1:] + power[:-1]) / 2
    first, last = np.interp([sizes.conversion, time[-1]], time, np.concatenate([[0.0], np.cumsum(parts)]))
    return float(last - first) / _CONVERSIONS


def _adc(chip: Chip, sizes: SarAdc, results: Results) -> AdcEnergy:
    half = sizes.dac.span / 2
    reference = chip.sense_amplifier.v_reference
    # the references lie around the common one, which carries what they draw
    power = supply_power(results, {"vdd": chip.process.supply, "v0": reference + half, "v1": reference - half})
    time = _real(results, "time")
    energy, logic, leakage = mean_conversion(power, time, sizes), None, None
    if sizes.logic == "cells":
        drawn = logic_power(chip, results)
        logic, leakage = mean_conversion(drawn, time, sizes), float(drawn[0])
        energy += logic
    return AdcEnergy(
        bits=sizes.dac.bits, energy=energy, time=sizes.conversion, inputs=_CONVERSIONS, logic=logic, leakage=leakage
    )


def logic_power(chip: Chip, results: Results) -> Floats:
    """Return what logic of cells draws, from its supply and from what strobes it, at each point of a transient [W].

    Parameters
    ----------
    chip : Chip
        The chip.
    results : Results
        Of a testbench by :func:`spicesim.netlist.sar_adc.build_sar_adc`; it begins at rest, while the logic is reset.
    """
    inputs = {"bstrobe": _real(results, "v(strobe)"), "vcommand": _real(results, "v(command)")}
    return supply_power(results, {"vdd_logic": chip.process.supply} | inputs)
