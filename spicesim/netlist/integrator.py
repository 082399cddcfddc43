"""The switched integrator, a sense amplifier that counts charge, and testbenches of it and of its amplifier."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import Integrator
from spicesim.errors import SpecError
from spicesim.netlist.cell import alike_lines, cell_blocks, gate_supply
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = [
    "Window",
    "build_integrators",
    "build_ota_response",
    "build_resting_columns",
    "converter_load",
    "integrator_blocks",
    "integrator_line",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When an integrator is reset, runs and holds."""

    reset: float = 200e-9
    """End of the reset, which starts at 0 [s]."""
    start: float = 300e-9
    """Start of the window [s]."""
    length: float = 500e-9
    """Length of the window [s]."""
    hold: float = 1000e-9
    """How long the output is held after it [s]."""
    edge: float = 1e-9
    """Rise and fall time of the controls [s]."""

    def __post_init__(self) -> None:
        if not 0 < self.edge < self.reset < self.start - self.edge or not self.length > 2 * self.edge or self.hold <= 0:
            raise SpecError("an integrator is reset, then runs, then holds: 0 < edge < reset < start, length > 2 edge")

    @property
    def end(self) -> float:
        """End of the window [s]."""
        return self.start + self.length

    def sources(self, high: float) -> list[str]:
        """Format the sources of the two controls; levels cross half at the times stated."""
        h, e = spice_number(high), self.edge / 2
        times = [spice_number(t + d) for t in (self.reset, self.start, self.end) for d in (-e, e)]
        return [
            f"vrst rst 0 pwl(0 {h} {times[0]} {h} {times[1]} 0)",
            f"vrun run 0 pwl(0 0 {times[2]} 0 {times[3]} {h} {times[4]} {h} {times[5]} 0)",
        ]


