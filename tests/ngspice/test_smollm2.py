"""The language model's example on a tiny model of the same architecture, with random weights, against numpy alone."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

pytestmark = pytest.mark.long

SCRIPTS = Path(__file__).parents[2] / "scripts"
WIDTH, HEADS, GROUPS, WIDE, BLOCKS, VOCABULARY = 64, 4, 2, 96, 2, 300
BASE, EPSILON = 1000.0, 1e-5
MARKS = ["<|im_start|>", "<|im_end|>"]
TOKENS = 128


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def export():
    return load(SCRIPTS / "export_smollm2.py")


@pytest.fixture(scope="module")
def example(export):
    return load(SCRIPTS / "examples" / "smollm2.py")


def draw_block(generator):
    """Draw the weights of a block as they stand in the file: rows of rotated pairs side by side."""
    head = WIDTH // HEADS
    sizes = {
        "attn_q": (HEADS * head, WIDTH), "attn_k": (GROUPS * head, WIDTH), "attn_v": (GROUPS * head, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_gate": (WIDE, WIDTH), "ffn_up": (WIDE, WIDTH), "ffn_down": (WIDTH, WIDE),
    }  # fmt: skip
    block = {name: generator.normal(size=size) / np.sqrt(size[1]) for name, size in sizes.items()}
    return block | {name: generator.uniform(0.5, 1.5, WIDTH) for name in ("attn_norm", "ffn_norm")}


def norm(x, gain):
    return gain * x / np.sqrt(np.mean(x**2) + EPSILON)


def rotate(x, place):
    """Turn neighbouring numbers of a head as complex numbers."""
    turned = (x[0::2] + 1j * x[1::2]) * np.exp(1j * place * BASE ** (-2 * np.arange(len(x) // 2) / len(x)))
    return np.stack([turned.real, turned.imag], axis=1).ravel()


def run_block(w, x):
    """Run a block in numpy, one token, head and pair at a time; states (tokens, WIDTH)."""
    head, out = WIDTH // HEADS, np.empty_like(x)
    keys, values = [], []
    for place, state in enumerate(x):
        a = norm(state, w["attn_norm"])
        q, k, v = ((w[f"attn_{part}"] @ a).reshape(-1, head) for part in "qkv")
        keys.append([rotate(one, place) for one in k])
        values.append(v)
        mixed = []
        for h in range(HEADS):
            own = h * GROUPS // HEADS
            scores = np.array([rotate(q[h], place) @ key[own] / np.sqrt(head) for key in keys])
            chances = np.exp(scores - scores.max())
            mixed.append(sum(c * value[own] for c, value in zip(chances / chances.sum(), values, strict=True)))
        middle = state + w["attn_output"] @ np.concatenate(mixed)
        b = norm(middle, w["ffn_norm"])
        gate = w["ffn_gate"] @ b
        out[place] = middle + w["ffn_down"] @ (gate / (1 + np.exp(-gate)) * (w["ffn_up"] @ b))
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, export):
    """Export a tiny model; return its folder, weights as in the file, embeddings, norm and tokens."""
    folder, generator = tmp_path_factory.mktemp("tiny"), np.random.default_rng(2)
    shape = export.Shape(width=WIDTH, heads=HEADS, groups=GROUPS, base=BASE, epsilon=EPSILON)
    blocks = [draw_block(generator) for _ in range(BLOCKS)]
    for k, block in enumerate(blocks):
        own = {name: w.astype(np.float32) for name, w in block.items()}
        own["attn_q"], own["attn_k"] = export.unpermute(own["attn_q"], HEADS), export.unpermute(own["attn_k"], GROUPS)
        onnx.save_model(export.build_block(own, shape, f"block_{k:02d}"), folder / f"block_{k:02d}.onnx")
    embeddings = generator.normal(0, 0.25, (VOCABULARY, WIDTH)).astype(np.float32)  # several tokens have a chance
    gain = generator.uniform(0.5, 1.5, WIDTH).astype(np.float32)
    np.savez(folder / "head.npz", embeddings=embeddings, norm=gain, epsilon=EPSILON)
    text, typical = (generator.integers(VOCABULARY, size=TOKENS) for _ in range(2))
    np.savez(folder / "tokens.npz", text=text, typical=typical)
    letters = [chr(256 + k) for k in range(VOCABULARY - len(MARKS) - 94)]
    vocabulary = [*MARKS, *map(chr, range(33, 127)), *letters]
    (folder / "tokenizer.json").write_text(json.dumps({"vocabulary": vocabulary, "merges": []}))
    return folder, blocks, embeddings.astype(float), gain, text


@pytest.fixture(scope="module")
def by_numpy(tiny):
    """Return the digital perplexity of the text in windows of 64 tokens, and the logits."""
    _, blocks, embeddings, gain, text = tiny
    logits = []
    for window in text.reshape(-1, 64):
        x = embeddings[window]
        for block in blocks:
            x = run_block(block, x)
        logits.append([embeddings @ norm(state, gain) for state in x])
    logits = np.array(logits)
    chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances /= chances.sum(axis=-1, keepdims=True)
    following = text.reshape(-1, 64)[:, 1:]
    surprise = -np.log(np.take_along_axis(chances[:, :-1], following[..., None], axis=-1))
    return float(np.exp(surprise.mean())), logits


def run(example, tiny, *options):
    return example.main([str(tiny[0]), "--tokens", str(TOKENS), "--window", "64", *options])


def test_the_exported_model_is_the_one_of_numpy(example, tiny, by_numpy):
    found = run(example, tiny, "--engine", "ideal")
    value, low, high = found["digital perplexity"]
    assert value == pytest.approx(by_numpy[0], rel=1e-4)
    assert low < value < high


def test_queries_that_stay_permuted_would_be_seen(tiny, export):
    """The model is sensitive to the order of rows, so the tests here hold it."""
    _, blocks, embeddings, _, text = tiny
    shape = export.Shape(width=WIDTH, heads=HEADS, groups=GROUPS, base=BASE, epsilon=EPSILON)
    x = embeddings[text[:16]]
    right = run_block(blocks[0], x)

    def error(weights):
        block = export.build_block({name: w.astype(np.float32) for name, w in weights.items()}, shape, "b")
        session = onnxruntime.InferenceSession(block.SerializeToString())
        (found,) = session.run(None, {"x": x[None].astype(np.float32)})
        return np.abs(found[0] - right).max() / np.abs(right).max()

    in_order = {"attn_q": export.unpermute(blocks[0]["attn_q"], HEADS)}
    assert error(blocks[0] | in_order) > 1e-2
    in_order["attn_k"] = export.unpermute(blocks[0]["attn_k"], GROUPS)
    assert error(blocks[0] | in_order) < 1e-5


def test_the_chip_is_close_and_devices_take_their_toll(example, tiny, gf180_calibration, tmp_path):
    path = tmp_path / "chip.cal.json"
    gf180_calibration.save(path)
    options = ("--calibration", str(path))
    found = run(example, tiny, *options, "--audit", "2")
    assert 0 < found["divergence"][0] < 0.02
    assert found["same top token"][0] > 0.85
    assert 0 < found["audit"] < 5e-3
    worse = run(example, tiny, *options, "--device", "typical")
    assert worse["divergence"][0] > 4 * found["divergence"][0]


def test_both_go_on_from_a_prompt(example, tiny, export):
    """The digital model says what numpy finds likeliest, token by token."""
    folder, blocks, embeddings, gain, _ = tiny
    options = ["--tokens", "64", "--window", "64", "--generate", "3", "--prompt", "abc", "--engine", "ideal"]
    found = example.main([str(folder), *options])
    tokenizer = example.Model(folder).tokenizer
    tokens = tokenizer.encode(example.PROMPT.format("abc"))
    start = len(tokens)
    for _ in range(3):
        x = embeddings[tokens]
        for block in blocks:
            x = run_block(block, x)
        tokens.append(int(np.argmax(embeddings @ norm(x[-1], gain))))
    assert found["digital"] == tokenizer.decode(tokens[start:])
    assert found["chip"]


def test_text_becomes_tokens_and_text_again(export):
    vocabulary = [*MARKS, *map(chr, range(33, 127)), "\u0120", "\u0120th", "th", "the", "\u0120the", "\u010a"]
    tokenizer = export.Tokenizer(vocabulary, ["t h", "th e", "\u0120 the"])
    words = [vocabulary[number] for number in tokenizer.encode("the then 12\n<|im_end|>a")]
    assert words == ["the", "\u0120the", "n", "\u0120", "1", "2", "\u010a", "<|im_end|>", "a"]
    assert tokenizer.decode(tokenizer.encode("the then 12\n")) == "the then 12\n"


def test_blocks_that_stay_digital_take_no_toll(example, tiny):
    """Fewer blocks on the chip diverge less, and the digital model is the same."""
    one, both = (run(example, tiny, "--engine", "ideal", *options) for options in (("--blocks", "1"), ()))
    assert 0 < one["divergence"][0] < both["divergence"][0]
    assert one["digital perplexity"] == pytest.approx(both["digital perplexity"], rel=1e-5)


@pytest.fixture(scope="module")
def calibrated(gf180_calibration, tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "chip.cal.json"
    gf180_calibration.save(path)
    return "--calibration", str(path), "--device", "typical"


def test_a_chip_that_was_kept_is_the_same(example, tiny, calibrated, tmp_path):
    """Without devices, whose reads are other ones, for the second run fits no gains."""
    kept = ("--keep", str(tmp_path / "kept"))
    plain, first, second = (run(example, tiny, *calibrated[:2], *options) for options in ((), kept, kept))
    assert len(list((tmp_path / "kept").iterdir())) == BLOCKS
    assert plain == first == second


@pytest.fixture
def trained(example, tiny, calibrated, tmp_path):
    """Return what trains adapters of the tiny model for so many steps, into a folder."""
    pytest.importorskip("torch", reason="needs torch; pip install 'spicesim[train]'")
    script, text = load(SCRIPTS / "train_smollm2.py"), tmp_path / "text"
    letters = np.random.default_rng(7).integers(33, 127, 2000)
    text.write_text(bytes(letters.astype(np.uint8)).decode())
    numbers = {"rank": 6, "windows": 16, "window": 64, "judged": 64, "tokens": 64, "rate": 2e-3}
    words = [*(f"--{name}={value}" for name, value in numbers.items()), "--text", str(text)]

    def train(steps, folder="out", *options):
        return script.main(
            [
                str(tiny[0]),
                *calibrated,
                "--output",
                str(tmp_path / folder),
                "--steps",
                str(steps),
                *words,
                str(text),
                *options,
            ]
        )

    return script, train


@pytest.mark.torch
def test_adapters_mend_what_their_chip_gets_wrong(example, tiny, calibrated, trained, tmp_path):
    """Those trained through the chip more than those fitted layer by layer, on a text that no training has seen."""
    expected = trained[1](60)[1]
    files = [str(tmp_path / "out" / f"{name}.npz") for name in ("start", "chip")]
    found = run(example, tiny, *calibrated, "--tokens", "64", "--adapters", *files)
    without, start, chip = (found[name]["divergence"][0] for name in ("without adapters", "start", "chip"))
    assert chip < start < without
    assert chip < 0.8 * without
    for name in ("without adapters", "start", "chip"):  # the chip that training meets is the one of the engine
        assert expected[name]["divergence"][0] == pytest.approx(found[name]["divergence"][0], rel=0.3)


@pytest.mark.torch
def test_training_that_was_killed_goes_on_as_it_would_have(trained, monkeypatch, tmp_path):
    script, train = trained
    monkeypatch.setattr(script, "KEEP", 2)
    whole = train(5)[0]
    for name in ("chip.state", "chip.npz"):
        (tmp_path / "out" / name).unlink()
    write = script.write_bytes

    def write_and_die(path, data):
        write(path, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "write_bytes", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(5)
    monkeypatch.setattr(script, "write_bytes", write)
    assert train(5)[0] == whole


@pytest.mark.torch
def test_training_through_gaussian_errors_starts_from_nothing(trained):
    losses, found = trained[1](3, "out", "--through", "gaussian")
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    assert list(found) == ["without adapters", "gaussian"]
