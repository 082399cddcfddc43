"""Arrays of the chip's cells: a column, a crossbar between ideal sources, and a whole tile at transistor level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spicesim.arrays import Array, Floats
from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.arrangement import Arrangement
from spicesim.netlist.cell import cell_blocks, cell_form, cell_line, gate_supply, pair_line
from spicesim.netlist.dac import code_bits, dac_blocks, dac_line
from spicesim.netlist.drawing import CROSSBAR, PAIRED
from spicesim.netlist.hold import hold_blocks, hold_line, rest_controls
from spicesim.netlist.impedance import with_rails
from spicesim.netlist.integrator import integrator_blocks, integrator_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.pace import pulsed
from spicesim.netlist.parasitics import Parasitics
from spicesim.netlist.plane_adder import PlaneSteps
from spicesim.netlist.pulses import PulseProduct, PulseSchedule, product_options
from spicesim.netlist.reader import PAIRS
from spicesim.netlist.readout import build_readout, in_time
from spicesim.netlist.reference import reference_guesses, tile_references
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.netlist.step import SKEWED_OPTIONS, CodeStep
from spicesim.netlist.wires import WireNodes
from spicesim.units import spice_number

__all__ = ["build_column", "build_crossbar", "build_tile"]

_SENSE = "* foot of each bit line; i(vsense_J) is the current into the virtual ground"


def _matrix(g: npt.ArrayLike) -> Floats:
    array = np.asarray(g, dtype=float)
    if array.ndim != 2 or array.size == 0:
        raise SpecError(f"conductances must be a matrix (rows, columns), got shape {array.shape}")
    return array


def _vector(values: npt.ArrayLike, rows: int, what: str) -> Array:
    array = np.asarray(values)
    if array.shape != (rows,):
        raise SpecError(f"{what} must have one value a word line, shape ({rows},), got {array.shape}")
    return array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wires:
    """The wires of an array as text, and the nodes at their ends."""

    nodes: WireNodes
    tails: Sequence[str]
    """Nodes that drive the far ends of the word lines; empty if none does."""
    section: str

    @property
    def driven(self) -> list[tuple[str, str]]:
        """Suffix of the driver's name, and node, for every driven end of a word line, all heads first."""
        heads = [(f"_{i}", node) for i, node in enumerate(self.nodes.heads)]
        return heads + [(f"far_{i}", node) for i, node in enumerate(self.tails)]


def _wires(
    chip: Chip,
    shape: tuple[int, int],
    head: str,
    parasitics: Parasitics | None = None,
    arrangement: Arrangement | None = None,
) -> _Wires:
    """Name the nodes of an array and format its wires; `head` names the ends of word lines, ``foot_J`` bit lines."""
    rows, columns = shape
    if parasitics is None:
        parasitics = Parasitics.of_chip(chip, rows, columns)
    if parasitics.r_bit_line.shape != shape:
        raise SpecError(f"parasitics are for {parasitics.r_bit_line.shape} cells, the conductances are {shape}")
    if parasitics.both_ends and not parasitics.r_word_line[:, columns].all():
        raise SpecError("the far end of a word line can only be driven through a segment of more than 0 ohm")
    if chip.cell.kind == "2t2r":
        _require_pairs(parasitics, arrangement)
    nodes = parasitics.name_nodes([f"{head}_{i}" for i in range(rows)], [f"foot_{j}" for j in range(columns)])
    tails = [f"{head}far_{i}" for i in range(rows)] if parasitics.both_ends else []
    lines = ["* wire segments: rwl into a cell from the left, rbl from a cell downwards"]
    if parasitics.parameters:
        units = {"r": "ohm", "c": "F"}
        lines += [f".param {k}={spice_number(v)} $ a segment [{units[k[0]]}]" for k, v in parasitics.parameters.items()]
    return _Wires(nodes=nodes, tails=tails, section="\n".join([*lines, *parasitics.format(nodes, tails)]))


def _gates(
    chip: Chip, gates: npt.ArrayLike | None, rows: int, controls: Sequence[Sequence[str]] = ()
) -> tuple[str, list[str]]:
    """Format what the access transistors' gates are at, and name the gate of each row.

    Drivers hold them where the inputs of a tile are theirs; `controls` are then the nodes that these take.
    """
    if controls:
        if gates is not None:
            raise SpecError("the gates of this chip are driven by the codes; leave gates out, or set cell.inputs")
        drivers = [dac_line(chip, f"dac_{i}", f"gate_{i}", tied) for i, tied in enumerate(controls)]
        return "\n".join(["* gate drivers; bits tied to vdd (1) or ground (0)", *drivers]), [
            f"gate_{i}" for i in range(rows)
        ]
    if gates is None:
        return gate_supply(chip), ["gate"] * rows
    if not chip.cell.has_gate:
        raise SpecError(f"cells of kind {chip.cell.kind!r} have no access transistor, and so no gates to drive")
    lines = ["* gates of the access transistors, one voltage a row"]
    lines += [f"vgate_{i} gate_{i} 0 {spice_number(float(v))}" for i, v in enumerate(_vector(gates, rows, "gates"))]
    return "\n".join(lines), [f"gate_{i}" for i in range(rows)]


