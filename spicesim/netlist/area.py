"""Silicon area of blocks, from what their netlists hold: gates, resistors, capacitors, times what a layout adds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spicesim.chip import Chip
from spicesim.chip.blocks import MOST_SAR_BITS
from spicesim.chip.roles import ADC_KINDS
from spicesim.errors import SpecError
from spicesim.netlist.bias import BIAS, bias_blocks, bias_line, with_bias
from spicesim.netlist.dac import dac_blocks, dac_line
from spicesim.netlist.expression import evaluate_expression
from spicesim.netlist.hold import hold_blocks, hold_line
from spicesim.netlist.integrator import integrator_blocks, integrator_line
from spicesim.netlist.passives import passive_area
from spicesim.netlist.process import block_text
from spicesim.netlist.ramp_adc import build_ramp_adc
from spicesim.netlist.reference import BUFFERS, tile_references
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line
from spicesim.netlist.statements import Component, SubcircuitEnd, SubcircuitStart, parse_statements

__all__ = ["Areas", "Layout", "block_areas", "find_area"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What turns devices into area. The defaults are assumptions for a 180 nm process, to be replaced by one's own.

    Raises
    ------
    SpecError
        If a number is not positive, or the overhead below 1.
    """

    overhead: float = 3.0
    """Area of a placed and routed block over the sum of its gates, resistors and capacitors."""
    r_sheet: float = 350.0
    """Sheet resistance of the resistors' film [ohm]."""
    resistor_width: float = 1e-6
    """Width of a resistor [m]."""
    c_density: float = 2e-3
    """Capacitance by area [F/m^2]; 2 fF/um^2."""
    cell_margin: tuple[float, float] = (0.6e-6, 0.9e-6)
    """What a cell takes beyond width and length of its access transistor, which stands for a 1R cell, too [m]."""

    def __post_init__(self) -> None:
        numbers = (self.r_sheet, self.resistor_width, self.c_density, *self.cell_margin)
        if not (all(0 < number < math.inf for number in numbers) and 1 <= self.overhead < math.inf):
            raise SpecError(f"a layout needs positive numbers and an overhead of 1 or more, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """Areas of the blocks of a tile."""

    cell: float
    """One cell [m^2]."""
    dac: float
    """One word-line driver [m^2]."""
    amplifier: float
    """One sense amplifier, with its largest feedback resistor [m^2]."""
    adc: float | None
    """One converter with its logic of cells, ideal logic and what all have in common left out [m^2]; None if there is
    no netlist of it."""
    bias: float = 0.0
    """The bias generator of a tile [m^2]."""
    references: float = 0.0
    """Both buffers of its drivers' references [m^2]."""

    def tile(self, rows: int, columns: int, adcs: int) -> dict[str, float]:
        """Return the area of a tile by block [m^2].

        Raises
        ------
        SpecError
            If there are converters of unknown area.
        """
        if adcs and self.adc is None:
            raise SpecError(
                "no area of such an ADC is known; set adc.bits to 10 or less, or adc.kind to one of the library's"
            )
        return {
            "array": rows * columns * self.cell,
            "dac": rows * self.dac + self.references,
            "amplifier": columns * self.amplifier + self.bias,
            "adc": adcs * (self.adc or 0.0),
        }


def find_area(text: str, chip: Chip, layout: Layout, *, instances: tuple[str, ...]) -> float:
    """Return the area of some instances at the top of a netlist [m^2].

    Parameters
    ----------
    text : str
        The netlist's body: subcircuits, and the lines that call them.
    chip : Chip
        Whose transistors it has.
    layout : Layout
        What devices take.
    instances : tuple of str
        Names of the calls to count, such as "xdac".

    Raises
    ------
    SpecError
        If an instance is not there, or a size cannot be read.
    """
    bodies: dict[str, tuple[SubcircuitStart, list[Component]]] = {}
    top: list[Component] = []
    inside: list[Component] = top
    for statement in parse_statements(text):
        if isinstance(statement, SubcircuitStart):
            inside = []
            bodies[statement.name] = (statement, inside)
        elif isinstance(statement, SubcircuitEnd):
            inside = top
        elif isinstance(statement, Component):
            inside.append(statement)
    transistors = (chip.process.nmos, chip.process.pmos)

    def measure(part: Component, scope: Mapping[str, float]) -> float:
        values = {
            name: evaluate_expression(value, scope) for name, value in part.parameters.items() if part.kind in "mxrc"
        }
        if part.kind == "m" or part.master in transistors:
            if not {"w", "l"} <= set(values):
                raise SpecError(f"transistor {part.name!r} has no w and l of its own; its area needs them")
            return values["w"] * values["l"] * values.get("m", 1.0)
        if part.kind == "r":
            return values["value"] / layout.r_sheet * layout.resistor_width**2
        if part.kind == "c":
            return values["value"] / layout.c_density
        if part.kind != "x":
            return 0.0
        if (area := passive_area(chip.process, part.master, values)) is not None:
            return area
        if part.master not in bodies:
            raise SpecError(f"{part.name!r} calls {part.master!r}, which is not in the netlist")
        start, parts = bodies[part.master]
        own: dict[str, float] = {}
        for name, default in start.parameters.items():
            own[name] = values[name] if name in values else evaluate_expression(default, own)
        return values.get("m", 1.0) * sum(measure(child, own) for child in parts)

    found = {part.name: part for part in top}
    missing = [name for name in instances if name not in found]
    if missing:
        raise SpecError(f"the netlist has no instance {missing[0]!r}; there are: {', '.join(found)}")
    return layout.overhead * sum(measure(found[name], {}) for name in instances)


def block_areas(chip: Chip, layout: Layout | None = None) -> Areas:
    """Return the areas of the blocks of a chip's tiles.

    Parameters
    ----------
    chip : Chip
        The chip.
    layout : Layout, optional
        What devices take.

    Notes
    -----
    A block's area is ``overhead * (sum of W L of its transistors + resistors + capacitors)``, of the netlist that is
    simulated; a resistor R takes ``R/r_sheet`` squares of its width, a capacitor C takes ``C/c_density``. A cell takes
    its access transistor and a margin around. Control logic is not counted.
    """
    layout = layout or Layout()
    bits = [f"b{k}" for k in range(chip.dac.level_bits)]
    dac = "\n".join(with_bias(chip, [*dac_blocks(chip), dac_line(chip, "dac", "out", bits)]))
    parts: tuple[str, ...] = ("xreadout",)
    if chip.sense_amplifier.kind == "voltage":
        readout = "\n".join([*hold_blocks(chip), hold_line(chip, "hold", "in", "out")])
        parts = tuple(line.split()[0] for line in hold_line(chip, "hold", "in", "out").splitlines())
    elif chip.sense_amplifier.kind == "integrator":
        readout = "\n".join([*integrator_blocks(chip), integrator_line(chip, "readout", "in", "out")])
    else:
        amplifier = amplifier_line(chip, "readout", "in", "out", max(chip.settings))
        readout = "\n".join(with_bias(chip, [*amplifier_blocks(chip), amplifier]))
    adc = None
    if chip.adc.kind == "ramp":
        body = build_ramp_adc(chip, [chip.sense_amplifier.v_reference]).body
        adc = find_area(body, chip, layout, instances=("xsample_0", "chold_0", "xcomparator_0"))
    elif chip.adc.bits <= MOST_SAR_BITS and chip.adc.kind in ADC_KINDS:
        sizes = chip.sar_adc
        sizes = chip.converter or sizes.model_copy(
            update={"dac": sizes.dac.model_copy(update={"bits": chip.adc.bits, "errors": ()})}
        )
        body = build_sar_adc(chip, [chip.sense_amplifier.v_reference], sizes).body
        logic = ("xlogic",) if sizes.logic == "cells" else ()
        adc = find_area(body, chip, layout, instances=("xsample", "xdac", "xcomparator", *logic))
    return Areas(
        cell=(chip.cell.access_width + layout.cell_margin[0]) * (chip.cell.access_length + layout.cell_margin[1]),
        dac=find_area(dac, chip, layout, instances=("xdac",)),
        amplifier=find_area(readout, chip, layout, instances=parts),
        adc=adc,
        bias=find_area("\n".join([*bias_blocks(chip), bias_line(chip.bias, BIAS)]), chip, layout, instances=(BIAS,))
        if chip.bias.is_mirrored
        else 0.0,
        references=_find_references(chip, layout),
    )


def _find_references(chip: Chip, layout: Layout) -> float:
    """Return the area of both buffers of a tile's references [m^2]."""
    if not chip.rails.are_buffered:
        return 0.0
    sections = [block_text("opamp", chip), tile_references(chip, "bipolar")]
    return find_area("\n".join(with_bias(chip, sections)), chip, layout, instances=BUFFERS)
