"""Energy, time and area of a network: sums that balance, and cases that can be told by hand."""

import json
import math

import numpy as np
import pytest

from spicesim.behavioural.energy import AdcEnergy, AmplifierEnergy, DacEnergy, EnergyModel
from spicesim.chip import preset
from spicesim.cli.tables import format_footprint
from spicesim.engine import ExactEngine, IdealEngine
from spicesim.errors import CalibrationError, SpecError
from spicesim.experiment.chip import BuiltChip
from spicesim.experiment.footprint import BLOCKS, estimate_footprint
from spicesim.netlist.area import Layout, block_areas, find_area
from spicesim.network import compile_network, digits_network, load_digits

DIGITS = load_digits()
P_DAC, P_AMPLIFIER, E_ADC, T_ADC, T_READ = 3e-4, 5e-4, 2e-12, 80e-9, 120e-9


@pytest.fixture(scope="module")
def chip(generic_calibration):
    """Drivers and amplifiers that draw the same whatever they do, so that sums can be told by hand."""
    bits = generic_calibration.chip.dac.bits
    flat = DacEnergy(
        power_open=np.full(2**bits, P_DAC), knots=(0, 2**bits - 1), i_limit=1e-2, power_loaded=np.zeros((2, 3)),
        rise=np.zeros(bits), fall=np.zeros(bits),
    )  # fmt: skip
    energy = EnergyModel(
        v_reference=generic_calibration.chip.sense_amplifier.v_reference,
        dacs={"unipolar": flat, "bipolar": flat},
        amplifiers=tuple(
            AmplifierEnergy(r_feedback=m.r_feedback, i_limit=m.i_limit, power=np.full(5, P_AMPLIFIER), charge=0.0)
            for m in generic_calibration.senseamps
        ),
        adc=AdcEnergy(bits=8, energy=E_ADC, time=T_ADC, inputs=3),
    )
    return generic_calibration.model_copy(update={"energy": energy})


def footprint(chip, kind="cnn", **options):
    network = compile_network(digits_network(kind), chip, x_calibration=DIGITS.x_calibration)
    options = {"t_read": T_READ, **options}
    engine = IdealEngine(chip.chip)
    built = BuiltChip(engine=engine, fitted=engine, quick=engine, exact=ExactEngine(chip))
    return network, estimate_footprint(network, DIGITS.x[:2], built, **options)


@pytest.mark.parametrize("shared", [1, 4])
def test_energy_time_and_area_are_those_told_by_hand(chip, shared):
    network, found = footprint(chip, columns_per_adc=shared)
    areas = block_areas(chip.chip)
    t_product = T_READ + shared * T_ADC
    for layer, tiles in zip(found.layers, network.tiles(), strict=True):
        rows = sum(tile.g.shape[0] for tile in tiles)
        columns = sum(tile.g.shape[1] for tile in tiles)
        vector = (rows * P_DAC + columns * P_AMPLIFIER) * t_product + columns * E_ADC
        assert layer.total_energy == pytest.approx(layer.vectors * vector, rel=1e-9)
        assert layer.latency == pytest.approx(layer.vectors * t_product)
        array = chip.chip.array
        assert layer.area["dac"] == pytest.approx(len(tiles) * array.rows * areas.dac)
        assert layer.area["array"] == pytest.approx(len(tiles) * array.rows * array.columns * areas.cell)
        assert layer.area["adc"] == pytest.approx(len(tiles) * math.ceil(array.columns / shared) * areas.adc)
    assert [layer.vectors for layer in found.layers] == [36, 4, 1]


def test_sums_balance(chip):
    network, found = footprint(chip)
    assert sum(found.energy.values()) == pytest.approx(sum(layer.total_energy for layer in found.layers), rel=1e-12)
    assert sum(found.area.values()) == pytest.approx(sum(sum(layer.area.values()) for layer in found.layers), rel=1e-12)
    assert found.latency == pytest.approx(sum(layer.latency for layer in found.layers), rel=1e-12)
    assert found.interval == max(layer.latency for layer in found.layers)
    assert found.macs == sum(layer.node.weights.size * n for layer, n in zip(network.layers, (36, 4, 1), strict=True))
    assert found.tops_per_watt == pytest.approx(2e-12 * found.macs / found.total_energy)
    assert found.tops == pytest.approx(2e-12 * found.macs / found.interval)
    document = json.loads(json.dumps(found.document()))
    assert sum(layer["energy_total"] for layer in document["layers"]) == pytest.approx(document["energy_total"])
    assert all(document["energy"][block] > 0 for block in BLOCKS)


