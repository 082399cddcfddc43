"""Blocks of one calibration carried to another chip: the same but for its converter's range, its wires and its size.

Blocks are calibrated in a box. Where amplifiers hold the bit lines wires are no part of it: they are linear, solved as
they are on both sides, and what cells see in any array stays within the drivers' span, which the box covers. Hold
switches and integrators hang on columns with their wires, and are carried to no others. Fewer columns load a driver
less and fewer rows add up errors of fewer cells, so blocks of a larger array hold for a smaller one, as well as on the
larger. What whole tiles make of them is checked on the new chip all the same, by fewer vectors, and the larger error of
both chips is claimed.
"""

from collections.abc import Sequence

from pydantic_core import to_jsonable_python

from spicesim.calibration.calibration import Calibration
from spicesim.calibration.plan import PARTS, Plan, plan_calibration
from spicesim.chip import Chip, Section
from spicesim.errors import CalibrationError
from spicesim.netlist.process import model_files
from spicesim.ngspice.batch import ngspice_version
from spicesim.provenance import now
from spicesim.sampling import model_hash

__all__ = ["carry_blocks", "free_keys", "plan_carried"]

FREE = frozenset({"name", "adc.bits", "adc.percentile"})
"""Keys that no block depends on; converters of their own kind are an aspect, which is calibrated anew."""
WIRES = frozenset({"array.r_word_line", "array.r_bit_line", "array.c_word_line", "array.c_bit_line"})
"""Keys that no block at rest depends on; hold switches and integrators are calibrated below columns with wires."""
SMALLER = frozenset({"array.rows", "array.columns"})
"""Keys of which less is within the box."""
BLOCK_STEPS = ("calibrate blocks", "refine blocks")


def changed_keys(before: Section, after: Section, path: str = "") -> list[str]:
    """List the keys whose values differ between two sections of a kind."""
    found = []
    for name in type(before).model_fields:
        own, other = getattr(before, name), getattr(after, name)
        if isinstance(own, Section) and isinstance(other, Section):
            found += changed_keys(own, other, f"{path}{name}.")
        elif to_jsonable_python(own) != to_jsonable_python(other):
            found.append(f"{path}{name}")
    return found


def free_keys(chip: Chip) -> frozenset[str]:
    """Return the keys that no block of a chip's calibration depends on."""
    return FREE | WIRES if chip.sense_amplifier.kind == "tia" else FREE


def _require_box(base: Calibration, chip: Chip) -> None:
    """Refuse a chip that the blocks of a calibration do not hold for.

    Raises
    ------
    CalibrationError
        If so; says which key, and what to do.
    """
    remedy = "calibrate this chip by itself, without a base"
    for key in changed_keys(base.chip, chip):
        if key in free_keys(chip) or key == "library.path":
            continue
        if key in WIRES:
            raise CalibrationError(
                f"{key} differs between {chip.name} and {base.chip.name}, whose read-outs were calibrated with its "
                f"wires, as all but those of sense_amplifier.kind = tia are; {remedy}"
            )
        if key not in SMALLER:
            raise CalibrationError(
                f"{key} differs between {chip.name} and {base.chip.name}, whose blocks hold for other adc.bits and "
                f"adc.percentile, other wires and smaller arrays alone; {remedy}"
            )
        own, most = (getattr(of.array, key.partition(".")[2]) for of in (chip, base.chip))
        if own > most:
            raise CalibrationError(
                f"{key} = {own} is more than the {most} that the blocks of {base.chip.name} were calibrated for; take "
                f"a base of as many, or {remedy}"
            )
    here = {f"models in {path.name}": model_hash(path)[:16] for path in model_files(chip.process)}
    for what, version in (here | {"ngspice": ngspice_version()}).items():
        if base.versions.get(what) != version:
            raise CalibrationError(
                f"the base was calibrated with {what} of {base.versions.get(what)}, and here is {version}; {remedy}"
            )


def plan_carried(
    base: Calibration, chip: Chip, *, aspects: Sequence[str] | None = None, error: float | None = None
) -> Plan:
    """Plan what is left to do where blocks are carried: checks of fewer vectors, and aspects, by default the base's.

    Raises
    ------
    CalibrationError
        If the blocks do not hold for this chip.
    """
    _require_box(base, chip)
    if aspects is None:
        names = ("parameters", "converter", "energy", "settling", "noise", "mismatch", "climate")
        aspects = [name for name in names if getattr(base, name) is not None]
    plan = plan_calibration(chip, aspects=aspects, quick=base.quick, seed=base.seed, error=error)
    tiles = plan.tiles.model_copy(update={"part": max(plan.tiles.part, PARTS[True])})
    return plan.model_copy(update={"tiles": tiles})


def carry_blocks(base: Calibration, chip: Chip) -> Calibration:
    """Return a calibration of another chip with the blocks of this one, neither checked nor with any aspect yet.

    Raises
    ------
    CalibrationError
        If they do not hold for it.
    """
    _require_box(base, chip)
    return Calibration(
        chip=chip, quick=base.quick, seed=base.seed, created=now(), seconds=0.0, simulations=0, versions=base.versions,
        cell=base.cell, dacs=base.dacs, senseamps=base.senseamps, hold=base.hold, integrator=base.integrator,
        rails=base.rails, held_out=base.held_out, errors=base.errors, checks=(), plan=base.plan,
        costs={step: cost for step, cost in base.costs.items() if step in BLOCK_STEPS},
    )  # fmt: skip
