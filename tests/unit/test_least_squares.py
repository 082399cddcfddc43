"""Fits know what they know: intervals that cover, unknowns named instead of guessed, outliers that do not pull."""

import json

import numpy as np
import pytest

from spicesim.calibration.fit import Fit, simplest
from spicesim.calibration.laws import fit_access_cell, fit_amplifier, fit_bare_cell, fit_core, fit_driver, fit_rails
from spicesim.calibration.least_squares import Unknown, fit_parameters
from spicesim.calibration.wires import ContactedCell, fit_wires
from spicesim.cells import Linear, Sinh
from spicesim.crossbar import Crossbar
from spicesim.errors import CalibrationError, SpecError

ARRAY = ("r_word_line", "r_bit_line", "r_driver", "r_sense", "r_contact")


def unknown(name, start=1.0, **options):
    return Unknown(name=name, unit="V", start=start, **{"scale": 1.0, **options})


def floats(document):
    """Go through all numbers of a document that are not counted."""
    if isinstance(document, float):
        yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from floats(part)


def decay(t, noise=0.0, seed=0):
    return 3.0 * np.exp(-t / 0.7) + noise * np.random.default_rng(seed).standard_normal(len(t))


@pytest.mark.parametrize("jacobian", ["complex-step", "3-point", "analytic"])
def test_all_derivatives_lead_to_the_same_estimate_and_error(jacobian):
    t = np.linspace(0, 2, 41)
    y = decay(t, 0.01)

    def slopes(p):
        return np.stack([np.exp(-t / p[1]), p[0] * t / p[1] ** 2 * np.exp(-t / p[1])], axis=1)

    fit = fit_parameters(
        lambda p: p[0] * np.exp(-t / p[1]) - y,
        [unknown("height"), unknown("time", low=0.1)],
        unit="V",
        jacobian=slopes if jacobian == "analytic" else jacobian,
    )
    assert fit.jacobian == jacobian
    a, b = fit.values["height"], fit.values["time"]
    j = slopes([a, b])
    expected = np.sqrt(np.diag(np.linalg.inv(j.T @ j)) * (fit.residuals @ fit.residuals) / 39)
    found = [p.standard_error for p in fit.parameters.values()]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert a == pytest.approx(3, abs=4 * expected[0])
    assert fit.degrees_of_freedom == 39


def test_a_combination_that_data_cannot_split_is_named_and_the_rest_is_reported():
    x = np.linspace(0, 1, 30)
    y = 2.0 + 5.0 * x
    names = [unknown(n) for n in ("a", "b", "c", "idle")]
    fit = fit_parameters(lambda p: p[0] + p[1] + p[2] * x - y, names, unit="V")
    assert set(fit.unidentifiable) == {"a", "b", "idle"}
    assert "combination of it and b" in fit.unidentifiable["a"]
    assert "do not depend" in fit.unidentifiable["idle"]
    assert fit.values == {"c": pytest.approx(5.0, rel=1e-9)}
    assert fit.covariance.shape == (1, 1)
    told = list(floats(json.loads(fit.model_dump_json())))
    assert 5.0 in [pytest.approx(number, rel=1e-9) for number in told]
    assert 2.0 not in [pytest.approx(number, rel=1e-6) for number in told], "what a and b are together is not told"
    assert fit.degrees_of_freedom == 28


def test_an_estimate_less_certain_than_its_size_is_not_reported():
    x = np.linspace(0, 1, 30)
    y = x + np.random.default_rng(0).normal(0, 1e-2, 30)
    names = [unknown("slope"), unknown("faint", start=0.0, scale=1e-5)]
    fit = fit_parameters(lambda p: p[0] * x + 1e-3 * p[1] - y, names, unit="V")
    assert list(fit.parameters) == ["slope"]
    assert "standard error" in fit.unidentifiable["faint"]


def test_strong_correlation_is_a_warning():
    x = np.linspace(100, 101, 50)
    y = 1 + 2 * x + np.random.default_rng(0).normal(0, 1e-6, 50)
    fit = fit_parameters(lambda p: p[0] + p[1] * x - y, [unknown("offset"), unknown("slope")], unit="V")
    assert any("offset and slope are correlated by -1.000" in warning for warning in fit.warnings)
    assert fit.correlation[0, 1] < -0.999


