"""The package carries all that it needs at run time, and nothing else; by an editable install or a wheel alike."""

from importlib.metadata import distribution
from importlib.resources import files

import pytest


@pytest.mark.parametrize(
    "path",
    [
        "py.typed",
        "_cext/array_solver.pyi",
        "_cext/transfer_matrix.pyi",
        "network/data/digits.npz",
        "network/data/digits_cnn.onnx",
        "network/data/digits_mlp.onnx",
        "netlists/library/cell_1t1r.cir",
        "netlists/library/generic_models.cir",
        "netlists/library/opamp.cir",
        "report/page.css",
        "published/data/macros.toml",
        "report/page.html.jinja",
    ],
)
def test_is_shipped(path):
    assert files("spicesim").joinpath(*path.split("/")).is_file()


def test_a_wheel_holds_no_tests_golden_files_or_sources_of_kernels():
    installed = [str(path) for path in distribution("spicesim").files or ()]
    assert any("_cext/array_solver" in path for path in installed)
    assert [path for path in installed if path.startswith(("tests", "netlists", "cext", "scripts"))] == []
    assert [path for path in installed if "golden" in path or path.endswith((".pyx", ".pxd", ".h", ".c"))] == []


def test_the_licence_and_the_command_are_declared():
    found = distribution("spicesim")
    assert found.metadata["License-Expression"] == "GPL-3.0-or-later"
    assert [str(path) for path in found.files or () if path.name == "LICENSE"]
    assert [entry.value for entry in found.entry_points if entry.name == "spicesim"] == ["spicesim.cli:main"]
