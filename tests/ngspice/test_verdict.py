"""What a calibration claims of whole tiles holds on tiles that nobody chose, or it is refused."""

import numpy as np
import pytest

from spicesim.calibration.calibrate import calibrate
from spicesim.calibration.cell import HELD_CURRENT
from spicesim.calibration.patterns import adversarial_vectors
from spicesim.calibration.tiles import TileCase, build_adversarial_cases, check_tiles
from spicesim.calibration.verdict import DEFAULT_ERROR, judge
from spicesim.chip import preset
from spicesim.cli.main import main
from spicesim.errors import CalibrationError

GF180 = preset("gf180-1t1r")


def largest_error(calibration, cases):
    return max(check.max_error for check in check_tiles(calibration.chip, cases))


def test_cancelling_halves_of_the_highest_conductances_at_high_gain_are_within_the_default_error(gf180_calibration):
    """The even part of the cell's error adds up over the rows: a cell without its bend at 0 V is .025 % off here."""
    tile = gf180_calibration.tile(np.full((32, 2), 50e-6), "bipolar", 160e3)
    vectors = adversarial_vectors(32, 8, "bipolar", np.random.default_rng(4))
    case = TileCase(name="all highest", tile=tile, codes=vectors)
    assert largest_error(gf180_calibration, [case]) < 0.5 * DEFAULT_ERROR


@pytest.mark.parametrize(("kind", "kappa"), [
    ("1t1r", 4.0), *(pytest.param(*case, marks=pytest.mark.long) for case in (("1r", 6.0), ("1t1r", 7.5)))
])  # fmt: skip
def test_a_calibration_claims_what_holds_on_fresh_tiles_or_is_refused(kind, kappa, calibrate_once):
    """Beyond +-1.5 of its argument the law of a device once ended: chips of kappa 4 were 4 % wrong without a word."""
    chip = GF180.changed(
        array={"rows": 12, "columns": 8},
        cell={"kind": kind, "kappa": kappa},
        sense_amplifier={"r_feedback": (9e3, 99e3)},
    )
    calibration = calibrate_once(
        f"verdict-{kind}-{kappa:g}", lambda: calibrate(chip, quick=True, aspects=(), accept="to be tested")
    )
    fresh = build_adversarial_cases(chip, calibration.tile, [8], seed=77, every_feedback=True)
    assert largest_error(calibration, fresh) <= calibration.verdict.claim
    assert calibration.verdict.is_met or calibration.verdict.missed
    if kappa <= 4:
        assert calibration.verdict.is_met


def test_the_bound_of_a_columns_cells_is_rows_times_cell_error_times_feedback(gf180_calibration):
    held, amplifier = gf180_calibration.held_out[HELD_CURRENT], gf180_calibration.senseamp(160e3)
    worst = np.abs(held.predicted - held.measured).max()  # [A]
    wanted = 32 * worst * 160e3 / amplifier.full_scale
    assert gf180_calibration.verdict.cells.error == pytest.approx(wanted, rel=1e-9)


def missed(calibration, **changes):
    """Return a calibration that was asked for a thousandth of what it reaches."""
    verdict = calibration.verdict.model_copy(update={"asked": 1e-3 * calibration.verdict.claim, **changes})
    return calibration.model_copy(update={"verdict": verdict})


def test_a_missed_verdict_is_refused_unless_it_is_accepted_in_words(generic_calibration):
    generic_calibration.require_verdict()
    with pytest.raises(CalibrationError, match=r"misses .* --accept"):
        missed(generic_calibration).require_verdict()
    missed(generic_calibration, accepted="a first look").require_verdict()


@pytest.fixture
def spicesim(tmp_path, monkeypatch, capsys):
    """Run the command line in a folder of its own; return status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_calibrate_writes_nothing_that_misses_what_was_asked_unless_accepted(spicesim, tmp_path, monkeypatch,
                                                                             generic_calibration):  # fmt: skip
    def run_plan(plan, accept=None, **_):
        return missed(generic_calibration, accepted=accept)

    monkeypatch.setattr("spicesim.cli.calibrate.run_plan", run_plan)
    words = ["calibrate", "generic-1t1r", "--quick", "-o", "x.cal.json"]
    status, _, errors = spicesim(*words)
    assert status == 2
    assert "asked for" in errors
    assert not (tmp_path / "x.cal.json").exists()
    assert spicesim(*words, "--accept", "a first look")[0] == 0
    assert (tmp_path / "x.cal.json").exists()


def test_commands_and_pages_say_in_a_line_that_a_calibration_missed(spicesim, tmp_path, generic_calibration):
    missed(generic_calibration, accepted="a first look").save(tmp_path / "x.cal.json")
    status, _, errors = spicesim("report", "x.cal.json", "-o", "x.html")
    assert status == 0
    (line,) = [line for line in errors.splitlines() if "MISSED" in line]
    assert "accepted: a first look" in line
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "MISSES" in page
    assert "a first look" in page


def test_claims_are_twice_what_was_found_and_tell_of_other_climates():
    verdict = judge(asked=1e-3, tiles={"a": 1e-4, "b": 3e-4}, cells=5e-5, columns="8 rows", climates={"ss": 6e-4})
    assert (verdict.claim, verdict.tiles.where, verdict.climates.where) == (6e-4, "b", "ss")
    assert verdict.claim_elsewhere == pytest.approx(1.2e-3)
    assert verdict.is_met
    assert not verdict.is_met_elsewhere
    assert "MISSED there: ss" in verdict.format()


def test_leakage_into_the_substrate_is_in_the_output(gf180_calibration):
    """At rest a column draws what its cells leak: 3 pA each, with 128 of them .004 % of full scale at 160k."""
    chip = gf180_calibration.chip
    tile = gf180_calibration.tile(np.full((32, 2), 50e-6), "bipolar", 160e3)
    case = TileCase(name="at rest", tile=tile, codes={"at rest": np.full(32, 128)})
    (check,) = check_tiles(chip, [case])
    without = gf180_calibration.cell.model_copy(update={"leakage": np.zeros(1)})
    bare = gf180_calibration.model_copy(update={"cell": without}).tile(tile.g, "bipolar", 160e3)
    gap = np.abs(bare.solve(np.full((1, 32), 128)).v_out - check.measured).max()
    assert np.abs(check.predicted - check.measured).max() < 0.2 * gap