@pytest.mark.parametrize("loss", ["soft_l1", "huber"])
def test_robust_losses_resist_outliers(loss):
    rng = np.random.default_rng(3)
    x = np.linspace(0, 1, 200)
    y = 1 + 2 * x + rng.normal(0, 1e-3, 200)
    y[rng.choice(200, 20, replace=False)] += 0.5

    def fit(kind):
        names = [unknown("offset"), unknown("slope")]
        return fit_parameters(lambda p: p[0] + p[1] * x - y, names, unit="V", loss=kind)

    plain, robust = fit("linear").parameters["offset"], fit(loss).parameters["offset"]
    assert abs(plain.value - 1) > 0.02
    assert abs(robust.value - 1) < 1e-3
    assert 5 * robust.standard_error < plain.standard_error
    assert robust.interval[0] < 1 < robust.interval[1]


def test_systematic_misfit_widens_the_intervals_of_a_sweep():
    x = np.linspace(-1, 1, 400)
    y = x + 0.1 * x**2
    names = [unknown("offset"), unknown("slope")]
    narrow, wide = (
        fit_parameters(lambda p: p[0] + p[1] * x - y, names, unit="V", ordered=ordered) for ordered in (False, True)
    )
    assert narrow.serial_correlation == 0
    assert wide.serial_correlation > 0.9
    assert wide.parameters["offset"].standard_error > 5 * narrow.parameters["offset"].standard_error
    assert any("misfit" in warning for warning in wide.warnings)


def test_bounds_hold_and_are_told():
    y = np.array([-1.0, -1.1, -0.9])
    fit = fit_parameters(lambda p: p[0] - y, [unknown("r", low=0.0, scale=10.0)], unit="V")
    assert fit.parameters["r"].interval[0] == 0.0
    assert any("bound" in warning for warning in fit.warnings)


@pytest.mark.parametrize(
    ("values", "said"), [([1.0], "1 data for 1 unknowns"), ([1.0, np.nan], "not finite")], ids=["few", "nan"]
)
def test_data_that_make_no_fit_are_refused(values, said):
    with pytest.raises(CalibrationError, match=said):
        fit_parameters(lambda p: p[0] - np.array(values), [unknown("a")], unit="V")
    with pytest.raises(SpecError, match="low <= start"):
        unknown("a", low=2.0)


def test_the_simpler_form_wins_where_it_suffices():
    x = np.linspace(0, 1, 60)
    noise = np.random.default_rng(1).normal(0, 1e-3, 60)

    def forms(y):
        line = fit_parameters(lambda p: p[0] + p[1] * x - y, [unknown("a"), unknown("b")], unit="V")
        names = [unknown("a"), unknown("b"), unknown("c")]
        bent = fit_parameters(lambda p: p[0] + p[1] * x + p[2] * x**2 - y, names, unit="V")
        return {"line": line, "parabola": bent}

    assert simplest(forms(1 + x + noise)).form == "line"
    assert simplest(forms(1 + x + 0.1 * x**2 + noise)).form == "parabola"
    assert simplest(forms(1 + x + 0.1 * x**2 + noise), tolerance=0.1).form == "line"
    chosen = simplest(forms(1 + x + 0.1 * x**2 + noise))
    assert list(chosen.forms) == ["line", "parabola"]
    assert chosen.forms["parabola"].bic < chosen.forms["line"].bic


def test_a_fit_survives_its_file():
    fit = simplest({"only": fit_parameters(lambda p: p[0] - np.arange(5.0), [unknown("a")], unit="V")})
    again = Fit.model_validate_json(fit.model_dump_json())
    assert again.model_dump_json() == fit.model_dump_json()


# blocks with planted truth: each returns (truth, fit) of one seed


def amplifier(rng, noise=1e-4, input_measured=True):
    r, r_in, offset = 2e4 * rng.uniform(0.9, 1.1), rng.uniform(5, 20), rng.normal(0, 2e-3)
    i = np.linspace(-7e-5, 7e-5, 120)
    x = offset + r_in * i
    out, seen = r * i - x + rng.normal(0, noise, 120), x + rng.normal(0, noise, 120)
    fit = fit_amplifier(i, out, seen if input_measured else None, r_feedback=2e4)
    return {"r_feedback": r, "r_in": r_in, "offset": offset, "transimpedance": r - r_in}, fit


