"""Steps that are watched until they have settled, however long that takes."""

import dataclasses

from spicesim.arrays import Floats
from spicesim.characterise.waveform import rings, settling_time
from spicesim.errors import ValidityError
from spicesim.netlist.expression import read_number
from spicesim.netlist.netlist import Netlist
from spicesim.units import spice_number

__all__ = ["Step", "lengthen"]

_FACTOR = 4
_LONGEST = 256
"""Times the first window that are simulated at the most: what has not settled then is broken, not slow."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A netlist's answer to a step."""

    probe: str
    """What is watched."""
    start: float
    """Time of the step [s]."""
    band: float
    """Settling band around the final value, in the unit of the probe."""

    def is_open(self, waves: dict[str, Floats]) -> bool:
        """Return whether a longer simulation would tell more: it has not settled, and does not just ring on."""
        time, wave = waves["time"], waves[self.probe]
        try:
            settling_time(time, wave, self.start, self.band, "it")
        except ValidityError:
            return not rings(time, wave, self.start)
        return False


def lengthen(netlist: Netlist) -> list[Netlist]:
    """Return the same netlist with longer and longer transients, whose steps grow with them."""
    kind, *words = netlist.analyses[0].split()
    step, stop, *rest = (read_number(word) for word in words)
    longer, factor = [], _FACTOR
    while factor <= _LONGEST:
        times = (step * factor, stop * factor, *rest[:1], *(t * factor for t in rest[1:]))
        card = " ".join([kind, *map(spice_number, times)])
        longer.append(dataclasses.replace(netlist, analyses=(card,)))
        factor *= _FACTOR
    return longer
