"""Files from strangers are data: nothing of them runs, nothing outside is read or written, and one line says so.

Each case writes files into a folder, as if they were unpacked there, and gives them to a command. Beside that folder
lies another with a secret, and with room for what an attack would write.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tomlkit

from spicesim.calibration.plan import plan_calibration
from spicesim.chip import format_chip, preset
from spicesim.chip.library import library_text
from spicesim.cli.main import main

SHIPPED = preset("generic-1t1r").changed(array={"rows": 16, "columns": 16}, cell={"access_length": 0.35e-6})
CARDS = library_text("generic_models.cir")
OPAMP = library_text("opamp.cir")
SECRET = "secret_of_the_user"


class World:
    """The stranger's folder, the folder outside, and what a command did."""

    def __init__(self, folder: Path) -> None:
        self.inside, self.outside = folder / "inside", folder / "outside"
        for place in (self.inside, self.outside):
            place.mkdir()
        self.canary = self.outside / "canary"
        (self.outside / "secret.lib").write_text(f"{CARDS}\n.param {SECRET}=1\n")

    @property
    def attack(self) -> str:
        return f".control\nshell touch {self.canary}\n.endc"

    def write(self, name: str, text: str) -> str:
        path = self.inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return name

    def chip(self, change: Callable[[dict[str, Any]], object] = lambda _: None) -> list[str]:
        """Write a description, changed, and return a command that builds a netlist of it."""
        document = tomlkit.parse(format_chip(SHIPPED)).unwrap()
        change(document)
        self.write("chip.toml", tomlkit.dumps(document))
        return ["netlist", "senseamp", "--chip", "chip.toml", "-o", "out.cir"]

    def models(self, text: str, **entry: str) -> list[str]:
        self.write("models.lib", text)
        return self.chip(lambda d: d["process"].update(models=[{"path": "models.lib", **entry}]))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(world: World, command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with one line, and have done nothing."""
    outside = names(world.outside)
    with pytest.raises(SystemExit) as ended:
        main(command)
    printed = capsys.readouterr()
    assert not world.canary.exists()
    assert names(world.outside) == outside
    assert SECRET not in printed.out + printed.err
    for path in world.inside.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path
    assert ended.value.code == 2, printed.err
    assert printed.err.endswith("\n")
    line = printed.err[:-1]
    assert line.isprintable(), repr(line)
    assert not line.startswith(("internal failure", "UsageError"))
    assert ";" in line or "must" in line or "wanted" in line, f"no remedy: {line}"
    assert len(line) < 1000
    return line


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.chdir(made.inside)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPICESIM_TRUSTED", raising=False)
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))
    return made


BREAKS = {
    "line feed": "\n", "carriage return": "\r", "both": "\r\n", "vertical tab": "\x0b", "form feed": "\x0c",
    "file separator": "\x1c", "group separator": "\x1d", "record separator": "\x1e", "next line": "\x85",
    "line separator": "\u2028", "paragraph separator": "\u2029", "null": "\x00", "escape": "\x1b[2J",
    "right to left": "\u202e",
}  # fmt: skip


@pytest.mark.parametrize("character", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("key", ["name", "process.name"])
def test_a_name_is_one_line(world, capsys, key, character):
    def change(document):
        section = document["process"] if "." in key else document
        section["name"] = f"x{character}.control\nshell touch {world.canary}\n.endc\n*"

    refused(world, world.chip(change), capsys)


def process(**changes):
    return lambda world: world.chip(lambda d: d["process"].update(changes))


def model(**entry):
    return process(models=[{"path": "library:generic_models.cir", **entry}])


def init(line):
    return lambda world: world.chip(
        lambda d: d["process"].update(spiceinit=[line.replace("CANARY", str(world.canary))])
    )


def own(text, name="opamp.cir"):
    """A circuit in the description itself."""
    return lambda world: world.chip(
        lambda d: d.update(library={"path": "mine", "files": [[name, text.replace("ATTACK", world.attack)]]})
    )


def end_of_opamp(text):
    return own(OPAMP.replace(".ends", f"{text}\n.ends"))


def folder(name, text):
    """A circuit in a folder that the description names."""

    def write(world):
        world.write(f"mine/{name}", text.replace("ATTACK", world.attack))
        return world.chip(lambda d: d.update(library="mine"))

    return write


def card(text, **entry):
    """A model file."""
    return lambda world: world.models(
        f"* models\n{CARDS}\n{text.replace('ATTACK', world.attack).replace('OUTSIDE', str(world.outside))}\n", **entry
    )


def included(text, *, line='.include "part.inc"'):
    """A model file that includes another."""

    def write(world):
        world.write("part.inc", text.replace("ATTACK", world.attack))
        return world.models(f"{CARDS}\n{line}\n")

    return write


def twice(world):
    world.write("deep/part.inc", '.INCLUDE "more/part.inc"\n')
    world.write("deep/more/part.inc", world.attack.upper() + "\n")
    return world.models(f"{CARDS}\n.include 'deep/part.inc'\n")


def linked(name, target, change):
    """A link that leads outside."""

    def write(world):
        (world.inside / name).parent.mkdir(exist_ok=True)
        (world.inside / name).symlink_to(world.outside / target)
        return world.chip(change)

    return write


def linked_include(world):
    (world.inside / "part.inc").symlink_to(world.outside / "secret.lib")
    return world.models(f"{CARDS}\n.include 'part.inc'\n")


def outside(path):
    return lambda world: world.chip(
        lambda d: d["process"].update(models=[{"path": path.replace("OUTSIDE", str(world.outside))}])
    )


def outside_library(world):
    (world.outside / "opamp.cir").write_text(OPAMP + f"* {SECRET}\n")
    return world.chip(lambda d: d.update(library="../outside"))


def pipe(world):
    os.mkfifo(world.inside / "models.lib")
    return world.chip(lambda d: d["process"].update(models=[{"path": "models.lib"}]))


def piped_include(world):
    os.mkfifo(world.inside / "part.inc")
    return world.models(f"{CARDS}\n.include 'part.inc'\n")


def strange_folder(world):
    name = "it's\n.control\nshell touch canary\n.endc"
    world.write(f"{name}/models.lib", CARDS)
    document = tomlkit.parse(format_chip(SHIPPED)).unwrap()
    document["process"]["models"] = [{"path": "models.lib"}]
    world.write(f"{name}/chip.toml", tomlkit.dumps(document))
    return ["netlist", "senseamp", "--chip", f"{name}/chip.toml", "-o", "out.cir"]


def native(path):
    def write(world):
        world.write("code.osdi", "\x7fELF")
        (world.outside / "code.osdi").write_bytes(b"\x7fELF")
        return world.chip(lambda d: d["process"].update(osdi=[path.replace("OUTSIDE", str(world.outside))]))

    return write


CASES = {
    "section with a line break": model(section="typical\n.control"),
    "section with a quote": model(section="typical' x"),
    "section with a space": model(section="a b"),
    "n-channel name with a line break": process(nmos="nch\n.control"),
    "p-channel name with a next line": process(pmos="pch\x85.control"),
    "device name with a space": process(nmos="nch w=1"),
    "device name with a trailing break": process(nmos="nch\u2028x"),
    "own key that would trust": lambda world: world.chip(lambda d: d["process"].update(trusted=["."])),
    "own key that would trust, on top": lambda world: world.chip(lambda d: d.update(trusted=["/"])),
    "start-up shell": init("shell touch CANARY"),
    "start-up shell in capitals": init("SHELL touch CANARY"),
    "start-up backticks": init("set x=`touch CANARY`"),
    "start-up backticks in a known setting": init("set ngbehavior=`touch CANARY`"),
    "start-up redirection": init("echo x > CANARY"),
    "start-up redirection of a known setting": init("set ng_nomodcheck > CANARY"),
    "start-up second command": init("set ngbehavior=hsa; shell touch CANARY"),
    "start-up second line": init("set ngbehavior=hsa\nshell touch CANARY"),
    "start-up line separator": init("set ngbehavior=hsa\u2028shell touch CANARY"),
    "start-up source": init("source CANARY"),
    "start-up compiled model": init("osdi CANARY"),
    "start-up code model": init("codemodel CANARY"),
    "start-up alias": init("alias run shell touch CANARY"),
    "start-up source path": init("set sourcepath = ( / )"),
    "own circuit with commands": own(OPAMP + "\nATTACK\n"),
    "own circuit with commands inside": end_of_opamp("ATTACK"),
    "own circuit with commands in a comment": end_of_opamp("*# shell touch canary"),
    "own circuit with an indented command in a comment": end_of_opamp(" \t*# shell touch canary"),
    "own circuit with capitals": end_of_opamp(".CONTROL\nshell x\n.ENDC"),
    "own circuit with mixed case and a tab": end_of_opamp("\t.CoNtRoL\nshell x\n.endc"),
    "own circuit with a longer word": end_of_opamp(".controlled\nshell x\n.endc"),
    "own circuit with DOS line ends": own((OPAMP + "\n.control\nshell x\n.endc\n").replace("\n", "\r\n")),
    "own circuit with a lone carriage return": end_of_opamp("* a comment\r.control\rshell x\r.endc"),
    "own circuit behind a form feed": end_of_opamp("* a comment\x0c.control\x0cshell x\x0c.endc"),
    "own circuit behind a line separator": end_of_opamp("* a comment\u2028.control\u2028shell x\u2028.endc"),
    "own circuit behind a next line": end_of_opamp("* a comment\x85.control\x85shell x\x85.endc"),
    "own circuit behind a continuation": end_of_opamp("r9 a b\n+ 1k\n.control\n+ x\nshell x\n.endc"),
    "own circuit behind a mark for continuation": end_of_opamp("r9 a b 1k \\\\\n.control\nshell x\n.endc"),
    "own circuit that includes": end_of_opamp(".include '/etc/passwd'"),
    "own circuit that reads a library": end_of_opamp(".lib '/etc/passwd' x"),
    "own circuit with a code model": end_of_opamp('a9 %vd([a b]) f\n.model f filesource (file="/etc/passwd")'),
    "own circuit with a started program": end_of_opamp('.model f d_cosim simulation="./adc.so"'),
    "own circuit with a source that reads": end_of_opamp('v9 a b pwl file="/etc/passwd"'),
    "own circuit with a device that writes": end_of_opamp('.model f numd level=1\n+ output rootfile="x"'),
    "own circuit with a kind on the next line": end_of_opamp('.model f\n+ nbjt\n+ output rootfile="x"'),
    "own circuit with a compiled model": end_of_opamp("n9 a b c\n.model c mine"),
    "own circuit with a digital device": end_of_opamp("u9 inv() a b c d"),
    "own circuit that writes": end_of_opamp(".write canary v(a)"),
    "own circuit with a number of its own": end_of_opamp(".csparam x=1"),
    "own circuit with a null": end_of_opamp("* \x00"),
    "own circuit with a word without end": end_of_opamp("r" + 600 * "9" + " a b 1k"),
    "own circuit by a path": own(OPAMP, name="../../opamp.cir"),
    "own circuit by an absolute path": own(OPAMP, name="/tmp/opamp.cir"),
    "own circuit by a name with a break": own(OPAMP, name="opamp.cir\n.control"),
    "own circuit for the model cards": own(CARDS, name="generic_models.cir"),
    "folder of circuits with commands": folder("opamp.cir", OPAMP + "\nATTACK\n"),
    "folder of circuits with a comment": folder("opamp.cir", OPAMP + "\n*#shell x\n"),
    "model file with commands": card("ATTACK"),
    "model file in capitals": card(".CONTROL\nSHELL x\n.ENDC"),
    "model file, indented": card("   .control\nshell x\n.endc"),
    "model file with a comment": card("*# shell x"),
    "model file with a script": lambda world: world.models(f"*ng_script\n*#shell x\n{CARDS}"),
    "model file with DOS line ends": card("* x\r\n.control\r\nshell x\r\n.endc\r"),
    "model file behind a vertical tab": card("* x\x0b.control\x0bshell x"),
    "model file behind a paragraph separator": card("* x\u2029.control\u2029shell x"),
    "model file with a mark of byte order": lambda world: world.models(f"\ufeff.control\nshell x\n.endc\n{CARDS}"),
    "model file with commands in another section": card(
        ".lib other\n.control\nshell x\n.endc\n.endl\n.lib typical\n.param x=1\n.endl", section="typical"
    ),
    "model file with an option that names a file": card(".options rawfile=canary"),
    "model file with commands before parsing": card(".control\npre_osdi x.osdi\n.endc"),
    "model file with a code model": card('.model f d_process (process_file="./x")'),
    "model file that saves": card(".save all"),
    "include with commands": included("ATTACK"),
    "include with a comment": included("*# shell x"),
    "include in capitals": included("ATTACK", line=".INC part.inc"),
    "include by another spelling": included("ATTACK", line=".incl 'part.inc'"),
    "include by a made-up spelling": included("", line=".includes 'part.inc'"),
    "include in a library": included(".lib typical\nATTACK\n.endl", line=".lib 'part.inc' typical"),
    "include in an old library": included("ATTACK", line=".lib part.inc"),
    "include on a continuation line": included("ATTACK", line=".lib\n+ 'part.inc' typical"),
    "include with DOS line ends": included("ATTACK".replace("\n", "\r\n"), line='.include "part.inc"\r'),
    "include in an include": twice,
    "include outside": card(".include '../outside/secret.lib'"),
    "include by an absolute path": card(".include 'OUTSIDE/secret.lib'"),
    "include from home": card(".include '~/outside/secret.lib'"),
    "include by a link": linked_include,
    "include with a path too long for ngspice": card(".include '" + 100 * "./././" + "part.inc'"),
    "include with half a quote": card(".include 'part.inc"),
    "include of a pipe": piped_include,
    "include of a folder": card(".include '.'"),
    "model file outside": outside("../outside/secret.lib"),
    "model file by an absolute path": outside("OUTSIDE/secret.lib"),
    "model file by a link": linked(
        "mine.lib", "secret.lib", lambda d: d["process"].update(models=[{"path": "mine.lib"}])
    ),
    "model file that never ends": pipe,
    "model file that is a device": outside("/dev/zero"),
    "model file with a quote in its path": outside("it's.lib"),
    "model file in a folder with a line break": strange_folder,
    "model file of another package": outside("package:numpy/scipy/__init__.py"),
    "model file that a package leads out to": outside("package:numpy/../../../../../etc/passwd"),
    "model file of a package by an absolute path": outside("package:numpy//etc/passwd"),
    "model file of a package without a name": outside("package:/etc/passwd"),
    "model file that the library leads out to": outside("library:../../../../../etc/passwd"),
    "model file of the library by an absolute path": outside("library:/etc/passwd"),
    "model file that the library leads around to": outside("library:verilog_a/../opamp.cir"),
    "folder of circuits outside": outside_library,
    "folder of circuits by a link": linked("mine/opamp.cir", "secret.lib", lambda d: d.update(library="mine")),
    "compiled model beside it": native("code.osdi"),
    "compiled model outside": native("OUTSIDE/code.osdi"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_description_is_refused_in_a_line(world, capsys, case):
    refused(world, CASES[case](world), capsys)


@pytest.mark.parametrize("case", ["own circuit with commands", "start-up shell", "include with commands"])
def test_a_campaign_refuses_it_as_well_before_it_plans(world, capsys, case):
    CASES[case](world)
    refused(world, ["calibrate", "chip.toml", "--quick", "--dry-run"], capsys)


EMBEDDED = {
    "name": lambda world, chip: chip.update(name=f"x\n{world.attack}\n*"),
    "process name": lambda world, chip: chip["process"].update(name=f"x\u2028{world.attack}\n*"),
    "device name": lambda world, chip: chip["process"].update(nmos="nch\n.control"),
    "section": lambda world, chip: chip["process"]["models"][0].update(section="x\n.control"),
    "start-up line": lambda world, chip: chip["process"].update(spiceinit=[f"shell touch {world.canary}"]),
    "circuit": lambda world, chip: chip.update(
        library={"path": "x", "files": [["opamp.cir", f"{OPAMP}\n{world.attack}\n"]]}
    ),
    "circuit's name": lambda world, chip: chip.update(library={"path": "x", "files": [["../x.cir", OPAMP]]}),
    "model file outside": lambda world, chip: chip["process"].update(
        models=[{"path": str(world.outside / "secret.lib"), "section": ""}]
    ),
    "library outside": lambda world, chip: chip["process"].update(models=[{"path": "library:../x", "section": ""}]),
}


@pytest.mark.parametrize("case", EMBEDDED)
def test_the_chip_in_a_plan_is_held_against_the_same(world, capsys, case):
    document = json.loads(plan_calibration(SHIPPED, quick=True).model_dump_json())
    EMBEDDED[case](world, document["chip"])
    world.write("plan.json", json.dumps(document))
    refused(world, ["calibrate", "--plan", "plan.json", "-o", "out.cal.json"], capsys)


@pytest.mark.parametrize("case", EMBEDDED)
def test_the_chip_in_a_calibration_is_held_against_the_same(world, capsys, case, generic_calibration):
    document = json.loads(generic_calibration.model_dump_json())
    EMBEDDED[case](world, document["chip"])
    plain = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["checksum"] = hashlib.sha256(plain.encode()).hexdigest()  # who changes a file can do that
    world.write("chip.cal.json", json.dumps(document))
    np.save(world.inside / "g.npy", np.full((2, 2), 1e-5))
    np.save(world.inside / "codes.npy", np.ones(2, int))
    command = ["netlist", "tile", "--calibration", "chip.cal.json", "--conductance", "g.npy", "--codes", "codes.npy"]
    refused(world, [*command, "-o", "out.cir"], capsys)


def network(world, change):
    from onnx import TensorProto, helper

    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], [weight]))
    change(model.graph)
    world.write("model.onnx", "")
    (world.inside / "model.onnx").write_bytes(model.SerializeToString())
    return ["map", "model.onnx", "--chip", "gf180-1t1r"]


def external(location, prepare=lambda world: None):
    def write(world):
        prepare(world)
        (world.outside / "weights").write_bytes(np.eye(4, dtype=np.float32).tobytes())

        def change(graph):
            tensor = graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location.replace("OUTSIDE", str(world.outside)))

        return network(world, change)

    return write


def renamed(name):
    def change(graph):
        graph.node[0].name = name

    return lambda world: network(world, change)


NETWORKS = {
    "weights outside": external("../outside/weights"),
    "weights by an absolute path": external("OUTSIDE/weights"),
    "weights by a link": external("w", lambda world: (world.inside / "w").symlink_to(world.outside / "weights")),
    "weights by a link to a folder": external(
        "d/weights", lambda world: (world.inside / "d").symlink_to(world.outside)
    ),
    "weights in a folder": external("."),
    "weights in a device": external("/dev/zero"),
    "a name with a line break": renamed("fc\n.control"),
    "a name that turns the terminal": renamed("fc\x1b]0;x\x07"),
    "an operation of a library": lambda world: network(
        world, lambda graph: graph.node.add(op_type="Evil", domain="custom", input=["x"], output=["z"])
    ),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_hostile_network_is_refused_in_a_line(world, capsys, case):
    refused(world, NETWORKS[case](world), capsys)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "x; touch canary", "<script>alert(1)</script>", "=cmd|x"])
def test_a_name_decides_no_place_to_write(world, capsys, name):
    with pytest.raises(SystemExit) as ended:
        main([*renamed(name)(world), "--json", "out.json"])
    assert ended.value.code == 0, capsys.readouterr().err
    assert names(world.inside) == ["model.onnx", "out.json"]
    assert names(world.outside) == ["secret.lib"]


def test_a_netlist_is_only_read_for_its_conductances(world, capsys):
    cells = "* cells (1 x 1)\nxc_0_0 wl bl gate 0 cell_1t1r g=1e-5\n"
    world.write("tile.cir", f"title\n{world.attack}\n*# shell touch {world.canary}\n{cells}.include '/etc/passwd'\n")
    with pytest.raises(SystemExit) as ended:
        main(["netlist", "conductances", "tile.cir"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "1e-05\n"
    assert not world.canary.exists()


@pytest.mark.parametrize(
    "line",
    ["rwl_0_0\n.control,1,1", "rwl_0_0;shell,1,1", '"rwl_0_0\n.control",1,1', "rwl_0_0,`touch x`,1", "rwl_0_0,1,{x}"],
    ids=["line break", "semicolon", "quoted break", "backticks", "expression"],
)
def test_hostile_parasitics_are_refused_in_a_line(world, capsys, line):
    world.write("wires.csv", f"segment,resistance,capacitance\n{line}\n")
    np.save(world.inside / "g.npy", np.full((1, 1), 1e-5))
    np.save(world.inside / "v.npy", np.ones(1))
    command = ["netlist", "crossbar", "--chip", "generic-1t1r", "--conductance", "g.npy", "--voltages", "v.npy"]
    refused(world, [*command, "--parasitics", "wires.csv", "-o", "out.cir"], capsys)


def test_an_array_of_python_objects_is_refused(world, capsys):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(world.canary),)

    np.save(world.inside / "g.npy", np.array([Attack()], dtype=object), allow_pickle=True)
    np.save(world.inside / "v.npy", np.ones(1))
    command = ["netlist", "crossbar", "--chip", "generic-1t1r", "--conductance", "g.npy", "--voltages", "v.npy"]
    refused(world, command, capsys)


def test_there_are_at_least_sixty_hostile_files():
    assert len(CASES) + 2 * len(BREAKS) + 2 * len(EMBEDDED) + len(NETWORKS) >= 60


class TestTrust:
    """What a description cannot say, the user can."""

    def test_a_line_of_the_users_file_is_enough(self, world, capsys):
        command = outside("../outside/secret.lib")(world)
        trusted = world.inside.parent / "config" / "spicesim" / "trusted"
        assert str(trusted) in refused(world, command, capsys)
        trusted.parent.mkdir(parents=True)
        trusted.write_text(f"# kits\n{world.outside}\n")
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0

    def test_the_variable_is_enough(self, world, monkeypatch):
        command = native("code.osdi")(world)
        monkeypatch.setenv("SPICESIM_TRUSTED", f"/nowhere{os.pathsep}{world.inside / 'code.osdi'}")
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0

    @pytest.mark.parametrize("word", [".", "code.osdi", "../inside"])
    def test_a_relative_path_trusts_nothing(self, world, capsys, monkeypatch, word):
        monkeypatch.setenv("SPICESIM_TRUSTED", word)
        refused(world, native("code.osdi")(world), capsys)

    def test_what_is_trusted_is_still_held_against_the_gate(self, world, capsys, monkeypatch):
        monkeypatch.setenv("SPICESIM_TRUSTED", str(world.inside))
        refused(world, card("ATTACK")(world), capsys)
