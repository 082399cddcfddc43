"""Memory devices and cells without a chip's array: sweeps of static models, pulses of models with state."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.cell import cell_blocks, pair_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.subcircuits import split_subcircuits
from spicesim.units import spice_number

__all__ = [
    "STATE_DEVICES",
    "STATIC_DEVICES",
    "build_device_pulses",
    "build_device_sweep",
    "build_differential_cells",
    "device_parameters",
]

STATIC_DEVICES: Mapping[str, tuple[str, ...]] = {
    "resistor": (),
    "rram": (),
    "pcm": (),
    "ecram": (),
    "selector": (),
    "cell_1s1r": ("rram", "selector"),
}
"""Read models, with the subcircuits that each calls."""

STATE_DEVICES: Mapping[str, str] = {"rram_gap": "gap", "pcm_state": "x", "ecram_state": "x"}
"""Models with a state, for transients, and the node that is it."""


def device_parameters(chip: Chip, device: str) -> tuple[str, ...]:
    """Return the names of a device's parameters, from its file."""
    known, _ = split_subcircuits(chip.library_text(f"{device}.cir"))
    return tuple(re.findall(r"(\w+)=", known[device].head))


def _values(chip: Chip, device: str, given: Mapping[str, float]) -> str:
    """Format parameters of an instance."""
    known = device_parameters(chip, device)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SpecError(f"{device} has no parameter {unknown[0]!r}; it has: {', '.join(known)}")
    return " ".join(f"{name}={spice_number(value)}" for name, value in given.items())


def build_device_sweep(
    chip: Chip, device: str, parameters: Sequence[Mapping[str, float]], v_limit: float, points: int = 101
) -> Netlist:
    """Build a testbench that sweeps the voltage across one device for each set of parameters.

    Parameters
    ----------
    chip : Chip
        Gives temperature and header.
    device : str
        One of :data:`STATIC_DEVICES`.
    parameters : sequence of mapping of str to float
        Parameters of each device.
    v_limit : float
        The sweep goes from ``-v_limit`` to ``v_limit`` [V].
    points : int
        Points of the sweep.

    Returns
    -------
    Netlist
        Probes ``v(p)`` and ``i(vsense_K)``, the current of device K.
    """
    if device not in STATIC_DEVICES:
        raise SpecError(f"no static device {device!r}; there are: {', '.join(STATIC_DEVICES)}")
    if not (np.isfinite(v_limit) and v_limit > 0) or points < 2 or not parameters:
        raise SpecError("a sweep needs a device, a positive voltage and two points at least")
    third = " 0" if device == "ecram" else ""
    lines = ["* the voltage, and a device with a meter for each set of parameters", "vp p 0 0"]
    for k, given in enumerate(parameters):
        lines += [f"xdut_{k} p n_{k}{third} {device} {_values(chip, device, given)}", f"vsense_{k} n_{k} 0 0"]
    step = 2 * v_limit / (points - 1)
    return build_netlist(
        chip,
        f"{len(parameters)} devices {device}",
        [*(chip.library_text(f"{name}.cir") for name in (*STATIC_DEVICES[device], device)), "\n".join(lines)],
        ["v(p)", *(f"i(vsense_{k})" for k in range(len(parameters)))],
        notes=[f"Current of memory devices ({device}) against the voltage across them."],
        analyses=[f".dc vp {spice_number(-v_limit)} {spice_number(v_limit + step / 2)} {spice_number(step)}"],
    )


