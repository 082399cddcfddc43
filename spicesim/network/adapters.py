"""Low-rank adapters beside products of a network: digital, and inputs of the graph, so that one chip serves many tasks.

A product with the weights W becomes ``x W + (x down) up``, as Hu et al., LoRA, ICLR 2022 (arXiv:2106.09685), have it.
The arrays go on holding W; an adapter corrects what they do, or gives them another task, without being programmed.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spicesim.arrays import Array
from spicesim.errors import NetworkError

__all__ = ["adapter_names", "adapter_shapes", "add_adapters"]


def adapter_names(product: str) -> tuple[str, str]:
    """Return the names of the inputs that hold the adapter of a product: what is done first, and what last."""
    return f"{product}.down", f"{product}.up"


def adapter_shapes(model: onnx.ModelProto, rank: int) -> dict[str, tuple[int, int]]:
    """Return the shape of each adapter's half, by the name of its input, for all MatMul nodes with constant weights."""
    found: dict[str, tuple[int, int]] = {}
    for node, weights in _products(model):
        down, up = adapter_names(node.name)
        found |= {down: (int(weights.shape[0]), rank), up: (rank, int(weights.shape[1]))}
    return found


def add_adapters(model: onnx.ModelProto, rank: int, products: Collection[str] | None = None) -> onnx.ModelProto:
    """Put an adapter beside products; the model is not changed.

    Parameters
    ----------
    model : ModelProto
        The network.
    rank : int
        Numbers that an adapter passes on.
    products : collection of str, optional
        Names of MatMul nodes with constant weights; by default all.

    Returns
    -------
    ModelProto
        The network with two more inputs a product, (inputs, rank) and (rank, outputs), named as
        :func:`adapter_names` says. Of zeros, it is the same network.

    Raises
    ------
    NetworkError
        If the rank is below 1, or there is no such product.

    Notes
    -----
    All inputs of a batch share an adapter: compile with ``batch_axes`` None for it.
    """
    if rank < 1:
        raise NetworkError(f"an adapter has a rank of at least 1, got {rank}; 8 is usual")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    found = {node.name: weights for node, weights in _products(changed)}
    strange = sorted(set(products or ()) - set(found))
    if strange or not found:
        raise NetworkError(
            f"no product {strange[0] if strange else ''!r} to put an adapter beside; adapters go beside MatMul nodes "
            f"with a name and constant weights: {', '.join(sorted(found)[:4]) or 'there are none'}"
        )
    wanted = set(found if products is None else products)
    nodes = []
    for node in changed.graph.node:
        nodes.append(node)
        if node.name not in wanted:
            continue
        down, up = adapter_names(node.name)
        made, low, high = node.output[0], f"{node.name}.low", f"{node.name}.high"
        node.output[0] = f"{node.name}.without"
        nodes += [
            helper.make_node("MatMul", [node.input[0], down], [low], name=f"{low}.MatMul"),
            helper.make_node("MatMul", [low, up], [high], name=f"{high}.MatMul"),
            helper.make_node("Add", [node.output[0], high], [made], name=f"{node.name}.adapted"),
        ]
        rows, outputs = found[node.name].shape
        changed.graph.input.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in ((down, (rows, rank)), (up, (rank, outputs)))
        )
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def _products(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, Array]]:
    """Return the named MatMul nodes whose second input is a constant matrix, and that."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        (node, np.asarray(numpy_helper.to_array(constants[node.input[1]])))
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name and node.input[1] in constants
        and len(constants[node.input[1]].dims) == 2
    ]  # fmt: skip
