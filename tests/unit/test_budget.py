"""What each imperfection of a chip costs a network, and that the costs add up."""

import html
import json

import numpy as np
import pytest

from spicesim.behavioural.mismatch import DacMismatch, MismatchModel, SenseAmplifierMismatch
from spicesim.behavioural.noise import AmplifierNoise, NoiseModel
from spicesim.behavioural.response import Response
from spicesim.cli.tables import format_budget
from spicesim.coding import dac_voltages
from spicesim.devices import TileDevices
from spicesim.devices.presets import DEVICES
from spicesim.engine import ExactEngine, Tile
from spicesim.errors import CalibrationError, SpecError
from spicesim.experiment.ablation import CIRCUIT, SOURCES, ablate_calibration, ablate_device, device_sources
from spicesim.experiment.budget import Budget, Variant, run_budget
from spicesim.experiment.chip import ChipMaker, find_device
from spicesim.experiment.plan import MappingPlan, RunPlan
from spicesim.experiment.run import run
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.network.dataset import Dataset
from spicesim.report import write_budget_report

DIGITS = load_digits()
DATA = Dataset(inputs={"x": DIGITS.x[:40]}, labels=DIGITS.y[:40], calibration_inputs=DIGITS.x_calibration[:64])


def budget_of(calibration, plan, **options):
    network = compile_network(digits_network("mlp"), calibration, x_calibration=DATA.calibration_inputs)
    maker = ChipMaker(plan=plan, calibration=calibration, device=find_device(plan))
    return run_budget(maker, network, digits_network("mlp"), DATA, **options)


