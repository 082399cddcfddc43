"""Noise testbenches, made of those for the frequency response."""

from spicesim.errors import SpecError
from spicesim.netlist.netlist import Netlist

__all__ = ["NoiseNetlist", "build_noise"]


class NoiseNetlist(Netlist):
    """A netlist with one ``.noise`` analysis; probes are the spectral densities that ngspice makes of it."""

    __slots__ = ()

    def __post_init__(self) -> None:
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
