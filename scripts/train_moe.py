"""Train a small mixture of experts on English text, byte by byte, and write it and its test text into a folder.

Needs torch, onnx and numpy, and a text: the Jargon File, which is in the public domain, of Debian's package
jargon-text. Run::

    apt-get download jargon-text && dpkg -x jargon-text_*.deb jargon
    python scripts/train_moe.py jargon/usr/share/doc/jargon-text/jargon.txt.gz --output moe

It writes moe.onnx and moe.npz (x, y, x_calibration; y are the next bytes), named after the folder; the seed is fixed.
The text's last tenth is for tests. In the file every expert multiplies every token, and gates of 0 drop what the router
did not choose, so that each product of an expert is a node by its name, such as /blocks.0/experts.3/up/MatMul; the
output `choices` (batch, tokens, layers, 2) says which experts the router chose.
"""

import argparse
import gzip
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

SEED = 0
LAYERS, WIDTH, HEADS, HIDDEN, EXPERTS, CHOSEN, CONTEXT = 4, 128, 4, 256, 8, 2, 64
BALANCE = 1e-2
"""Weight of the loss that keeps experts equally busy (Fedus et al., Switch Transformers, 2021, equation 4)."""


class Expert(nn.Module):
    """Two dense layers."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


class Block(nn.Module):
    """A transformer's layer whose dense half is a router and experts."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleList([Expert() for _ in range(EXPERTS)])
        self.register_buffer("hidden", torch.full((CONTEXT, CONTEXT), -1e9).triu(1), persistent=False)

    def attend(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, HEADS, width // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (width // HEADS) ** 0.5 + self.hidden[:tokens, :tokens]
        return self.project((torch.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(batch, tokens, width))

    def forward(self, x):
        """Return the state, the experts chosen (batch, tokens, 2), and the loss of an uneven load."""
        x = x + self.attend(self.norms[0](x))
        normed = self.norms[1](x)
        shares = torch.softmax(self.router(normed), dim=-1)
        best, choices = shares.topk(CHOSEN, dim=-1)
        best = best / best.sum(dim=-1, keepdim=True)
        gates = torch.zeros_like(shares).scatter(-1, choices, best)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            if torch.onnx.is_in_onnx_export():
                out = out + gates[..., number : number + 1] * expert(normed)
            else:  # the same, for the tokens that chose it only
                where = gates[..., number].nonzero(as_tuple=True)
                out = out.index_put(where, gates[where][:, number : number + 1] * expert(normed[where]), True)
        load = (gates > 0).float().mean(dim=(0, 1)) / CHOSEN
        return x + out, choices, EXPERTS * (load * shares.mean(dim=(0, 1))).sum()


class Model(nn.Module):
    """Bytes in, logits of the next bytes out."""

    def __init__(self):
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, WIDTH), nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 256)

    def forward(self, x):
        """Return logits (batch, tokens, 256), choices (batch, tokens, layers, 2), and the loss of an uneven load."""
        state, chosen, uneven = self.bytes(x) + self.places[: x.shape[1]], [], 0.0
        for block in self.blocks:
            state, choices, loss = block(state)
            chosen.append(choices)
            uneven = uneven + loss / LAYERS
        return self.head(self.norm(state)), torch.stack(chosen, dim=2), uneven


class Exported(nn.Module):
    """What the file holds: all but the loss."""

    def __init__(self, model):
        super().__init__()
        for name, part in model.named_children():
            self.add_module(name, part)
        self.places = model.places

    def forward(self, x):
        return Model.forward(self, x)[:2]


def cut(text, starts):
    """Return windows of a text (count, CONTEXT) and the bytes that follow each of theirs."""
    windows = torch.from_numpy(np.stack([text[at : at + CONTEXT + 1] for at in starts]).astype(np.int64))
    return windows[:, :-1], windows[:, 1:]


def train(model, text, steps, batch):
    generator = np.random.default_rng(SEED)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    began = time.process_time()
    for step in range(steps):
        x, y = cut(text, generator.integers(0, len(text) - CONTEXT - 1, batch))
        logits, _, uneven = model(x)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimiser.zero_grad()
        (loss + BALANCE * uneven).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            bits, spent = loss.item() / math.log(2), time.process_time() - began
            print(f"step {step + 1} of {steps}: {bits:.2f} bits a byte, {spent:.0f} s", flush=True)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="a text file, packed by gzip or not")
    parser.add_argument("--output", type=Path, default=Path("moe"), help="folder to write")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=24, help=f"windows of {CONTEXT} bytes a step")
    parser.add_argument("--windows", type=int, default=64, help="windows of the test text to write")
    parser.add_argument("--opset", type=int, default=17)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order
    torch.manual_seed(SEED)
    data = arguments.text.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    text = np.frombuffer(data, np.uint8)
    kept = text[int(0.9 * len(text)) :]
    model = train(Model(), text[: int(0.9 * len(text))], arguments.steps, arguments.batch)
    x, y = cut(kept, np.linspace(0, len(kept) - CONTEXT - 1, max(arguments.windows, 256)).astype(int))
    with torch.no_grad():
        logits = torch.cat([model(part)[0] for part in x.split(64)])
    bits = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).item() / math.log(2)
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{bits:.3f} bits a byte on {x.numel():,} bytes of test text, {weights:,} weights", flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = arguments.output.resolve().name
    typical, _ = cut(text, np.linspace(0, 0.9 * len(text) - CONTEXT - 1, 16).astype(int))
    picked = np.linspace(0, len(x) - 1, arguments.windows).astype(int)
    np.savez_compressed(
        arguments.output / f"{name}.npz", x=x[picked].numpy(), y=y[picked].numpy(), x_calibration=typical.numpy()
    )
    torch.onnx.export(
        Exported(model).eval(), (x[:2],), str(arguments.output / f"{name}.onnx"), dynamo=False,
        opset_version=arguments.opset, input_names=["x"], output_names=["logits", "choices"],
        dynamic_axes={key: {0: "windows"} for key in ("x", "logits", "choices")},
    )  # fmt: skip


if __name__ == "__main__":
    main()
