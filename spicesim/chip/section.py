"""What all parts of a description are made of: quantities with units, names, and sections that refuse unknown keys."""

import ast
import inspect
import re
import sys
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from spicesim.gate import require_line
from spicesim.units import parse_quantity

__all__ = ["Name", "NonNegative", "Positive", "Quantity", "Section", "require_name"]

LEAST, LARGEST = 1e-30, 1e30
"""Between them lies every quantity of a circuit in SI units but 0; others would lead out of double precision."""


def _require_physical(value: float) -> float:
    if value and not LEAST <= abs(value) <= LARGEST:
        raise ValueError(f"must be 0 or lie between {LEAST:g} and {LARGEST:g} in size")
    return value


Quantity = Annotated[
    float, BeforeValidator(parse_quantity), Field(allow_inf_nan=False), AfterValidator(_require_physical)
]
Positive = Annotated[Quantity, Field(gt=0)]
NonNegative = Annotated[Quantity, Field(ge=0)]


def require_name(text: str) -> str:
    """Accept what every SPICE dialect accepts as a name."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,199}", text) is None:
        raise ValueError("must consist of letters, digits, '_' and '.'")
    return text


Name = Annotated[str, AfterValidator(require_name)]


class Section(BaseModel):
    """Base of all parts of a description: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    texts: ClassVar[frozenset[str]] = frozenset()
    """Fields that hold more than a line of text, and are held against :mod:`spicesim.gate` by themselves."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Keys that came after chips had been described without them; left out of what is written while at their defaults,
    so that hashes of those chips and of their calibrations stay."""

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Return what the text under each field says, by the field's name.

        It is read from the source when it is asked for: of all sections that is a third of the time to import them.
        """
        found = dict.fromkeys(cls.model_fields, "")
        for base in reversed(cls.__mro__):
            found |= _texts(base.__module__).get(base.__qualname__, {}) if issubclass(base, Section) else {}
        return {name: found[name] for name in cls.model_fields}

    @model_validator(mode="after")
    def _check_lines(self) -> Self:
        """Refuse text that is more than one printable line: it goes into netlists, file headers and messages."""
        for name, value in self.__dict__.items():
            if name not in self.texts:
                _require_lines(value, name)
        return self

    @model_serializer(mode="wrap")
    def _leave_out_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        usual = type(self).model_fields
        for name in self.later:
            if getattr(self, name) == usual[name].default:
                content.pop(name, None)
        return content


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """Return the texts under the fields of a module's classes, by class and field; none without its source."""
    try:
        body = ast.parse(inspect.getsource(sys.modules[module])).body
    except (KeyError, OSError, TypeError):
        return {}
    found: dict[str, dict[str, str]] = {}
    for own in (node for node in body if isinstance(node, ast.ClassDef)):
        for field, text in pairwise(own.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                said = text.value.value if isinstance(text.value, ast.Constant) else None
                if isinstance(said, str):
                    found.setdefault(own.name, {})[field.target.id] = inspect.cleandoc(said)
    return found


def _require_lines(value: Any, what: str) -> None:
    if isinstance(value, str):
        require_line(value, what)
    elif isinstance(value, tuple):
        for entry in value:
            _require_lines(entry, what)
    elif isinstance(value, dict):
        for entry in (*value, *value.values()):
            _require_lines(entry, what)
