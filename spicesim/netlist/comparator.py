"""The StrongARM comparator, and a testbench with many of them that decide at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spicesim.chip import Chip
from spicesim.chip.blocks import Comparator
from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist, build_netlist
from spicesim.netlist.process import block_text
from spicesim.netlist.sense_amplifier import supplies
from spicesim.units import spice_number

__all__ = ["Clock", "build_comparators", "comparator_blocks", "comparator_line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock: low first, then high and low in turn."""

    period: float = 20e-9
    """Period [s]; half of it is high."""
    edge: float = 0.1e-9
    """Rise and fall time [s]."""
    cycles: int = 1
    """Periods to simulate."""
    step: float = 20e-12
    """Longest time step [s], of the order of the latch's time constant."""

    @property
    def start(self) -> float:
        """Middle of the first rising edge [s]."""
        return self.period / 2

    @property
    def stop(self) -> float:
        """End of the simulation [s]: of the last high phase, and of its reset if there are several."""
        return self.period * (self.cycles if self.cycles == 1 else self.cycles + 0.5)

    def source(self, name: str, node: str, high: float) -> str:
        """Format its source."""
        delay, width = self.start - self.edge / 2, self.period / 2 - self.edge
        numbers = (delay, self.edge, self.edge, width, self.period)
        return f"v{name} {node} 0 pulse(0 {spice_number(high)} {' '.join(map(spice_number, numbers))})"


def comparator_blocks(chip: Chip) -> list[str]:
    """Return the subcircuits that :func:`comparator_line` calls."""
    return [block_text("comparator", chip)]


def comparator_line(
    chip: Chip, name: str, inp: str, inn: str, clock: str, outp: str, outn: str, sizes: Comparator | None = None
) -> str:
    """Format the instance of one comparator."""
    sizes = sizes or chip.comparator
    return (
        f"x{name} {inp} {inn} {clock} {outp} {outn} vdd 0 comparator"
        f" w={spice_number(sizes.input_width)} l={spice_number(chip.process.min_length)}"
        f" wl={spice_number(sizes.latch_width)} wr={spice_number(sizes.reset_width)}"
    )


def build_comparators(
    chip: Chip,
    differences: npt.ArrayLike,
    *,
    sizes: Comparator | None = None,
    clock: Clock | None = None,
    r_source: float = 0.0,
    common: float | None = None,
) -> Netlist:
    """Build a testbench of comparators, each with an input difference of its own and all with one clock.

    Parameters
    ----------
    chip : Chip
        The chip.
    differences : array_like of shape (comparators,)
        Input differences [V]; half of it at either input.
    sizes : Comparator, optional
        Of all comparators.
    clock : Clock, optional
        By default one decision.
    r_source : float
        Resistance of each input's source [ohm].
    common : float, optional
        Common input voltage [V]; by default the reference.

    Returns
    -------
    Netlist
        Probes ``v(outp_K)``, ``v(outn_K)``, ``v(clk)``, ``i(vdd)``; with sources of some resistance also ``v(inp_K)``
        and ``v(inn_K)``.
    """
    clock = clock or Clock()
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise SpecError(f"input differences must be finite numbers, one a comparator, got shape {values.shape}")
    middle = chip.sense_amplifier.v_reference if common is None else common
    lines = [clock.source("clk", "clk", chip.process.supply)]
    probes = ["time", "v(clk)", "i(vdd)"]
    for k, difference in enumerate(values):
        ends = (("inp", middle + difference / 2), ("inn", middle - difference / 2))
        for node, volts in ends:
            if r_source:
                lines += [
                    f"v{node}_{k} source_{node}_{k} 0 {spice_number(volts)}",
                    f"r{node}_{k} source_{node}_{k} {node}_{k} {spice_number(r_source)}",
                ]
                probes.append(f"v({node}_{k})")
            else:
                lines.append(f"v{node}_{k} {node}_{k} 0 {spice_number(volts)}")
        lines.append(comparator_line(chip, f"dut_{k}", f"inp_{k}", f"inn_{k}", "clk", f"outp_{k}", f"outn_{k}", sizes))
        lines.append(f"cp_{k} outp_{k} 0 5f\ncn_{k} outn_{k} 0 5f")
        probes += [f"v(outp_{k})", f"v(outn_{k})"]
    return build_netlist(
        chip,
        f"{len(values)} StrongARM comparators",
        [*comparator_blocks(chip), supplies(chip), "\n".join(lines)],
        probes,
        notes=["Comparators with one clock; each has an input difference of its own and drives 5 fF."],
        analyses=[f".tran {spice_number(clock.step)} {spice_number(clock.stop)} 0 {spice_number(clock.step)}"],
    )
