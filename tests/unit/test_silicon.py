"""Tables of measurements: read as documented, refused by line, fitted by the same laws as simulations."""

import numpy as np
import pytest
from click.testing import CliRunner

from spicesim.calibration.silicon import SiliconFit, fit_measurements, read_measurements
from spicesim.calibration.wires import fit_wires
from spicesim.cells import Sinh
from spicesim.cli.fit import fit as fit_command
from spicesim.crossbar import Crossbar
from spicesim.errors import CalibrationError, SpecError


def table(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def write_columns(path, columns):
    np.savetxt(path, np.column_stack(list(columns.values())), header=",".join(columns), delimiter=",", comments="")
    return path


def array_table(path, v, i):
    columns = {f"v_{k}_V": line for k, line in enumerate(v.T)} | {f"i_{k}_uA": 1e6 * line for k, line in enumerate(i.T)}
    return write_columns(path, columns)


def array(seed=0, cell=None):
    rng = np.random.default_rng(seed)
    g, v = rng.uniform(1e-5, 1e-4, (8, 6)), rng.uniform(0, 0.2, (8, 8))
    return g, v, Crossbar(g, 3.0, 2.0, cell=cell).currents(v)


def test_units_prefixes_comments_and_gaps(tmp_path):
    text = "# probe card 3\ni_0_uA, i_1_nA, v_0_mV\n\n1.5,250,100\n# repeated\n2.5,,200\n"
    found = read_measurements(table(tmp_path, text))
    assert found.kind == "array"
    np.testing.assert_allclose(found.lines("v"), [[0.1], [0.2]])
    np.testing.assert_allclose(found.lines("i"), [[1.5e-6, 0.25e-6], [2.5e-6, np.nan]])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("current_uA,v_out_V,v_reference_V", "senseamp"),
        ("v_in_V,current_A,v_out_mV,v_reference_V", "senseamp"),
        ("code,v_out_V,v_reference_V,load_mA", "dac"),
        ("g_uS,v_V,current_A", "cell"),
        ("g_S,v_V,u_mV,current_uA", "cell"),
    ],
)
def test_columns_tell_what_was_measured(tmp_path, head, kind):
    row = ",".join("1" for _ in head.split(","))
    assert read_measurements(table(tmp_path, f"{head}\n{row}\n")).kind == kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,v_out_V,v_reference_V\n0,0.1,1\n1,0.2\n", "line 3: 2 fields, wanted 3"),
        ("code,v_out_V,v_reference_V\n\n0,bad,1\n", "line 3: v_out is no number but 'bad'"),
        ("code,v_out_V,v_reference_V\n0,,1\n", "line 2: v_out is no number but ''"),
        ("code,v_out_V,v_reference_V\n0,nan,1\n", "line 2: v_out is not finite"),
        ("code,v_out_V,v_reference_V\n1.5,0.1,1\n", "line 2: a code is a whole number"),
        ("code,v_out_V,v_reference_V\n-1,0.1,1\n", "line 2: a code is a whole number"),
        ("g_S,v_V,current_A\n0,0.1,1\n", "line 2: a conductance must be > 0"),
        ("v_0_V,i_0_A\n,1\n", "line 2: v_0 is no number"),
        ("code,v_out,v_reference_V\n0,0.1,1\n", "line 1: column 'v_out' has no unit"),
        ("code,v_out_A,v_reference_V\n0,0.1,1\n", "line 1: column 'v_out_A' has the wrong unit"),
        ("code,w_out_V,v_reference_V\n0,0.1,1\n", "line 1: unknown column 'w_out_V'"),
        ("code,code,v_out_V\n0,0,1\n", "line 1: column 'code' stands there twice"),
        ("# who\ncode,v_out_V\n0,0.1\n", "line 2: columns code, v_out are those of no table"),
        ("v_0_V,v_2_V,i_0_A\n1,1,1\n", "without a gap"),
        ("v_0_V,v_1_V\n1,1\n", "without a gap"),
        ("code,v_out_V,v_reference_V\n", "holds no measurement"),
        ("", "holds no measurement"),
    ],
)
def test_bad_tables_are_refused_with_file_line_and_reason(tmp_path, text, said):
    with pytest.raises(SpecError) as caught:
        read_measurements(table(tmp_path, text))
    assert said in str(caught.value)
    assert "table.csv" in str(caught.value)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no table of measurements"):
        read_measurements(tmp_path / "none.csv")


