"""Whole macros in one transient: converters on the amplifiers of a tile, codes in, codes out."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from fuzz.networks import two_layers
from spicesim.audit import audit_samples
from spicesim.calibration.amplifier_hand_over import (
    Column,
    amplifier_errors,
    check_amplifiers,
    find_amplifiers,
    shift_amplifiers,
)
from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.campaign import Campaign
from spicesim.calibration.charges import find_line_capacitance
from spicesim.calibration.energy import calibrate_energy, supply_power
from spicesim.calibration.hand_over import find_hand_over, shift_hand_overs
from spicesim.calibration.sar import SarFit, first_plates
from spicesim.chip import preset
from spicesim.cli.main import cli
from spicesim.engine import ConverterEngine, ExactEngine, HandOverEngine, MacroBench, NgspiceEngine, SampledMvm, Tile
from spicesim.errors import CalibrationError, SpecError
from spicesim.experiment.plan import make_plan
from spicesim.experiment.run import run
from spicesim.metrics import largest, rms
from spicesim.netlist.hand_over import HandOver, build_hand_overs
from spicesim.netlist.macro import MacroRead, build_macro, sampling_start
from spicesim.netlist.step import STEP_TIME
from spicesim.sampling import run_all


@pytest.fixture(scope="module")
def calibration(sar_calibration):
    return sar_calibration


def products(calibration, polarity, shape, vectors, engine=None):
    """Products of a tile whose first column has the least cells, and whose last one the largest."""
    low, high = calibration.conductance_range
    g = np.random.default_rng(1).uniform(low, high, shape)
    g[:, -1], g[:, 0] = high, low
    adc = calibration.converter.range(polarity)
    tile = Tile(name=polarity, g=g, polarity=polarity, r_feedback=80e3, adc=adc)
    ready = HandOverEngine.of(engine or ExactEngine(calibration), calibration).prepare(tile)
    return [
        SampledMvm.of(ready, codes, volts, layer="a") for codes, volts in zip(vectors, ready.mvm(vectors), strict=True)
    ]


def test_codes_of_a_macro_are_those_of_the_model(calibration):
    """All rows on, halves at opposite rails, one row alone: of either coding; 3x2 cells."""
    bipolar = products(calibration, "bipolar", (3, 2), np.array([[255, 255, 255], [255, 0, 128], [0, 128, 128]]))
    unipolar = products(calibration, "unipolar", (3, 2), np.array([[255, 255, 255], [0, 0, 255]]))
    audit = audit_samples(bipolar + unipolar, calibration, macros=True)
    identical, _, worse = audit.codes
    assert identical >= 0.9
    assert worse == 0
    assert audit.max_error < 1e-3
    assert "in one transient" in audit.pieces
    assert "ideal buffer" not in audit.unseen


def test_amplifiers_are_loaded_by_what_cells_conduct_of_small_changes(calibration):
    """At their own inputs, more at the rails than write-verify reads; a macro of others has what is read."""
    model, g = calibration.converter.hand_over, np.full((8, 2), calibration.conductance_range[1])
    adc = calibration.converter.range("bipolar")
    tile = Tile(name="", g=g, polarity="bipolar", r_feedback=80e3, adc=adc)
    at_rest, at_rails = (calibration.cell.small_signal(g, v) for v in (0.0, calibration.chip.dac.v_span))
    assert np.all(at_rails > 1.001 * g)
    codes, volts = np.array([[128] * 8, [0] * 8]), np.array([[-0.6, 0.7]] * 2)
    by_inputs = HandOverEngine.of(ExactEngine(calibration), calibration)
    as_read = HandOverEngine(ExactEngine(calibration), model)
    for engine, seen in ((by_inputs, (at_rest, at_rails)), (as_read, (g, g))):
        found = engine.prepare(tile).received(codes, volts)
        for own, alone, output in zip(found, seen, volts, strict=True):
            expected = model.curves(80e3, alone.sum(axis=0), 8).received(output)
            np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_one_cell_is_a_macro(calibration):
    audit = audit_samples(products(calibration, "unipolar", (1, 1), np.array([[200]])), calibration, macros=True)
    assert np.abs(audit.code_differences).max() <= 1
    assert audit.converted == (1,)


def test_a_macro_of_a_drawn_chip_has_its_own_converters(calibration):
    seed = 5
    engine = ConverterEngine(ExactEngine(calibration, mismatch_seed=seed), calibration, seed=seed, columns_per_adc=2)
    samples = products(calibration, "bipolar", (2, 3), np.array([[255, 200]]), engine)
    audit = audit_samples(samples, calibration, mismatch_seed=seed, macros=True)
    assert np.abs(audit.code_differences).max() <= 1
    bench = MacroBench(calibration, mismatch_seed=seed)
    (netlist,), read = bench.netlists(samples[0].tile, samples[0].adc, samples[0].codes[None])
    first, second, third = (read.converters[j].dac.errors for j in range(3))
    assert first == second != third
    assert netlist.body.count("every transistor has its own mismatch") == 1


def test_the_command_writes_the_macro_that_an_audit_simulates(calibration, tmp_path, monkeypatch):
    """Of a drawn chip, line by line, but for comments and first guesses, which are those of the nominal one."""
    monkeypatch.chdir(tmp_path)
    seed, codes = 5, [255, 40]
    g = np.random.default_rng(3).uniform(*calibration.conductance_range, (2, 3))
    tile = Tile(name="", g=g, polarity="bipolar", r_feedback=80e3, adc=calibration.converter.range("bipolar"))
    adc = ConverterEngine(ExactEngine(calibration, mismatch_seed=seed), calibration, seed=seed).prepare(tile).adc
    (audited,), _ = MacroBench(calibration, mismatch_seed=seed).netlists(tile, adc, np.array([codes]))
    np.save("g.npy", NgspiceEngine(calibration, mismatch_seed=seed).prepare(tile).devices)
    calibration.save("sar.cal.json")
    words = "netlist macro --calibration sar.cal.json --conductance g.npy --codes 255,40 --polarity bipolar"
    words += " --r-feedback 80k --mismatch 5 -o macro.cir"
    result = CliRunner().invoke(cli, words.split())
    assert result.exit_code == 0, result.output
    written, simulated = (
        [line for line in text.splitlines() if line and not line.startswith(("*", ".nodeset"))]
        for text in ((tmp_path / "macro.cir").read_text(), audited.format())
    )
    assert written == simulated
    assert "\n.nodeset v(out_2)=" in (tmp_path / "macro.cir").read_text()


def test_arrays_are_near_after_the_time_needed_whatever_they_held(calibration):
    model, chip = calibration.converter.hand_over, calibration.chip
    rng, half = np.random.default_rng(3), chip.converter.dac.span / 2
    loads = rng.choice([0.2, 2.0, 10.0, 30.0], 10)
    cases = [
        HandOver(r_feedback=80e3, g=load / 80e3, v_out=v, held=held)
        for load, v, held in zip(loads, rng.uniform(-half, half, 10), rng.choice([-half, half], 10), strict=True)
    ]
    (results,) = Campaign().run([build_hand_overs(chip, chip.converter, cases, 200e-9)], "")
    vectors = results[0].vectors
    for k, needed in enumerate(model.needed_for(80e3, loads / 80e3)):
        top = np.interp(STEP_TIME + needed, vectors["time"].real, vectors[f"v(top_{k})"].real)
        assert abs(top - vectors[f"v(out_{k})"].real[0]) < 0.3 * chip.converter.lsb


def test_arrays_have_received_what_the_model_says(calibration):
    """Beside arrays that ideal sources charged, at the first strobe; the switch has opened by then."""
    model, chip = calibration.converter.hand_over, calibration.chip
    sizes, reference = chip.converter, chip.sense_amplifier.v_reference
    rng, half = np.random.default_rng(4), sizes.dac.span / 2
    loads, outputs = np.array([0.4, 3.0, 7.0, 16.0, 5.0, 22.0]), rng.uniform(-half, half, 6)
    stop, campaign, rows = model.sample + sizes.bit, Campaign(), chip.array.rows
    # as many cells as such a column can have
    lines = find_line_capacitance(chip, campaign) * np.minimum(rows, loads / 80e3 / chip.cell.g_min)
    cases = [
        HandOver(r_feedback=80e3, g=load / 80e3, line=line, v_out=v, held=0.0)
        for load, line, v in zip(loads, lines, outputs, strict=True)
    ]
    (results,) = campaign.run([build_hand_overs(chip, sizes, cases, stop, opens=model.sample)], "")
    vectors, at = results[0].vectors, STEP_TIME + model.sample + 0.6 * sizes.bit
    held = np.array([vectors[f"v(out_{k})"].real[0] for k in range(6)]) - reference
    top = np.array([np.interp(at, vectors["time"].real, vectors[f"v(top_{k})"].real) for k in range(6)]) - reference
    ideal = first_plates([SarFit(chip, sizes, "bipolar", campaign)])([held])[0]
    gain = np.polyfit(held, ideal, 1)[0]
    received = model.curves(80e3, loads / 80e3, rows).received(outputs) - outputs
    np.testing.assert_allclose(received, -(top - ideal) / gain, rtol=0, atol=0.05 * sizes.lsb)


def inner(held_out):
    """Return those of held-out hand-overs, which rise with outputs in either range, that do not lie near rails."""
    return held_out.reshape(2, -1)[:, 2:-3]


def test_arrays_that_are_cut_off_while_amplifiers_ring_are_known():
    """Of loads and outputs between those of the table."""
    chip = preset("generic-1t1r").changed(
        array={"rows": 1, "columns": 1}, cell={"g_max": 500e-6}, sense_amplifier={"r_feedback": [20e3]},
        adc={"kind": "sar", "bits": 6}, sar_adc={"sample": 15e-9, "dac": {"unit": 40e-15}},
    )  # fmt: skip
    model, step = find_amplifiers(chip, chip.converter, Campaign()), chip.converter.lsb
    assert np.abs(model.errors[0, 0, 1:-1]).max() > step  # or they had settled
    between = inner(model.held_out)
    assert rms(between) < 0.01 * step
    assert largest(between) < 0.03 * step
    of_other_switches = (model.unipolar - model.errors)[..., model.outputs > 0]
    assert np.abs(of_other_switches).max() > 0.05 * step  # or both ranges would do with one table


def test_arrays_that_are_cut_off_elsewhere_are_known_for_lines_of_any_length():
    """As long as what 125 C changes was found of the line in the middle alone, it was told to .2 of a step here."""
    chip = preset("generic-1t1r").changed(
        array={"rows": 16, "columns": 1}, sense_amplifier={"r_feedback": [20e3]},
        adc={"kind": "sar", "bits": 6}, sar_adc={"sample": 25e-9, "dac": {"unit": 40e-15}},
    )  # fmt: skip
    hot, campaign, step = chip.at(temperature_c=125.0), Campaign(), chip.converter.lsb
    own = find_amplifiers(chip, chip.converter, campaign)
    assert own.rings
    (there,) = shift_amplifiers(own, [chip, hot], campaign)
    line = find_line_capacitance(chip, campaign)
    left, before = (largest(inner(check_amplifiers([hot], [model], line, campaign)[0])) for model in (there, own))
    assert before > 0.5 * step  # or there is nothing to be seen
    assert left < 0.08 * step


@pytest.mark.long
def test_a_climate_is_held_against_hand_overs_that_are_in_no_table():
    chip = preset("generic-1t1r").changed(
        array={"rows": 8, "columns": 2}, sense_amplifier={"r_feedback": [20e3]}, dac={"bits": 4},
        adc={"kind": "sar", "bits": 6}, sar_adc={"sample": 25e-9, "bit": 16e-9, "dac": {"unit": 40e-15}},
    )  # fmt: skip
    climate = calibrate(chip, aspects=("converter", "climate"), accept="a test").climate
    assert len(climate.converter.corner_temperatures_c) == 4  # they ring
    assert len(climate.hand_over_errors) == len(climate.errors)
    assert max(climate.hand_over_errors) < 0.3 * chip.converter.lsb


def test_a_hand_over_is_another_elsewhere(calibration):
    """Of a column of a load that no bench had, at 125 C; the hand-over of the chip's own temperature is worse there."""
    own = calibration.converter.hand_over
    chip = calibration.chip.at(temperature_c=125.0)
    sizes, campaign, outputs, column = chip.converter, Campaign(quick=True), own.outputs, np.array([10.0 / 80e3])
    plates = first_plates([SarFit(chip, sizes, "bipolar", campaign)])
    (there,) = shift_hand_overs(calibration.chip, own, [chip], campaign, plates)
    ((found,),) = amplifier_errors(
        [chip], campaign, [Column(80e3, 10.0, find_line_capacitance(chip, campaign) * chip.array.rows)], outputs
    )
    left, before = (
        np.abs(model.curves(80e3, column, chip.array.rows).received(outputs[:, None])[:, 0] - outputs - found).max()
        for model in (there, own)
    )
    assert before > 0.02 * sizes.lsb  # or there is nothing to be seen
    assert left < 0.3 * before
    assert shift_hand_overs(calibration.chip, None, [chip], campaign, plates) == [None]


