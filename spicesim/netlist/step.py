"""A step from one code to another: which bits rise and fall, and the transient analysis that watches it."""

from collections.abc import Sequence
from dataclasses import dataclass

from spicesim.errors import SpecError
from spicesim.units import spice_number

__all__ = ["STEP_TIME", "CodeStep"]

STEP_TIME = 1e-9
"""When codes and currents step [s]."""


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

    def __post_init__(self) -> None:
        if not (0 < self.edge < 2 * self.start and self.stop > 0 and self.resolution > 0):
            raise SpecError(
                f"a step needs 0 < edge < 2 start, stop > 0 and resolution > 0, got {self.edge:g}, {self.start:g}, "
                f"{self.stop:g}, {self.resolution:g} s"
            )

    @property
    def switched(self) -> list[str]:
        """Names of the sources of bits that change."""
        return ["vrise", "vfall"]

    def nodes(self, dac: int, bits: int) -> list[str]:
        """Return the nodes that the bits of a DAC are tied to, least significant first."""
        names = {(0, 0): "0", (1, 1): "vdd", (0, 1): "rise", (1, 0): "fall"}
        before, after = int(self.before[dac]), int(self.after[dac])
        return [names[before >> k & 1, after >> k & 1] for k in range(bits)]

    def sources(self, supply: float) -> str:
        """Format the two sources of the bits that change."""
        first, last = spice_number(self.start - self.edge / 2), spice_number(self.start + self.edge / 2)
        high = spice_number(supply)
        return "\n".join(
            [
                "* bits that rise and bits that fall",
                f"vrise rise 0 pwl(0 0 {first} 0 {last} {high})",
                f"vfall fall 0 pwl(0 {high} {first} {high} {last} 0)",
            ]
        )

    @property
    def analysis(self) -> str:
        """The analysis card."""
        resolution = spice_number(self.resolution)
        return f".tran {resolution} {spice_number(self.start + self.stop)} 0 {resolution}"
