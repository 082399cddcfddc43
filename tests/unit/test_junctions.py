"""Transistors of the generic process have junctions; those of a foundry's kit know their own."""

import re

import pytest

from spicesim.chip import preset
from spicesim.chip.library import library_names, library_text
from spicesim.netlist.process import DIFFUSION, block_text

BLOCKS = [name.removesuffix(".cir") for name in library_names() if re.search(r"^m.* [np]ch ", library_text(name), re.M)]


@pytest.mark.parametrize("name", BLOCKS)
def test_every_transistor_of_the_generic_process_has_areas_and_perimeters(name):
    lines = [line for line in block_text(name, preset("generic-1t1r")).splitlines() if line.startswith("m")]
    assert lines
    assert all(re.search(r" ad=\S+ as=\S+ pd=\S+ ps=\S+$", line) for line in lines)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_foundrys_transistors_are_left_alone(name):
    assert " ad=" not in block_text(name, preset("gf180-1t1r"))


def test_a_diffusion_is_as_wide_as_its_gate(tmp_path):
    text = block_text("switch", preset("generic-1t1r"))
    assert DIFFUSION == 0.85e-6
    assert "w=1u l={l} ad=8.5e-13 as=8.5e-13 pd=3.7e-06 ps=3.7e-06" in text
    assert "w={2.5*w} l={l} ad={(2.5*w)*8.5e-07} as={(2.5*w)*8.5e-07} pd={2*(2.5*w)+1.7e-06}" in text


def test_areas_that_a_designer_gives_are_kept(tmp_path):
    own = library_text("switch.cir").replace("w=1u l={l}", "w=1u l={l} ad=1p as=1p pd=4u ps=4u")
    (tmp_path / "switch.cir").write_text(own)
    text = block_text("switch", preset("generic-1t1r").changed(library=str(tmp_path)))
    assert "w=1u l={l} ad=1p as=1p pd=4u ps=4u\n" in text
