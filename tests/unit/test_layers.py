"""Packages import each other in one order, so that each can be read, tested and replaced by itself."""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import spicesim

PACKAGE = Path(spicesim.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# A package stands for all its modules.
TABLE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Layers\n")[1]
ORDER = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| \d+ \|(.*?)\|", TABLE, re.MULTILINE)))
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


def test_every_module_has_one_place_in_the_order():
    assert {"chip", "crossbar", "ngspice.batch"} <= set(MODULES)
    assert sorted(ORDER) == sorted({module.split(".")[0] for module in MODULES} - FACE)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in FACE])
def test_imports_only_what_stands_before_it(module):
    """A circle of packages has an import against any order; also one inside a layer, also one inside a function."""
    own = module.split(".")[0]
    for line, name in imports(module):
        first, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if first != "spicesim" or other == own:
            continue
        assert other in ORDER, f"spicesim.{module}:{line} imports {name}, not a module of a layer"
        before = ORDER.index(other) < ORDER.index(own)
        assert before, f"spicesim.{module}:{line} imports {name}, which stands after {own} in CONTRIBUTING's list"


def test_no_modules_import_each_other_in_a_circle():
    whole = {f"spicesim.{name}": name for name in MODULES}
    arrows = {
        module: {whole.get(name) or whole.get(name.rpartition(".")[0]) for _, name in imports(module)} - {None, module}
        for module in MODULES
        if module not in FACE
    }
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"circle: {' <- '.join(error.args[1])}")


def test_only_the_array_and_the_behavioural_models_import_kernels():
    kernels = [f"spicesim._cext.{path.stem}" for path in (PACKAGE / "_cext").glob("*.pyi")]
    assert importers(*kernels) == {"behavioural", "crossbar", "fast"}
    # the package of the kernels, which says what to do where they are not built, so at the first import of all
    assert importers("spicesim._cext") - {"__init__"} == {"behavioural", "crossbar", "fast"}


def test_only_the_simulator_layer_starts_programs():
    assert importers("subprocess", "os.system", "os.popen", "multiprocessing") == {"ngspice", "bench"}
    assert importers("PySpice.Spice.NgSpice") == {"ngspice"}


@pytest.mark.parametrize("module", MODULES)
def test_no_star_imports(module):
    assert [line for line, name in imports(module) if name.endswith(".*")] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_500_lines(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] != "cli"])
def test_no_function_outside_commands_has_more_than_8_parameters(module):
    """What belongs together is a value with a name; kernels, stubs of compiled code, have no modules here."""
    crowded = {}
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument.arg for argument in listed if argument.arg not in ("self", "cls")]
            if len(names) > 8:
                crowded[f"{getattr(node, 'name', 'lambda')}, line {node.lineno}"] = names
    assert crowded == {}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "arrays"])
def test_types_of_arrays_stand_once(module):
    """A module imports `Floats` and its like from :mod:`spicesim.arrays`, and names no such type of its own."""
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            assert "NDArray" not in ast.unparse(node.value), f"spicesim.{module}:{node.lineno}"
