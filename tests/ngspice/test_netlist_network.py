"""A tile of a network as a netlist: it runs, and its table leads from every cell to a weight."""

import csv
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.cli.netlist import netlist
from spicesim.errors import SpecError
from spicesim.netlist import read_conductances
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.ngspice.rawfile import read_raw


@pytest.fixture
def run(tmp_path, monkeypatch, generic_calibration):
    monkeypatch.chdir(tmp_path)
    generic_calibration.save("chip.cal.json")
    digits = load_digits()
    np.savez("data.npz", x=digits.x[:20], x_calibration=digits.x_calibration)

    def call(*words):
        command = ["network", str(digits_network("mlp")), "data.npz", "--calibration", "chip.cal.json", *words]
        result = CliRunner().invoke(netlist, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def test_the_table_leads_to_the_weights_of_the_network(run, tmp_path, generic_calibration):
    run("--tile", "1", "-o", "tile.cir")
    g = read_conductances("tile.cir")
    layer = compile_network(digits_network("mlp"), generic_calibration).layers[0]
    with (tmp_path / "tile.cells.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == g.size
    cells: dict[tuple[int, int], dict[int, float]] = {}
    for line in lines:
        assert float(line["conductance"]) == g[int(line["row"]), int(line["column"])]
        assert (line["layer"], line["slice"]) == (layer.name, "0")
        cells.setdefault((int(line["output"]), int(line["input"])), {})[int(line["sign"])] = float(line["conductance"])
    outputs = {k for k, _ in cells}
    for k in outputs:
        inputs = sorted(i for output, i in cells if output == k)
        difference = [cells[k, i][1] - cells[k, i][-1] for i in inputs]
        assert np.corrcoef(difference, layer.node.weights[k, inputs])[0, 1] > 0.999


def test_the_tile_runs_as_it_stands(run, tmp_path):
    run("-o", "tile.cir")
    subprocess.run(["ngspice", "-b", "-r", "out.raw", "tile.cir"], check=True, capture_output=True, timeout=1800)
    (plot,) = read_raw(tmp_path / "out.raw")
    out = [values[0] for name, values in plot.vectors.items() if name.startswith("v(out_")]
    assert len(out) == 16
    assert np.isfinite(out).all()


def test_a_tile_is_written_for_other_simulators(run):
    assert "simulator lang=spectre" in run("--dialect", "spectre")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layer", "none"), "no analog layer 'none'; there are: "),
        (("--tile", "99"), "tiles, 0.."),
        (("--codes", "codes.npy"), "integers, one a row of the tile"),
    ],
)
def test_what_is_not_there_is_refused(run, words, said):
    np.save("codes.npy", np.array([1, 2]))
    with pytest.raises(SpecError, match=said):
        run(*words)
