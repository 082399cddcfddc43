"""Integrators that differ: what a drawn one adds to its input and its output, and its numbers in model and netlist."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from spicesim.behavioural.integrator_mismatch import INTEGRATOR, IntegratorMismatch, line_basis
from spicesim.behavioural.parameter import Parameter
from spicesim.behavioural.response import Response
from spicesim.behavioural.sense_amplifier import SenseAmplifierModel
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.netlist import build_tile
from spicesim.netlist.mismatch import drawn_devices, with_mismatch

CHIP = preset("gf180-pulse").changed(array={"rows": 3, "columns": 5})
CURRENTS = np.array([-1e-5, 0.0, 1e-5])
SLOPES = np.eye(3, 6)


def response(parameters=3):
    slopes = SLOPES[:parameters]
    return Response(
        block=INTEGRATOR, devices=("xa.m1", "xa.m2", "ci"),
        names=tuple(f"parameter {k + 1}" for k in range(parameters)), rest=np.eye(parameters)[0], slopes=slopes,
        directions=slopes, bends=np.zeros((parameters,) * 3), simulated=8,
    )  # fmt: skip


# an offset, which lies at the output, too, and a resistance
DRAWN = IntegratorMismatch(
    rows=16, g_cell=5e-6, currents=CURRENTS, inputs=np.array([[1e-3, 1e-3, 1e-3], [-1e-4, 0.0, 1e-4]]),
    pedestals=np.array([[-1e-3, -2e-5, 0.0], [0.0, 0.0, 4e-6]]), response=response(), residual=0.0,
)  # fmt: skip


def port() -> SenseAmplifierModel:
    """Return an input of 2 kohm."""
    currents = np.linspace(-1e-5, 1e-5, 21)
    rail = {name: Parameter(value=v, standard_error=0.0, unit="V") for name, v in (("rail_low", 1), ("rail_high", -1))}
    return SenseAmplifierModel(
        r_feedback=3e4, i_limit=1e-5, v_in=2e3 * currents, v_out=3e4 * currents, parameters=rail,
        linear_limits=(-0.3, 0.3),
    )  # fmt: skip


def test_a_drawn_integrator_adds_its_own_components():
    sizes = np.array([[1.0, 2.0, 0.0], [1.001, 0.0, -3.0], [1.0, 0.0, 0.0]])
    cells, total = np.array([16, 8, 4]), np.array([8e-5, 1e-5, 5e-6])
    np.testing.assert_allclose(DRAWN.added(sizes, cells, total), [-2.04e-3, -1.5e-6, 0.0], rtol=1e-12)
    np.testing.assert_allclose(DRAWN.offsets(sizes), [2e-3, 0.0, 0.0], rtol=1e-12)
    v_in, v_out = DRAWN.tables(port(), sizes)
    at = np.tile([[5e-6]], (1, 3))
    np.testing.assert_allclose(v_in.evaluate(at, np.arange(3))[0], 1e-2 + np.array([2e-3, -1.5e-4, 0.0]), rtol=1e-9)
    np.testing.assert_allclose(v_out.evaluate(at, np.arange(3))[0], 0.15, rtol=1e-9)


def test_the_spread_of_offsets_is_that_of_the_response():
    assert DRAWN.sigma == pytest.approx(1e-3, rel=1e-12)


def test_lines_are_told_by_cells_and_conductance():
    np.testing.assert_allclose(line_basis([1, 16], [5e-6, 4e-5], 16, 5e-6), [[1, 1 / 16, 1 / 16], [1, 1, 0.5]])


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0}, {"g_cell": 0.0}, {"currents": CURRENTS[::-1]}, {"inputs": DRAWN.inputs[:1]},
        {"pedestals": DRAWN.pedestals[:, :2]},
    ],
)  # fmt: skip
def test_what_is_no_integrator_is_refused(wrong):
    with pytest.raises(ValidationError):
        IntegratorMismatch.model_validate(DRAWN.model_dump() | wrong)


def test_the_integrators_of_a_tile_are_those_of_its_netlist():
    """The model draws by block and index, the netlist by path."""
    draw = ChipDraw(3, "layer:0")
    numbers = [[*draw("xintegrator_2.xa.m1"), *draw("xintegrator_2.xa.m2"), *draw("xintegrator_2.ci")]]
    drawn = DRAWN.response.draw(draw, 4)
    np.testing.assert_array_equal(DRAWN.response.parameters(np.array(numbers))[0], drawn[2])


def test_integrating_capacitors_are_drawn_and_other_capacitors_are_not():
    netlist = build_tile(CHIP, np.full((3, 2), 2e-6), [1, 0, 9], polarity="bipolar", r_feedback=1.0)
    capacitors = {INTEGRATOR: CHIP.integrator.mismatch}
    drawn = [path for path in drawn_devices(netlist, CHIP.process, capacitors=capacitors) if path.endswith(".ci")]
    assert drawn == ["xintegrator_0.ci", "xintegrator_1.ci"]
    assert not any(path.endswith(".ci") for path in drawn_devices(netlist, CHIP.process))

    def first(path):
        return (5.0, 0.0) if path == "xintegrator_1.ci" else (0.0, 0.0)

    body = with_mismatch(netlist, CHIP.process, first, capacitors=capacitors).body
    numbers = re.findall(r"^xintegrator_\d .*\bci_value=(\S+)", body, re.MULTILINE)
    assert numbers == ["0.0", "5.0"]
    assert len(re.findall(r"\{\(c\)\*\(1\+ci_value\*0.0002\)\}", body)) == 1  # all else is the same in both


def test_the_spread_of_capacitors_is_no_part_of_old_descriptions():
    assert "mismatch" not in CHIP.model_dump()["integrator"]
    assert CHIP.changed(integrator={"mismatch": 1e-3}).hash != CHIP.hash