def test_amplifiers_are_fitted_whatever_the_order_of_their_points(tmp_path):
    rng = np.random.default_rng(0)
    i = rng.permutation(np.linspace(-2e-4, 2e-4, 301))
    x = 1e-3 + 8.0 * i
    y = np.clip(2.1e4 * i - x, -1.6, 1.5)
    columns = {"current_A": i, "v_out_V": 1.65 - y, "v_reference_V": np.full(301, 1.65), "v_in_V": 1.65 + x}
    fits = fit_measurements(read_measurements(write_columns(tmp_path / "t.csv", columns)))
    assert fits["TIA"].values == pytest.approx({"r_feedback": 2.1e4, "r_in": 8.0, "offset": 1e-3}, rel=1e-6)
    assert fits["TIA rails"].values == pytest.approx({"rail_low": 1.5, "rail_high": -1.6}, rel=1e-6)
    del columns["v_in_V"]
    blind = fit_measurements(read_measurements(write_columns(tmp_path / "t.csv", columns)))["TIA"]
    assert set(blind.unidentifiable) == {"r_feedback", "r_in"}


def test_cells_and_converters_are_fitted(tmp_path):
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 5e-5, 60), rng.uniform(-0.4, 0.4, 60)
    columns = {"g_S": g, "v_V": v, "current_A": Sinh(2.5).current(g, v)}
    cell = fit_measurements(read_measurements(write_columns(tmp_path / "c.csv", columns)))["cell"]
    assert cell.values == pytest.approx({"g_scale": 1.0, "kappa": 2.5}, rel=1e-6)
    codes, load = np.arange(16.0), rng.uniform(-1e-3, 1e-3, 16)
    columns = {"code": codes, "v_out_V": 1.6 + 0.01 * codes - 3.0 * load, "v_reference_V": 0 * codes + 1.6}
    columns["load_A"] = load
    dac = fit_measurements(read_measurements(write_columns(tmp_path / "d.csv", columns)))["DAC"]
    assert dac.values["weight_3"] == pytest.approx(0.08, rel=1e-9)
    assert dac.values["r_out"] == pytest.approx(3.0, rel=1e-9)


def test_measurements_that_cannot_be_fitted_name_their_table(tmp_path):
    g, v, i = array()
    measured = read_measurements(array_table(tmp_path / "a.csv", v, i))
    with pytest.raises(SpecError, match=r"a\.csv: the currents of an array need its conductances"):
        fit_measurements(measured)
    with pytest.raises(SpecError, match=r"a\.csv: .* do not fit"):
        fit_measurements(measured, conductances=g[:5])
    few = read_measurements(array_table(tmp_path / "b.csv", v[:1, :1], i[:1, :1]))
    with pytest.raises(CalibrationError, match=r"b\.csv: 1 data for 2 unknowns"):
        fit_measurements(few, conductances=[[1e-5]])