def test_the_switch_that_opens_parts_its_charge_otherwise_on_an_integrator():
    """An integrator that holds is no ideal source; columns and codes are others than those of the calibration."""
    chip = preset("generic-1t1r").changed(
        array={"rows": 4, "columns": 2}, dac={"kind": "pulse", "bits": 5, "unit": 2e-9}, cell={"g_max": 5e-6},
        sense_amplifier={"kind": "integrator"}, integrator={"capacitor": 1e-12},
        adc={"kind": "sar", "bits": 6}, sar_adc={"sample": 200e-9, "dac": {"span": 0.5}},
    )  # fmt: skip
    sizes, campaign = chip.converter, Campaign(quick=True)
    plates = first_plates([SarFit(chip, sizes, "bipolar", campaign)])
    model = find_hand_over(chip, sizes, campaign, plates)
    assert np.abs(model.errors).max() > 0.02 * sizes.lsb  # or there is nothing to be seen
    read = MacroRead(converters={0: sizes}, polarity="bipolar", t_read=sampling_start(chip, sizes, "bipolar"))
    g = np.array([[5e-6], [2e-6], [1e-6], [4e-6]])
    vectors = ([31, 3, 9, 30], [2, 8, 1, 5])
    netlists = [build_macro(chip, g, v, read, polarity="bipolar", r_feedback=1.0) for v in vectors]
    found = [results[0].vectors for results in campaign.run(netlists, "")]
    at = read.start + sizes.sample + 0.6 * sizes.bit
    held, top = (
        np.array([np.interp(t, v["time"].real, v[name].real) for v in found]) - chip.sense_amplifier.v_reference
        for t, name in ((read.start, "v(out_0)"), (at, "v(xconverter_0.top)"))
    )
    ideal = plates([held])[0]
    gain = np.polyfit(held, ideal, 1)[0]
    outputs = chip.sense_amplifier.volts(chip.sense_amplifier.v_reference + held)
    received = model.curves(1.0, np.ones(2), 1).received(outputs) - outputs
    np.testing.assert_allclose(received, -(top - ideal) / gain, rtol=0, atol=0.03 * sizes.lsb)


