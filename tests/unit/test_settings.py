"""Settings of a network, kept and found again: the same to the last bit, or refused."""

import io

import numpy as np
import pytest

from spicesim.errors import NetworkError
from spicesim.experiment.keeping import Keeping
from spicesim.experiment.plan import RunPlan
from spicesim.experiment.run import run
from spicesim.files.shelf import Shelf
from spicesim.mapping import MappingOptions
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.dataset import Dataset
from tests.unit.test_network import FINE as FINE_CALIBRATION

DIGITS, FINE = load_digits(), FINE_CALIBRATION.chip
DATA = Dataset(inputs={"x": DIGITS.x[:12]}, labels=DIGITS.y[:12], calibration_inputs=DIGITS.x_calibration)


def network(name="cnn", calibration=FINE, **options):
    return compile_network(digits_network(name), calibration, **options)


def fitted(**options):
    own = network(**options)
    own.fit_gains(DIGITS.x_calibration, "ideal")
    return own


@pytest.mark.parametrize("options", [{}, {"smooth": 0.5}, {"input_digit": 2}, {"input_scale": "vector"}])
def test_settings_are_found_in_a_file_as_they_were_saved(options, tmp_path):
    one, other = fitted(**options), network(**options)
    one.save(tmp_path / "net.npz")
    other.load(tmp_path / "net.npz")
    assert other.ranges == one.ranges
    assert other.notes == one.notes
    np.testing.assert_array_equal(*(own.run(DIGITS.x[:30], "ideal").logits for own in (one, other)))


def test_settings_of_anything_else_are_refused_and_change_nothing(tmp_path):
    path = tmp_path / "net.npz"
    fitted().save(path)
    for other in (
        network("mlp"), network(input_scale="vector"), network(mapping=MappingOptions(signs="offset")),
        network(calibration=FINE.changed(cell={"g_max": 7e-5})),
    ):  # fmt: skip
        with pytest.raises(NetworkError, match="another network, chip or mapping"):
            other.load(path)
        assert other.ranges is None


def changed(packed, **changes):
    return {**{name: array for name, array in packed.items() if name not in changes}, **changes}


@pytest.mark.parametrize("damage", [
    lambda packed: changed(packed, document=packed["document"][:-9]),
    lambda packed: changed(packed, document=np.frombuffer(
        packed["document"].tobytes().replace(b'"r_feedback":', b'"r_feedback":1'), np.uint8)),
    lambda packed: changed(packed, document=np.frombuffer(
        packed["document"].tobytes().replace(b'"low":', b'"low":1e9,"old":'), np.uint8)),
    lambda packed: changed(packed, gain=packed["gain"] * 9),
    lambda packed: changed(packed, gain=packed["gain"][1:]),
    lambda packed: changed(packed, offset=packed["offset"] * np.nan),
    lambda packed: changed(packed, offset=packed["offset"].astype(np.float32)),
    lambda packed: {"gain": packed["gain"]},
    lambda packed: {},
])  # fmt: skip
def test_damaged_settings_are_refused(damage):
    own = fitted()
    before = own.ranges
    with pytest.raises(NetworkError, match=r"fit them|no settings"):
        own.use_settings(damage(own.settings()))
    assert own.ranges == before


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\x04N."])
def test_a_file_that_is_none_is_refused(data, tmp_path):
    (tmp_path / "net.npz").write_bytes(data)
    with pytest.raises(NetworkError, match=r"Network\.save"):
        network().load(tmp_path / "net.npz")


def test_no_objects_are_read_from_a_file(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, document=np.array([print], dtype=object))
    (tmp_path / "net.npz").write_bytes(buffer.getvalue())
    with pytest.raises(NetworkError, match=r"Network\.save"):
        network().load(tmp_path / "net.npz")


@pytest.mark.parametrize("words", [
    {"device": "typical", "mismatch": 1, "noise": True, "mapping": {"smooth": 0.5}},
    *(pytest.param(words, marks=pytest.mark.long) for words in (
        {}, {"device": "typical"}, {"device": "typical", "time": 1e5}, {"mismatch": 3, "chips": 2}, {"noise": True},
    )),
])  # fmt: skip
def test_a_run_with_kept_settings_gives_the_same_numbers(words, whole_calibration, tmp_path, monkeypatch):
    plan = RunPlan(engine="fast", images=12, **words)
    fits = []
    fit = type(network()).fit_ranges
    monkeypatch.setattr(type(network()), "fit_ranges", lambda self, x: (fits.append(1), fit(self, x))[1])

    def outputs(shelf):
        found = run(plan, digits_network("mlp"), DATA, whole_calibration, keeping=Keeping(shelf=shelf))
        return [one.result.logits for one in found.experiments], found.first.result.stats.notes

    first, _ = outputs(None)
    for _ in range(2):
        again, _ = outputs(Shelf(tmp_path))
        np.testing.assert_array_equal(again, first)
    assert len(fits) == 2  # the third found them
    for path in tmp_path.glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(outputs(Shelf(tmp_path))[0], first)
    assert len(fits) == 3


def test_settings_found_by_a_plan_are_none_of_another(whole_calibration, tmp_path):
    def kept():
        return len(list(tmp_path.glob("*/*.safetensors")))

    counts = []
    for words in ({}, {"images": 5}, {"engine": "exact"}, {"device": "typical", "time": 10.0}, {"corner": None},
                  {"device": "typical", "time": 1e3}, {"device": "typical", "time": 1e3, "seed": 1}):  # fmt: skip
        plan = RunPlan(**{"engine": "ideal", "gains": True, "images": 6, **words})
        run(plan, digits_network("mlp"), DATA, whole_calibration, keeping=Keeping(shelf=Shelf(tmp_path)))
        counts.append(kept())
    assert counts == [2, 2, 3, 4, 4, 4, 5]
