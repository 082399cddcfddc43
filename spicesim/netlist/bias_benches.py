"""Testbenches of the bias generator: its supply, temperature, a mirror's output, start-up, a knock, noise."""

from spicesim.chip import Chip
from spicesim.netlist.bias import bias_blocks, bias_line
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.units import spice_number

__all__ = ["KNOCK", "LOAD", "START", "WANTED", "build_bias", "build_bias_response", "build_bias_transient"]

WANTED = 20e-6
"""What a mirror is asked for that is as wide as the generator's transistors [A]."""
LOAD = 1e-3
"""Conductance without noise, into which a mirror's current goes in small signals [S]."""
START, KNOCK = 1e-6, 1e-6
"""When the supply begins to rise, or the line is knocked, for as long [s]; and by how much [A]."""


def _build(chip: Chip, title: str, lines: list[str], probes: list[str], analysis: str) -> Netlist:
    circuit = [
        "* the generator, and two mirrors; their outputs are held where an n-channel diode would have them",
        bias_line(chip.bias, "xdut", "line"),
        *(f"xmirror_{k} out_{k} line vdd bias_mirror current={spice_number(WANTED)}" for k in range(2)),
        *(f"vout_{k} hold_{k} 0 {spice_number(chip.process.supply / 4)}" for k in range(2)),
    ]
    return build_netlist(
        chip,
        f"bias generator, {title}",
        [*bias_blocks(chip), "\n".join([*circuit, *lines])],
        probes,
        notes=["A bias generator by itself, and mirrors of it; i(vout_K) is the current of one."],
        analyses=[analysis],
    )


def _held(*outputs: int) -> list[str]:
    return [f"rout_{k} out_{k} hold_{k} 1" for k in outputs]


def build_bias(chip: Chip, swept: str, first: float, last: float, points: int) -> Netlist:
    """Build a testbench at rest.

    Parameters
    ----------
    chip : Chip
        Gives sizes and supply.
    swept : str
        ``vdd``, ``vout_0``, or ``temp``.
    first, last : float
        Its range [V or degree Celsius].
    points : int
        Of the sweep.

    Returns
    -------
    Netlist
        Probes ``i(vout_0)``, ``i(vout_1)`` and ``i(vdd)``.
    """
    step = (last - first) / (points - 1)
    card = f".dc {swept} {spice_number(first)} {spice_number(last + step / 2)} {spice_number(step)}"
    lines = [*_held(0, 1), f"vdd vdd 0 {spice_number(chip.process.supply)}"]
    return _build(chip, f"{swept} swept", lines, ["i(vout_0)", "i(vout_1)", "i(vdd)"], card)


def build_bias_transient(chip: Chip, mirrors: int, stop: float, *, starting: bool) -> Netlist:
    """Build a generator whose supply comes up in a microsecond, or whose line is knocked by a current for as long.

    Parameters
    ----------
    chip : Chip
        Gives sizes and supply.
    mirrors : int
        Mirrors on the line.
    stop : float
        Time to watch [s].
    starting : bool
        Whether the supply comes up.

    Returns
    -------
    Netlist
        Probes ``time`` and ``i(vout_0)``.
    """
    a, b = (spice_number(t) for t in (START, 2 * START))
    supply, height = spice_number(chip.process.supply), spice_number(KNOCK)
    source = f"pwl(0 0 {a} 0 {b} {supply})" if starting else supply
    lines = [*_held(0, 1), f"vdd vdd 0 {source}"]
    if not starting:
        after, later = (spice_number(t + 1e-9) for t in (START, 2 * START))
        lines.append(f"iknock 0 line pwl(0 0 {a} 0 {after} {height} {b} {height} {later} 0)")
    # written out: not all simulators multiply subcircuits, and each is drawn for itself
    lines += [f"xother_{k} out_1 line vdd bias_mirror current={spice_number(WANTED)}" for k in range(2, mirrors)]
    title = f"{'start' if starting else 'knock'}, {mirrors} mirrors"
    return _build(chip, title, lines, ["time", "i(vout_0)"], f".tran 10n {spice_number(stop)} 0 10n")


def build_bias_response(chip: Chip) -> Netlist:
    """Build a generator whose supply is shaken by a volt; ``v(out_0)`` is a mirror's current over :data:`LOAD`."""
    lines = [
        *_held(1),
        f"gout_0 out_0 hold_0 out_0 hold_0 {spice_number(LOAD)}",
        f"vdd vdd 0 dc {spice_number(chip.process.supply)} ac 1",
    ]
    return _build(chip, "supply shaken", lines, ["frequency", "v(out_0)"], ".ac dec 10 10 100meg")