def test_too_short_a_time_is_told_with_the_time_it_takes(calibration):
    hasty = calibration.converter.hand_over.model_copy(update={"sample": 15e-9})
    engine = HandOverEngine(ExactEngine(calibration), hasty)
    adc = calibration.converter.range("unipolar")
    engine.prepare(Tile(name="a", g=np.full((4, 2), 40e-6), polarity="unipolar", r_feedback=80e3, adc=adc))
    (note,) = engine.notes
    assert "sample for 15 ns" in note
    assert "set sar_adc.sample" in note


def test_macros_are_refused_where_there_are_none(calibration):
    with pytest.raises(SpecError, match=r"above sar_adc\.sample"):
        MacroBench(calibration, t_read=calibration.chip.converter.sample)
    ideal = calibration.model_copy(update={"chip": calibration.chip.changed(adc={"kind": "ideal"}), "converter": None})
    with pytest.raises(SpecError, match="converters are ideal"):
        MacroBench(ideal)


def test_a_hand_over_of_another_sampling_time_is_refused(calibration):
    document = calibration.model_dump(mode="json")
    document["converter"]["hand_over"]["sample"] *= 2
    with pytest.raises(
        ValueError, match=r"hand_over must be of amplifiers, integrators or buffers, and of the chip's sar_adc\.sample"
    ):
        type(calibration).model_validate(document)