def _feet(wires: _Wires, ends: Sequence[str], arrangement: Arrangement | None) -> str:
    """Format the probe at the foot of each bit line."""
    lines = [_SENSE]
    for j, (foot, end) in enumerate(zip(wires.nodes.feet, ends, strict=True)):
        lines.append(f"vsense_{j} {foot} {end} 0{f' $ {arrangement.columns[j]}' if arrangement else ''}")
    return "\n".join(lines)


def _cells(chip: Chip, g: Floats, wires: WireNodes, gates: Sequence[str]) -> str:
    size = f"{g.shape[0]} x {g.shape[1]}"
    if chip.cell.kind == "2t2r":
        lines = [f"* cells ({size}){PAIRS}: xc_ROW_PAIR has gp in column 2 PAIR and gn in the next"]
        lines += [
            pair_line(
                f"c_{i}_{j // 2}",
                wires.word[i, j],
                (wires.bit[i, j], wires.bit[i, j + 1]),
                (float(row[j]), float(row[j + 1])),
                gates[i],
            )
            for i, row in enumerate(g)
            for j in range(0, len(row), 2)
        ]
        return "\n".join(lines)
    lines, form = [f"* cells ({size}), xc_ROW_COLUMN"], cell_form(chip)
    for i, row in enumerate(g):
        lines += [
            cell_line(form, f"c_{i}_{j}", wires.word[i, j], wires.bit[i, j], float(value), gates[i])
            for j, value in enumerate(row)
        ]
    return "\n".join(lines)


def _require_pairs(wires: Parasitics, arrangement: Arrangement | None) -> None:
    """Refuse what cells of two bit lines cannot be."""
    columns = wires.r_bit_line.shape[1]
    if arrangement is not None and any(column.sign != (-1) ** j for j, column in enumerate(arrangement.columns)):
        raise SpecError("weights on 2t2r cells need differential columns; a reference column needs cells of one device")
    if columns % 2:
        raise SpecError(f"a 2t2r cell takes two columns, a positive and a negative one; got {columns} columns")
    inside = wires.r_word_line[:, 1:columns:2] + wires.c_word_line[:, 1:columns:2]
    if inside.any():
        i, k = np.argwhere(inside)[0]
        raise SpecError(f"segment rwl_{i}_{2 * k + 1} lies within a 2t2r cell; wanted 0 ohm and 0 F there")


def _sources(v: Array, wires: _Wires) -> str:
    lines = ["* word lines, driven by ideal sources above the reference"]
    twice = [*v, *v]
    lines += [f"vin{name} {node} vref {spice_number(float(twice[k]))}" for k, (name, node) in enumerate(wires.driven)]
    return "\n".join(lines)


def build_crossbar(
    chip: Chip,
    g: npt.ArrayLike | Arrangement,
    v: npt.ArrayLike,
    *,
    parasitics: Parasitics | None = None,
    gates: npt.ArrayLike | None = None,
) -> Netlist:
    """Build an array of the chip's cells between ideal sources and ideal virtual grounds.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns) or Arrangement
        Conductances of the devices [S]; 0 is an open cell. Columns of an arrangement carry notes of what they are for.
    v : array_like of shape (rows,)
        Word-line voltages above the reference [V].
    parasitics : Parasitics, optional
        Resistance and capacitance of every wire segment, and whether both ends of the word lines are driven; by default
        the chip's numbers and one end. See :meth:`Parasitics.of_chip` for both.
    gates : array_like of shape (rows,), optional
        Gate voltages of the access transistors, row by row [V]: inputs of a gate-driven array. By default all cells
        are selected.

    Returns
    -------
    Netlist
        Probes ``i(vsense_J)``: bit-line currents, positive into the virtual ground.

    Raises
    ------
    SpecError
        If the shapes do not fit or a conductance is impossible.
    """
    arrangement = g if isinstance(g, Arrangement) else None
    array = _matrix(g.g if isinstance(g, Arrangement) else g)
    rows, columns = array.shape
    wires = _wires(chip, array.shape, "in", parasitics, arrangement)
    gate_lines, gate_nodes = _gates(chip, gates, rows)
    return build_netlist(
        chip,
        f"{rows}x{columns} crossbar of {chip.cell.kind} cells",
        [
            *cell_blocks(chip),
            supplies(chip),
            gate_lines,
            _sources(_vector(v, rows, "voltages"), wires),
            wires.section,
            _cells(chip, array, wires.nodes, gate_nodes),
            _feet(wires, ["vref"] * columns, arrangement),
        ],
        [f"i(vsense_{j})" for j in range(columns)],
        notes=[
            "Bit-line currents of an array with wire resistance, ideal drivers and ideal virtual grounds.",
            *CROSSBAR,
            *(PAIRED if chip.cell.kind == "2t2r" else ()),
        ],
    )


