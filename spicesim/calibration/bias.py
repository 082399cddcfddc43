"""What the bias generator of a tile draws, its mirrors left out: these are in the blocks."""

from spicesim.chip import Chip
from spicesim.netlist.bias_benches import build_bias
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.outcome import Results

__all__ = ["bias_current", "bias_netlist"]


def bias_netlist(chip: Chip) -> Netlist:
    """Build a generator with two mirrors at three supplies, of which the middle one is the chip's."""
    return build_bias(chip, "vdd", 0.9 * chip.process.supply, 1.1 * chip.process.supply, 3)


def bias_current(results: Results) -> float:
    """Return what the generator of :func:`bias_netlist` draws at the chip's supply [A]."""
    vectors = results[0].vectors
    return -float(sum(vectors[probe][1].real for probe in ("i(vdd)", "i(vout_0)", "i(vout_1)")))
