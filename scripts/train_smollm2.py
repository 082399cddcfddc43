"""Train digital adapters beside the tiles of SmolLM2-135M, through the chip, to say what the digital model says.

The weights stay as they are programmed. Beside each product sits an adapter of two thin matrices, which is trained for
what this very chip does, its devices as drawn: the divergence of its next tokens from the digital model's falls. Needs
torch, what scripts/export_smollm2.py writes, a calibration, and texts other than that on which it will be judged. Run::

    python scripts/train_smollm2.py smollm2 --calibration chip.cal.json --output adapters
    python scripts/examples/smollm2.py smollm2 --calibration chip.cal.json --device typical --adapters adapters/chip.npz

First each block is put on the chip, and what its layers do there is kept (blocks/); then the digital model reads the
texts (teacher.npz); then adapters are trained (chip.state). Killed at any time, it goes on from there. With ``--through
gaussian`` each step meets weights with Gaussian errors as large as the chip's, drawn anew, in place of the chip.
"""

import argparse
import gzip
import io
import math
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from tqdm import tqdm

from spicesim.crossbar.blas import one_blas_thread
from spicesim.files import write_bytes, write_json
from spicesim.network.adapters import adapter_names
from spicesim.torch.adapted import AdaptedLinear, LinearChip, fit_adapter, linearise

sys.path.insert(0, str(Path(__file__).parent / "examples"))
from smollm2 import NONE, Chip, Model, compare, summarise, write_arrays

LICENCES = Path("/usr/share/common-licenses")
TEXTS = [LICENCES / name for name in ("Apache-2.0", "Artistic-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "MPL-1.1")]
FIT_TOKENS = 128
"""Of the typical text, on which a layer's map and noise are found."""
TYPICAL = 512
"""Tokens of the typical text, as scripts/examples/smollm2.py takes by default."""
WARM, CLIP, KEEP = 10, 1.0, 10
"""Steps in which the rate rises; longest gradient; steps after which the state is written."""


class Linear(nn.Module):
    """A digital layer."""

    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, x):
        return x @ self.weight.T


class GaussianLinear(nn.Module):
    """A digital layer whose weights err by Gaussian numbers, anew each time, with an adapter."""

    def __init__(self, weight, spread, down, up):
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("spread", spread, persistent=False)
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)

    def forward(self, x):
        erring = torch.randn_like(self.weight).mul_(self.spread[:, None]).add_(self.weight)
        return x @ erring.T + (x @ self.down) @ self.up


class Block(nn.Module):
    """A block as scripts/export_smollm2.py wrote it."""

    def __init__(self, path, epsilon):
        super().__init__()
        graph = onnx.load(path).graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        products = [(node.name, values[node.input[1]].T) for node in graph.node if node.input[-1:] and
                    node.op_type == "MatMul" and node.input[1] in values]  # fmt: skip
        width = products[0][1].shape[1]
        self.norms = [torch.tensor(own) for own in values.values() if own.shape == (width,)]
        self.turns = next(torch.tensor(own) for own in values.values() if own.ndim == 1 and own.dtype == np.float32
                          and 1 < len(own) != width)  # fmt: skip
        self.epsilon, self.names = epsilon, [name for name, _ in products]
        for name, weight in products:
            setattr(self, name.rpartition("_")[2], Linear(torch.tensor(np.ascontiguousarray(weight))))

    def layers(self):
        """Return the products by name."""
        return {name: getattr(self, name.rpartition("_")[2]) for name in self.names}

    def norm(self, x, gain):
        """Divide by the root of the mean square."""
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.epsilon) * gain

    def turn(self, x):
        """Split (windows, tokens, numbers) into heads and rotate them by position."""
        heads = x.unflatten(-1, (-1, len(self.turns))).transpose(1, 2)
        angles = torch.arange(x.shape[1])[:, None] * self.turns
        first, second = heads.chunk(2, dim=-1)
        return heads * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()

    def forward(self, x):
        """Return the next states (windows, tokens, width)."""
        normed = self.norm(x, self.norms[0])
        values = self.v(normed).unflatten(-1, (-1, len(self.turns))).transpose(1, 2)
        mixed = nn.functional.scaled_dot_product_attention(
            self.turn(self.q(normed)), self.turn(self.k(normed)), values, is_causal=True, enable_gqa=True
        )
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        normed = self.norm(x, self.norms[1])
        return x + self.down(nn.functional.silu(self.gate(normed)) * self.up(normed))


