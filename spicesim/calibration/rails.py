"""Calibrate drivers and amplifiers on rails that have moved: their benches with displaced supplies and references."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spicesim.arrays import Floats
from spicesim.behavioural.dac import DacModel
from spicesim.behavioural.rails import AmplifierRails, DriverRails, RailsModel, ReferenceBuffers, powers
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.calibration.bias import bias_current, bias_netlist
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.heldout import HeldOut
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.dac import build_dac
from spicesim.netlist.impedance import GROUND, displaced
from spicesim.netlist.netlist import Netlist
from spicesim.netlist.reference import build_references, reference_guesses
from spicesim.netlist.sense_amplifier import build_sense_amplifier
from spicesim.ngspice.outcome import Results
from spicesim.units import format_si

__all__ = ["calibrate_rails", "require_followed"]

_CORNERS = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.5), (0.0, 1.0), (1.0, 1.0))
"""Supplies of the fit, over their reach: as many as there are terms."""
_HELD_OUT = ((0.37, 0.71), (0.83, 0.22))
_LEAST = 0.02
"""Reach of supplies without an impedance [V]: what they are then is not asked."""
_ROOM = 1.15
"""Reach over what all blocks of a whole array draw when all of its cells are on at full inputs."""
_LOADS, _CHECKED_LOADS = 33, 9
_KNOTS, _CHECKED_KNOTS = 5, 7
"""Steps of codes at which a driver is loaded."""
_REFERENCE = 5e-3
"""Displacement of a reference [V]; drivers are linear in them."""
_KNEE = 0.5
"""Outputs over full scale from which an amplifier's tables go along with the supply of that side."""
_BUFFER_LOADS, _CHECKED_BUFFER = 129, 37
"""Currents of the tables of reference buffers: from none to those of all ladders, each at the code that takes most."""
_BUFFER_ROOM = 1.05
_MOST_MOVED = 0.02
"""Of the span of inputs: buffers of references that move further are none."""
_MOST = 0.4
"""Of the supply: blocks that lose more are none."""


def require_followed(chip: Chip) -> None:
    """Refuse impedances of rails where their effect on blocks is not known.

    Raises
    ------
    SpecError
        If drivers are no ladders, lines are not held by amplifiers, or converters are real, which load the rails, too.
    """
    wrong = {
        f"dac.kind = {chip.dac.kind}": chip.dac.kind != "r2r",
        f"sense_amplifier.kind = {chip.sense_amplifier.kind}": chip.sense_amplifier.kind != "tia",
        f"adc.kind = {chip.adc.kind}": chip.adc.kind != "ideal",
    }
    for what, is_so in wrong.items():
        if is_so and not chip.rails.are_ideal:
            raise SpecError(
                "impedances of rails are followed for dac.kind = r2r, sense_amplifier.kind = tia and adc.kind = ideal, "
                f"and this chip has {what}; leave the section rails out"
            )


