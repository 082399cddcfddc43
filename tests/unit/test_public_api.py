"""The names that users call are there, and each says what it does."""

import inspect
import types

import pytest

import spicesim

PROMISED = {
    "Calibration",
    "Chip",
    "Crossbar",
    "calibrate",
    "cells",
    "compile_network",
    "load_calibration",
    "load_chip",
    "preset",
    "save_chip",
}
PUBLIC = {name: getattr(spicesim, name, None) for name in spicesim.__all__}
MEMBERS = {
    f"{name}.{member}": value
    for name, owner in PUBLIC.items()
    if inspect.isclass(owner)
    for member, value in vars(owner).items()
    if not member.startswith("_") and isinstance(value, types.FunctionType | property | classmethod)
}
ERRORS = {
    name: value
    for name, value in vars(spicesim.errors).items()
    if inspect.isclass(value) and issubclass(value, Exception)
}


def test_promised_names_are_public():
    assert set(spicesim.__all__) >= PROMISED


def test_all_is_sorted_and_everything_in_it_exists():
    assert list(spicesim.__all__) == sorted(spicesim.__all__)
    assert [name for name, value in PUBLIC.items() if value is None] == []


@pytest.mark.parametrize("name", [*PUBLIC, *MEMBERS])
def test_everything_public_says_what_it_does(name):
    value = {**PUBLIC, **MEMBERS}[name]
    text = inspect.getdoc(value)
    assert text
    assert text.splitlines()[0].endswith((".", ":")), "the first line is a sentence"
    # a dataclass without a docstring of its own gets its signature as one
    assert not text.startswith(f"{name}(")


def test_cells_offer_the_linear_and_the_sinh_law():
    assert {"Linear", "Sinh"} <= set(spicesim.cells.__all__)


def test_every_error_has_one_base_and_a_docstring():
    assert "SpiceSimError" in ERRORS
    assert len(ERRORS) > 3
    for error in ERRORS.values():
        assert issubclass(error, spicesim.errors.SpiceSimError)
        assert error.__doc__


def test_the_version_is_that_of_the_package():
    assert spicesim.__version__.count(".") == 2