def build_column(chip: Chip, g: npt.ArrayLike, v: npt.ArrayLike, r_feedback: float) -> Netlist:
    """Build one bit line with its cells and its read-out, its word lines driven by ideal sources.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows,)
        Conductances of the devices [S].
    v : array_like of shape (rows,)
        Word-line voltages above the reference [V].
    r_feedback : float
        Feedback resistance [ohm]; of no matter to a floating line, whose hold switch follows it, or to an integrator,
        which is reset and runs for a time.

    Raises
    ------
    SpecError
        If the shapes do not fit or a conductance is impossible.
    """
    if chip.sense_amplifier.kind == "integrator":
        window = PulseSchedule.of_chip(chip, "unipolar").window
        return _column(
            chip, g, v, "integrator", integrator_blocks(chip),
            "\n".join(["* controls", *window.sources(chip.process.supply), "* integrator",
                       integrator_line(chip, "integrator_0", "sense_0", "out_0")]),
            transient=window.end + window.hold,
        )  # fmt: skip
    if chip.sense_amplifier.kind == "voltage":
        section = f"{rest_controls(chip)}\n{hold_line(chip, 'hold_0', 'sense_0', 'out_0')}"
        return _column(chip, g, v, "hold switch", hold_blocks(chip), section)
    section = f"* sense amplifier\n{amplifier_line(chip, 'senseamp_0', 'sense_0', 'out_0', r_feedback)}"
    return _column(chip, g, v, "sense amplifier", amplifier_blocks(chip), section)


def _column(
    chip: Chip, g: npt.ArrayLike, v: npt.ArrayLike, end: str, blocks: Sequence[str], section: str, *,
    transient: float | None = None,
) -> Netlist:  # fmt: skip
    """Build one bit line with what stands at its foot, and watch it for a time [s] if there is one."""
    column = _matrix(np.asarray(g, dtype=float).reshape(-1, 1))
    rows = column.shape[0]
    wires = _wires(chip, column.shape, "in")
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"column of {rows} {chip.cell.kind} cells with its {end}",
        [
            *blocks,
            *cell_blocks(chip),
            supplies(chip),
            gate_supply(chip),
            _sources(_vector(v, rows, "voltages"), wires),
            wires.section,
            _cells(chip, column, wires.nodes, ["gate"] * rows),
            f"{_SENSE}\nvsense_0 {wires.nodes.feet[0]} sense_0 0",
            section,
        ],
        ["v(out_0)", "v(sense_0)", "i(vsense_0)", *([] if transient is None else ["time"])],
        notes=[
            "One output of a tile: word lines, bit line with wire resistance, "
            + ("transimpedance amplifier." if end == "sense amplifier" else f"{end}.")
        ],
        analyses=[".op" if transient is None else f".tran 1n {spice_number(transient)} 0 1n"],
        nodesets={"sense_0": reference, "out_0": reference},
        whole=True,
    )


def _supplies(chip: Chip) -> list[str]:
    """Return the sources of a tile's transient by name."""
    return ["vdd", "vref", *(["vread"] if chip.cell.is_gated else ["vlo", "vhi"])]


def _gate_guesses(chip: Chip, codes: Array) -> dict[str, float]:
    """Return where the gates are that codes drive, by node [V]."""
    return {f"gate_{i}": chip.process.supply * int(code) for i, code in enumerate(codes)} if chip.cell.is_gated else {}