def test_the_energy_of_a_macro_is_that_of_its_supplies(calibration):
    """Within 2 %, converters included; what these add within a quarter, as six inputs are not all."""
    chip, rng = calibration.chip, np.random.default_rng(4)
    tile = Tile(
        name="a", g=rng.uniform(*calibration.conductance_range, (4, 3)), polarity="bipolar", r_feedback=80e3,
        adc=calibration.converter.range("bipolar"),
    )  # fmt: skip
    codes = rng.integers(0, 2**chip.code_bits, (2, 4))
    netlists, read = MacroBench(calibration).netlists(tile, tile.adc, codes)
    half, supply = read.sizes.dac.span / 2, chip.process.supply
    # all but the supply lie around the common reference, which carries what they draw
    sources = {
        "vdd": supply, "vref": chip.sense_amplifier.v_reference, "v0": half, "v1": -half,
        "vlo": -chip.dac.v_span, "vhi": chip.dac.v_span,
    }  # fmt: skip
    probes = tuple(f"i({name})" for name in sources)
    found = run_all([replace(netlist, probes=(*netlist.probes, *probes)) for netlist in netlists])
    times = [results[0].vectors["time"].real for results in found]
    measured = [np.trapezoid(supply_power(r, sources), time) for r, time in zip(found, times, strict=True)]
    behavioural = calibration.tile(calibration.cell.program(tile.g), "bipolar", tile.r_feedback)
    state = behavioural.solve(codes)
    model = calibrate_energy(calibration, Campaign())
    told = model.tile_energy(behavioural, codes, state, float(times[0][-1]), before=(codes, state))
    np.testing.assert_allclose(sum(told.values()), measured, rtol=0.02)
    converters = measured - sum(part for name, part in told.items() if name != "adc")
    assert np.mean(converters) == pytest.approx(np.mean(told["adc"]), rel=0.25)


