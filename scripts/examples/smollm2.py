"""A whole language model on a chip: SmolLM2-135M, 30 blocks on 14,040 tiles, beside the digital one.

Needs what scripts/export_smollm2.py writes, whose first lines say how to get it, and a calibration of the chip. Blocks
are compiled, run and let go one after the other, so that no more than one is in memory. Attention, norms and the head
stay digital. Run::

    python scripts/examples/smollm2.py smollm2 --calibration chip.cal.json
    python scripts/examples/smollm2.py smollm2 --calibration chip.cal.json --device typical --audit 8 --energy
    python scripts/examples/smollm2.py smollm2 --calibration chip.cal.json --generate 16

With ``--adapters``, files that scripts/train_smollm2.py wrote, the text runs through the same chip with each of them,
and without.
"""

import argparse
import hashlib
import io
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

import spicesim
from spicesim.chip import preset
from spicesim.crossbar.blas import one_blas_thread
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, ExactEngine, FastEngine, IdealEngine
from spicesim.engine.transfer import TransferEngine
from spicesim.experiment.chip import BuiltChip
from spicesim.experiment.footprint import estimate_footprint
from spicesim.files import write_bytes
from spicesim.mapping import MappingOptions
from spicesim.network.adapters import adapter_shapes, add_adapters
from spicesim.network.model import open_session

sys.path.insert(0, str(Path(__file__).parents[1]))
from export_smollm2 import Tokenizer

ENGINES = {"transfer": TransferEngine, "fast": FastEngine, "exact": ExactEngine}
STAGES = 4
"""Products of a block one after the other: queries, keys and values at a time, output, gate and up at a time, down."""
RUN = 32
"""Tokens that are drawn together for intervals, for neighbours are alike."""
DRAWS = 2000
PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"
NONE = "without adapters"


def write_arrays(path, arrays):
    """Write arrays whole or not at all."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(path, file.getvalue())


class Model:
    """The exported model: its blocks as files, and what stays digital around them."""

    def __init__(self, folder):
        self.blocks = sorted(folder.glob("block_*.onnx"))
        self.tokens = dict(np.load(folder / "tokens.npz"))
        head = np.load(folder / "head.npz")
        self.embeddings, self.norm, self.epsilon = head["embeddings"], head["norm"], float(head["epsilon"])
        self.tokenizer = Tokenizer(**json.loads((folder / "tokenizer.json").read_text()))

    def windows(self, name, tokens, length):
        """Return the first tokens of a text in windows, (windows, length)."""
        count = min(tokens, len(self.tokens[name])) // length
        return self.tokens[name][: count * length].reshape(count, length)

    def log_chances(self, hidden):
        """Return the logarithms of the chances of each next token, (tokens, vocabulary), of states (tokens, width)."""
        x = hidden / np.sqrt(np.mean(hidden**2, axis=-1, keepdims=True) + self.epsilon) * self.norm
        logits = x @ self.embeddings.T
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


class KeptEngine(TransferEngine):
    """The engine that takes the matrices of tiles it has met before from a store, each by all that it depends on."""

    def __init__(self, calibration):
        super().__init__(calibration)
        self.matrices, self._like = {}, {}

    def prepare(self, tile):
        """Take a tile's matrix from the store, or extract it, and put it there."""
        setting = (tile.polarity, tile.r_feedback)
        key = hashlib.sha256(repr((setting, tile.g.shape)).encode() + tile.g.tobytes()).hexdigest()[:32]
        if key in self.matrices and setting in self._like:
            return replace(self._like[setting], tile=tile, transfer=self.matrices[key])
        made = super().prepare(tile)  # all but the matrix is that of each tile of its setting
        self._like[setting], self.matrices[key] = made, made.transfer
        return made