def inputs_of(block, x):
    """Return what each product of a block takes of states, by name, as vectors."""
    seen, hooks = {}, []
    for name, layer in block.layers().items():
        hooks.append(layer.register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given[0].flatten(0, -2).double().numpy()})))  # fmt: skip
    block(x)
    for hook in hooks:
        hook.remove()
    return seen


def place_blocks(model, chip, given):
    """Put each block on the chip and write what its layers do, a file a block; those there already are passed over."""
    states = torch.tensor(chip.typical)
    folder = given.output / "blocks"
    for path in tqdm(model.blocks[: given.blocks], desc="blocks on the chip", disable=None):
        kept, block = folder / f"{path.stem}.npz", Block(path, model.epsilon)
        if not kept.exists():
            chip.typical = states.numpy()
            network = chip.place(path)
            found, prepared = inputs_of(block, states), network.prepare(chip.engine)
            arrays = {}
            for layer, ranges, ready, gains in zip(
                network.layers, network.ranges, prepared, network.gains, strict=True
            ):
                vectors = found[layer.name]
                some = vectors[:: -(-len(vectors) // FIT_TOKENS)]
                linear = linearise(layer, ranges, ready, gains, some, chip.calibration)
                error = linear.matrix - layer.node.weights
                down, up = fit_adapter(error, vectors, given.rank)
                own = {"matrix": linear.matrix, "smoothing": linear.smoothing, "offset": linear.offset,
                       "noise": linear.noise, "scale": linear.input_scale, "down": down, "up": up,
                       "spread": np.sqrt(np.mean(error**2, axis=1))}  # fmt: skip
                arrays |= {f"{layer.name}.{word}": np.float32(value) for word, value in own.items()}
            write_arrays(kept, arrays)
        states = block(states)


def read_windows(model, given):
    """Return the texts in windows (windows, length), taken from each text in turn."""
    texts = []
    for path in given.text:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        tokens = model.tokenizer.encode(data.decode(errors="replace")[: 8 * given.window * given.windows])
        count = len(tokens) // given.window
        texts.append(np.array(tokens[: count * given.window]).reshape(count, given.window))
    longest = max(map(len, texts))
    taken = [text[k] for k in range(longest) for text in texts if k < len(text)]
    return np.array(taken[: given.windows])


def teach(blocks, windows, model, given):
    """Return the digital model's last states of all windows, from its file if it is there."""
    path = given.output / "teacher.npz"
    if path.exists():
        kept = dict(np.load(path))
        if np.array_equal(kept["windows"], windows):
            return kept["states"]
    states = torch.tensor(model.embeddings[windows])
    for block in tqdm(blocks, desc="digital model", disable=None):
        states = torch.cat([block(part) for part in states.split(4)])
    write_arrays(path, {"windows": windows, "states": states.numpy()})
    return states.numpy()


def adapt(blocks, model, given, through):
    """Put what a step meets in the place of all digital layers: the chip, or Gaussian errors."""
    generator = torch.Generator().manual_seed(given.seed)
    for path, block in zip(model.blocks, blocks[: given.blocks], strict=False):
        kept = np.load(given.output / "blocks" / f"{path.stem}.npz")
        for name, layer in block.layers().items():
            own = {word: kept[f"{name}.{word}"] for word in
                   ("matrix", "smoothing", "offset", "noise", "scale", "down", "up", "spread")}  # fmt: skip
            if through == "chip":
                chip = LinearChip(matrix=own["matrix"], smoothing=own["smoothing"], offset=own["offset"],
                                  noise=own["noise"], input_scale=float(own["scale"]), is_by_vector=True)  # fmt: skip
                new = AdaptedLinear(chip, own["down"], own["up"])
            else:
                down = torch.randn(own["down"].shape, generator=generator) * len(own["down"]) ** -0.5
                new = GaussianLinear(layer.weight, torch.tensor(own["spread"]), down, torch.zeros(own["up"].shape))
            setattr(block, name.rpartition("_")[2], new)


def read_logits(states, norm, embeddings, epsilon):
    """Return logarithms of chances of the next token."""
    normed = states * torch.rsqrt(states.square().mean(dim=-1, keepdim=True) + epsilon) * norm
    return torch.log_softmax(normed @ embeddings.T, dim=-1)


def train(blocks, windows, taught, model, given):
    """Train the adapters, from the state that was written last."""
    path = given.output / f"{given.through}.state"
    parameters = [p for block in blocks for p in block.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=given.rate, betas=(0.9, 0.99))
    step, losses, seconds = 0, [], 0.0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        step, losses, seconds = kept["step"], kept["losses"], kept["seconds"]
        optimiser.load_state_dict(kept["optimiser"])
        with torch.no_grad():
            for own, value in zip(parameters, kept["parameters"], strict=True):
                own.copy_(value)
    embeddings, head = torch.tensor(model.embeddings), (torch.tensor(model.norm), torch.tensor(model.embeddings))
    start = time.process_time() - seconds
    bar = tqdm(total=given.steps, initial=step, desc=f"training through {given.through}", disable=None)
    while step < given.steps:
        torch.manual_seed(given.seed * given.steps + step)  # so that a run that was killed goes on as it would have
        epoch, place = divmod(step, len(windows))
        order = np.random.default_rng((given.seed, epoch)).permutation(len(windows))
        chosen = order[place]
        judged = torch.randperm(given.window)[: given.judged].sort().values
        with torch.no_grad():
            wanted = read_logits(torch.tensor(taught[chosen, judged]), *head, model.epsilon)
        states = embeddings[windows[chosen]][None]
        for block in blocks:
            states = block(states)
        found = read_logits(states[0, judged], *head, model.epsilon)
        loss = nn.functional.kl_div(found, wanted, log_target=True, reduction="batchmean")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        rise = min(1.0, (step + 1) / WARM)
        for group in optimiser.param_groups:
            group["lr"] = given.rate * rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / given.steps)))
        optimiser.step()
        step += 1
        losses.append(loss.item())
        bar.update()
        bar.set_postfix_str(f"divergence {np.mean(losses[-KEEP:]):.3f}")
        if step % KEEP == 0 or step == given.steps:
            state = {"step": step, "losses": losses, "seconds": time.process_time() - start,
                     "optimiser": optimiser.state_dict(), "parameters": [p.detach() for p in parameters]}  # fmt: skip
            file = io.BytesIO()
            torch.save(state, file)
            write_bytes(path, file.getvalue())
            print(f"step {step}: divergence {np.mean(losses[-KEEP:]):.4f}, {state['seconds']:.0f} s of processor time",
                  flush=True)  # fmt: skip
    return losses


