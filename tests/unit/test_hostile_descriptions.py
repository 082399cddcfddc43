"""Descriptions of chips from strangers are data, wherever they stand: nothing of them runs, nothing outside is read or
written, and one line says so. What lies outside, or is native code, the user can trust.
"""

import hashlib
import json
import os

import numpy as np
import pytest
import tomlkit

from spicesim.calibration.plan import plan_calibration
from spicesim.chip import format_chip
from spicesim.cli.main import main
from stranger import CARDS, OPAMP, SECRET, SHIPPED, refused

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
    "source to compile of a package": native("package:numpy/code.va"),
    "source to compile that a kit leads out to": native("package:ihp-gdsfactory/../code.va"),
    "source to compile beside it": native("code.va"),
    "rule of a page with a command": card("*####shell ATTACK"),
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


def test_there_are_at_least_sixty_hostile_files():
    assert len(CASES) + 2 * len(BREAKS) + 2 * len(EMBEDDED) >= 60


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