def calibrate_rails(
    chip: Chip, dacs: Mapping[Polarity, DacModel], senseamps: Sequence[SenseAmplifierModel], campaign: Campaign
) -> tuple[RailsModel, dict[str, HeldOut]]:
    """Find what displaced rails make of drivers and amplifiers, and what these draw from them.

    Supplies are moved by as much as all blocks of a whole array draw, together and one by one.

    Returns
    -------
    model : RailsModel
        The model.
    held_out : dict of str to HeldOut
        Outputs and inputs between the supplies of the fit.
    """
    benches: dict[str, Netlist] = {f"dac {polarity}": _loaded(chip, dac) for polarity, dac in dacs.items()}
    benches |= {f"tia {model.r_feedback}": _amplifier(chip, model) for model in senseamps}
    rest = _run(campaign, benches)
    reach = _find_reach(chip, rest)
    netlists: dict[str, Netlist] = {}
    benches |= {f"open {polarity}": build_dac(chip, polarity) for polarity in dacs}
    for name, bench in benches.items():
        for k, moved in enumerate(_CORNERS):
            netlists[f"{name} {k}"] = displaced(bench, _volts(moved, reach))
    for name, bench in benches.items():
        for k, moved in enumerate(_HELD_OUT) if name.startswith("tia") else ():
            netlists[f"{name} held out {k}"] = displaced(bench, _volts(moved, reach))
    for polarity, dac in dacs.items():
        for name in ("vhi", "vlo"):
            netlists[f"{name} {polarity}"] = displaced(benches[f"open {polarity}"], {name: _REFERENCE})
        for k, moved in enumerate((*_HELD_OUT, _CORNERS[0])):
            checked = _loaded(chip, dac, _CHECKED_LOADS, _CHECKED_KNOTS)
            netlists[f"dac {polarity} held out {k}"] = displaced(checked, _volts(moved, reach))
    netlists = {name: _with_reference(netlist) for name, netlist in netlists.items()}
    found = _run(campaign, netlists)
    drivers = {polarity: _fit_driver(chip, dac, found) for polarity, dac in dacs.items()}
    ideal = chip.process.resistor is None
    amplifiers = tuple(_fit_amplifier(model, found, reach, ideal=ideal) for model in senseamps)
    bias = None
    if chip.bias.is_mirrored:
        bias = bias_current(_run(campaign, {"bias": bias_netlist(chip)})["bias"])
    references, held_out = _fit_references(chip, drivers, campaign) if chip.rails.are_buffered else (None, {})
    model = RailsModel(reach=reach, drivers=drivers, amplifiers=amplifiers, bias=bias, references=references)
    for polarity, dac in dacs.items():
        held_out[f"DAC on moved rails, {polarity}"] = _check_driver(chip, dac, drivers[polarity], found)
    for amplifier, senseamp in zip(amplifiers, senseamps, strict=True):
        held_out[f"TIA on moved rails, {senseamp.r_feedback / 1e3:g} kohm"] = _check_amplifier(
            senseamp, amplifier, found, reach
        )
    return model, held_out


def _run(campaign: Campaign, netlists: dict[str, Netlist]) -> dict[str, Results]:
    return dict(zip(netlists, campaign.run(list(netlists.values()), "calibrate rails"), strict=True))