def independent(block, names, mean, sigma):
    """Return parameters that follow each from the first number of a device of its own."""
    count = len(names)
    slopes = np.zeros((count, 2 * count))
    slopes[:, ::2] = np.diag(sigma)
    devices = tuple(f"m{k}" for k in range(count))
    return Response(
        block=block, names=names, devices=devices, rest=np.array(mean), slopes=slopes, directions=slopes,
        bends=np.zeros((count,) * 3),
        simulated=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def random_calibration(generic_calibration):
    """Blocks that differ, outputs that are noisy, by distributions made up."""
    bits, amplifiers = generic_calibration.chip.dac.bits, generic_calibration.senseamps
    names = ("offset", *(f"bit {k}" for k in range(bits)))
    drivers = DacMismatch(response=independent("xdac", names, [0.0] * (bits + 1), [5e-4] * (bits + 1)), residual=0.0)
    mismatch = MismatchModel(
        resistors=0.01, dacs={"unipolar": drivers, "bipolar": drivers}, cell=independent("xc", ("r",), [0.0], [1e-3]),
        senseamps=tuple(
            SenseAmplifierMismatch(
                r_feedback=m.r_feedback, currents=m.currents, components=np.ones((1, 2, len(m.currents))),
                response=independent("xsenseamp", ("gain", "offset", "both"), [1.0, 0.0, 0.0], [0.01, 1e-3, 1e-3]),
                residual=0.0,
            )
            for m in amplifiers
        ),
    )  # fmt: skip
    noise = NoiseModel(
        f_low=1e3, temperature_c=27.0, max_error=0.0,
        amplifiers=tuple(
            AmplifierNoise(
                r_feedback=m.r_feedback, conductances=np.array([0.0, 1e-2]), variance=np.full(2, 9e-6),
                driver_variance=np.zeros(2),
            )
            for m in amplifiers
        ),
    )  # fmt: skip
    return generic_calibration.model_copy(update={"mismatch": mismatch, "noise": noise})


@pytest.fixture(scope="module")
def tile(generic_calibration):
    g = np.random.default_rng(0).uniform(*generic_calibration.conductance_range, (12, 8))
    return Tile(name="t", g=g, polarity="bipolar", r_feedback=20e3)


def multiply(calibration, tile, codes):
    engine = ExactEngine(calibration)
    return engine.prepare(tile).mvm(codes)


def test_chip_without_any_imperfection_is_a_dot_product(generic_calibration, tile):
    codes = np.random.default_rng(1).integers(0, 2**12, (5, 12))
    ideal = tile.r_feedback * dac_voltages(codes, 12, generic_calibration.chip.dac.v_span, tile.polarity) @ tile.g
    np.testing.assert_allclose(
        multiply(ablate_calibration(generic_calibration, ()), tile, codes), ideal, atol=1e-6 * np.abs(ideal).max()
    )


def test_chip_with_all_imperfections_is_the_chip(generic_calibration, tile):
    codes = np.random.default_rng(2).integers(0, 2**8, (5, 12))
    again = multiply(ablate_calibration(generic_calibration, CIRCUIT), tile, codes)
    assert np.array_equal(again, multiply(generic_calibration, tile, codes))


def test_finer_codes_of_a_real_driver_mean_the_same_voltages(generic_calibration, tile):
    codes = np.random.default_rng(3).integers(0, 2**8, (5, 12))
    fine = multiply(
        ablate_calibration(generic_calibration, [n for n in CIRCUIT if n != "input bits"]), tile, 16 * codes
    )
    coarse = multiply(generic_calibration, tile, codes)
    np.testing.assert_allclose(fine, coarse, atol=1e-6 * np.abs(coarse).max())


@pytest.mark.parametrize("kept", [(), ("input bits",)])
def test_mismatch_alone_is_a_dot_product_of_blocks_that_differ(random_calibration, tile, kept):
    calibration = ablate_calibration(random_calibration, ["array mismatch", "read-out mismatch", *kept])
    bits = calibration.chip.dac.bits
    finer = bits - random_calibration.chip.dac.bits
    codes = np.random.default_rng(4).integers(0, 2**8, (5, 12)) << finer
    engine = ExactEngine(calibration, mismatch_seed=3)
    found = engine.prepare(tile).mvm(codes)
    blocks = random_calibration.mismatch.draw(12, 8, polarity="bipolar", r_feedback=tile.r_feedback, seed=3, name="t")
    gain, offset, both = blocks.amplifier_parameters.T
    added = blocks.drivers.v_open(blocks.driver_parameters)[np.arange(12), codes >> finer]
    v = dac_voltages(codes, bits, calibration.chip.dac.v_span, "bipolar") + added
    wanted = tile.r_feedback * gain * (v @ tile.g - (offset + both) * tile.g.sum(axis=0)) - offset + both
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_what_is_asked_for_must_be_calibrated(generic_calibration):
    for option, value in {"mismatch": 0, "noise": True}.items():
        with pytest.raises(CalibrationError, match=f"calibration has no {option}"):
            budget_of(generic_calibration, RunPlan(**{option: value}))


@pytest.mark.parametrize("name", DEVICES)
def test_parts_of_a_device_have_the_variances_of_the_whole(name):
    model, limits, time = DEVICES[name], (1e-6, 40e-6), 3600.0
    g = np.full((200, 200), 20e-6)
    sources = device_sources(model, time)
    assert ("drift" in sources) == (name in ("rram", "pcm"))

    def draw(kept):
        devices = ablate_device(model, time, kept)
        used = time if "drift" in kept else 0.0
        return TileDevices(devices, g, limits, seed=1, name="t").conductances(used)

    lasting = [n for n in sources if n != "read noise"]
    parts = {n: draw([n]) for n in lasting}
    shrunk = dict.fromkeys(lasting, 1.0)
    if "drift" in lasting:  # what was there before drifts along
        shrunk = {n: 1.0 if n == "drift" else float(parts["drift"].mean() / g.mean()) for n in lasting}
    added = np.sqrt(sum((shrunk[n] * part.std()) ** 2 for n, part in parts.items()))
    assert draw(lasting).std() == pytest.approx(added, rel=0.02)


def test_devices_without_anything_are_none_and_strangers_are_refused(generic_calibration):
    assert ablate_device(DEVICES["pcm"], 0.0, ["drift", "wires"]) is None
    with pytest.raises(SpecError, match="no imperfection 'luck'; there are: input bits"):
        ablate_calibration(generic_calibration, ["luck"])
    with pytest.raises(SpecError, match="this chip has no imperfection 'drift'"):
        budget_of(generic_calibration, RunPlan(), sources=["drift"])
    with pytest.raises(SpecError, match="'ideal' has none to take away"):
        RunPlan().changed(engine="ideal", explain=4)


def test_the_engine_of_linear_cells_tells_the_same_of_all_else(generic_calibration):
    sources = ["wires", "amplifiers"]
    exact, linear = (
        budget_of(generic_calibration, RunPlan(engine=name, gains=False), sources=sources).estimates()
        for name in ("exact", "transfer")
    )
    for name in sources:
        assert linear[f"alone {name}"].value == pytest.approx(exact[f"alone {name}"].value, rel=0.05), name
    with pytest.raises(SpecError, match="this chip has no imperfection 'cells'"):
        budget_of(generic_calibration, RunPlan(engine="transfer"), sources=["cells"])


@pytest.fixture(scope="module")
def random_budget(random_calibration):
    plan = RunPlan(device="typical", chips=5, gains=False, mismatch=0, noise=True)
    return budget_of(
        random_calibration, plan,
        sources=["output bits", "array mismatch", "read-out mismatch", "circuit noise", "programming", "read noise"],
    )  # fmt: skip


def test_sources_that_do_not_depend_on_each_other_add_up_within_the_interval(random_budget):
    estimates = random_budget.estimates()
    assert estimates["remainder"].low <= 0 <= estimates["remainder"].high
    assert abs(estimates["remainder"].value) < 0.2 * estimates["total"].value
    for name in random_budget.sources:
        assert estimates[f"alone {name}"].low > 0
        without = estimates[f"without {name}"]
        assert without.low <= estimates[f"alone {name}"].value <= without.high


def test_budget_balances_and_is_told_in_numbers_and_on_a_page(random_budget, generic_calibration, tmp_path):
    document = json.loads(json.dumps(random_budget.document()))
    parts = [source["alone"]["power"] for source in document["sources"]]
    parts += [document[name]["power"] for name in ("floor", "correlation", "interaction")]
    assert sum(parts) == pytest.approx(document["total"]["power"], rel=1e-9)
    assert document["floor"]["cosine"] > document["total"]["cosine"]
    assert "read noise" in format_budget(random_budget)
    write_budget_report(random_budget, generic_calibration, "digits", tmp_path / "page.html")
    text = html.unescape((tmp_path / "page.html").read_text())
    assert all(SOURCES[name] in text for name in random_budget.sources)
    assert f"{random_budget.whole.cosine:.5f}" in text


@pytest.mark.parametrize(
    "plan",
    [
        RunPlan(engine="fast", tolerance=3e-4, images=20, explain=20),
        pytest.param(
            RunPlan(images=20, explain=20, mismatch=2, noise=True, device="pcm", time=3600.0, seed=3, chips=2),
            marks=pytest.mark.long,
        ),
        RunPlan(images=20, explain=20, wires=False, gains=False, places={"layer1": "ideal"}),
        RunPlan(images=20, explain=20, device="pcm", time=86400.0, drift_compensation=False,
                mapping=MappingPlan(signs="reference", input_scale="vector")),
    ],
    ids=["fast", "drawn", "no wires, mixed", "drift as it is"],
)  # fmt: skip
def test_first_row_is_the_run_that_is_explained(random_calibration, plan):
    found = run(plan, digits_network("mlp"), DATA, random_calibration)
    budget = found.findings.budget
    assert budget.title == plan.title
    errors = np.stack([one.result.logits.astype(float) - found.first.digital for one in found.experiments])
    np.testing.assert_array_equal(budget.whole.errors, errors)
    assert ("wires" in budget.sources) == plan.wires


def test_inputs_without_any_output_do_not_end_the_bootstrap():
    digital = np.array([[0.0], [0.0], [0.0], [1.0]])
    variant = Variant(sources=(), errors=np.full((1, 4, 1), 0.1), snr_db=(20.0,), cosine=1.0, accuracy=None)
    budget = Budget(
        layers=("a",), sources=("wires",), digital=digital, none=variant, whole=variant, alone={"wires": variant},
        without={"wires": variant}, chips=1, seed=0,
    )  # fmt: skip
    total = budget.estimates()["total"]
    assert total.value == pytest.approx(0.04)
    assert total.low <= total.value <= total.high < np.inf


def test_more_wire_costs_more(generic_calibration):
    powers = []
    for r in (1.0, 4.0):
        chip = generic_calibration.chip.changed(array={"r_word_line": r, "r_bit_line": r})
        calibration = generic_calibration.model_copy(update={"chip": chip})
        budget = budget_of(calibration, RunPlan(gains=False), sources=["wires"])
        powers.append(budget.estimates()["alone wires"])
    assert powers[1].low > powers[0].high


def test_each_imperfection_is_told_by_the_users_own_metric_too(generic_calibration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_margin.py").write_text(
        "def margin(outputs, y):\n    return outputs[range(len(y)), y].mean() - outputs.mean()\n", encoding="utf-8"
    )
    found = budget_of(generic_calibration, RunPlan(engine="fast", metric="own_margin:margin"), sources=("wires",))
    logits = found.whole.errors[0] + found.digital
    assert found.whole.metric == pytest.approx(logits[range(40), DATA.labels].mean() - logits.mean())
    assert found.none.metric != found.whole.metric
    assert found.document()["total"]["metric"] == found.whole.metric
    assert f"{found.whole.metric:.6g}" in format_budget(found)
