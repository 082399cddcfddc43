"""The current-steering DAC of any resolution, and testbenches of it."""

from spicesim.chip import Chip
from spicesim.chip.blocks import CurrentDac
from spicesim.errors import SpecError
from spicesim.netlist.drawing import draw_current_dac
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import spice_number

__all__ = ["build_current_dac", "build_current_dac_step", "current_dac_blocks"]


def current_dac_blocks(chip: Chip, sizes: CurrentDac) -> list[str]:
    """Return the DAC's subcircuit ``current_dac`` and those it calls.

    Ports: outp, outn, b0 (least significant) .. bN-1, vdd, vss. outp sinks ``unit`` times the code, outn the rest.
    """
    if sizes.length < chip.process.min_length * (1 - 1e-9):
        raise SpecError(f"a length of {sizes.length:g} m is below the process's {chip.process.min_length:g} m")
    shared = (
        f"w={spice_number(sizes.source_width)} wc={spice_number(sizes.source_width)}"
        f" ls={spice_number(sizes.source_length)} l={spice_number(sizes.length)}"
    )
    lines = [
        f"* current_dac: {sizes.bits}-bit current-steering DAC",
        *draw_current_dac(sizes.bits),
        "* ports       outp outn, bits from the least significant, vdd vss",
        f".subckt current_dac outp outn {' '.join(f'b{k}' for k in range(sizes.bits))} vdd vss",
        f"xbias vb vc vdd vss current_bias i={spice_number(sizes.unit)} parts=8 {shared}",
        *(
            f"xbit{k} outp outn b{k} vb vc vdd vss current_cell parts={2**k} {shared}" for k in range(sizes.bits)
        ),
        ".ends current_dac",
    ]  # fmt: skip
    return [*(block_text(name, chip) for name in ("current_cell", "current_bias")), "\n".join(lines)]


def _bench(
    chip: Chip, sizes: CurrentDac, drivers: list[str], loads: list[str], probes: list[str], analysis: str
) -> Netlist:
    lines = [
        *drivers,
        "* the converter; its outputs sink currents out of their loads",
        f"xdac outp outn {' '.join(f'b{k}' for k in range(sizes.bits))} vdd 0 current_dac",
        *loads,
    ]
    return build_netlist(
        chip,
        f"{sizes.bits}-bit current-steering DAC",
        [*current_dac_blocks(chip, sizes), supplies(chip), "\n".join(lines)],
        probes,
        notes=["Currents of a current-steering DAC into its two outputs."],
        analyses=[analysis],
    )


def build_current_dac(chip: Chip, sizes: CurrentDac | None = None, *, output: bool = False) -> Netlist:
    """Build a testbench that sweeps the code, or at full scale the voltage of the outputs from 0 to the supply.

    Returns
    -------
    Netlist
        Probes ``i(voutp)``, ``i(voutn)``, which are minus the currents sunk, ``v(code)``, ``v(outp)``, ``i(vdd)``.
    """
    sizes = sizes or chip.current_dac
    supply, reference = spice_number(chip.process.supply), spice_number(chip.sense_amplifier.v_reference)
    last = 2**sizes.bits - 1
    drivers = ["* the code as a voltage, and its bits", f"vcode code 0 {last}"]
    for k in range(sizes.bits):
        scaled, double = f"(v(code)+0.5)/{2**k}", f"(v(code)+0.5)/{2 ** (k + 1)}"
        drivers.append(f"bb{k} b{k} 0 v={supply}*(floor({scaled})-2*floor({double}))")
    loads = [f"voutp outp 0 {reference}", "voutn outn outp 0"]
    card = f".dc voutp 0 {supply} {spice_number(chip.process.supply / 330)}" if output else f".dc vcode 0 {last} 1"
    return _bench(chip, sizes, drivers, loads, ["i(voutp)", "i(voutn)", "v(code)", "v(outp)", "i(vdd)"], card)


def build_current_dac_step(
    chip: Chip, before: int, after: int, sizes: CurrentDac | None = None, *, late: float = 0.0
) -> Netlist:
    """Build a testbench that steps the code at 10 ns; each output has 1 kohm || 0.1 pF to the reference.

    The most significant bit changes `late` seconds after the others.
    """
    sizes = sizes or chip.current_dac
    supply = spice_number(chip.process.supply)
    drivers = ["* the code"]
    for k in range(sizes.bits):
        low, high = (supply if code >> k & 1 else "0" for code in (before, after))
        edge = 10e-9 + (late if k == sizes.bits - 1 else 0.0)
        drivers.append(f"vb{k} b{k} 0 pwl(0 {low} {edge:.6g} {low} {edge + 0.1e-9:.6g} {high})")
    loads = [line for node in ("outp", "outn") for line in (f"r{node} {node} vref 1k", f"c{node} {node} 0 0.1p")]
    return _bench(chip, sizes, drivers, loads, ["time", "v(outp)", "v(outn)", "i(vdd)"], ".tran 0.05n 60n 0 0.2n")
