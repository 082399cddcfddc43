"""Recurrent nodes that have the batch first, brought to time first: onnxruntime runs no others."""

from collections.abc import MutableSequence

import onnx

__all__ = ["put_time_first"]

_RECURRENT = ("LSTM", "GRU", "RNN")
_INPUTS = {0: [1, 0, 2], 5: [1, 0, 2], 6: [1, 0, 2]}
"""Permutations of the axes of a sequence and of the parts of the first state; their own inverses."""
_OUTPUTS = {0: [2, 0, 1, 3], 1: [1, 0, 2], 2: [1, 0, 2]}
"""Permutations of the axes of all outputs, (time, directions, batch, hidden), and of the parts of the last state."""


def put_time_first(graph: onnx.GraphProto) -> None:
    """Turn every recurrent node of layout 1 into one of layout 0 between transposes, in place, in bodies, too."""
    nodes: list[onnx.NodeProto] = []
    for position, old in enumerate(graph.node):
        node = onnx.NodeProto()
        node.CopyFrom(old)
        for own in node.attribute:
            for body in (*([own.g] if own.HasField("g") else []), *own.graphs):
                put_time_first(body)
        layout = next((own for own in node.attribute if own.name == "layout" and own.i), None)
        if node.op_type not in _RECURRENT or layout is None:
            nodes.append(node)
            continue
        node.name = node.name or f"{node.op_type}_{position}"
        node.attribute.remove(layout)
        before = _rename(node.name, "input", node.input, _INPUTS)
        after = _rename(node.name, "output", node.output, _OUTPUTS)
        nodes += [onnx.helper.make_node("Transpose", [outer], [inner], perm=perm) for outer, inner, perm in before]
        nodes.append(node)
        nodes += [onnx.helper.make_node("Transpose", [inner], [outer], perm=perm) for outer, inner, perm in after]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(
    name: str, side: str, values: MutableSequence[str], permutations: dict[int, list[int]]
) -> list[tuple[str, str, list[int]]]:
    """Rename a node's values that have to be permuted; return their old names, new names and permutations."""
    found = []
    for k, permutation in permutations.items():
        if k < len(values) and values[k]:
            found.append((values[k], f"{name}.{side}{k}.time_first", permutation))
            values[k] = found[-1][1]
    return found
