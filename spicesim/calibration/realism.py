"""What of a tile is real and what is ideal: piece by piece, in its netlist and in each aspect of the calibrated model.

All of it follows from the chip, and from what its calibration can have, so no block can contradict the table.
"""

from dataclasses import dataclass, fields

from spicesim.calibration.aspects import possible_aspects
from spicesim.chip import Chip
from spicesim.own_code import is_own
from spicesim.units import format_si

__all__ = ["HEADINGS", "Piece", "describe_realism", "format_realism"]

CALIBRATED, EXACT, CLOSED, IDEAL, ABSENT = "calibrated", "exact", "closed form", "ideal", "absent"
"""Found by ngspice, with errors that are held out; solved as the netlist has it; from physics alone; the same source or
value in the netlist and in the model; known to the netlist at most."""
_READ = {"tia": "amplifiers", "voltage": "hold switches", "integrator": "integrators"}
_STORES = {"tia": "feedback resistors", "voltage": "hold capacitors", "integrator": "integrating capacitors"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A row of the table."""

    piece: str
    """What it is."""
    netlist: str
    """What stands for it in a tile's netlist."""
    dc: str
    """What of it the model knows when all has settled."""
    transient: str
    """The same on the way there."""
    mismatch: str
    """How such pieces differ on drawn chips."""
    noise: str
    """Its noise."""
    energy: str
    """What it draws."""


HEADINGS = tuple(field.name for field in fields(Piece))
"""Of the columns."""


def describe_realism(chip: Chip) -> tuple[Piece, ...]:
    """Say of each piece of a chip's tile what stands for it, in the netlist and in the model."""
    there, _ = possible_aspects(chip)
    kind = chip.sense_amplifier.kind

    def has(aspect: str) -> str:
        return CALIBRATED if aspect in there else ABSENT

    # floating lines and pulses are products in time, and what is held has noise in closed form
    transient = has("settling") if kind == "tia" else CALIBRATED
    noise = has("noise") if kind == "tia" else CLOSED if kind == "voltage" else ABSENT
    aspects = {"transient": transient, "mismatch": has("mismatch"), "noise": noise, "energy": has("energy")}
    valued = aspects | {"dc": CALIBRATED}
    rows = [Piece(piece="drivers", netlist="your own" if is_own(chip.dac.kind) else "transistors", **valued)]
    resistors = "ideal resistors" if chip.process.resistor is None else "process's resistors"
    capacitors = "ideal capacitors" if chip.process.capacitor is None else "process's capacitors"
    if chip.dac.kind == "r2r":
        rows.append(Piece(piece="ladder resistors", netlist=resistors, **valued))
    rows.append(Piece(piece="devices of the cells", netlist="law", **valued | {"mismatch": "by --device"}))
    if chip.cell.has_gate:
        rows.append(Piece(piece="access transistors", netlist="transistors", **valued))
        still = dict.fromkeys(("dc", *aspects), IDEAL)
        gates = "drivers" if chip.cell.is_gated else "ideal source"
        rows.append(Piece(piece="gates", netlist=gates, **(valued if chip.cell.is_gated else still)))
    wires = EXACT if chip.array.r_word_line or chip.array.r_bit_line else ABSENT
    lumped = CALIBRATED if (chip.array.c_word_line or chip.array.c_bit_line) and transient == CALIBRATED else ABSENT
    rows.append(
        Piece(
            piece="wires", netlist="resistors" if wires == EXACT else ABSENT, dc=wires, transient=lumped,
            mismatch=ABSENT, noise=ABSENT, energy=wires,
        )
    )  # fmt: skip
    rows.append(Piece(piece=_READ[kind], netlist="transistors", **valued))
    rows.append(Piece(piece=_STORES[kind], netlist=resistors if kind == "tia" else capacitors, **valued))
    if kind == "tia":
        still = dict.fromkeys(("dc", "mismatch", "noise", "energy"), ABSENT)
        rows.append(Piece(piece="feedback capacitors", netlist=capacitors, transient=transient, **still))
    if kind != "voltage" or chip.dac.kind == "r2r" or chip.hold.is_buffered:  # there are amplifiers
        rows += _biases(chip, valued, resistors)
    ohms = chip.rails
    rows += [
        _rail("supply", ohms.r_supply, has("energy")),
        _rail("ground", ohms.r_ground, has("energy")),
        *_references(chip, has("energy")),
        *_converters(chip, there, capacitors),
    ]
    return tuple(rows)


def _biases(chip: Chip, valued: dict[str, str], resistors: str) -> list[Piece]:
    """Describe what biases amplifiers."""
    energy = valued["energy"]
    if not chip.bias.is_mirrored:
        return [
            Piece(
                piece="bias currents", netlist="ideal sources", dc=IDEAL, transient=IDEAL, mismatch=IDEAL, noise=ABSENT,
                energy=energy,
            )
        ]  # fmt: skip
    return [
        Piece(piece="mirrors of bias currents", netlist="transistors", **valued),
        Piece(
            piece="bias generator", netlist="transistors", dc=CALIBRATED, transient=ABSENT, mismatch=ABSENT,
            noise=valued["noise"], energy=energy,
        ),
        Piece(
            piece="its resistors", netlist=resistors, dc=CALIBRATED, transient=ABSENT, mismatch=ABSENT,
            noise=valued["noise"], energy=energy,
        ),
    ]  # fmt: skip


def _rail(piece: str, ohm: float, energy: str) -> Piece:
    """Describe a rail: behind an impedance it is known at rest, and refused elsewhere."""
    if not ohm:
        return Piece(
            piece=piece, netlist="ideal source", dc=IDEAL, transient=IDEAL, mismatch=IDEAL, noise=IDEAL, energy=energy
        )
    return Piece(
        piece=piece, netlist=f"behind {format_si(ohm, 'ohm')}", dc=CALIBRATED, transient=ABSENT, mismatch=ABSENT,
        noise=ABSENT, energy=energy,
    )  # fmt: skip


def _references(chip: Chip, energy: str) -> list[Piece]:
    """Describe the references; the common one feeds gates alone, so buffers are those of the drivers."""
    if not chip.rails.are_buffered:
        return [_rail("references", chip.rails.r_reference, energy)]
    return [
        Piece(
            piece="references", netlist="transistors", dc=CALIBRATED, transient=ABSENT, mismatch=ABSENT, noise=ABSENT,
            energy=energy,
        ),
        _rail("common reference", 0.0, energy),
    ]  # fmt: skip


def _converters(chip: Chip, there: tuple[str, ...], capacitors: str) -> list[Piece]:
    """Describe what converts outputs; it stands in macros, not in tiles."""
    if not chip.adc.is_real:
        return [
            Piece(
                piece="converters", netlist=ABSENT, dc=IDEAL, transient=IDEAL, mismatch=IDEAL, noise=IDEAL,
                energy=CALIBRATED if "energy" in there else ABSENT,
            )
        ]  # fmt: skip
    known = CALIBRATED if "converter" in there else ABSENT
    mismatch, energy = (CALIBRATED if name in there else ABSENT for name in ("mismatch", "energy"))
    rows = [
        Piece(
            piece="converters", netlist="transistors", dc=known, transient=known, mismatch=mismatch, noise=ABSENT,
            energy=energy,
        )
    ]  # fmt: skip
    valued = {"dc": known, "transient": known, "mismatch": mismatch, "noise": ABSENT, "energy": energy}
    rows.append(Piece(piece="their capacitors", netlist=capacitors, **valued))
    if chip.converter is not None:  # codes are calibrated with ideal logic, which switches a little earlier
        has_cells = chip.sar_adc.logic == "cells"
        rows.append(
            Piece(
                piece="their logic", netlist="transistors" if has_cells else "law", dc=EXACT, transient=IDEAL,
                mismatch=IDEAL, noise=IDEAL, energy=energy if has_cells else ABSENT,
            )
        )  # fmt: skip
    return rows


def format_realism(chip: Chip) -> list[str]:
    """Format the table as lines of a netlist's head."""
    rows = [HEADINGS, *(tuple(getattr(row, name) for name in HEADINGS) for row in describe_realism(chip))]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADINGS))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    title = "piece by piece, in the netlist of a tile and in each aspect of its calibrated model:"
    return [title, *(f"  {line}" for line in lines)]