def build_tile(
    chip: Chip,
    g: npt.ArrayLike | Arrangement,
    codes: npt.ArrayLike | CodeStep | PlaneSteps,
    *,
    polarity: Polarity,
    r_feedback: float,
    nodesets: Mapping[str, float] | None = None,
    parasitics: Parasitics | None = None,
    gates: npt.ArrayLike | None = None,
) -> Netlist:
    """Build a whole tile at transistor level: a driver a word line, wires, cells, an amplifier a bit line.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns) or Arrangement
        Conductances of the devices [S]; 0 is an open cell. Columns of an arrangement carry notes of what they are for.
    codes : array_like of int, shape (rows,), or CodeStep, or PlaneSteps
        DAC codes; a step makes a transient in place of the operating point, and probes the supplies' currents, too.
        Where bits are added as charge it is always one, of all of a code's bits.
    polarity : {"unipolar", "bipolar"}
        Coding of the inputs.
    r_feedback : float
        Feedback resistance of all amplifiers [ohm].
    nodesets : mapping of str to float, optional
        First guesses; without them ngspice may step for long or fail, see
        :func:`spicesim.calibration.tiles.predicted_nodesets`. Nodes: ``dac_I``, ``sense_J``, ``out_J``; those of gates
        follow from the codes.
    parasitics : Parasitics, optional
        Resistance and capacitance of every wire segment, and whether both ends of the word lines are driven; by default
        the chip's numbers and one end. See :meth:`Parasitics.of_chip` for both.
    gates : array_like of shape (rows,), optional
        Gate voltages of the access transistors, row by row [V]: inputs of a gate-driven array. By default all cells
        are selected.

    Raises
    ------
    SpecError
        If the shapes do not fit, a code or a conductance is impossible.
    """
    arrangement = g if isinstance(g, Arrangement) else None
    array = _matrix(g.g if isinstance(g, Arrangement) else g)
    rows, columns = array.shape
    inputs = _vector(codes.before if isinstance(codes, CodeStep | PlaneSteps) else codes, rows, "codes")
    if inputs.dtype.kind not in "iu" or inputs.min() < 0 or inputs.max() >= 2**chip.code_bits:
        raise SpecError(f"codes must be integers in 0..{2**chip.code_bits - 1}")
    if polarity not in chip.polarities:
        raise SpecError(f"rows whose gates are driven are on or off, so codes are unipolar, got polarity {polarity!r}")
    step, bits, gated = in_time(chip, codes, polarity), chip.dac.level_bits, chip.cell.is_gated
    wires = _wires(chip, array.shape, "read" if gated else "dac", parasitics, arrangement)
    tied = [step.nodes(i, bits) if step else code_bits(int(code), bits) for i, code in enumerate(inputs)]
    gate_lines, gate_nodes = _gates(chip, gates, rows, tied if gated else ())
    if gated:
        drivers = ["* word lines, all at one voltage; i(vrow_I) is the current into the line"]
        drivers += [f"vrow{name} read {node} 0" for name, node in wires.driven]
    else:
        drivers = ["* word-line drivers; bits from the least significant, tied to vdd (1) or ground (0)"]
        for k, (name, node) in enumerate(wires.driven):
            drivers.append(f"{dac_line(chip, f'dac{name}', node, tied[k % rows])} $ code {int(inputs[k % rows])}")
    if step:
        drivers.append(step.sources(chip.process.supply))
    readout = build_readout(chip, columns, r_feedback, step)
    netlist = build_netlist(
        chip,
        f"{rows}x{columns} tile, {polarity} inputs, {readout.words}",
        [
            *readout.blocks,
            *dac_blocks(chip),
            *cell_blocks(chip),
            supplies(chip),
            tile_references(chip, polarity),
            gate_lines,
            "\n".join(drivers),
            wires.section,
            _cells(chip, array, wires.nodes, gate_nodes),
            _feet(wires, [f"sense_{j}" for j in range(columns)], arrangement),
            readout.section,
        ],
        [
            *(f"v(out_{j})" for j in range(columns)),
            *(f"i(vsense_{j})" for j in range(columns)),
            *(["time", *(f"i({source})" for source in (*_supplies(chip), *step.source_names))] if step else []),
        ],
        notes=[
            *readout.notes,
            *(PAIRED if chip.cell.kind == "2t2r" else ()),
        ],
        analyses=[step.analysis if step else ".op"],
        nodesets=_gate_guesses(chip, inputs) | reference_guesses(chip, polarity) | dict(nodesets or {}),
        whole=True,
    )
    netlist = with_rails(netlist, chip.rails)
    if isinstance(step, CodeStep) and step.delays:
        return replace(netlist, options=SKEWED_OPTIONS)
    if isinstance(step, PulseProduct):
        options = product_options(chip)
        return replace(netlist, options=pulsed(chip, options) if chip.adc.kind == "sar" else options)
    return netlist
