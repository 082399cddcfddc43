"""The StrongARM comparator decides rightly, and its offset is the mismatch that was planted."""

import numpy as np
import pytest

from simulation import run
from spicesim.characterise import Conditions, run_bench
from spicesim.characterise.comparator import comparator_bench, find_offsets, sample_draws
from spicesim.chip import preset
from spicesim.chip.blocks import Comparator
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError, ValidityError
from spicesim.netlist.comparator import Clock, build_comparators
from spicesim.netlist.mismatch import read_mismatch


def test_it_follows_the_sign_of_its_input_at_any_common_voltage(chip):
    differences = np.array([-0.1, -1e-3, -1e-5, 1e-5, 1e-3, 0.1])
    for common in (1.2, 2.5):
        found = run(build_comparators(chip, differences, common=common))
        supply = chip.process.supply
        for k, difference in enumerate(differences):
            high, low = ("outp", "outn") if difference > 0 else ("outn", "outp")
            assert found[f"v({high}_{k})"][-1] == pytest.approx(supply, rel=0.01)
            assert abs(found[f"v({low}_{k})"][-1]) < 0.01 * supply


def test_it_is_reset_between_decisions(chip):
    clock = Clock(period=8e-9, cycles=2)
    found = run(build_comparators(chip, [5e-3], clock=clock))
    reset = np.interp(clock.start + 0.95 * clock.period, found["time"], found["v(outp_0)"])
    assert abs(reset) < 1e-2
    again = np.interp(clock.start + 1.4 * clock.period, found["time"], found["v(outp_0)"])
    assert again == pytest.approx(chip.process.supply, rel=1e-3)


def test_the_delay_grows_with_the_logarithm_of_the_overdrive(chip):
    sheet = run_bench(comparator_bench(chip), chip, Conditions())
    (panel,) = sheet.panels
    delays = panel.curves["delay"]
    assert (np.diff(delays) < 0).all()
    # 0.1, 0.3 and 1 mV lie on one line over the logarithm
    tau = np.diff(delays[:3]) / np.diff(np.log(panel.x[:3]))
    assert tau[0] == pytest.approx(tau[1], rel=0.1)
    assert sheet["tau"] == pytest.approx(-tau.mean(), rel=0.05)
    assert 0 < sheet["kickback"] < sheet["kickback_common"] < 0.5
    # a decision moves two of the nodes p, q, x, y and an output through the supply: some 10 to 400 fF of charge
    supply = chip.process.supply
    assert 10e-15 * supply**2 < sheet["energy"] < 400e-15 * supply**2


def test_the_offset_is_the_planted_mismatch_of_the_pair(chip):
    """Every sample's offset is the difference of its thresholds, so sigma is Pelgrom's within its standard error.

    In BSIM4 a larger threshold also lowers the mobility, which adds some per cent at this overdrive.
    """
    samples = 12
    sizes = Comparator()
    sigma = read_mismatch(chip.process)[chip.process.nmos].sigma_threshold(sizes.input_width, chip.process.min_length)

    def planted(sample):
        draw = ChipDraw(5, str(sample))
        return lambda path: (draw(path)[0] if path in {"xdut.m1", "xdut.m2"} else 0.0, 0.0)

    draws = [planted(sample) for sample in range(samples)]
    offsets = find_offsets(chip, draws, Conditions())
    expected = sigma * np.array([draw("xdut.m1")[0] - draw("xdut.m2")[0] for draw in draws])
    resolution = 16 * np.sqrt(2) * sigma / 512
    np.testing.assert_allclose(
        offsets, expected, rtol=0.04 if chip.process.nmos == "nch" else 0.12, atol=1.5 * resolution
    )
    pelgrom = np.sqrt(2) * sigma
    drawn, measured = (np.sqrt(np.mean(values**2)) for values in (expected, offsets))
    standard_error = pelgrom / np.sqrt(2 * samples)
    assert abs(measured - drawn) < standard_error
    assert abs(measured - pelgrom) < 2 * standard_error


def test_all_devices_together_spread_more_than_the_pair_and_the_same_for_the_same_seed():
    chip = preset("generic-1t1r")
    conditions = Conditions(samples=16, seed=3)
    sheet = run_bench(comparator_bench(chip), chip, conditions)
    spread = sheet.entry("offset").spread
    sigma = read_mismatch(chip.process)["nch"].sigma_threshold(8e-6, chip.process.min_length)
    assert np.sqrt(2) * sigma * 0.6 < spread.sigma < np.sqrt(2) * sigma * 2.5
    fewer = find_offsets(chip, [ChipDraw(3, str(sample)) for sample in range(2)], conditions)
    more = find_offsets(chip, [ChipDraw(3, str(sample)) for sample in (1, 0, 7)], conditions)
    # other samples in the same run move the time steps, and by them an offset next to a boundary of the search
    resolution = 16 * np.sqrt(2) * sigma / 512
    np.testing.assert_allclose(fewer, [more[1], more[0]], atol=1.01 * resolution)


def test_samples_in_one_netlist_have_the_draws_of_samples_alone():
    draws = [ChipDraw(9, str(sample)) for sample in range(3)]
    assert sample_draws(draws)("xdut_2.m1") == draws[2]("xdut.m1")


def test_an_offset_beyond_the_search_is_no_number():
    chip = preset("generic-1t1r")
    with pytest.raises(ValidityError, match="outside"):
        find_offsets(chip, [lambda path: (3.0 if path == "xdut.m1" else 0.0, 0.0)], Conditions(), limit=5e-3)


@pytest.mark.parametrize("differences", [[], [np.nan], [[0.1]], 0.1])
def test_impossible_inputs_are_refused(differences):
    with pytest.raises(SpecError, match="input differences"):
        build_comparators(preset("generic-1t1r"), differences)


def test_impossible_sizes_are_refused():
    with pytest.raises(SpecError, match=r"comparator.latch_width.*300 nm or more"):
        preset("generic-1t1r").changed(comparator={"latch_width": 0.0})
