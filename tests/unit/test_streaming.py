"""A run within little memory: tiles made ready layer by layer and let go, and the same results to the last bit."""

import gc
import weakref

import click
import numpy as np
import pytest

from spicesim.cli.options import parse_memory
from spicesim.devices.presets import DEVICES
from spicesim.engine import DeviceEngine, IdealEngine, NoisyEngine
from spicesim.errors import SpecError
from spicesim.memory import Census, free_memory
from spicesim.network import compile_network, digits_network, load_digits
from tests.unit.test_network import FINE

DIGITS = load_digits()
LITTLE, PLENTY = 1, 10**9


class WatchedEngine(IdealEngine):
    """Knows which of its tiles are alive, and how many it prepared."""

    def __init__(self, chip):
        super().__init__(chip)
        self.alive, self.count, self.most = weakref.WeakSet(), 0, 0

    def prepare(self, tile):
        made = super().prepare(tile)
        self.count += 1
        self.alive.add(made)
        self.most = max(self.most, len(self.alive))
        return made


def network(name="mlp"):
    return compile_network(digits_network(name), FINE, x_calibration=DIGITS.x_calibration)


def noisy_devices(seed=3):
    limits = FINE.conductance_range
    noisy = NoisyEngine(IdealEngine(FINE.chip), None, seed=seed, converter=1e-3, held=1e-3)
    return DeviceEngine(noisy, FINE.chip, DEVICES["typical"], limits, seed=seed)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("by_layer", [False, True])
def test_little_memory_gives_the_same_numbers_noise_and_samples_included(name, by_layer):
    runs = []
    for memory in (LITTLE, PLENTY):
        own, engine = network(name), noisy_devices()
        own.fit_gains(DIGITS.x_calibration, engine, memory=memory)
        runs.append([own.run(DIGITS.x[:70], engine, sample=9, by_layer=by_layer, memory=memory) for _ in range(2)])
    for little, plenty in zip(*runs, strict=True):
        np.testing.assert_array_equal(little.logits, plenty.logits)
        assert [s.snr_db for s in little.stats.layers] == [s.snr_db for s in plenty.stats.layers]
        assert [s.layer for s in little.samples] == [s.layer for s in plenty.samples]
        for one, other in zip(little.samples, plenty.samples, strict=True):
            np.testing.assert_array_equal(one.codes, other.codes)
            np.testing.assert_array_equal(one.volts, other.volts)
    assert (runs[0][0].logits != runs[0][1].logits).any()  # noise goes on from run to run


def test_tiles_without_room_are_let_go_and_with_room_are_made_once():
    own, engine = network(), WatchedEngine(FINE.chip)
    tiles = sum(len(layer) for layer in own.tiles())
    own.run(DIGITS.x[:10], engine, memory=LITTLE)
    gc.collect()
    assert engine.count == tiles
    assert len(engine.alive) == 0
    for _ in range(2):
        own.run(DIGITS.x[:10], engine, memory=PLENTY)
    assert engine.count == 2 * tiles
    assert len(engine.alive) == tiles


def test_no_more_tiles_are_alive_than_there_is_room_for():
    own, engine = network(), WatchedEngine(FINE.chip)
    layers = [len(layer) for layer in own.tiles()]
    first = max(k for k in range(1, len(layers) + 1) if k == 1 or sum(layers[:k]) <= 8)
    own.run(DIGITS.x[:10], engine, memory=LITTLE)
    assert engine.most <= max(sum(layers[:first]), *(layers[first:] or [0]))


def test_values_that_nobody_takes_any_more_are_dropped():
    compiled = network("cnn")._compiled
    taken = [set(step.takes) for step in compiled.steps]
    for k, spent in enumerate(compiled.spent):
        assert not set(spent) & set().union(*taken[k + 1 :], compiled.output_names)
    chunk = compiled.check(DIGITS.x[:4])
    one, two = (compiled.live_bytes({name: x[:n] for name, x in chunk.items()}) for n in (2, 4))
    assert two == 2 * one > 0


def test_stats_tell_form_memory_and_time_of_each_layer():
    own, engine = network(), WatchedEngine(FINE.chip)
    stats = own.run(DIGITS.x[:10], engine).stats
    assert all(layer.held > 0 and layer.seconds > 0 and len(layer.forms) == layer.tiles for layer in stats.layers)
    assert all(layer.promised_error is None and layer.exact_tiles == 0 for layer in stats.layers)
    assert stats.preparation_seconds > 0


def test_a_census_counts_every_array_once():
    array = np.zeros(1000)
    census = Census({"known": (known := np.zeros(10))})
    assert census.count([array[10:], [array, {"x": array.reshape(10, -1)}], known]) == (array.nbytes, False)
    assert census.count([array], room=array.nbytes - 1) == (array.nbytes, False)
    assert census.count([array], room=array.nbytes) == (array.nbytes, True)
    assert census.count([array[::2], np.zeros(3)]) == (24, False)


def test_memory_is_read_with_its_unit():
    assert parse_memory("4GB") == 4 * 10**9
    assert parse_memory("512 MB") == 512 * 10**6
    assert free_memory() > 10**7
    for text in ("0", "-1GB", "many", "4GiB", "nan"):
        with pytest.raises((SpecError, click.ClickException)):
            parse_memory(text)
