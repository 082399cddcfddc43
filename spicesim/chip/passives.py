"""The resistors and capacitors of a process: how a wanted value is drawn, and what becomes of it elsewhere."""

import math
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from spicesim.chip.model_file import CornerSections, ModelFile, NameOrNothing
from spicesim.chip.section import Name, NonNegative, Positive, Quantity, Section

__all__ = ["Capacitor", "CornerFactors", "Passive", "Resistor"]

_WANTED_C = 27.0
"""Temperature of wanted values [degree Celsius]."""
_COLDEST_C, _HOTTEST_C = -60.0, 175.0
"""Between which there must be something left of values [degree Celsius]."""
Coefficient = Annotated[Quantity, Field(ge=-0.02, le=0.02)]


class CornerFactors(Section):
    """Values at the corners, over those at the typical one."""

    typical: Positive = 1.0
    """Of typical transistors [1]."""
    ff: Positive = 1.0
    """Of fast ones [1]."""
    ss: Positive = 1.0
    """Of slow ones [1]."""
    fs: Positive = 1.0
    """Of fast n-channel ones and slow others [1]."""
    sf: Positive = 1.0
    """Of slow n-channel ones and fast others [1]."""


class Passive(Section):
    """A kind of resistor or capacitor: a subcircuit of the kit, or plain numbers."""

    later: ClassVar[frozenset[str]] = frozenset({"corners", "factors"})

    model: NameOrNothing = ""
    """Name of the kit's subcircuit; empty for a plain one with tc1 and tc2."""
    models: tuple[ModelFile, ...] = ()
    """Model files that hold it, read after those of the transistors."""
    corners: CornerSections = CornerSections()
    """Sections of these files at the corners of the transistors."""
    width_key: Name = "w"
    """What the subcircuit calls its width."""
    length_key: Name = "l"
    """What it calls its length."""
    tc1: Coefficient = 0.0
    """Of a plain one: change of its value with temperature from 27 C on [1/K]."""
    tc2: Annotated[Quantity, Field(ge=-1e-3, le=1e-3)] = 0.0
    """The same with its square [1/K^2]."""
    factor: Positive = 1.0
    """All values over the wanted ones, at the corner of this description [1]."""
    factors: CornerFactors = CornerFactors()
    """What factor becomes at the corners of the transistors."""
    matching: NonNegative = 0.0
    """Mismatch by Pelgrom's law, sigma = matching / sqrt(w l) [m]; 1e-8 is 1 % um. Without, that of ideal ones."""

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.model and (self.tc1 or self.tc2):
            raise ValueError(f"{self.model} has temperature coefficients of its own; leave tc1 and tc2 out, or model")
        least = _WANTED_C - self.tc1 / (2 * self.tc2) if self.tc2 > 0 else _COLDEST_C
        if min(map(self.at, (_COLDEST_C, _HOTTEST_C, min(max(least, _COLDEST_C), _HOTTEST_C)))) <= 0:
            raise ValueError("tc1 and tc2 leave nothing somewhere between -60 and 175 C; make them smaller")
        if self.models and not self.model:
            raise ValueError("models hold subcircuits; name that of this kind of device in model")
        return self

    def at(self, temperature_c: float) -> float:
        """Return values of a plain one over the wanted ones at a temperature [1]."""
        kelvin = temperature_c - _WANTED_C
        return self.factor * (1 + self.tc1 * kelvin + self.tc2 * kelvin**2)

    def corner(self, name: str) -> Self:
        """Return it at another corner."""
        models = tuple(model.corner(name, self.corners) or model for model in self.models)
        factor = self.factor
        if self.factors != CornerFactors():
            factor = getattr(self.factors, name)
        return self.model_copy(update={"models": models, "factor": factor})


class Resistor(Passive):
    """Resistors of ladders, feedbacks and amplifiers: drawn for a value at the typical corner and 27 C."""

    width: Positive
    """Drawn width of all of them [m]."""
    sheet: Positive
    """Resistance of a square, typical at 27 C [ohm]."""
    d_width: Quantity = 0.0
    """Drawn minus effective width [m]."""
    ends: NonNegative = 0.0
    """Resistance of both ends together, times the effective width, typical at 27 C [ohm m]."""
    bulk: bool = True
    """Whether the subcircuit has a third pin, which is tied to the ground of its block."""
    noise: bool = True
    """Whether to add thermal noise. GF180MCU's are behavioural, and without noise in ngspice; set false for others."""

    @model_validator(mode="after")
    def _check_width(self) -> Self:
        if self.effective_width <= 0:
            raise ValueError(f"width = {self.width:g} m is not above d_width = {self.d_width:g} m; make it wider")
        return self

    @property
    def effective_width(self) -> float:
        """Effective width [m]."""
        return self.width - self.d_width

    def length(self, ohm: float) -> float:
        """Return the drawn length for a resistance, typical at 27 C [m]."""
        return (ohm * self.effective_width - self.ends) / self.sheet


class Capacitor(Passive):
    """Capacitors of amplifiers, feedbacks, switches and converters: squares for a value at the typical corner."""

    density: Positive
    """Capacitance of an area, typical at 27 C [F/m^2]; 1e-3 is 1 fF/um^2."""
    fringe: NonNegative = 0.0
    """The same of its edge [F/m]."""

    def spread(self, farad: float) -> float:
        """Return the relative standard deviation of such capacitors by their matching [1]."""
        return self.matching / self.side(farad)

    def side(self, farad: float) -> float:
        """Return the side of the square for a capacitance, typical at 27 C [m]."""
        return (math.sqrt(4 * self.fringe**2 + self.density * farad) - 2 * self.fringe) / self.density
