"""Several engines in one run."""

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, IdealEngine, IdealTile, MixedEngine
from spicesim.errors import NetworkError, SpecError
from spicesim.network import compile_network, digits_network, load_digits

CHIP = preset("gf180-1t1r").changed(array={"rows": 32, "columns": 32})
DIGITS = load_digits()
X = DIGITS.x[:20]


class LoudEngine(IdealEngine):
    """Ideal, and counts what it does by tile."""

    name = "loud"

    def __init__(self, chip):
        super().__init__(chip)
        self.done = {}

    def prepare(self, tile):
        done = self.done

        class LoudTile(IdealTile):
            def mvm(self, codes):
                done[tile.name] = done.get(tile.name, 0) + len(codes)
                return super().mvm(codes)

        return LoudTile(tile=tile, dac=CHIP.dac)


@pytest.fixture
def network():
    return compile_network(digits_network("mlp"), CHIP, x_calibration=DIGITS.x_calibration)


def test_chosen_tiles_run_on_their_engine_and_no_others(network):
    loud, first = LoudEngine(CHIP), network.layers[0].name
    places = ("layer0:tile2", f"{network.layers[1].name}:1")
    mixed = MixedEngine(IdealEngine(CHIP), {name: loud for place in places for name in network.select(place)})
    result = network.run(X, mixed)
    assert loud.done == {f"{first}:2": 20, f"{network.layers[1].name}:1": 20}
    assert result.engine == "ideal, loud for 2 of the tiles"
    np.testing.assert_array_equal(result.logits, network.run(X, "ideal").logits)


def test_a_layer_is_all_its_tiles(network):
    names = network.select("layer0")
    assert names == network.select(network.layers[0].name)
    assert len(names) == len(network.layers[0].mapped)


def test_real_devices_hold_in_every_engine(network):
    def chip(engine):
        return DeviceEngine(engine, CHIP, device_preset("typical"), (1e-6, 50e-6), seed=3)

    mixed = MixedEngine(IdealEngine(CHIP), dict.fromkeys(network.select("layer1"), IdealEngine(CHIP)))
    np.testing.assert_array_equal(network.run(X, chip(mixed)).logits, network.run(X, chip(IdealEngine(CHIP))).logits)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("layer7", r"no layer or tile 'layer7'.*layers are: 0 "),
        ("layer0:tile99", r"no tile 'layer0:tile99'.*has tile0\.\.tile5"),
        ("layer0:x", r"no tile 'layer0:x'"),
    ],
)
def test_unknown_places_are_refused_with_those_there_are(network, place, said):
    with pytest.raises(NetworkError, match=said):
        network.select(place)


def test_a_place_without_an_engine_is_refused():
    found = CliRunner().invoke(cli, ["infer", "net.onnx", "data.npz", "--engine-for", "layer0"])
    assert isinstance(found.exception, SpecError)
    assert "LAYER[:TILE]=ENGINE" in str(found.exception)