def build_device_pulses(
    chip: Chip,
    device: str,
    pulses: Sequence[tuple[float, float]],
    *,
    parameters: Mapping[str, float] | None = None,
    v_read: float = 0.1,
    rest: float = 50e-9,
    r_series: float = 1e3,
    step: float = 1e-9,
) -> Netlist:
    """Build a testbench that writes a device with state by pulses, and reads it between them.

    Parameters
    ----------
    chip : Chip
        Gives temperature and header.
    device : {"rram_gap", "pcm_state", "ecram_state"}
        The first two are pulsed at their terminal p, through a resistor; ``ecram_state`` at its gate.
    pulses : sequence of (float, float)
        Voltage [V] and width [s] of each.
    parameters : mapping of str to float, optional
        Of the device; its ambient temperature, if it has one, is the chip's unless it is given.
    v_read : float
        Voltage at p between the pulses, ``rest`` before and after each [V].
    rest : float
        Time between pulses [s].
    r_series : float
        Resistor in series with a device of two terminals, which limits its current [ohm].
    step : float
        Longest time step [s].

    Returns
    -------
    Netlist
        Probes ``v(p)``, ``v(drive)``, ``v(state)``, ``i(vsense)`` (current of the device), ``i(vdrive)``.
    """
    if device not in STATE_DEVICES:
        raise SpecError(f"no device with state {device!r}; there are: {', '.join(STATE_DEVICES)}")
    widths = [width for _, width in pulses]
    edge = 1e-9
    if not pulses or not np.isfinite(np.array(pulses)).all() or min(widths) < 2 * edge:
        raise SpecError(f"pulses are voltages and widths of {2 * edge:g} s or more, got {list(pulses)}")
    gated = device == "ecram_state"
    idle = 0.0 if gated else v_read
    corners, time = [(0.0, idle)], 0.0
    for volts, width in pulses:
        time += rest
        corners += [(time, idle), (time + edge, volts), (time + width - edge, volts), (time + width, idle)]
        time += width
    drive = " ".join(f"{spice_number(t)} {spice_number(v)}" for t, v in corners)
    given = dict(parameters or {})
    if "t_ambient" in device_parameters(chip, device):
        given.setdefault("t_ambient", chip.process.temperature_c + 273.15)
    circuit = [
        f"vdrive drive 0 pwl({drive})",
        f"vp p 0 {spice_number(v_read)}" if gated else f"rseries drive p {spice_number(r_series)}",
        f"xdut p n {'drive ' if gated else ''}{device} {_values(chip, device, given)}",
    ]
    meters = ["vsense n 0 0", f"estate state 0 xdut.{STATE_DEVICES[device]} 0 1"]
    return build_netlist(
        chip,
        f"{len(pulses)} pulses into {device}",
        [
            chip.library_text(f"{device}.cir"),
            "\n".join(["* pulses, the device, its meter, its state", *circuit, *meters]),
        ],
        ["time", "v(p)", "v(drive)", "v(state)", "i(vsense)", "i(vdrive)"],
        notes=["A memory device is written by pulses, and read between them."],
        analyses=[f".tran {spice_number(step)} {spice_number(time + rest)} 0 {spice_number(step)}"],
    )  # fmt: skip


def build_differential_cells(chip: Chip, g_pos: npt.ArrayLike, g_neg: npt.ArrayLike, v_limit: float) -> Netlist:
    """Build a testbench that sweeps the word line of 2T2R cells, whose bit lines rest at the reference.

    Parameters
    ----------
    chip : Chip
        Gives devices and access transistors.
    g_pos, g_neg : array_like of shape (cells,)
        Conductances of the devices [S].
    v_limit : float
        The word line goes from ``-v_limit`` to ``v_limit`` above the reference [V].

    Returns
    -------
    Netlist
        Probes ``v(wl)``, ``v(vref)``, ``i(vpos_K)`` and ``i(vneg_K)``, the bit lines' currents.
    """
    positive, negative = np.asarray(g_pos, dtype=float), np.asarray(g_neg, dtype=float)
    if positive.shape != negative.shape or positive.ndim != 1 or not len(positive):
        raise SpecError(f"cells need two conductances each, got shapes {positive.shape} and {negative.shape}")
    if not (np.isfinite([positive, negative]).all() and min(positive.min(), negative.min()) > 0):
        raise SpecError("the conductances of a differential cell must be positive")
    lines = [
        "* word line, gates, and two bit lines for each cell",
        f"vref vref 0 {spice_number(chip.sense_amplifier.v_reference)}",
        "vwl wl vref 0",
        f"vgate gate 0 {spice_number(chip.process.supply)}",
    ]
    for k, (g_p, g_n) in enumerate(zip(positive, negative, strict=True)):
        lines += [
            pair_line(f"dut_{k}", "wl", (f"blp_{k}", f"bln_{k}"), (float(g_p), float(g_n))),
            f"vpos_{k} blp_{k} vref 0",
            f"vneg_{k} bln_{k} vref 0",
        ]
    return build_netlist(
        chip,
        f"{len(positive)} differential cells",
        [*cell_blocks(chip, "2t2r"), "\n".join(lines)],
        ["v(wl)", "v(vref)", *(f"i({name}_{k})" for k in range(len(positive)) for name in ("vpos", "vneg"))],
        notes=["Currents of 2T2R cells against the voltage of their word line."],
        analyses=[f".dc vwl {spice_number(-v_limit)} {spice_number(v_limit)} {spice_number(v_limit / 40)}"],
    )
