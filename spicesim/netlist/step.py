"""A step from one code to another: which bits rise and fall, and the transient analysis that watches it."""

from collections.abc import Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.units import spice_number

__all__ = ["RESET", "SKEWED_OPTIONS", "STEP_TIME", "CodeStep", "reset_source"]

SKEWED_OPTIONS = ".options klu reltol=1e-6 vntol=1e-9 abstol=1e-12"
"""With bits one by one: at less than a picoampere ngspice's steps in time shrink to nothing at the first edge."""

STEP_TIME = 1e-9
"""When codes and currents step [s]."""
RESET = 1e-3
"""Conductance that puts an array where it was left before [S]; it is cut before anything happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeStep:
    """All DACs change their code at one time.

    Raises
    ------
    SpecError
        If the times do not rise.
    """

    before: Sequence[int]
    """Codes before the step, one a DAC."""
    after: Sequence[int]
    """Codes after the step, one a DAC."""
    stop: float
    """How long to watch after the step [s]."""
    start: float = STEP_TIME
    """Time of the step: the middle of its edges [s]."""
    edge: float = 0.1e-9
    """Rise and fall time of the bits [s]."""
    resolution: float = 1e-9
    """Longest time step [s]."""
    hold: float | None = None
    """From the step until hold switches of floating bit lines open [s]; by default the chip's time for settling."""
    delays: Sequence[float] = ()
    """By how much each bit comes after `start`, least significant first [s]; empty where all come at once."""

    def __post_init__(self) -> None:
        if self.delays and not (min(self.delays) >= 0 and max(self.delays) + self.edge / 2 < self.stop):
            raise SpecError(
                f"bits come from 0 s after the step to before the end at {self.stop:g} s, got delays of "
                f"{min(self.delays):g} to {max(self.delays):g} s; watch for longer, or spread them less"
            )
        if not (0 < self.edge < 2 * self.start and self.stop > 0 and self.resolution > 0):
            raise SpecError(
                f"a step needs 0 < edge < 2 start, stop > 0 and resolution > 0, got {self.edge:g}, {self.start:g}, "
                f"{self.stop:g}, {self.resolution:g} s"
            )

    @property
    def source_names(self) -> tuple[str, ...]:
        """Sources of the bits, for probes of their currents."""
        return tuple(f"v{kind}{end}" for end, _ in self._arrivals() for kind in ("rise", "fall"))

    def _arrivals(self) -> list[tuple[str, float]]:
        """Return when bits come [s], each with the end of the names of its nodes."""
        return [(f"_{k}", self.start + late) for k, late in enumerate(self.delays)] or [("", self.start)]

    def nodes(self, dac: int, bits: int) -> list[str]:
        """Return the nodes that the bits of a DAC are tied to, least significant first.

        Raises
        ------
        SpecError
            If there is not one delay a bit.
        """
        if len(self.delays) not in (0, bits):
            raise SpecError(f"a step of {bits} bits takes {bits} delays, got {len(self.delays)}")
        names = {(0, 0): "0", (1, 1): "vdd", (0, 1): "rise", (1, 0): "fall"}
        before, after = int(self.before[dac]), int(self.after[dac])
        found = [names[before >> k & 1, after >> k & 1] for k in range(bits)]
        return [f"{node}_{k}" if self.delays and node in ("rise", "fall") else node for k, node in enumerate(found)]

    def sources(self, supply: float) -> str:
        """Format the two sources of the bits that change, or those of each bit where they come apart."""
        high, half = spice_number(supply), self.edge / 2
        lines = ["* bits that rise and bits that fall" + (", each at its time" if self.delays else "")]
        for end, time in self._arrivals():
            first, last = spice_number(time - half), spice_number(time + half)
            lines += [
                f"vrise{end} rise{end} 0 pwl(0 0 {first} 0 {last} {high})",
                f"vfall{end} fall{end} 0 pwl(0 {high} {first} {high} {last} 0)",
            ]
        return "\n".join(lines)

    @property
    def analysis(self) -> str:
        """The analysis card."""
        resolution = spice_number(self.resolution)
        return f".tran {resolution} {spice_number(self.start + self.stop)} 0 {resolution}"


def reset_source() -> str:
    """Format the source of ``reset``, which is 1 until arrays are where they were left before."""
    first, last = spice_number(0.5 * STEP_TIME), spice_number(0.6 * STEP_TIME)
    return f"vreset reset 0 pwl(0 1 {first} 1 {last} 0)"