def driver(rng, noise=1e-4):
    weights = 0.2 / 2 ** np.arange(6, 0, -1) * rng.normal(1, 0.01, 6)
    truth = {f"weight_{k}": w for k, w in enumerate(weights)} | {"offset": rng.normal(0, 1e-3), "r_out": 2.0}
    codes, load = rng.integers(0, 64, 200).astype(float), rng.uniform(-1e-3, 1e-3, 200)
    on = (codes.astype(int)[:, None] >> np.arange(6)) & 1
    volts = on @ weights + truth["offset"] - 2.0 * load + rng.normal(0, noise, 200)
    return truth, fit_driver(codes, load, volts, bits=6, v_span=0.2)


def access_cell(rng, noise=2e-9):
    truth = {"r_access": rng.uniform(1e3, 3e3), "body": rng.uniform(0.8, 1.8), "kappa": rng.uniform(0.8, 2)}
    g, v, u = rng.uniform(1e-6, 5e-5, 200), rng.uniform(-0.4, 0.4, 200), rng.uniform(-0.2, 0.2, 200)
    low, high = -np.ones(200), np.ones(200)
    for _ in range(60):  # bisection, no Newton
        x = (low + high) / 2
        channel = ((1 - truth["body"] * u) * x - truth["body"] * x**2 / 2) / truth["r_access"]
        more = channel < g * np.sinh(truth["kappa"] * (v - x)) / truth["kappa"]
        low, high = np.where(more, x, low), np.where(more, high, x)
    return truth, fit_access_cell(g, v, u, channel + rng.normal(0, noise, 200))


def bare_cell(rng, noise=2e-9):
    truth = {"g_scale": rng.normal(1, 0.02), "kappa": rng.uniform(0.8, 2)}
    g, v = rng.uniform(1e-6, 5e-5, 100), rng.uniform(-0.4, 0.4, 100)
    current = truth["g_scale"] * g * np.sinh(truth["kappa"] * v) / truth["kappa"]
    return truth, fit_bare_cell(g, v, current + rng.normal(0, noise, 100))


def wires(rng, noise=1e-3, wanted=("r_word_line", "r_bit_line")):
    truth = {"r_word_line": rng.uniform(4, 8), "r_bit_line": rng.uniform(4, 8), "r_driver": 50.0, "r_sense": 30.0}
    g, v = rng.uniform(1e-5, 1e-4, (8, 8)), rng.uniform(0, 0.2, (6, 8))
    i = Crossbar(g, *truth.values()).currents(v)
    i = i + noise * np.abs(i).max() * rng.standard_normal(i.shape)
    return truth, fit_wires(g, v, i, wanted=wanted, known={n: r for n, r in truth.items() if n not in wanted})


@pytest.mark.parametrize("block", [
    amplifier, driver, bare_cell, *(pytest.param(block, marks=pytest.mark.long) for block in (access_cell, wires))
])  # fmt: skip
def test_intervals_cover_the_truth_in_90_to_99_of_100_seeds(block):
    covered = []
    for seed in range(100):
        truth, fit = block(np.random.default_rng(seed))
        covered += [p.interval[0] <= truth[name] <= p.interval[1] for name, p in fit.parameters.items()]
        assert fit.parameters
    assert len(covered) >= 195
    assert 0.90 <= np.mean(covered) <= 0.99


def test_without_inputs_only_the_transimpedance_is_told():
    truth, fit = amplifier(np.random.default_rng(0), input_measured=False)
    assert set(fit.unidentifiable) == {"r_feedback", "r_in"}
    assert set(fit.parameters) == {"transimpedance", "offset"}
    assert fit.values["transimpedance"] == pytest.approx(truth["transimpedance"], rel=1e-3)


def test_one_feedback_resistor_cannot_tell_gain_from_output_resistance_and_two_can():
    i = np.linspace(-5e-6, 5e-6, 40)
    sweeps = {r: (i, 1e-3 + (r + 1e5) * i / 20001) for r in (5e3, 8e4)}
    assert set(fit_core({8e4: sweeps[8e4]}).unidentifiable) == {"gain", "r_out"}
    both = fit_core(sweeps)
    assert both.values["gain"] == pytest.approx(2e4, rel=1e-6)
    assert both.values["r_out"] == pytest.approx(1e5, rel=1e-6)


