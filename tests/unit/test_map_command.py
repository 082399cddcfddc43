"""The commands map and infer with other mappings, in process."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from spicesim.chip import preset, save_chip
from spicesim.cli.main import main
from spicesim.mapping import MappingOptions
from spicesim.network import compile_network, digits_network, load_digits

CHIP = preset("generic-1t1r").changed(array={"rows": 32, "columns": 24}, dac={"bits": 12}, adc={"bits": 12})


@pytest.fixture
def spicesim(tmp_path, monkeypatch, capsys):
    """Run the command line in a folder with a network, its data and a chip; return status, output and errors."""
    monkeypatch.chdir(tmp_path)
    save_chip(CHIP, "chip.toml")
    shutil.copy(digits_network("cnn"), "cnn.onnx")
    digits = load_digits()
    np.savez("digits.npz", x=digits.x[:40], y=digits.y[:40], x_calibration=digits.x_calibration[:64])

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_the_map_shows_every_layer_and_tile_and_how_much_they_take(spicesim):
    status, out, _ = spicesim("map", "cnn.onnx", "--chip", "chip.toml", "--tiles", "--json", "map.json")
    assert status == 0
    found = json.loads(Path("map.json").read_text(encoding="utf-8"))
    network = compile_network(digits_network("cnn"), CHIP)
    assert [layer["tiles"] for layer in found["layers"]] == [len(layer.mapped) for layer in network.layers]
    assert found["array"] == [32, 24]
    for layer, use in zip(network.layers, found["layers"], strict=True):
        assert use["cells"] == 2 * layer.node.weights.size
        assert use["useful"] == 1
        assert use["share"] == pytest.approx(use["cells"] / (32 * 24 * use["tiles"]))
        assert layer.name in out
    assert all(tile["name"] in out for tile in found["tiles"])
    assert f"{len(found['tiles'])} tiles" in out


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), MappingOptions()),
        (
            ("--signs", "reference", "--slices", 2, "--cell-bits", 6),
            MappingOptions(signs="reference", slices=2, cell_bits=6),
        ),
    ],
)
def test_the_table_of_cells_gives_the_weights_back(spicesim, words, options):
    status, out, _ = spicesim("map", "cnn.onnx", "--chip", "chip.toml", "--cells", "cells.csv", *words)
    assert status == 0
    lines = list(csv.DictReader(io.StringIO(Path("cells.csv").read_text(encoding="utf-8"))))
    assert f"{len(lines):,} cells" in out
    network = compile_network(digits_network("cnn"), CHIP, mapping=options)
    tiles = [(layer, mapped) for layer in network.layers for mapped in layer.mapped]
    found = {layer.name: np.zeros((layer.node.outputs, layer.node.rows)) for layer in network.layers}
    for line in lines:
        layer, mapped = tiles[int(line["tile"])]
        assert line["layer"] == layer.name
        own = range(mapped.outputs.start, mapped.outputs.stop) if line["output"] == "all" else [int(line["output"])]
        place = int(line["slice"]) * (2 if options.signs == "differential" else 1) + (line["sign"] == "-1")
        factor = -1 if line["output"] == "all" else mapped.factors[place]
        for output in own:
            scale = factor * mapped.weight_per_siemens[output - mapped.outputs.start]
            found[layer.name][output, int(line["input"])] += float(line["conductance"]) * scale
    step = 0 if options.cell_bits is None else 1 / 4095
    for layer in network.layers:
        weights = layer.node.weights
        np.testing.assert_allclose(found[layer.name], weights, atol=np.abs(weights).max() * (step + 1e-9))


def test_the_map_is_drawn(spicesim):
    assert spicesim("map", "cnn.onnx", "--chip", "chip.toml", "--picture", "map.png")[0] == 0
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    status, _, error = spicesim("map", "cnn.onnx", "--chip", "chip.toml", "--picture", "map.txt")
    assert status == 2
    assert error == "SpecError: a picture is a .png, .svg or .pdf file, got map.txt\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-tiles", 1), "MappingError: the network takes 9 tiles of 32x24, allowed are 1;"),
        (("--slices", 2), "SpecError: options: mapping: slices need the bits of a cell"),
        (("--input-digit", 12), "NetworkError: digits of inputs must have 1..11 bits"),
        (("--digital", "nothing"), "NetworkError: no node 'nothing' to keep digital"),
        (("--weight-clip", 7), "SpecError: options: mapping: the percentile of weights to cover must lie in 50..100 %"),
    ],
)
def test_impossible_mappings_are_one_line(spicesim, words, message):
    for command in (("map", "cnn.onnx"), ("infer", "cnn.onnx", "digits.npz", "--engine", "ideal")):
        status, _, error = spicesim(*command, "--chip", "chip.toml", *words)
        assert status == 2
        assert error.startswith(message)
        assert error.count("\n") == 1


def test_infer_takes_any_mapping(spicesim):
    words = ("--signs", "offset", "--weight-scale", "layer", "--slices", 2, "--cell-bits", 5, "--input-digit", 1)
    status, out, _ = spicesim(
        "infer", "cnn.onnx", "digits.npz", "--engine", "ideal", "--chip", "chip.toml", "--json", "out.json", *words
    )
    assert status == 0, out
    found = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert found["accuracy"] >= found["digital_accuracy"] - 0.05
    assert min(layer["snr_db"] for layer in found["layers"]) > 25
