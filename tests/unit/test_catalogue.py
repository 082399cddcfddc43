"""The library and its catalogue agree: every file says what it is, and every file is listed."""

import re
from pathlib import Path

import pytest

from spicesim.characterise import BLOCKS
from spicesim.library import library_names, library_text
from spicesim.netlist.subcircuits import join_lines

BLOCK_FILES = [name for name in library_names() if not name.startswith("generic_")]
CATALOGUE = (Path(__file__).parents[2] / "netlists" / "README.md").read_text(encoding="utf-8")


def header(name):
    text = library_text(name)
    return text, text.split(".subckt")[0]


@pytest.mark.parametrize("name", library_names())
def test_a_file_is_in_the_catalogue(name):
    assert f"`{name}`" in CATALOGUE


@pytest.mark.parametrize("name", library_names())
def test_the_first_line_says_what_a_file_is(name):
    assert library_text(name).startswith(f"* {name.removesuffix('.cir')}: ")


@pytest.mark.parametrize("name", BLOCK_FILES)
def test_a_header_names_ports_and_parameters_in_their_order(name):
    text, head = header(name)
    (line,) = [line for line in join_lines(text) if line.startswith(".subckt")]
    words = line.split()
    ports = [word for word in words[2:] if "=" not in word]
    parameters = [word.split("=")[0] for word in words[2:] if "=" in word]
    assert words[1] == name.removesuffix(".cir")
    assert re.search(r"^\* ports +(.*)$", head, re.MULTILINE)[1].split() == ports
    told = re.search(r"^\* parameters (.*)", head, re.MULTILINE | re.DOTALL)[1]
    assert all(re.search(rf"\b{parameter}\b", told) for parameter in parameters)
    row = next(row for row in CATALOGUE.splitlines() if row.startswith(f"| `{name}`"))
    assert f"`{' '.join(ports)}`" in row
    assert f"`{' '.join(parameters)}`" in row


@pytest.mark.parametrize("name", BLOCK_FILES)
def test_a_header_has_a_drawing(name):
    assert re.search(r"[─│┬┴┐└]|──", header(name)[1])


@pytest.mark.parametrize("name", BLOCK_FILES)
def test_expressions_mean_the_same_with_and_without_braces(name):
    """ngspice puts the text of ``{a*b}`` into a behavioural source as it is, so ``x/{a*b}`` would be ``x/a*b``."""
    sources = "\n".join(line for line in join_lines(library_text(name)) if line.startswith("b"))
    assert not re.search(r"/ *\{[^}]*[-+*/]", sources)
    outside = re.sub(r"\([^()]*\)", "", " ".join(re.findall(r"\{([^}]*)\}", sources)))
    assert not re.search(r"\w *[-+]", re.sub(r"\de-", "", outside))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_has_its_data_sheet_in_the_catalogue(block):
    assert f"| `{block}` |" in CATALOGUE.split("## What the blocks measure")[1]