def write_adapters(blocks, path, given):
    """Write the adapters by the names of the graphs' inputs."""
    arrays = {}
    for block in blocks[: given.blocks]:
        for product, layer in block.layers().items():
            down, up = adapter_names(product)
            arrays |= {down: layer.down.detach().numpy(), up: layer.up.detach().numpy()}
    write_arrays(path, arrays)


def judge(blocks, digital, files, model, given):
    """Print how far adapters bring the text's next tokens to the digital ones, on the chip as training meets it."""
    tokens = model.windows("text", given.tokens, given.judged_window)
    found = {}
    for path in (None, *files):
        kept = dict(np.load(path)) if path else {}
        for block in blocks[: given.blocks]:
            for product, layer in block.layers().items():
                for own, name in zip((layer.down, layer.up), adapter_names(product), strict=True):
                    own.copy_(torch.tensor(kept[name]) if path else torch.zeros_like(own))
        torch.manual_seed(given.seed)
        states = run_blocks(blocks, tokens, model)
        with one_blas_thread():
            word = path.stem if path else NONE
            found[word] = summarise(compare(model, tokens, states.numpy(), digital.numpy()))
        value, low, high = found[word]["divergence"]
        print(f"{word:18s} divergence {value:.4f}  {low:.4f} .. {high:.4f}, "
              f"perplexity {found[word]['perplexity'][0]:.2f}, same top token {found[word]['same top token'][0]:.4f}",
              flush=True)  # fmt: skip
    return found