class Chip:
    """Puts blocks on a chip."""

    def __init__(self, given, typical):
        self.given, self.typical, self.seconds, self.kept = given, typical, {}, None
        self.adapters = {NONE: {}} | {path.stem: dict(np.load(path)) for path in given.adapters}
        ups = [own for file in self.adapters.values() for key, own in file.items() if key.endswith(".up")]
        self.rank = max(map(len, ups), default=given.rank)
        self.zeros = {}
        if given.calibration is None:
            self.calibration, self.engine, self.exact = preset("gf180-1t1r"), IdealEngine(preset("gf180-1t1r")), None
            return
        calibration = self.calibration = spicesim.load_calibration(given.calibration)
        is_ideal = given.engine == "ideal"
        self.engine = IdealEngine(calibration.chip) if is_ideal else ENGINES[given.engine](calibration)
        if given.keep and given.engine == "transfer":
            self.engine = self.kept = KeptEngine(calibration)
        self.exact = ExactEngine(calibration)
        if given.device:
            self.engine = DeviceEngine(
                self.engine, calibration.chip, device_preset(given.device), calibration.conductance_range,
                seed=given.seed, box=calibration.conductance_limits,
            )  # fmt: skip

    def place(self, path):
        """Return a block as a network on the chip, its settings fitted on the typical text's states before it."""
        start = time.monotonic()
        model, typical = onnx.load_model(path), {"x": self.typical}
        if self.rank:
            zeros = {key: np.zeros(shape, np.float32) for key, shape in adapter_shapes(model, self.rank).items()}
            model, typical = add_adapters(model, self.rank), typical | zeros
            self.zeros |= zeros
        shared = sorted(set(typical) - {"x"})
        network = spicesim.compile_network(
            model, self.calibration, input_scale="vector", smooth=self.given.smooth,
            mapping=MappingOptions(tile_rows=self.given.tile_rows), batch_axes=dict.fromkeys(shared),
        )  # fmt: skip
        about = (path.stem, self.given.device, self.given.seed, self.typical.shape[1])
        file = self.given.keep and self.given.keep / f"{'-'.join(map(str, about))}.npz"
        if self.kept and file.exists():
            arrays = dict(np.load(file))
            network.use_settings({key: arrays.pop(key) for key in ("document", "gain", "offset")}, typical)
            self.kept.matrices = arrays
            network.prepare(self.engine)
            self._count("prepared", start)
        else:
            network.fit_ranges(typical)
            network.prepare(self.engine)
            self._count("prepared", start)
            start = time.monotonic()
            if self.given.engine != "ideal" or self.given.device:
                network.fit_gains(typical, self.engine)
            self._count("fitted", start)
        if self.kept:
            if not file.exists():
                write_arrays(file, self.kept.matrices | network.settings())
            self.kept.matrices = {}
        self.typical = network.run_digital(typical)
        return network

    def inputs(self, network, x, name=NONE):
        """Return what a block takes: states, and its adapters of a file by name, which are zeros where it has none."""
        own = self.adapters[name]
        return {"x": x} | {key: own.get(key, self.zeros[key]) for key in network.batch_axes if key != "x"}

    def run(self, network, x, sample=0, name=NONE):
        """Run a batch of states through a block, with its adapters of a file by name."""
        start = time.monotonic()
        result = network.run(self.inputs(network, x, name), self.engine, sample=sample, seed=self.given.seed, chunk=1)
        self._count("ran", start)
        return result

    def footprint(self, network, x):
        """Return what a block takes for a window."""
        chip = BuiltChip(engine=self.engine, fitted=self.engine, quick=self.engine, exact=self.exact)
        return estimate_footprint(
            network, self.inputs(network, x), chip, products=self.given.energy * len(network.layers)
        )

    def _count(self, what, start):
        self.seconds[what] = self.seconds.get(what, 0.0) + time.monotonic() - start


