"""The library and its catalogue agree: every file says what it is, and every file is listed."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from spicesim.characterise import BLOCKS, WORDS, find_block
from spicesim.chip import Chip, preset
from spicesim.chip.blocks import BlockSizes
from spicesim.chip.library import library_names, library_text
from spicesim.cli.netlist import netlist
from spicesim.netlist.subcircuits import join_lines

BLOCK_FILES = [name for name in library_names() if not name.startswith("generic_")]
CATALOGUE = (Path(__file__).parents[2] / "netlists" / "README.md").read_text(encoding="utf-8")


def section(title):
    return CATALOGUE.split(f"\n## {title}\n")[1].split("\n## ")[0]


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


def test_the_table_of_blocks_is_the_catalogue():
    rows = [
        f"| `{block.name}`{f' (`{block.short}`)' if block.short else ''} "
        f"| {block.title} | `[{block.section}]` | {block.sheet} |"
        for block in BLOCKS.values()
    ]
    assert re.findall(r"^\| `.*$", section("Blocks"), re.MULTILINE) == rows


def test_every_block_has_its_measured_values_in_the_catalogue():
    assert re.findall(r"^\| `(.*?)`", section("What the blocks measure"), re.MULTILINE) == list(BLOCKS)


SHARED = ("cell", "hold", "sense_amplifier", "integrator")
"""Sections of several blocks."""


@pytest.mark.parametrize("block", BLOCKS.values(), ids=lambda block: block.name)
def test_a_block_has_one_name(block):
    """In its section, if it has one of its own, in its class, its testbench and its files."""
    assert block.section in (block.name, *SHARED)
    section = Chip.model_fields[block.section].annotation
    if block.section == block.name:
        assert section.__name__ == block.name.title().replace("_", "")
    kind = {"cell": {"kind": block.name}} if block.name in ("1s1r", "2t2r") else {}
    assert block.bench(preset("generic-1t1r").changed(**kind)).block == block.name


def test_every_section_of_a_block_has_a_record():
    sections = {name for name, field in Chip.model_fields.items() if isinstance(field.default, BlockSizes)}
    assert sections <= set(BLOCKS)


@pytest.mark.parametrize(("word", "name"), WORDS.items())
def test_commands_take_other_words_for_blocks(word, name):
    assert find_block(word) is find_block(name) is BLOCKS[name]
    written = [CliRunner().invoke(netlist, [said, "--chip", "generic-1t1r"]).output for said in (word, name)]
    assert written[0] == written[1] != ""
