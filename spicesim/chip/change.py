"""Some keys of a description changed: each named as in its file, "adc.bits", and held against those that there are."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from spicesim.chip.section import Section
from spicesim.errors import SpecError, quote

__all__ = ["change_keys", "list_keys"]


def list_keys(section: Section) -> list[str]:
    """List all keys of a section, those of its own sections with dots: "adc.bits", and "adc" itself."""
    keys = []
    for name in type(section).model_fields:
        keys.append(name)
        if isinstance(value := getattr(section, name), Section):
            keys += [f"{name}.{key}" for key in list_keys(value)]
    return keys


def change_keys(section: Section, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a section with some keys changed, in order; it is not validated yet.

    Parameters
    ----------
    section : Section
        What is changed; it stays as it is.
    changes : mapping of str to object
        By key, "adc.bits", its new value; a dict of keys changes these of a section and leaves its others.

    Raises
    ------
    SpecError
        If there is no such key; says the nearest one.
    """
    data = section.model_dump()
    known = set(list_keys(section))
    for key, value in changes.items():
        if key not in known:
            near = get_close_matches(str(key), sorted(known), n=1)
            hint = f"the nearest is {near[0]!r}" if near else "'spicesim init' writes all there are"
            raise SpecError(f"unknown key {quote(key)} of a chip; {hint}")
        *way, last = key.split(".")
        place: Any = data
        for part in way:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place  # dumps leave usual sections out
        if not isinstance(place, dict):
            raise SpecError(f"key {key!r} of a chip is within one that is changed to {quote(place)}; change only one")
        if isinstance(value, Mapping) and isinstance(place.get(last), dict):
            value = {**place[last], **value}
        place[last] = value
    return data
