"""Hold switches that differ: what a drawn one adds to its line, and its numbers in model and netlist."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from spicesim.behavioural.hold_mismatch import HOLD, DrawnHolds, HoldMismatch
from spicesim.behavioural.response import Response
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.errors import SpecError
from spicesim.netlist import build_tile
from spicesim.netlist.mismatch import drawn_devices, with_mismatch
from spicesim.netlist.plane_adder import PlaneSteps

CHIP = preset("gf180-voltage").changed(array={"rows": 3, "columns": 5}, hold={"planes": "digital"})
COMPONENTS = np.zeros((2, 2, 3, 2))
COMPONENTS[0, :, 0, 0] = 1e-4, 2e-4
COMPONENTS[1, :, 2, 1] = 4e-5


def response(components=2):
    slopes = np.eye(components, 4)
    return Response(
        block=HOLD, devices=("m3", "m4"), names=tuple(f"component {k + 1}" for k in range(components)),
        rest=np.zeros(components), slopes=slopes, directions=slopes, bends=np.zeros((components,) * 3), simulated=8,
    )  # fmt: skip


SWITCHES = HoldMismatch(
    v_limit=0.2, rows=(1, 16), g_cell=1e-5, components=COMPONENTS, response=response(), residual=0.0
)


def test_a_drawn_switch_adds_its_own_components():
    """The first is the same at any voltage and larger on longer lines; the second grows with v^2 and conductance."""
    sizes, volts = np.array([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.5]]), np.array([[0.0, 0.1, 0.2], [0.2, 0.2, -0.2]])
    total = np.array([1e-5, 8e-6, 4e-6])
    own = np.array([[1e-4, 4e-5 * 0.8 * 0.25, -2e-4 + 2e-5 * 0.4], [1e-4, 4e-5 * 0.8, -2e-4 + 2e-5 * 0.4]])
    np.testing.assert_allclose(SWITCHES.added(sizes, volts, total, 1), own, rtol=1e-12)
    between = SWITCHES.added(np.array([[1.0, 0.0]]), np.zeros(1), 4e-5, 4)
    assert between[0] == pytest.approx(1.5e-4, rel=1e-12)  # in the logarithm of the cells
    assert SWITCHES.sigma(16) == pytest.approx(2e-4, rel=1e-12)


def test_the_switches_of_a_tile_are_those_of_its_netlist():
    """The model draws by block and index, the netlist by path."""
    draw = ChipDraw(3, "layer:0")
    sizes = SWITCHES.response.draw(draw, 4)
    numbers = [[*draw("xhold_2.m3"), *draw("xhold_2.m4")]]
    np.testing.assert_array_equal(SWITCHES.response.parameters(np.array(numbers))[0], sizes[2])
    drawn = DrawnHolds(kind=SWITCHES, sizes=sizes)
    volts, total = np.full((2, 4), 0.1), np.full(4, 2e-5)
    np.testing.assert_array_equal(drawn.added(volts, total, 16), SWITCHES.added(sizes, volts, total, 16))


def test_drawn_adders_add_to_the_sums_of_both_voltages():
    joins = np.zeros((2, 3, 3))
    joins[0, 1, 0], joins[0, 0, 1], joins[1, 0, 0], joins[1, 1, 2] = 3e-5, -3e-5, 1e-6, 2e-6
    adders = SWITCHES.model_copy(update={"joins": joins})
    sizes, held, stored = np.array([[2.0, 1.0], [0.0, -1.0]]), np.array([[0.1, 0.2]]), np.array([[-0.1, 0.1]])
    own = [[2 * 3e-5 * (0.5 + 0.5) + 1e-6 + 2e-6 * 0.5 * 0.25, -1e-6 - 2e-6 * 1.0 * 0.25]]
    np.testing.assert_allclose(adders.joined(sizes, held, stored), own, rtol=1e-12)
    v_limit, powers = 0.3, np.arange(3)  # another unit of voltage
    of = DrawnHolds(kind=adders, sizes=sizes).joins(v_limit)
    found = np.einsum("abj,ja,jb->j", of, *((v[0][:, None] / v_limit) ** powers for v in (held, stored)))
    np.testing.assert_allclose(found, own[0], rtol=1e-12)


def test_a_drawn_adder_is_in_the_netlist_with_all_its_devices():
    """Both switches, both capacitors, and the pair that is always off."""
    chip = CHIP.changed(hold={"planes": "charge"}, dac={"bits": 3})
    steps = PlaneSteps.of(chip, [1, 0, 7], 0)
    netlist = build_tile(chip, np.full((3, 2), 1e-5), steps, polarity="bipolar", r_feedback=1.0)
    switch = ("m1", "m2", "m3", "m4", "ch")
    wanted = {f"xhold_1.{part}.{device}" for part in ("xsample", "xshare") for device in switch}
    paths = drawn_devices(netlist, chip.process, capacitors={"xhold": 0.01})
    assert {path for path in paths if path.startswith("xhold_1.")} == wanted | {"xhold_1.m1", "xhold_1.m2"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": (0, 16)},
        {"rows": (16, 1)},
        {"components": COMPONENTS[:, :1]},
        {"g_cell": 0.0},
        {"joins": np.zeros((1, 2, 2))},
    ],
)
def test_what_is_no_switch_is_refused(wrong):
    with pytest.raises(ValidationError):
        HoldMismatch.model_validate(SWITCHES.model_dump() | wrong)


def test_hold_capacitors_are_drawn_and_other_capacitors_are_not():
    netlist = build_tile(CHIP, np.full((3, 2), 1e-5), [1, 0, 1], polarity="bipolar", r_feedback=1.0)
    paths = drawn_devices(netlist, CHIP.process, capacitors={"xhold": 0.01})
    assert {path for path in paths if path.startswith("xhold_1.")} == {
        f"xhold_1.{name}" for name in ("m1", "m2", "m3", "m4", "ch")
    }
    assert not any(path.rpartition(".")[2].startswith("c") for path in drawn_devices(netlist, CHIP.process))

    def first(path):
        return (2.0, 0.0) if path == "xhold_1.ch" else (0.0, 0.0)

    text = with_mismatch(netlist, CHIP.process, first, capacitors={"xhold": 0.01}).format()
    assert text.count("{(c)*(1+ch_value*0.01)}") == 1  # shared by both
    assert re.findall(r"\bch_value=(\d\S*)", text.partition(".ends hold_drawn")[2]) == ["0.0", "2.0"]
    with pytest.raises(SpecError, match="can become negative"):
        with_mismatch(netlist, CHIP.process, first, capacitors={"xhold": -0.5})


def test_chips_keep_their_hash_unless_their_capacitors_match_otherwise():
    assert "mismatch" not in CHIP.model_dump()["hold"]
    assert CHIP.changed(hold={"mismatch": 6e-4}).hash == CHIP.hash
    assert CHIP.changed(hold={"mismatch": 1e-3}).hash != CHIP.hash
