"""Networks, netlists and arrays from strangers are data: nothing of them runs, nothing outside is read or written."""

import os

import numpy as np
import onnx
import pytest

from spicesim.cli.main import main
from stranger import names, refused


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