def _loaded(chip: Chip, dac: DacModel, loads: int = _LOADS, knots: int = _KNOTS) -> Netlist:
    step = max(1, (len(dac.v_open) - 1) // knots)
    return build_dac(chip, dac.polarity, i_limit=dac.i_limit, load_points=loads, code_step=step)


def _amplifier(chip: Chip, model: SenseAmplifierModel) -> Netlist:
    return build_sense_amplifier(chip, model.r_feedback, model.i_limit, len(model.v_in))


def _with_reference(netlist: Netlist) -> Netlist:
    """Probe what the upper reference of a driver gives."""
    return netlist if "v(code)" not in netlist.probes else replace(netlist, probes=(*netlist.probes, "i(vhi)"))


def _volts(moved: tuple[float, float], reach: tuple[float, float]) -> dict[str, float]:
    """Return the displacements of the sources for supplies that have moved by parts of their reach [V]."""
    return {"vdd": -moved[0] * reach[0], GROUND: moved[1] * reach[1]}


def _terms(moved: Sequence[tuple[float, float]]) -> Floats:
    parts = np.array(moved)
    return powers(parts[:, 0], parts[:, 1])


def _real(results: Results, name: str) -> Floats:
    return np.asarray(results[0].vectors[name].real, dtype=float)


def _find_reach(chip: Chip, rest: dict[str, Results]) -> tuple[float, float]:
    """Return how far the supplies of a whole array move at most [V]."""
    drivers, amplifiers = 0.0, 0.0
    for name, found in rest.items():
        amperes = -_real(found, "i(vdd)")
        if name.startswith("dac"):  # loads go to twice those of full inputs
            drivers = max(drivers, float(amperes.reshape(-1, _LOADS)[:, _LOADS // 4 : -(_LOADS // 4)].max()))
        else:
            amplifiers = max(amplifiers, float(amperes.max()))
    drawn = _ROOM * (chip.array.rows * drivers + chip.array.columns * amplifiers)
    fall, rise = (max(_LEAST, ohm * drawn) for ohm in (chip.rails.r_supply, chip.rails.r_ground))
    if fall + rise > _MOST * chip.process.supply:
        raise SpecError(
            f"{chip.array.rows} drivers and {chip.array.columns} amplifiers draw up to {format_si(drawn, 'A')}, with "
            f"which the supply would fall by {format_si(fall + rise, 'V')}; lower rails.r_supply and rails.r_ground"
        )
    return fall, rise


def _fit_references(
    chip: Chip, drivers: Mapping[Polarity, DriverRails], campaign: Campaign
) -> tuple[dict[Polarity, ReferenceBuffers], dict[str, HeldOut]]:
    """Load the buffers of references by up to what the ladders of a whole array take, and check between.

    Raises
    ------
    SpecError
        If the buffers cannot carry it.
    """
    netlists: dict[str, Netlist] = {}
    limits = {name: _BUFFER_ROOM * chip.array.rows * float(driver.ladder.max()) for name, driver in drivers.items()}
    for name, limit in limits.items():
        apart = limit / (_BUFFER_LOADS - 1)
        netlists[name] = build_references(chip, name, 0.0, limit, _BUFFER_LOADS)
        netlists[f"{name} held out"] = build_references(chip, name, 0.37 * apart, limit - 0.41 * apart, _CHECKED_BUFFER)
    found = _run(campaign, netlists)
    models: dict[Polarity, ReferenceBuffers] = {}
    held_out = {}
    for name, limit in limits.items():
        moved, power = _moved_references(chip, name, found[name], np.linspace(0.0, limit, _BUFFER_LOADS))
        most = float(np.abs(moved).max())
        if most > _MOST_MOVED * chip.dac.v_span:
            raise SpecError(
                f"the ladders of {chip.array.rows} rows take up to {format_si(limit, 'A')} of their {name} references, "
                f"with which buffers of rails.reference_drive = {chip.rails.reference_drive:g} move them by "
                f"{format_si(most, 'V')}, over {100 * _MOST_MOVED:g} % of dac.v_span; raise rails.reference_drive or "
                "dac.r_unit, or take fewer rows"
            )
        models[name] = ReferenceBuffers(i_limit=limit, fall=moved[0], rise=moved[1], power=power)
        apart = limit / (_BUFFER_LOADS - 1)
        loads = np.linspace(0.37 * apart, limit - 0.41 * apart, _CHECKED_BUFFER)
        measured, _ = _moved_references(chip, name, found[f"{name} held out"], loads)
        fall, rise, _ = models[name].at(loads)
        held_out[f"buffers of references, {name}"] = HeldOut(
            unit="V", full_scale=chip.dac.v_span, measured=measured.ravel(), predicted=np.concatenate([fall, rise]),
            coordinates={"load [A]": np.tile(loads, 2), "reference": np.repeat([1.0, 0.0], len(loads))},
        )  # fmt: skip
    return models, held_out


def _moved_references(chip: Chip, polarity: Polarity, results: Results, loads: Floats) -> tuple[Floats, Floats]:
    """Return fall of the upper and rise of the lower reference, (2, loads) [V], and what buffers dissipate [W]."""
    wanted = reference_guesses(chip, polarity)
    high, low = (_real(results, f"v({node})") for node in ("vhi", "vlo"))
    power = -chip.process.supply * _real(results, "i(vdd)") - (high - low) * loads
    return np.stack([wanted["vhi"] - high, low - wanted["vlo"]]), power


def _fit_driver(chip: Chip, dac: DacModel, found: dict[str, Results]) -> DriverRails:
    name, inverse = dac.polarity, np.linalg.inv(_terms(_CORNERS))
    codes = np.rint(_real(found[f"dac {name} 0"], "v(code)"))
    knots = np.unique(codes).astype(int)
    shape = (len(_CORNERS), len(knots), _LOADS)
    volts, amperes = (
        np.stack([_real(found[f"dac {name} {k}"], probe) for k in range(len(_CORNERS))]).reshape(shape)
        for probe in ("v(out)", "i(vdd)")
    )
    opened = np.stack([_real(found[f"open {name} {k}"], "v(out)") for k in range(len(_CORNERS))])
    high, low = (_real(found[f"{word} {name}"], "v(out)") for word in ("vhi", "vlo"))
    moved = volts - volts[0]
    return DriverRails(
        polarity=name,
        span=chip.dac.v_span * (2 if name == "bipolar" else 1),
        knots=tuple(int(k) for k in knots),
        i_limit=dac.i_limit,
        shift_open=inverse @ (opened - opened[0]),
        shift=np.tensordot(inverse, moved - moved[:, :, _LOADS // 2, None], 1),
        supply=np.tensordot(inverse, -amperes, 1),
        ladder=-_real(found[f"open {name} 0"], "i(vhi)"),
        of_high=(high - opened[0]) / _REFERENCE,
        of_low=(low - opened[0]) / _REFERENCE,
    )


def _check_driver(chip: Chip, dac: DacModel, driver: DriverRails, found: dict[str, Results]) -> HeldOut:
    """Compare outputs between the supplies of the fit, and between its codes."""
    name = f"dac {dac.polarity} held out"
    rest = found[f"{name} {len(_HELD_OUT)}"]
    codes = np.rint(_real(rest, "v(code)")).astype(int)
    loads = np.tile(np.linspace(-dac.i_limit, dac.i_limit, _CHECKED_LOADS), len(codes) // _CHECKED_LOADS)
    measured, predicted = [], []
    for k, terms in enumerate(_terms(_HELD_OUT)):
        shift, _ = driver.at(codes[None], loads[None], terms[None])
        measured.append(_real(found[f"{name} {k}"], "v(out)") - _real(rest, "v(out)"))
        predicted.append(shift[0])
    parts = np.repeat(np.array(_HELD_OUT), len(codes), axis=0)
    return HeldOut(
        unit="V", full_scale=chip.dac.v_span, measured=np.concatenate(measured), predicted=np.concatenate(predicted),
        coordinates={
            "code": np.tile(codes, len(_HELD_OUT)), "load [A]": np.tile(loads, len(_HELD_OUT)),
            "fall of the supply": parts[:, 0], "rise of the ground": parts[:, 1],
        },
    )  # fmt: skip


def _fit_amplifier(
    model: SenseAmplifierModel, found: dict[str, Results], reach: tuple[float, float], *, ideal: bool
) -> AmplifierRails:
    currents, reference = model.currents, _real(found[f"tia {model.r_feedback} 0"], "v(vref)")
    inverse, nothing = np.linalg.inv(_terms(_CORNERS)), np.zeros((len(_CORNERS), len(currents)))
    rails = AmplifierRails(
        r_feedback=model.r_feedback, r_process=None if ideal else model.feedback, i_limit=model.i_limit,
        knee=_KNEE * model.full_scale / model.r_feedback,
        shift=nothing, supply=nothing,
    )  # fmt: skip
    shifts, supplies = [], []
    for k, (fall, rise) in enumerate(_CORNERS):
        results = found[f"tia {model.r_feedback} {k}"]
        at = rails.framed(currents, fall * reach[0], rise * reach[1])
        shift = _real(results, "v(sense)") - reference - model.ports.evaluate(at)[0]
        # what is found at a current is asked for by the current that it is framed to
        shifts.append(np.interp(currents, at, shift))
        supplies.append(np.interp(currents, at, -_real(results, "i(vdd)")))
    return rails.model_copy(update={"shift": inverse @ np.stack(shifts), "supply": inverse @ np.stack(supplies)})


def _check_amplifier(
    model: SenseAmplifierModel, rails: AmplifierRails, found: dict[str, Results], reach: tuple[float, float]
) -> HeldOut:
    """Compare outputs between the supplies of the fit, at its currents."""
    currents, measured, predicted = model.currents, [], []
    for k, (fall, rise) in enumerate(_HELD_OUT):
        results = found[f"tia {model.r_feedback} held out {k}"]
        at = rails.framed(currents, fall * reach[0], rise * reach[1])
        inputs = model.ports.evaluate(at)[0] + rails.added(at[None], _terms([(fall, rise)]))[0]
        measured.append(_real(results, "v(vref)") - _real(results, "v(out)"))
        predicted.append(rails.feedback * currents - inputs)
    parts = np.repeat(np.array(_HELD_OUT), len(currents), axis=0)
    return HeldOut(
        unit="V", full_scale=model.full_scale, measured=np.concatenate(measured), predicted=np.concatenate(predicted),
        coordinates={
            "current [A]": np.tile(currents, len(_HELD_OUT)),
            "fall of the supply": parts[:, 0], "rise of the ground": parts[:, 1],
        },
    )  # fmt: skip
