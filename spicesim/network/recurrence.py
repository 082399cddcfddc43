"""Recurrent nodes, LSTM, GRU and RNN: their weights on arrays, their gates and states digital in a loop over time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from scipy.special import expit

from spicesim.arrays import Array
from spicesim.errors import NetworkError
from spicesim.network.model import node_attributes
from spicesim.network.node import AnalogNode, Multiply, trace_run

__all__ = ["Recurrence", "parse_recurrence"]

State = tuple[Array, ...]
"""What passes from step to step, (directions, batch, hidden) each: the output, and an LSTM's cell."""
Product = Callable[[Array], Array]
"""Multiplies (directions, batch, hidden) by weights: (gates, directions, batch, hidden)."""
Cell = Callable[[Array, State, Sequence[Product]], State]
"""Makes the next state of products of inputs (gates, directions, batch, hidden), the last state and products of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recurrence:
    """A recurrent node, whose directions share their products: groups of the weights, as a convolution's."""

    name: str
    """Name of the node."""
    op: str
    """Its operator."""
    products: tuple[AnalogNode, ...]
    """Products of all inputs; of the last state; of the reset state, if a GRU resets before it multiplies."""
    cell: Cell
    """What it does to its state."""
    backward: tuple[bool, ...]
    """Whether a direction runs back through time, one a direction."""
    initial: tuple[str, ...]
    """Names of the parts of the first state, (directions, batch, hidden) each; empty for zeros."""
    constants: Mapping[str, Array]
    """Those of them that are constant."""
    results: tuple[str, ...]
    """Names of all outputs, (time, directions, batch, hidden), and of the parts of the last state; empty if unused."""
    length: int | None = None
    """Steps of every sequence, where the network says so; what comes after them counts as padding."""

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the values that it takes."""
        names = (self.products[0].input, *self.initial)
        return tuple(name for name in names if name and name not in self.constants)

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of the values that it makes."""
        return tuple(name for name in self.results if name)

    def run(self, values: dict[str, Array], multiply: Multiply) -> None:
        """Compute the outputs from `values` and add them to these."""
        x = values[self.products[0].input]  # (time, batch, inputs)
        gates = self._split(multiply(self.products[0], x))
        _, steps, directions, batch, hidden = gates.shape
        shape, every = (directions, batch, hidden), np.arange(directions)
        state = tuple(self._first(name, values, shape, x.dtype) for name in self.initial)

        def product(node: AnalogNode) -> Product:
            return lambda part: self._split(multiply(node, part.swapaxes(0, 1).reshape(batch, -1)))

        products = [product(node) for node in self.products[1:]]
        y = np.zeros((steps, *shape), x.dtype)
        length = min(self.length or steps, steps)
        for k in range(length):
            now = np.where(self.backward, length - 1 - k, k)
            state = self.cell(gates[:, now, every], state, products)
            y[now, every] = state[0]
        values.update((name, value) for name, value in zip(self.results, (y, *state), strict=True) if name)

    def trace(self, values: Mapping[str, Array]) -> dict[AnalogNode, list[Array]]:
        """Return what drives each product, given the values that the node takes: it runs digitally."""
        return trace_run(self.run, values)

    def _first(self, name: str, values: Mapping[str, Array], shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return a part of the first state, checked."""
        if not name:
            return np.zeros(shape, dtype)
        first = self.constants[name] if name in self.constants else values[name]
        if first.shape != shape:
            raise NetworkError(
                f"{self.op} {self.name!r}: its first state {name!r} has shape {first.shape}, its inputs want {shape}; "
                "export the network with the batch free, or give inputs of the batch it was exported with"
            )
        return first

    def _split(self, product: Array) -> Array:
        """Return products (.., batch, directions * gates * hidden) as (gates, .., directions, batch, hidden)."""
        hidden = self.products[1].rows // len(self.backward)
        split = product.reshape(*product.shape[:-1], len(self.backward), -1, hidden)
        return np.moveaxis(split, (-2, -3), (0, -3))


def _step_lstm(x: Array, state: State, products: Sequence[Product]) -> State:
    """Do a step of an LSTM; gates are input, output, forget and candidate."""
    h, c = state
    i, o, f, new = x + products[0](h)
    c = expit(f) * c + expit(i) * np.tanh(new)
    return expit(o) * np.tanh(c), c


def _step_gru(x: Array, state: State, products: Sequence[Product]) -> State:
    """Do a step of a GRU; gates are update, reset and candidate, which multiplies the reset state or is reset after."""
    (h,) = state
    recurrent, *candidate = products
    of_state = recurrent(h)
    z, r = expit(x[:2] + of_state[:2])
    new = np.tanh(x[2] + (candidate[0](r * h)[0] if candidate else r * of_state[2]))
    return ((1 - z) * new + z * h,)


def _step_rnn(x: Array, state: State, products: Sequence[Product]) -> State:
    """Do a step of a plain recurrent network."""
    return (np.tanh(x + products[0](state[0]))[0],)


_CELLS: dict[str, Cell] = {"LSTM": _step_lstm, "GRU": _step_gru, "RNN": _step_rnn}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
_BACKWARD = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_INPUTS = 8
"""Inputs of an LSTM, most of which may be missing: X, W, R, B, sequence_lens, initial_h, initial_c, P."""


def parse_recurrence(name: str, node: onnx.NodeProto, constants: Mapping[str, Array]) -> Recurrence | str:
    """Read an LSTM, GRU or RNN with time on the first axis; return a note if it has to stay digital."""
    op, options = node.op_type, node_attributes(node)
    inputs: list[str] = [*node.input, *[""] * (_INPUTS - len(node.input))]
    x, w, r, b, lengths, *initial, peepholes = inputs
    backward = _BACKWARD.get(options.get("direction", b"forward").decode(errors="replace"), ())
    activations = [word.decode(errors="replace").lower() for word in options.get("activations", [])]
    parameters = [constants[part] for part in (w, r, b) if part in constants]
    reasons = {
        "runs in an unknown direction": not backward,
        "has weights that are no numbers": any(part.dtype.kind not in "biuf" for part in parameters),
        "takes constant inputs": x in constants,
        "multiplies computed values": w not in constants or r not in constants,
        "adds a computed bias": bool(b) and b not in constants,
        "has peepholes": bool(peepholes),
        "clips its gates": "clip" in options,
        "couples input and forget gate": bool(options.get("input_forget", 0)),
        "has activations of its own": activations not in ([], _ACTIVATIONS[op] * len(backward)),
        "runs sequences of several lengths": bool(lengths) and len(np.unique(constants.get(lengths, (0, 1)))) != 1,
    }
    for reason, holds in reasons.items():
        if holds:
            return f"{op} {name!r} {reason} and stays digital"
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which the mapping refuses by name
        of_inputs, of_states, *biases = (constants[part].astype(float) for part in (w, r, b) if part)
    hidden, groups = of_states.shape[-1], len(backward)
    shape = (groups, _GATES[op] * hidden)
    bias = biases[0] if biases else np.zeros((groups, 2 * shape[1]))
    if (of_inputs.shape[:-1], of_states.shape, bias.shape) != (shape, (*shape, hidden), (groups, 2 * shape[1])):
        return f"{op} {name!r} has weights of shapes {of_inputs.shape} and {of_states.shape} and stays digital"
    parts = {"recurrent": slice(None)}
    if op == "GRU" and not options.get("linear_before_reset", 0):
        parts = {"recurrent": slice(2 * hidden), "candidate": slice(2 * hidden, None)}
    bias_of_inputs, bias_of_states = np.split(bias, 2, axis=1)
    names = initial[: 2 if op == "LSTM" else 1]
    return Recurrence(
        name=name, op=op, cell=_CELLS[op], backward=backward, initial=tuple(names),
        products=(
            _product(f"{name}.input", op, x, of_inputs, bias_of_inputs),
            *(
                _product(f"{name}.{part}", op, "", of_states[:, gates], bias_of_states[:, gates], groups)
                for part, gates in parts.items()
            ),
        ),
        constants={state: constants[state] for state in names if state in constants},
        results=tuple([*node.output, "", ""][: 1 + len(names)]),
        length=int(constants[lengths].flat[0]) if lengths else None,
    )  # fmt: skip


def _product(name: str, op: str, source: str, weights: Array, bias: Array, groups: int = 1) -> AnalogNode:
    """Make the node of one product: weights (directions, gates * hidden, inputs), bias (directions, gates * hidden)."""
    return AnalogNode(
        name=name, op=op, input=source, output="", weights=weights.reshape(-1, weights.shape[-1]),
        bias=bias.reshape(-1), groups=groups,
    )  # fmt: skip
