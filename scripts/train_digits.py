"""Train the two example networks on scikit-learn's handwritten digits and write them into the package.

Needs ``pip install torch scikit-learn onnx onnxruntime``. Run from the top of the repository::

    python scripts/train_digits.py

It writes digits_mlp.onnx, digits_cnn.onnx and digits.npz into spicesim/network/data; the seed is fixed.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = 0
TEST, CALIBRATION = 400, 128
"""Images never trained on: those for the accuracy, those for the ranges of the converters."""


def split_digits():
    """Return (x, y) for training, calibration and test; x is (images, 1, 8, 8), 0..1, float32."""
    data = load_digits()
    x = (data.images[:, None] / 16).astype(np.float32)
    y = data.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(x))
    test, calibration, train = np.split(order, [TEST, TEST + CALIBRATION])
    return (x[train], y[train]), (x[calibration], y[calibration]), (x[test], y[test])


def build_mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def build_cnn():
    """Build a network that pools early: an image takes 36 + 4 + 1 matrix-vector products."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip


def shift_images(x, generator):
    """Shift each image by less than a pixel at random, by bilinear interpolation."""
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = (torch.rand(len(x), 2, generator=generator) - 0.5) * 0.3
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def train(model, x, y, epochs):
    generator = torch.Generator().manual_seed(SEED)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(shift_images(x[batch], generator)), y[batch]).backward()
            optimiser.step()
        schedule.step()
    return model.eval()


def export(model, path):
    torch.onnx.export(
        model, (torch.zeros(1, 1, 8, 8),), str(path), dynamo=False, opset_version=17,
        input_names=["x"], output_names=["logits"],
        dynamic_axes={"x": {0: "images"}, "logits": {0: "images"}},
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("spicesim/network/data"), help="folder to write")
    parser.add_argument("--epochs", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order
    (x_train, y_train), (x_calibration, _), (x, y) = split_digits()
    arguments.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output / "digits.npz", x=x, y=y, x_calibration=x_calibration)
    for name, build in {"mlp": build_mlp, "cnn": build_cnn}.items():
        torch.manual_seed(SEED)
        model = train(build(), x_train, y_train, arguments.epochs)
        path = arguments.output / f"digits_{name}.onnx"
        export(model, path)
        (logits,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
        print(f"{path}: accuracy {np.mean(logits.argmax(1) == y):.4f} on {len(y)} test images")


if __name__ == "__main__":
    main()