def compare(model, tokens, chip, digital):
    """Return, a token, both models' surprise at the next one, their divergence, and whether both would say the same.

    Arrays of shape (windows, length); surprises are NaN at the end of a window.
    """
    found = np.full((4, *tokens.shape), np.nan)
    for k, window in enumerate(tokens):
        for start in range(0, len(window), RUN):
            part = slice(start, min(start + RUN, len(window)))
            p, q = model.log_chances(digital[k, part]), model.log_chances(chip[k, part])
            following = window[part.start + 1 : part.stop + 1]
            rows = np.arange(len(following))
            found[0, k, part][: len(rows)], found[1, k, part][: len(rows)] = -p[rows, following], -q[rows, following]
            found[2, k, part] = np.sum(np.exp(p) * (p - q), axis=1)
            found[3, k, part] = p.argmax(axis=1) == q.argmax(axis=1)
    return found


def summarise(found):
    """Return perplexities, divergence and agreement, each with its 95 % interval by drawing runs of tokens."""
    runs = found.reshape(len(found), -1, RUN)
    sums, counts = np.nansum(runs, axis=2), np.sum(~np.isnan(runs), axis=2)
    drawn = np.random.default_rng(0).integers(sums.shape[1], size=(DRAWS, sums.shape[1]))
    means = sums.sum(axis=1) / counts.sum(axis=1)
    spread = sums[:, drawn].sum(axis=2) / counts[:, drawn].sum(axis=2)
    ends = np.quantile(spread, (0.025, 0.975), axis=1).T
    names = ("digital perplexity", "perplexity", "divergence", "same top token")
    shown = (np.exp, np.exp, np.array, np.array)
    return {name: (float(f(m)), *f(e).tolist()) for name, f, m, e in zip(names, shown, means, ends, strict=True)}


def judge(model, chip, given):
    """Run the text through all blocks, on the chip and digitally."""
    tokens = model.windows("text", given.tokens, given.window)
    digital = model.embeddings[tokens]
    states = dict.fromkeys(chip.adapters, digital)
    networks, samples, footprints = [], [], []
    placed = model.blocks[: given.blocks]
    for k, path in enumerate(placed):
        network = chip.place(path)
        each = given.audit * (k + 1) // len(placed) - given.audit * k // len(placed)
        for name in states:
            result = chip.run(network, states[name], each if name == list(states)[-1] else 0, name)
            states[name] = result.logits
        samples += result.samples
        if given.energy:
            footprints.append(chip.footprint(network, digital[:1, :RUN]))
        digital = network.run_digital(chip.inputs(network, digital), chunk=1)
        if given.generate:
            networks.append(network)
        errors = [10 * np.log10(np.mean(digital**2) / np.mean((own - digital) ** 2)) for own in states.values()]
        print(
            f"{path.stem}: {', '.join(f'{error:5.1f} dB' for error in errors)}, "
            + ", ".join(f"{w} in {s:.0f} s" for w, s in chip.seconds.items()),
            flush=True,
        )
    for path in model.blocks[len(placed) :]:
        session = open_session(onnx.load_model(path))
        digital, *others = (session.run(None, {"x": x})[0] for x in (digital, *states.values()))
        states = dict(zip(states, others, strict=True))
    print(f"{tokens.size} tokens in windows of {given.window}, with 95 % intervals:")
    found = {}
    for adapters, own in states.items():
        with one_blas_thread():
            found[adapters] = summarise(compare(model, tokens, own, digital))
        if len(states) > 1:
            print(f" {adapters}")
        for name, (value, low, high) in found[adapters].items():
            print(f"  {name:20s} {value:8.4f}  {low:.4f} .. {high:.4f}", flush=True)
    found = found if len(found) > 1 else found[NONE]
    if footprints:
        show_footprint(footprints)
    if samples:
        audit = spicesim.audit_samples(samples, chip.calibration, progress="audit")
        print(f"audit of {audit.count} products: largest error {100 * audit.max_error:.4f} % of full scale, "
              f"RMS {100 * audit.rms_error:.4f} %, {audit.ngspice_seconds:.0f} s a product in ngspice")  # fmt: skip
        found["audit"] = audit.max_error
    return found, networks