def run_blocks(blocks, tokens, model):
    """Return the last states of windows of tokens, one window after the other."""
    states = torch.tensor(model.embeddings[tokens])
    for block in blocks:
        states = torch.cat([block(window) for window in states.split(1)])
    return states


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: train_smollm2.py smollm2 --calibration chip.cal.json --output adapters",
    )
    parser.add_argument("folder", type=Path, help="what scripts/export_smollm2.py wrote")
    parser.add_argument("--calibration", type=Path, required=True, help="of the chip")
    parser.add_argument("--output", type=Path, default=Path("adapters"), help="folder to write, and to go on from")
    parser.add_argument("--device", default="typical", help="real devices")
    parser.add_argument("--seed", type=int, default=0, help="of the chip's devices, and of training")
    parser.add_argument("--through", choices=("chip", "gaussian"), default="chip")
    parser.add_argument("--text", type=Path, nargs="+", default=TEXTS, help="to train on; .gz is unpacked")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--windows", type=int, default=96, help="of text; each is a step")
    parser.add_argument("--window", type=int, default=256, help="tokens that see each other")
    parser.add_argument("--judged", type=int, default=128, help="tokens of a window whose chances are compared")
    parser.add_argument("--tokens", type=int, default=512, help="of the text to judge by, in the end")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--blocks", type=int, help="put the first so many on the chip; the others stay digital")
    given = parser.parse_args(arguments)
    model = Model(given.folder)
    length = min(TYPICAL, len(model.tokens["typical"]))
    words = argparse.Namespace(
        calibration=given.calibration, engine="transfer", device=given.device, seed=given.seed, smooth=0.5,
        tile_rows=None, adapters=(), rank=given.rank, keep=given.output / "kept",
    )  # fmt: skip
    start = time.process_time()
    given.judged_window = min(TYPICAL, given.tokens, len(model.tokens["text"]))
    with torch.no_grad():
        place_blocks(model, Chip(words, model.embeddings[model.windows("typical", length, length)]), given)
        print(f"blocks are on the chip: {time.process_time() - start:.0f} s of processor time", flush=True)
        blocks = [Block(path, model.epsilon) for path in model.blocks]
        windows = read_windows(model, given)
        taught = teach(blocks, windows, model, given)
        digital = run_blocks(blocks, model.windows("text", given.tokens, given.judged_window), model)
        adapt(blocks, model, given, given.through)
        files = [given.output / f"{name}.npz" for name in ("start", given.through)]
        if given.through == "chip":
            write_adapters(blocks, files[0], given)
    losses = train(blocks, windows, taught, model, given)
    with torch.no_grad():
        write_adapters(blocks, files[1], given)
        if given.through != "chip":
            blocks = [Block(path, model.epsilon) for path in model.blocks]
            adapt(blocks, model, given, "chip")
        found = judge(blocks, digital, [path for path in files if path.exists()], model, given)
    write_json(given.output / f"{given.through}.json", {"losses": losses, "judged": found})
    print(f"wrote {files[1]}; judge it with every product quantised: scripts/examples/smollm2.py --adapters")
    return losses, found


if __name__ == "__main__":
    main()
