"""Modules import only from layers above their own, so that each can be read, tested and replaced by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spicesim

PACKAGE = Path(spicesim.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# A package stands for all its modules; within one layer modules may import each other.
LAYERS = [
    ["errors"],
    ["trust", "gate"],
    ["units", "draws", "documents", "array_files", "files", "library", "provenance", "geometry", "metrics", "bound"],
    ["section", "process", "blocks", "chip"],
    ["cells", "ports", "crossbar", "fast", "mapping", "devices", "device_presets", "netlist", "behavioural", "_cext"],
    ["ngspice"],
    ["cache", "sampling"],
    ["calibration"],
    ["engine", "ablation"],
    ["bench", "network", "audit", "plots", "characterise"],
    ["experiment", "study", "budget", "footprint", "findings", "report", "torch"],
    ["demo", "cli"],
]  # fmt: skip
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FACE = {"__init__", "__main__"}  # the public names and the start of the command line see everything


def imports(module: str) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of everything a module imports, also inside functions."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"spicesim.{module}:{node.lineno}: import by the full name, not relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def importers(*names: str) -> set[str]:
    """Find the packages, or modules beside them, that import any of the names or something below it."""
    return {
        module.split(".")[0]
        for module in MODULES
        for _, name in imports(module)
        if any(f"{name}.".startswith(f"{wanted}.") for wanted in names)
    }


def test_there_are_modules_and_each_has_a_layer():
    assert {"chip", "crossbar", "ngspice.batch"} <= set(MODULES)
    assert {module.split(".")[0] for module in MODULES} - FACE <= set(LAYER)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in FACE])
def test_imports_only_from_layers_above(module):
    own = LAYER[module.split(".")[0]]
    for line, name in imports(module):
        first, _, rest = name.partition(".")
        if first != "spicesim":
            continue
        other = rest.split(".")[0]
        assert other in LAYER, f"spicesim.{module}:{line} imports {name}, not a module of a layer"
        assert LAYER[other] <= own, f"spicesim.{module}:{line} (layer {own}) imports {name} (layer {LAYER[other]})"


def test_only_the_array_and_the_behavioural_models_import_kernels():
    kernels = [f"spicesim._cext.{path.stem}" for path in (PACKAGE / "_cext").glob("*.pyi")]
    assert importers(*kernels) == {"crossbar", "fast"}
    # the package of the kernels, which says what to do where they are not built, so at the first import of all
    assert importers("spicesim._cext") - {"__init__"} == {"crossbar", "fast"}


def test_only_the_simulator_layer_starts_programs():
    assert importers("subprocess", "os.system", "os.popen", "multiprocessing") == {"ngspice", "bench"}
    assert importers("PySpice.Spice.NgSpice") == {"ngspice"}


@pytest.mark.parametrize("module", MODULES)
def test_no_star_imports(module):
    assert [line for line, name in imports(module) if name.endswith(".*")] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_500_lines(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 500