def show_footprint(footprints):
    """Print energy and time a token of all blocks, found on the first tokens of the text."""
    energy = sum(own.total_energy for own in footprints) / RUN
    error = sum(own.standard_error**2 for own in footprints) ** 0.5 / RUN
    product = max(layer.latency for own in footprints for layer in own.layers) / RUN
    blocks = {name: sum(own.energy[name] for own in footprints) / RUN for name in footprints[0].energy}
    print(f"energy a token {1e6 * energy:.2f} uJ +- {1e6 * error:.2f} (one standard error): "
          + ", ".join(f"{name} {1e6 * joule:.2f}" for name, joule in blocks.items()))  # fmt: skip
    read, written = 1 / product, 1 / (product * STAGES * len(footprints))
    print(f"a layer takes {1e9 * product:.0f} ns a token: at most {read:,.0f} tokens a second read, "
          f"{written:,.0f} written one after the other, digital work left out")  # fmt: skip


def generate(model, chip, networks, given):
    """Let chip and digital model go on from a prompt, each by its own most likely tokens."""
    prompt = model.tokenizer.encode(PROMPT.format(given.prompt))
    said = {}
    for name in ("digital", *chip.adapters):
        tokens = list(prompt)
        while len(tokens) < len(prompt) + given.generate:
            states = model.embeddings[tokens][None]
            for network in networks:
                if name == "digital":
                    states = network.run_digital(chip.inputs(network, states))
                else:
                    states = chip.run(network, states, name=name).logits
            tokens.append(int(model.log_chances(states[0, -1:])[0].argmax()))
            if model.tokenizer.decode(tokens[-1:]) == END:
                break
        word = "chip" if name == NONE else name
        said[word] = model.tokenizer.decode(tokens[len(prompt) :])
        print(f"{word:8s} {said[word]!r}", flush=True)
    return said


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what scripts/export_smollm2.py wrote")
    parser.add_argument(
        "--calibration", type=Path, help="of the chip; without, ideal products of the preset gf180-1t1r"
    )
    parser.add_argument("--engine", choices=("ideal", *ENGINES), default="transfer")
    parser.add_argument("--device", help="real devices, such as typical")
    parser.add_argument("--adapters", type=Path, nargs="*", default=(), help="of scripts/train_smollm2.py, to compare")
    parser.add_argument("--rank", type=int, default=0, help="of adapters of zeros, where no file is given")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep matrices and settings for later runs")
    parser.add_argument("--seed", type=int, default=0, help="of the chip's devices and of samples")
    parser.add_argument("--smooth", type=float, default=0.5, help="strength of smoothing, 0..1; below 0 for none")
    parser.add_argument("--tile-rows", type=int, help="word lines that a tile takes at most")
    parser.add_argument("--blocks", type=int, help="put the first so many on the chip; the others stay digital")
    parser.add_argument("--tokens", type=int, default=512, help="to judge it by")
    parser.add_argument("--window", type=int, default=512, help="tokens that see each other, a multiple of 32")
    parser.add_argument("--audit", type=int, default=0, help="products to do in ngspice")
    parser.add_argument("--energy", type=int, default=0, metavar="N", help="products a layer to find energies of")
    parser.add_argument("--generate", type=int, default=0, help="tokens to generate; all blocks are kept in memory")
    parser.add_argument("--prompt", default="What is the capital of France?")
    given = parser.parse_args(arguments)
    if given.generate and given.blocks:
        parser.error("text is generated by whole models; leave out --blocks")
    given.smooth = None if given.smooth < 0 else given.smooth

    start, processor = time.monotonic(), time.process_time()
    model = Model(given.folder)
    typical = model.embeddings[model.windows("typical", given.window, given.window)]
    chip = Chip(given, typical)
    found, networks = judge(model, chip, given)
    if given.generate:
        found |= generate(model, chip, networks, given)
    seconds = f"{time.monotonic() - start:.0f} s, processor {time.process_time() - processor:.0f} s"
    print(f"{seconds}, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    return found


if __name__ == "__main__":
    main()
