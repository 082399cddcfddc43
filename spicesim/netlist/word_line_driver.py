"""The word-line driver that switches between two voltages, and testbenches that pulse and load it."""

from spicesim.chip import Chip
from spicesim.chip.blocks import WordLineDriver
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import format_si, spice_number

__all__ = ["build_word_line_driver", "build_word_line_driver_load", "driver_blocks", "driver_line"]


def driver_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`driver_line` calls."""
    return [block_text("word_line_driver", chip)]


def driver_line(
    chip: Chip,
    name: str,
    control: str,
    node_out: str,
    sizes: WordLineDriver | None = None,
    *,
    rails: tuple[str, str, str] = ("vhi", "vlo", "vdd"),
) -> str:
    """Format the instance of one driver; it puts out the first of its rails or the second, the third supplies it."""
    sizes = sizes or chip.word_line_driver
    if 2.5 * sizes.width > chip.process.max_width * (1 + 1e-9):
        raise SpecError(
            f"the driver's p-channel switches of {2.5 * sizes.width:g} m are wider than the models cover, "
            f"{chip.process.max_width:g} m; use several drivers, or a smaller width"
        )
    return (
        f"x{name} {control} {node_out} {' '.join(rails)} 0 word_line_driver w={spice_number(sizes.width)}"
        f" taper={spice_number(sizes.taper)} l={spice_number(chip.process.min_length)}"
    )


def _levels(chip: Chip) -> str:
    return f"* read voltages\nvlo vlo vref 0\nvhi vhi vref {spice_number(chip.dac.v_span)}"


def build_word_line_driver(
    chip: Chip,
    *,
    sizes: WordLineDriver | None = None,
    r_load: float = 1e4,
    c_load: float = 1e-12,
    width: float = 100e-9,
) -> Netlist:
    """Build a testbench that sends one pulse into a row.

    Parameters
    ----------
    chip : Chip
        The chip; pulses go from the reference to ``dac.v_span`` above it.
    sizes : WordLineDriver, optional
        Of the driver.
    r_load, c_load : float
        Resistance of the row's cells to the reference [ohm], capacitance of the row [F].
    width : float
        Width of the pulse [s].
    """
    lines = [
        "* a pulse, the driver, and its row",
        f"vctrl ctrl 0 pulse(0 {spice_number(chip.process.supply)} 50n 0.1n 0.1n {spice_number(width)})",
        driver_line(chip, "driver", "ctrl", "out", sizes),
        f"rload out vref {spice_number(r_load)}",
        f"cload out 0 {spice_number(c_load)}",
    ]
    return build_netlist(
        chip,
        "word-line driver, one pulse",
        [*driver_blocks(chip), supplies(chip), _levels(chip), "\n".join(lines)],
        ["time", "v(ctrl)", "v(out)", "i(vdd)", "i(vhi)"],
        notes=[f"One pulse of {format_si(width, 's')} into a row of {format_si(r_load, 'ohm')}."],
        analyses=[f".tran 0.1n {spice_number(100e-9 + 2 * width)} 0 0.5n"],
    )


def build_word_line_driver_load(chip: Chip, *, sizes: WordLineDriver | None = None, i_limit: float = 1e-3) -> Netlist:
    """Build a testbench of two drivers, one at either level, that sweeps the current out of both [A]."""
    step = i_limit / 10
    lines = [
        "* one driver puts out vhi, the other vlo",
        driver_line(chip, "high", "vdd", "high", sizes),
        driver_line(chip, "low", "0", "low", sizes),
        "* the same current out of both",
        "bhigh high 0 i=v(load)",
        "blow low 0 i=v(load)",
        "vload load 0 0",
    ]
    return build_netlist(
        chip,
        "word-line driver, loaded",
        [*driver_blocks(chip), supplies(chip), _levels(chip), "\n".join(lines)],
        ["v(high)", "v(low)", "v(load)"],
        notes=["Outputs of a driver against the current out of it; v(load) is that current in A."],
        analyses=[f".dc vload {spice_number(-i_limit)} {spice_number(i_limit + step / 2)} {spice_number(step)}"],
    )
