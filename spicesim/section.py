"""What all parts of a description are made of: quantities with units, names, and sections that refuse unknown keys."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from spicesim.units import parse_quantity

__all__ = ["Name", "NonNegative", "Positive", "Quantity", "Section"]

Quantity = Annotated[float, BeforeValidator(parse_quantity), Field(allow_inf_nan=False)]
Positive = Annotated[Quantity, Field(gt=0)]
NonNegative = Annotated[Quantity, Field(ge=0)]


def _lower_case_word(text: str) -> str:
    """Accept what every SPICE dialect accepts as a name."""
    if not text or not all(c.isascii() and (c.isalnum() or c in "_.") for c in text):
        raise ValueError("must consist of letters, digits, '_' and '.'")
    return text


Name = Annotated[str, AfterValidator(_lower_case_word)]


class Section(BaseModel):
    """Base of all parts of a description: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, str_strip_whitespace=True)