def test_logic_of_cells_is_a_part_of_its_own_and_sums_stay(chip):
    adc = chip.energy.adc.model_copy(update={"logic": 0.6 * E_ADC, "leakage": 1e-9})
    celled = chip.model_copy(update={"energy": chip.energy.model_copy(update={"adc": adc})})
    (_, plain), (_, found) = footprint(chip), footprint(celled)
    assert "logic" not in plain.energy
    assert found.total_energy == pytest.approx(plain.total_energy, rel=1e-12)
    assert found.energy["logic"] == pytest.approx(0.6 * plain.energy["adc"])
    assert found.energy["adc"] == pytest.approx(0.4 * plain.energy["adc"])
    assert " logic " in format_footprint(found).splitlines()[0]
    assert found.document()["energy"]["logic"] == found.energy["logic"]


@pytest.mark.parametrize("polarity", ["unipolar", "bipolar"])
def test_power_of_an_array_is_that_of_its_cells_and_wires_and_with_its_drivers_that_of_the_sources(chip, polarity):
    generator = np.random.default_rng(5)
    g = generator.uniform(*chip.cell.g_limits, (16, 12))
    tile = chip.tile(g, polarity, 20e3)
    codes = generator.integers(0, 2**chip.chip.dac.bits, (6, 16))
    state = tile.solve(codes, fields=True)
    power = state.solution.power
    array = power.cells + power.word_lines + power.bit_lines
    np.testing.assert_allclose(chip.energy.tile_power(tile, codes, state)["array"], array, rtol=1e-6)
    np.testing.assert_allclose(array + power.drivers + power.senses, power.sources, rtol=1e-6)
    assert (power.word_lines > 0).all()


def test_sample_tells_of_all_products_within_its_error(chip):
    """Drivers draw in proportion to their codes, so products differ; the mean of a sample errs by a few per cent."""
    dacs = {
        polarity: dac.model_copy(update={"power_open": P_DAC * np.linspace(0.0, 2.0, len(dac.power_open))})
        for polarity, dac in chip.energy.dacs.items()
    }
    uneven = chip.model_copy(update={"energy": chip.energy.model_copy(update={"dacs": dacs})})
    _, every = footprint(uneven)
    _, sampled = footprint(uneven, products=60)
    assert every.standard_error == 0
    assert 1e-3 < sampled.standard_error / every.total_energy < 0.1
    assert abs(sampled.total_energy - every.total_energy) < 4 * sampled.standard_error
    assert abs(sampled.total_energy / every.total_energy - 1) > 1e-6, "another sample than all"


def test_every_layer_is_told_of_however_few_products_are_sampled(chip):
    """A layer of one product an image counts beside convolutions of hundreds."""
    _, few = footprint(chip, products=2)
    _, every = footprint(chip)
    for one, layer in zip(few.layers, every.layers, strict=True):
        assert one.name == layer.name
        assert one.total_energy == pytest.approx(layer.total_energy, rel=0.2)


def test_what_is_missing_is_said(chip, generic_calibration):
    with pytest.raises(CalibrationError, match="has no energies; run: spicesim calibrate"):
        footprint(generic_calibration)
    with pytest.raises(CalibrationError, match="t_read must be given: add --t-read"):
        footprint(chip, t_read=None)
    with pytest.raises(SpecError, match="must be positive"):
        footprint(chip, columns_per_adc=0)


def test_area_of_a_netlist_is_that_of_its_devices():
    chip = preset("generic-1t1r")
    text = """
.subckt inner a b w=2u k=1
m1 a b 0 0 nch w={w} l=0.5u m={2*k}
r1 a b 7k
.ends inner
.subckt outer a b size=3
xone a b inner k={size}
c1 a b {0.5p*size}
.ends outer
xtop a b outer size=2
xbare a b inner
r9 a b 1e9
"""
    layout = Layout(overhead=2.0, r_sheet=350.0, resistor_width=1e-6, c_density=2e-3)
    inner, outer = 2e-12 + 20e-12, 4e-12 + 20e-12 + 500e-12
    assert find_area(text, chip, layout, instances=("xtop",)) == pytest.approx(2 * outer)
    assert find_area(text, chip, layout, instances=("xtop", "xbare")) == pytest.approx(2 * (outer + inner))
    with pytest.raises(SpecError, match="no instance 'xother'; there are: xtop, xbare, r9"):
        find_area(text, chip, layout, instances=("xother",))


def test_larger_blocks_take_more_area():
    chip = preset("gf180-1t1r")
    areas, larger = (
        block_areas(chip),
        block_areas(chip.changed(dac={"buffer_drive": 12.0}, cell={"access_width": 4e-6})),
    )
    assert larger.dac > areas.dac
    assert larger.cell > areas.cell
    assert larger.amplifier == areas.amplifier
    fine = block_areas(chip.changed(adc={"bits": 12}))
    assert fine.adc is None
    with pytest.raises(SpecError, match=r"set adc\.bits to 10 or less"):
        fine.tile(4, 4, 1)
    with pytest.raises(SpecError, match="overhead of 1 or more"):
        Layout(overhead=0.5)
