"""Noise testbenches: made of those for the frequency response, of a sense amplifier below a column, of a driver."""

import re
from dataclasses import replace

from spicesim.chip import Chip
from spicesim.errors import SpecError
from spicesim.netlist.buffer import buffer_blocks, buffer_line
from spicesim.netlist.dac import code_bits, dac_blocks, dac_line, dac_references
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.sense_amplifier import amplifier_blocks, amplifier_line, supplies
from spicesim.units import spice_number

__all__ = [
    "NOISE_BAND",
    "NoiseNetlist",
    "build_buffer_noise",
    "build_driver_noise",
    "build_noise",
    "build_sense_amplifier_noise",
    "build_tile_noise",
]

NOISE_BAND = (1e3, 1e10)
"""Frequencies over which noise is integrated [Hz]: what is slower counts as drift, what is faster no circuit passes."""


class NoiseNetlist(Netlist):
    """A netlist with one ``.noise`` analysis; probes are the spectral densities that ngspice makes of it."""

    __slots__ = ()

    def _require_cards(self) -> None:
        if len(self.analyses) != 1 or not self.analyses[0].startswith(".noise "):
            raise SpecError(f"a noise netlist has one .noise analysis, got {self.analyses}")

    @property
    def plots(self) -> tuple[str, ...]:
        """Name of the plot."""
        return ("Noise Spectral Density Curves",)


def build_noise(response: Netlist, node: str, source: str) -> NoiseNetlist:
    """Turn a testbench for ``.ac`` into one for the noise at a node, referred to a source.

    Parameters
    ----------
    response : Netlist
        Its frequencies and its circuit are taken.
    node : str
        Output.
    source : str
        Name of the input source.
    """
    sweep = response.analyses[0].removeprefix(".ac ")
    return NoiseNetlist(
        title=response.title,
        body=f"{response.body}\n\n* the integral as well, without which ngspice reports an error\n.save onoise_total",
        analyses=(f".noise v({node}) {source} {sweep}",),
        probes=("frequency", "onoise_spectrum", "inoise_spectrum"),
        options=response.options.replace(" klu", ""),  # ngspice has noise with its own solver only
        models=response.models,
        spiceinit=response.spiceinit,
        nodesets=response.nodesets,
    )


def build_tile_noise(tile: Netlist, output: int) -> NoiseNetlist:
    """Turn a tile at rest into one for the noise of an output: of drivers, wires, cells, read-outs, all that it has.

    Parameters
    ----------
    tile : Netlist
        A tile with its operating point.
    output : int
        Bit line.

    Returns
    -------
    NoiseNetlist
        Referred to the drivers' upper reference, or where gates are driven to the lines' supply.

    Raises
    ------
    SpecError
        If it has no such output, or is no tile at rest.
    """
    node = f"out_{output}"
    if f"v({node})" not in tile.probes:
        count = sum(probe.startswith("v(out_") for probe in tile.probes)
        raise SpecError(f"there is no output {output}; a tile has outputs 0..{count - 1}")
    if tile.analyses != (".op",):
        raise SpecError("noise is that of a tile at rest; leave --t-read out, and the chip's read-outs that need time")
    source = next(name for name in ("vhi", "vread") if re.search(rf"^{name} ", tile.body, re.MULTILINE))
    body = re.sub(rf"^({source} \S+ \S+ \S+)", r"\1 ac 1", tile.body, count=1, flags=re.MULTILINE)
    response = replace(tile, body=body, analyses=(_sweep(),), title=f"{tile.title}, noise of output {output}")
    return build_noise(response, node, source)


def _sweep() -> str:
    low, high = (spice_number(f) for f in NOISE_BAND)
    return f".ac dec 20 {low} {high}"


def build_sense_amplifier_noise(chip: Chip, r_feedback: float, g: float, c: float = 0.0) -> NoiseNetlist:
    """Build a sense amplifier at rest below a column, for its output noise referred to the current into it.

    Parameters
    ----------
    chip : Chip
        The chip.
    r_feedback : float
        Feedback resistance [ohm].
    g, c : float
        Conductance and capacitance of the column; the conductance has its thermal noise [S], [F].
    """
    reference = chip.sense_amplifier.v_reference
    lines = ["* a column, and a current into the virtual ground", "iin 0 sense dc 0 ac 1"]
    if g > 0:
        lines.append(f"rcolumn sense vref {spice_number(1 / g)}")
    if c > 0:
        lines.append(f"ccolumn sense 0 {spice_number(c)}")
    lines.append(amplifier_line(chip, "senseamp", "sense", "out", r_feedback))
    response = build_netlist(
        chip,
        f"noise of the transimpedance amplifier, {r_feedback:g} ohm, below {g:g} S",
        [*amplifier_blocks(chip), supplies(chip), "\n".join(lines)],
        ["v(out)"],
        notes=["Output noise of a sense amplifier below a column."],
        analyses=[_sweep()],
        nodesets={"sense": reference, "out": reference},
    )
    return build_noise(response, "out", "iin")


def build_buffer_noise(chip: Chip) -> NoiseNetlist:
    """Build a buffer at rest that drives the array of a converter, for the noise of its output."""
    reference = chip.sense_amplifier.v_reference
    lines = [
        "* what is held, and the buffer",
        "vin in vref dc 0 ac 1",
        buffer_line(chip, "buffer", "in", "out"),
    ]
    if chip.converter is not None:
        lines.append(f"carray out 0 {spice_number(chip.converter.dac.total)}")
    response = build_netlist(
        chip,
        "noise of the buffer behind a hold capacitor",
        [*buffer_blocks(chip), supplies(chip), "\n".join(lines)],
        ["v(out)"],
        notes=["Output noise of a buffer, with the array of a converter."],
        analyses=[_sweep()],
        nodesets={"out": reference},
    )
    return build_noise(response, "out", "vin")


def build_driver_noise(chip: Chip, code: int) -> NoiseNetlist:
    """Build a word-line driver at rest without load, for the noise of its output."""
    reference = chip.sense_amplifier.v_reference
    lines = [
        "* the driver; a current into its output is the source that noise is referred to",
        "iin 0 out dc 0 ac 1",
        dac_line(chip, "dac", "out", code_bits(code, chip.dac.level_bits)),
    ]
    response = build_netlist(
        chip,
        f"noise of the word-line driver, code {code}",
        [*dac_blocks(chip), supplies(chip), dac_references(chip, "bipolar"), "\n".join(lines)],
        ["v(out)"],
        notes=["Output noise of a word-line driver."],
        analyses=[_sweep()],
        nodesets={"out": reference},
    )
    return build_noise(response, "out", "iin")