def test_a_rail_out_of_reach_is_named():
    i = np.linspace(-2e-4, 2e-4, 401)
    rails = fit_rails(i, np.clip(2e4 * i, -1.6, 1.7), r_feedback=2e4)
    assert rails.values == {"rail_low": pytest.approx(1.7), "rail_high": pytest.approx(-1.6)}
    i = np.linspace(-8e-5, 2e-4, 281)
    assert set(fit_rails(i, np.minimum(2e4 * i, 1.7), r_feedback=2e4).unidentifiable) == {"rail_high"}
    with pytest.raises(CalibrationError, match="reaches no rail"):
        fit_rails(i, 1e3 * i, r_feedback=1e3)


def test_bits_that_never_change_are_named():
    codes = np.arange(32.0)
    fit = fit_driver(codes, np.zeros(32), 1e-3 * codes, bits=6, v_span=0.064)
    assert set(fit.unidentifiable) == {"weight_5", "r_out"}
    assert fit.values["weight_4"] == pytest.approx(16e-3, rel=1e-9)


def test_a_linear_device_needs_no_kappa():
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 5e-5, 50), rng.uniform(-0.4, 0.4, 50)
    assert fit_bare_cell(g, v, g * v * 1.01).values == {"g_scale": pytest.approx(1.01)}


def test_all_five_resistances_come_back_from_exact_currents():
    truth = {"r_word_line": 2.7, "r_bit_line": 0.9, "r_driver": 20.0, "r_sense": 12.0, "r_contact": 150.0}
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 5e-5, (8, 8)), rng.uniform(0, 0.2, (6, 8))
    i = Crossbar(g / (1 + 150.0 * g), *list(truth.values())[:4]).currents(v)
    assert fit_wires(g, v, i, wanted=ARRAY).values == pytest.approx(truth, rel=1e-6)


def test_contacts_of_equal_cells_whose_conductance_is_not_known_are_named():
    v = np.random.default_rng(0).uniform(0, 0.2, (6, 8))
    g = np.full((8, 8), 2e-5)
    fit = fit_wires(g, v, Crossbar(g, 2.0, 1.0).currents(v), wanted=("r_contact", "g_scale"))
    assert set(fit.unidentifiable) == {"r_contact", "g_scale"}
    assert fit.parameters == {}


def test_what_noise_hides_is_named():
    wanted = ("r_word_line", "r_bit_line", "r_driver", "r_sense")
    _, clear = wires(np.random.default_rng(0), noise=1e-5, wanted=wanted)
    assert clear.unidentifiable == {}
    _, hidden = wires(np.random.default_rng(0), noise=1e-2, wanted=wanted)
    assert set(hidden.unidentifiable) >= {"r_word_line", "r_driver"}
    assert all("standard error" in reason for reason in hidden.unidentifiable.values())


def test_currents_that_were_not_measured_are_left_out():
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-5, 1e-4, (6, 5)), rng.uniform(0, 0.2, (4, 6))
    i = Crossbar(g, 3.0, 2.0).currents(v)
    i[:, 2] = np.nan
    fit = fit_wires(g, v, i)
    assert len(fit.residuals) == 16
    assert fit.values == pytest.approx({"r_word_line": 3.0, "r_bit_line": 2.0}, rel=1e-8)
    with pytest.raises(CalibrationError, match="no current"):
        fit_wires(g, v, np.full_like(i, np.nan))


@pytest.mark.parametrize("bare", [Linear(), Sinh(2.0)])
def test_a_contacted_cell_obeys_ohm_and_its_own_law(bare):
    g, v = np.array([1e-6, 5e-5, 1e-3]), np.array([0.3, -0.2, 0.1])
    cell = ContactedCell(bare, 500.0)
    current = cell.current(g, v)
    np.testing.assert_allclose(bare.current(g, v - 500.0 * current), current, rtol=1e-12)
    rise = (cell.current(g, v + 1e-6) - cell.current(g, v - 1e-6)) / 2e-6
    np.testing.assert_allclose(cell.slope(g, v), rise, rtol=1e-7)


def test_shapes_and_names_that_do_not_fit_are_refused():
    g, v, i = np.full((3, 2), 1e-5), np.ones((4, 3)), np.ones((4, 2))
    with pytest.raises(SpecError, match="do not fit"):
        fit_wires(g, v[:, :2], i)
    with pytest.raises(SpecError, match="currents must have shape"):
        fit_wires(g, v, i[:3])
    with pytest.raises(SpecError, match="no parameter 'r_wire'"):
        fit_wires(g, v, i, wanted=("r_wire",))