def test_the_audit_command_does_whole_macros(calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    calibration.save(path)
    words = ["audit", str(path), "--sizes", "2", "--macros", "1", "--json", str(tmp_path / "found.json")]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "0.00 % worse" in done.output
    assert "in one transient" in done.output
    (chip,) = json.loads((tmp_path / "found.json").read_text())
    assert (chip["chip"], chip["count"], chip["codes"]) == (None, 1, 2)
    assert chip["quantiser"] == "converters of transistors"


def test_the_audit_command_does_macros_of_drawn_chips(calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    calibration.save(path)
    worst = tmp_path / "worst.cir"
    words = ["audit", str(path), "--sizes", "2", "--macros", "1", "--mismatch", "2", "--worst", str(worst)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    chips = [line.split()[:2] for line in done.output.splitlines() if line.startswith("chip ")]
    assert chips == [["chip", "1"], ["chip", "2"]]
    last = next(line for line in done.output.splitlines() if line.startswith("all")).split()
    assert last[1:3] == ["2", "4"]
    assert float(last[5]) == 0  # none is off by more than one
    assert f"wrote {worst}; run: ngspice " in done.output
    assert "xconverter_1 out_1 " in worst.read_text()


def test_the_worst_product_is_that_of_macros(calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    calibration.save(path)
    with pytest.raises(SpecError, match=r"--worst is that of whole macros: add --macros 4"):
        CliRunner().invoke(cli, ["audit", str(path), "--worst", "worst.cir"], catch_exceptions=False)


def test_drawn_chips_are_audited_beside_each_other(calibration, tmp_path, monkeypatch):
    """A product each leaves processors idle, if one chip waits for the other: two that do meet here."""
    path = tmp_path / "chip.cal.json"
    calibration.save(path)
    both = threading.Barrier(2)

    def audit_once_both_are_here(*args, **others):
        both.wait(timeout=60)  # raises BrokenBarrierError
        return audit_samples(*args, **others)

    monkeypatch.setattr("spicesim.cli.audit.audit_samples", audit_once_both_are_here)
    words = ["audit", str(path), "--sizes", "2", "--macros", "1", "--mismatch", "2"]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0


def test_an_audit_elsewhere_needs_a_climate(calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    calibration.model_copy(update={"climate": None}).save(path)
    with pytest.raises(CalibrationError, match="has no climate"):
        CliRunner().invoke(cli, ["audit", str(path), "--corner", "ss"], catch_exceptions=False)


def test_a_run_audits_whole_macros(calibration):
    x = np.random.default_rng(1).random((20, 8)).astype(np.float32)
    found = run(make_plan({"engine": "exact", "audit": 1, "macros": True}), two_layers(), x, calibration)
    assert found.first.audit.converter == "macro"
    assert found.document()["audit"]["codes_worse"] == 0