def test_the_command_fits_prints_and_writes(tmp_path, monkeypatch):
    """Contacts of equal cells cannot be told from their conductance; the wires can."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    g, v = np.full((8, 6), 1e-4), rng.uniform(0, 0.2, (8, 8))
    i = Crossbar(g, 6.0, 2.0).currents(v)
    np.save("g.npy", g)
    array_table(tmp_path / "a.csv", v, i + 1e-3 * i.max() * rng.standard_normal(i.shape))
    words = [
        "a.csv",
        "--conductance",
        "g.npy",
        "--find",
        "r_word_line,r_contact,g_scale",
        "--given",
        "r_bit_line=2",
        "--loss",
        "huber",
    ]
    result = CliRunner().invoke(fit_command, [*words, "-o", "f.json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "array: r_word_line" in result.output
    assert "48 data" in result.output
    assert "array: r_contact is not determined" in result.output
    saved = SiliconFit.model_validate_json((tmp_path / "f.json").read_text()).fits["array"]
    assert set(saved.parameters) == {"r_word_line"}
    assert set(saved.unidentifiable) == {"r_contact", "g_scale"}
    low, high = saved.parameters["r_word_line"].interval
    assert low < 6.0 < high
    assert saved.loss == "huber"


def test_a_saved_fit_says_where_it_comes_from(tmp_path):
    path = table(tmp_path, "code,v_out_V,v_reference_V\n0,1,1\n1,1.1,1\n2,1.2,1\n3,1.31,1\n5,1.5,1\n6,1.6,1\n")
    saved = SiliconFit.of(path, fit_measurements(read_measurements(path)))
    assert saved.source == str(path)
    assert len(saved.sha256) == 64
    assert {"spicesim", "numpy"} <= set(saved.versions)
    assert "ngspice" not in saved.versions


def test_the_commands_help_states_the_schema():
    text = CliRunner().invoke(fit_command, ["--help"]).output
    for column in ("v_0_V", "i_0_A", "current_A", "v_out_V", "v_reference_V", "v_in_V", "code", "load_A", "g_S", "u_V"):
        assert column in text
    assert "example: spicesim fit" in text


def noisy_array(seed=1, cell=None, g_error=0.0):
    rng = np.random.default_rng(seed)
    g, v = rng.uniform(1e-6, 1e-4, (8, 8)), rng.uniform(0, 0.2, (12, 8))
    i = Crossbar(g * (1 + g_error * rng.standard_normal(g.shape)), 3.0, 2.0, cell=cell).currents(v)
    return g, v, i + 1e-3 * i.max() * rng.standard_normal(i.shape)


SWAPPED = [0, 2, 1, 3, 4, 5, 6, 7]
MISTAKES = {
    "millivolts": (lambda g, v, i: (g, 1e3 * v, i), "voltages look like millivolts"),
    "microvolts": (lambda g, v, i: (g, 1e6 * v, i), "voltages look like microvolts"),
    "microsiemens": (lambda g, v, i: (1e6 * g, v, i), "conductances look like microsiemens"),
    "ohms": (lambda g, v, i: (1 / g, v, i), "conductances look like resistances"),
    "microamperes": (lambda g, v, i: (g, v, 1e6 * i), "currents look like microamperes"),
    "milliamperes": (lambda g, v, i: (g, v, 1e3 * i), "currents look like milliamperes"),
    "two units": (lambda g, v, i: (1e6 * g, 1e3 * v, i), "millivolts and the conductances look like microsiemens"),
    "sign": (lambda g, v, i: (g, v, -i), "currents look negative"),
    "transposed": (lambda g, v, i: (g.T, v, i), "look transposed"),
    "rows reversed": (lambda g, v, i: (g[::-1], v, i), "rows look reversed"),
    "columns reversed": (lambda g, v, i: (g[:, ::-1], v, i), "columns look reversed"),
    "two columns swapped": (lambda g, v, i: (g[:, SWAPPED], v, i), "given as 0, 2, 1, 3"),
    "two rows swapped": (lambda g, v, i: (g[SWAPPED], v, i), "rows of the conductances look permuted"),
    "vectors shifted": (lambda g, v, i: (g, np.roll(v, 1, axis=0), i), "vectors look permuted"),
    "negative conductance": (lambda g, v, i: (-g, v, i), "must be finite and >= 0"),
    "nan conductance": (lambda g, v, i: (np.where(g == g.max(), np.nan, g), v, i), "must be finite and >= 0"),
    "infinite voltage": (lambda g, v, i: (g, np.where(v == v.max(), np.inf, v), i), "voltages must be finite"),
}


@pytest.mark.parametrize("g_error", [0.0, 0.03])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistaken_units_signs_and_orders_are_refused_by_name(mistake, g_error):
    change, said = MISTAKES[mistake]
    with pytest.raises(SpecError, match=said):
        fit_wires(*change(*noisy_array(g_error=g_error)))


def test_millivolts_are_seen_with_cells_that_would_overflow():
    g, v, i = noisy_array(cell=Sinh(6.0))
    with pytest.raises(SpecError, match="voltages look like millivolts"):
        fit_wires(g, 1e3 * v, i, cell=Sinh(6.0))


def test_currents_of_another_array_are_refused():
    g, v, i = noisy_array()
    with pytest.raises(CalibrationError, match=r"of what was measured|hardly those of this array"):
        fit_wires(np.random.default_rng(5).permutation(g.ravel()).reshape(8, 8), v, i)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v_0_V,i_0_A\n150,1e-6\n", r"v_0 reaches 150 V.*name the column so, as v_0_mV"),
        ("v_0_V,i_0_A\n0.1,23.5\n", r"i_0 reaches 23.5 A.*as i_0_uA"),
        ("g_S,v_V,current_A\n50,0.1,1e-6\n", r"g reaches 50 S.*as g_uS"),
        ("code,v_out_V,v_reference_V\n1,1650,1650\n", r"v_out reaches 1650 V"),
    ],
)
def test_numbers_that_no_chip_bears_are_refused_with_the_likely_unit(tmp_path, text, said):
    with pytest.raises(SpecError, match=said):
        read_measurements(table(tmp_path, text))


@pytest.mark.parametrize(("factor", "said"), [(1e-6, "microsiemens|microvolts"), (1e3, "milliamperes")])
def test_units_of_a_cells_table_are_checked(tmp_path, factor, said):
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 5e-5, 60), rng.uniform(-0.4, 0.4, 60)
    current = factor * Sinh(2.5).current(g, v)
    path = write_columns(tmp_path / "c.csv", {"g_S": g, "v_V": v, "current_A": current})
    with pytest.raises(SpecError, match=said):
        fit_measurements(read_measurements(path))
    path = write_columns(tmp_path / "c.csv", {"g_S": g, "v_V": v, "current_A": -Sinh(2.5).current(g, v)})
    with pytest.raises(SpecError, match="current falls with the voltage"):
        fit_measurements(read_measurements(path))


def test_copied_lines_count_once_and_are_named(tmp_path):
    g, v, i = noisy_array()
    once = read_measurements(array_table(tmp_path / "a.csv", v, i))
    twice = read_measurements(array_table(tmp_path / "b.csv", np.vstack([v, v[:3]]), np.vstack([i, i[:3]])))
    assert len(twice.lines("v")) == len(once.lines("v")) == 12
    fits = fit_measurements(twice, conductances=g)
    assert any(
        "3 lines repeat another to the last digit and count once: 14, 15, 16" in w for w in fits["array"].warnings
    )


def test_errors_that_readings_share_are_named_and_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g, v, i = noisy_array(g_error=0.03)
    np.save("g.npy", g)
    array_table(tmp_path / "a.csv", v, i)
    result = CliRunner().invoke(
        fit_command, ["a.csv", "--conductance", "g.npy", "-o", "f.json"], catch_exceptions=False
    )
    assert "array: the conductances given miss by" in result.output
    assert "each cell its own; the intervals allow for it" in result.output
    saved = SiliconFit.model_validate_json((tmp_path / "f.json").read_text()).fits["array"]
    assert saved.errors["conductances"].value == pytest.approx(0.03, rel=0.4)
    told = ["a.csv", "--conductance", "g.npy", "--conductance-error", "3%"]
    assert CliRunner().invoke(fit_command, told, catch_exceptions=False).exit_code == 0
    wrong = CliRunner().invoke(fit_command, [*told[:-1], "300%"])
    assert wrong.exit_code == 2
    assert "wanted a share such as 3%" in wrong.output


def test_refused_tables_write_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g, v, i = noisy_array()
    np.save("g.npy", 1e6 * g)
    array_table(tmp_path / "a.csv", v, i)
    result = CliRunner().invoke(fit_command, ["a.csv", "--conductance", "g.npy", "-o", "f.json"])
    assert isinstance(result.exception, SpecError)
    assert not (tmp_path / "f.json").exists()