def integrator_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`integrator_line` calls."""
    return [block_text(name, chip) for name in ("switch", "ota", "integrator")]


def integrator_line(chip: Chip, name: str, node_in: str, node_out: str, sizes: Integrator | None = None) -> str:
    """Format the instance of one integrator; its controls are ``run`` and ``rst``."""
    sizes = sizes or chip.integrator
    return (
        f"x{name} {node_in} {node_out} vref run rst vdd 0 integrator c={spice_number(sizes.capacitor)}"
        f" ibias={spice_number(sizes.bias_current)} w={spice_number(sizes.switch_width)}"
        f" wr={spice_number(sizes.reset_width)} l={spice_number(chip.process.min_length)}"
    )


def converter_load(chip: Chip, name: str, node: str) -> list[str]:
    """Format what a SAR's sampling switch that is open puts on an integrator's output; nothing without a SAR.

    How the charge of the reset switch is shared goes with the output's capacitance, and so does how the line is held:
    the amplifier's current also charges it.
    """
    if chip.adc.kind != "sar":
        return []
    return [
        f"x{name} {node} idle_{name} vref 0 vdd 0 switch w={spice_number(chip.sar_adc.switch_width)}"
        f" l={spice_number(chip.process.min_length)}",
        f"ridle_{name} idle_{name} {node} 1e9",
    ]


def build_integrators(
    chip: Chip,
    currents: npt.ArrayLike,
    *,
    sizes: Integrator | None = None,
    window: Window | None = None,
    c_line: float = 0.5e-12,
    block: str = "dut",
) -> Netlist:
    """Build a testbench of integrators, each with a constant current of its own.

    Parameters
    ----------
    chip : Chip
        The chip.
    currents : array_like of shape (integrators,)
        Currents into their bit lines [A].
    sizes : Integrator, optional
        Of all integrators.
    window : Window, optional
        When they are reset, run and hold.
    c_line : float
        Capacitance of a bit line [F].
    block : str
        Name of the integrators, without their index.

    Returns
    -------
    Netlist
        Probes ``v(out_K)``, ``v(in_K)``, ``i(vdd)``.
    """
    window = window or Window()
    values = np.asarray(currents, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise SpecError(f"currents must be finite numbers, one an integrator, got shape {values.shape}")
    lines = ["* controls, shared", *window.sources(chip.process.supply), "* bit lines"]
    for k, current in enumerate(values):
        lines += [
            f"iin_{k} 0 in_{k} {spice_number(current)}",
            f"cin_{k} in_{k} 0 {spice_number(c_line)}",
            integrator_line(chip, f"{block}_{k}", f"in_{k}", f"out_{k}", sizes),
            *converter_load(chip, f"load_{k}", f"out_{k}"),
        ]
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"{len(values)} switched integrators",
        [*integrator_blocks(chip), supplies(chip), "\n".join(lines)],
        ["time", "i(vdd)", *(f"v({node}_{k})" for k in range(len(values)) for node in ("out", "in"))],
        notes=[
            f"Integrators, reset until {format_si(window.reset, 's')}, running from {format_si(window.start, 's')}"
            f" to {format_si(window.end, 's')}."
        ],
        analyses=[f".tran 2n {spice_number(window.end + window.hold)} 0 5n"],
        nodesets={f"out_{k}": reference for k in range(len(values))},
    )


def build_resting_columns(chip: Chip, g: npt.ArrayLike, *, window: Window, block: str) -> Netlist:
    """Build a testbench of integrators below columns of cells whose word lines all lie at the reference.

    Parameters
    ----------
    chip : Chip
        The chip.
    g : array_like of shape (rows, columns)
        Conductances of the devices [S].
    window : Window
        When they are reset, run and hold.
    block : str
        Name of the integrators, without their index.

    Returns
    -------
    Netlist
        Probes ``v(out_J)``, ``v(in_J)`` and ``i(vsense_J)``, the current into an integrator.
    """
    cells = np.asarray(g, dtype=float)
    lines = ["* controls, shared", *window.sources(chip.process.supply), "* columns"]
    for j, column in enumerate(cells.T.tolist()):
        for i, (own, count) in enumerate(sorted(Counter(column).items())):
            lines += alike_lines(chip, f"{i}_{j}", "vref", f"bl_{j}", own, count)
        lines += [f"vsense_{j} bl_{j} in_{j} 0", integrator_line(chip, f"{block}_{j}", f"in_{j}", f"out_{j}")]
        lines += converter_load(chip, f"load_{j}", f"out_{j}")
        if chip.array.c_bit_line:
            lines.append(f"cline_{j} bl_{j} 0 {spice_number(len(column) * chip.array.c_bit_line)}")
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        f"{cells.shape[1]} switched integrators below columns of {cells.shape[0]} cells at rest",
        [*cell_blocks(chip), gate_supply(chip), *integrator_blocks(chip), supplies(chip), "\n".join(lines)],
        ["time", *(f"{probe}_{j})" for j in range(cells.shape[1]) for probe in ("v(out", "v(in", "i(vsense"))],
        notes=["Outputs without inputs: what integrators make of their own offsets and switches."],
        analyses=[f".tran 1n {spice_number(window.end + window.hold)} 0 1n"],
        nodesets={f"out_{j}": reference for j in range(cells.shape[1])},
    )


def build_ota_response(chip: Chip, c_load: float, bias_current: float) -> Netlist:
    """Build a testbench for the open-loop gain of the integrator's amplifier.

    A resistor that only sets the bias feeds the output back; 1 F keeps signals out of it.
    """
    lines = [
        "vin inp vref dc 0 ac 1",
        f"xa inp inn out vdd 0 ota ibias={spice_number(bias_current)}",
        "rbias out inn 1e9",
        "cbias inn 0 1",
        f"cload out 0 {spice_number(c_load)}",
    ]
    reference = chip.sense_amplifier.v_reference
    return build_netlist(
        chip,
        "folded-cascode amplifier, open loop",
        [block_text("ota", chip), supplies(chip), "\n".join(lines)],
        ["frequency", "v(out)", "i(vdd)"],
        notes=["Gain of the amplifier from its inputs to its output."],
        analyses=[".ac dec 40 1 10g"],
        nodesets={"out": reference, "inn": reference},
    )
