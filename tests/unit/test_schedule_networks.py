"""Schedules of networks: what they take is what their footprint says, and experts wait for their routers."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spicesim.behavioural.energy import AdcEnergy, AmplifierEnergy, DacEnergy, EnergyModel
from spicesim.cli.main import run
from spicesim.engine import ExactEngine, IdealEngine
from spicesim.errors import SpecError
from spicesim.experiment.chip import BuiltChip
from spicesim.experiment.footprint import estimate_footprint
from spicesim.network import compile_network, digits_network, load_digits
from spicesim.schedule import Experts, Stacks, Workload, gather_work, place, simulate
from spicesim.schedule.scale import Scale, extrapolate, find_tile_cost, load_scale

DIGITS = load_digits()
T_READ = 120e-9
BARE = Stacks(digital_rate=1e30, memory_rate=1e30, digital_energy=0, memory_energy=0)
WINDOWS, TOKENS, WIDTH, EXPERTS = 3, 4, 8, 4


@pytest.fixture(scope="module")
def chip(generic_calibration):
    """Drivers and amplifiers that draw the same whatever they do."""
    bits = generic_calibration.chip.dac.bits
    flat = DacEnergy(
        power_open=np.full(2**bits, 3e-4), knots=(0, 2**bits - 1), i_limit=1e-2, power_loaded=np.zeros((2, 3)),
        rise=np.zeros(bits), fall=np.zeros(bits),
    )  # fmt: skip
    energy = EnergyModel(
        v_reference=generic_calibration.chip.sense_amplifier.v_reference,
        dacs={"unipolar": flat, "bipolar": flat},
        amplifiers=tuple(
            AmplifierEnergy(r_feedback=m.r_feedback, i_limit=m.i_limit, power=np.full(5, 5e-4), charge=0.0)
            for m in generic_calibration.senseamps
        ),
        adc=AdcEnergy(bits=8, energy=2e-12, time=80e-9, inputs=3),
    )
    return generic_calibration.model_copy(update={"energy": energy})


def footprint(chip, network, x):
    engine = IdealEngine(chip.chip)
    built = BuiltChip(engine=engine, fitted=engine, quick=engine, exact=ExactEngine(chip))
    return estimate_footprint(network, x, built, t_read=T_READ, products=64)


@pytest.fixture(scope="module")
def digits(chip):
    network = compile_network(digits_network("cnn"), chip, x_calibration=DIGITS.x_calibration)
    found = footprint(chip, network, DIGITS.x[:2])
    return found, gather_work(network, found, {}, 2)


def build_mixture():
    """A router, four experts of two layers, two chosen, and a product after their sum; (windows, tokens, width)."""
    generator = np.random.default_rng(1)
    weights = {"r": (WIDTH, EXPERTS), "last": (WIDTH, 3)}
    for k in range(EXPERTS):
        weights |= {f"up{k}": (WIDTH, 6), f"down{k}": (6, WIDTH)}
    constants = [numpy_helper.from_array(np.array([2], np.int64), "two")]
    constants += [
        numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "r"], ["scores"], name="/blocks.0/router/MatMul"),
        helper.make_node("TopK", ["scores", "two"], ["best", "chosen"]),
        helper.make_node("Unsqueeze", ["chosen", "two"], ["choices"]),
    ]
    for k in range(EXPERTS):
        nodes += [
            helper.make_node("MatMul", ["x", f"up{k}"], [f"h{k}"], name=f"/blocks.0/experts.{k}/up/MatMul"),
            helper.make_node("Relu", [f"h{k}"], [f"p{k}"]),
            helper.make_node("MatMul", [f"p{k}", f"down{k}"], [f"y{k}"], name=f"/blocks.0/experts.{k}/down/MatMul"),
        ]
    nodes += [
        helper.make_node("Sum", [f"y{k}" for k in range(EXPERTS)], ["sum"]),
        helper.make_node("MatMul", ["sum", "last"], ["logits"], name="/last/MatMul"),
    ]
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("x", TensorProto.FLOAT, ["windows", TOKENS, WIDTH]),
            ("logits", TensorProto.FLOAT, ["windows", TOKENS, 3]),
            ("choices", TensorProto.INT64, ["windows", TOKENS, 1, 2]),
        )
    ]
    graph = helper.make_graph(nodes, "mixture", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="module")
def mixture(chip):
    x = np.random.default_rng(2).normal(size=(WINDOWS, TOKENS, WIDTH)).astype(np.float32)
    network = compile_network(build_mixture(), chip, x_calibration=x)
    result = network.run(x, IdealEngine(chip.chip))
    found = footprint(chip, network, x)
    return network, found, result.outputs, gather_work(network, found, result.outputs, WINDOWS)


def test_one_input_takes_as_long_as_its_footprint_says_and_as_much(digits):
    found, work = digits
    alone = simulate(Workload(layers=work.layers, tokens=2), place(work, 1), BARE.changed(tiers=1, in_flight=1))
    assert alone.latency == pytest.approx(found.latency, rel=1e-12)
    assert alone.energy_per_token == pytest.approx(found.total_energy, rel=1e-12)
    assert [sorted(layer.after) for layer in work.layers] == [[], [0], [1]]


def test_inputs_in_flight_follow_at_the_interval_of_the_slowest_layer(digits):
    found, work = digits
    many = Workload(layers=work.layers, tokens=24)
    pipelined = simulate(many, place(many, 1), BARE.changed(tiers=1, in_flight=4))
    assert pipelined.interval == pytest.approx(found.interval, rel=1e-12)
    shared = simulate(many, place(many, 1), BARE.changed(tiers=1, in_flight=4, converters=1))
    assert shared.interval > pipelined.interval
    assert shared.use["converters"] == pytest.approx(1.0)


def test_experts_are_found_by_name_wait_for_their_router_and_do_what_it_chose(mixture):
    network, found, outputs, work = mixture
    names = [layer.name for layer in network.layers]
    router, last = names.index("/blocks.0/router/MatMul"), names.index("/last/MatMul")
    for k in range(EXPERTS):
        up, down = (names.index(f"/blocks.0/experts.{k}/{what}/MatMul") for what in ("up", "down"))
        assert work.layers[up].after == {router}
        assert work.layers[down].after == {up, router}
        assert work.layers[up].expert == (0, k)
        assert down in work.layers[last].after
    assert work.tokens == WINDOWS * TOKENS
    assert {layer.vectors for layer in work.layers} == {1.0}
    np.testing.assert_array_equal(work.routing.choices[1], outputs["choices"][1, 0], "tokens of several texts in turn")
    outcome = simulate(work, place(work, 2), Stacks(tiers=2))
    per_product = {layer.name: layer.total_energy / layer.products for layer in found.layers}
    energy = 0.0
    for token in outputs["choices"].reshape(-1, 2):
        for name in names:
            if "experts" not in name or int(name.split("experts.")[1][0]) in token:
                energy += per_product[name]  # each of them takes one tile
    assert outcome.energy["products"] == pytest.approx(energy, rel=1e-9)


def test_experts_without_choices_or_router_are_refused(mixture):
    network, found, outputs, _ = mixture
    with pytest.raises(SpecError, match="no output 'which'"):
        gather_work(network, found, outputs, WINDOWS, experts=Experts(output="which"))
    with pytest.raises(SpecError, match="no router of block 0"):
        gather_work(network, found, outputs, WINDOWS, experts=Experts(router=r"gate(\d+)"))


def test_a_larger_model_is_counted_as_by_hand(mixture, tmp_path):
    network, found, _, _ = mixture
    cost = find_tile_cost(network, found)
    assert (cost.rows, cost.outputs) == (
        network.calibration.chip.array.rows,
        network.calibration.chip.array.columns // 2,
    )
    rows, outputs = cost.rows, cost.outputs
    path = tmp_path / "scale.toml"
    path.write_text(
        f"[scale]\nblocks = 3\nwidth = {2 * rows}\nhidden = {rows}\nexperts = 4\nkv_width = {outputs}\ncontext = 10\n"
    )
    scale = load_scale(path)
    assert scale.weights == 3 * (2 * rows * (2 * rows + 2 * outputs + 2 * rows + 4) + 2 * 4 * 2 * rows * rows)
    wide = 2 * rows // outputs
    dense = 2 * (wide + 2) + 2 * wide + 2
    expert = 2 * (rows // outputs) + wide
    by_tiers = {one.tiers: one for one in extrapolate(scale, cost, BARE)}
    assert set(by_tiers) == {1, 2, 4}
    for tiers, one in by_tiers.items():
        assert one.tiles == 3 * (dense + 4 * expert)
        assert one.stacks == 3 * (dense + 4 * expert // tiers)
        assert one.products == 3 * (dense + 2 * expert) * cost.pulses
        assert one.energy["products"] == pytest.approx(one.products * cost.e_product)
    assert by_tiers[1].latency == pytest.approx(3 * 5 * cost.pulses * cost.t_product)
    assert by_tiers[4].conflicts == 1.0
    assert by_tiers[4].latency > by_tiers[1].latency
    with pytest.raises(SpecError, match="cannot be chosen"):
        extrapolate(Scale(experts=2, chosen=3), cost, BARE)


def test_the_command_writes_table_numbers_and_page(chip, mixture, tmp_path, capsys):
    chip.save(tmp_path / "chip.cal.json")
    onnx.save(build_mixture(), tmp_path / "moe.onnx")
    x = np.random.default_rng(3).normal(size=(6, TOKENS, WIDTH)).astype(np.float32)
    np.savez(tmp_path / "moe.npz", x=x)
    words = ["moe.onnx", "moe.npz", "--calibration", "chip.cal.json", "--json", "o.json", "--report", "o.html"]
    words = [str(tmp_path / word) if "." in word else word for word in words]
    (tmp_path / "s.toml").write_text("[scale]\nblocks = 2\nwidth = 256\nhidden = 128\nexperts = 4\ncontext = 8\n")
    more = ["--t-read", "120ns", "--in-flight", "2", "--scale", str(tmp_path / "s.toml")]
    assert run(["schedule", *words, *more], debug=True) == 0
    told = capsys.readouterr().out
    assert "apart" in told
    assert "1.313e+06 weights" in told
    document = json.loads((tmp_path / "o.json").read_text())
    assert {case["tiers"] for case in document["cases"]} == {1, 2, 4}
    assert document["tokens"] == 12
    assert [one["tiers"] for one in document["extrapolated"]] == [1, 2, 4]
    page = (tmp_path / "o.html").read_text()
    assert "Conflicts against stacks" in page
    assert "A larger model, on paper" in page
    assert run(["schedule", *words[:4], "--stacks", str(tmp_path / "none.toml")], debug=False) == 2
