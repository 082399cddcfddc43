"""A product by pulses: when integrators are reset, run and are read, and how long each row is driven meanwhile.

Every row starts its pulse at one time and is at the higher level for as many units as its code has steps, at the lower
level before and after. All pulses lie within the window in which the integrators run. With levels of both signs it runs
as long at the lower level as at the higher for the middle code: all pulses are longer by half of what it runs besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from spicesim.chip import Chip
from spicesim.coding import Polarity
from spicesim.errors import SpecError
from spicesim.netlist.integrator import Window
from spicesim.units import spice_number

__all__ = ["LEAD", "LONGEST", "PULSE_OPTIONS", "WATCHED", "PulseProduct", "PulseSchedule", "product_options"]

PULSE_OPTIONS = ".options klu method=gear"
"""Of transients of products: trapezoids ring after every pulse, and finer tolerances move outputs by some 10 uV."""
CONVERTED_OPTIONS = f"{PULSE_OPTIONS} reltol=3e-5 vntol=1e-7"
"""The same where converters read outputs: within 3 uV of ten times finer tolerances, in twice the time."""
RESET_SHOWN = 5e-9
"""Of the reset, what a transient shows: it starts from rest, so that nothing is left of a product before [s]."""
WATCHED = 0.1
"""From the read to the end of a transient, as a share of the time to settle."""
LEAD = 0.5
"""From the start of the window to the pulses, as a share of the time to settle."""
LONGEST = 10.0
"""Longest time step over the first one: between edges hardly anything happens, and outputs stay where they are with
half of the points."""
EDGE = 0.1e-9
"""Rise and fall time of pulses and controls [s]."""


def product_options(chip: Chip) -> str:
    """Return the options of a transient of a product of a chip."""
    return CONVERTED_OPTIONS if chip.adc.kind == "sar" else PULSE_OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseSchedule:
    """Times of a product, from the start of its transient."""

    unit: float
    """A pulse of one step [s]."""
    length: float
    """All pulses lie in it [s]."""
    settle: float
    """From the reset to the pulses, from these to the end of the window, and from there to the read [s]."""
    longer: float
    """What all pulses last more than their units [s]."""

    @classmethod
    def of_chip(cls, chip: Chip, polarity: Polarity) -> Self:
        """Return the times of a chip, with inputs of a coding."""
        settle = chip.integrator.settle
        longer = 0.0 if polarity == "unipolar" else LEAD * settle + settle
        return cls(unit=chip.dac.unit, length=chip.dac.window, settle=settle, longer=longer)

    def lasts(self, code: int) -> float:
        """Return how long the pulse of a code lasts [s]."""
        return code * self.unit + self.longer

    @property
    def start(self) -> float:
        """Start of all pulses [s]."""
        return RESET_SHOWN + self.settle

    @property
    def window(self) -> Window:
        """When integrators are reset and run."""
        lead = LEAD * self.settle
        return Window(
            reset=RESET_SHOWN, start=self.start - lead, length=lead + self.length + self.longer + self.settle,
            hold=self.settle, edge=EDGE,
        )  # fmt: skip

    @property
    def read(self) -> float:
        """When outputs are read [s]."""
        return self.window.end + self.settle


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseProduct:
    """The codes of all rows, and the schedule that drives them.

    Raises
    ------
    SpecError
        If a pulse is longer than the time for all of them.
    """

    codes: Sequence[int]
    """Units of each row's pulse."""
    schedule: PulseSchedule

    def __post_init__(self) -> None:
        if max(self.codes) * self.schedule.unit > self.schedule.length:
            raise SpecError(
                f"a pulse of {max(self.codes)} units is longer than the window of {self.schedule.length:g} s; "
                "lower the code, or raise dac.bits"
            )

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources of pulses and controls."""
        return (*(f"vpulse_{code}" for code in self._lengths), "vrst", "vrun")

    @property
    def _lengths(self) -> list[int]:
        """Codes whose pulses last any time, rising."""
        return [code for code in sorted(set(self.codes)) if self.schedule.lasts(code)]

    def nodes(self, dac: int, bits: int) -> list[str]:
        """Return the node that the one bit of a driver is tied to."""
        code = int(self.codes[dac])
        return [f"pulse_{code}" if self.schedule.lasts(code) else "0"]

    def sources(self, supply: float) -> str:
        """Format the sources of the pulses, one a length, and of the integrators' controls."""
        high, start = spice_number(supply), self.schedule.start
        lines = ["* pulses, one a length in units; levels cross half at their ends"]
        for code in self._lengths:
            ends = (start, start + self.schedule.lasts(code))
            (a, b), (c, d) = ((spice_number(t - EDGE / 2), spice_number(t + EDGE / 2)) for t in ends)
            lines.append(f"vpulse_{code} pulse_{code} 0 pwl(0 0 {a} 0 {b} {high} {c} {high} {d} 0)")
        return "\n".join([*lines, "* controls of all integrators", *self.schedule.window.sources(supply)])

    @property
    def analysis(self) -> str:
        """The analysis card."""
        step, longest = (spice_number(self.schedule.settle / part) for part in (40, 40 / LONGEST))
        return f".tran {step} {spice_number(self.schedule.read + WATCHED * self.schedule.settle)} 0 {longest}"
