"""Train a LeNet further for a harsh chip, with the chip in the loop, and say what that recovers.

The chip has wires of 2.5 ohm a cell, cells of 5..100 uS, ADCs of 6 bits, and devices with a programming error of 5 %,
read noise of 2 % and .1 % stuck. Each training step meets another such chip. Needs the extra ``train`` of spicesim, the
images of Debian's package dataset-fashion-mnist, and what scripts/train_fashion.py writes. Run::

    python scripts/train_fashion.py --networks lenet --output fashion
    python scripts/train_on_chip.py --network fashion/lenet.onnx --data fashion/fashion.npz --output lenet_chip.onnx

Accuracies are of the fast engine, which knows nothing of the training, on chips that the training has not met. To tell
what the circuit adds to the common recipe, ``--through gaussian --spread 0.05`` meets weights with Gaussian errors of
5 % of a layer's largest in place of the chip, drawn anew in each step, and ``--spread 0`` none; all else is the same.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils import parametrize
from train_fashion import CALIBRATION, IMAGES, SEED, build_lenet, export, read_images

import spicesim
from spicesim.devices import DeviceModel
from spicesim.network.dataset import load_dataset
from spicesim.torch import TrainingChip, make_analog, make_digital


def read_noise(wanted, x, time, *, sigma):
    return np.full_like(x, sigma)


HARSH = DeviceModel(
    name="harsh", programming=(0.05,), read=partial(read_noise, sigma=0.02), stuck_low=0.5e-3, stuck_high=0.5e-3
)


def calibrate_harsh_chip():
    chip = spicesim.preset("gf180-1t1r").changed(
        name="gf180-harsh", array={"r_word_line": 2.5, "r_bit_line": 2.5}, cell={"g_min": 5e-6, "g_max": 100e-6},
        adc={"bits": 6}, dac={"buffer_drive": 12.0},
    )  # fmt: skip
    return spicesim.calibrate(chip, quick=True, aspects=(), progress=True)


def load_lenet(path):
    """Build the network with the weights of an ONNX file that scripts/train_fashion.py wrote."""
    model = build_lenet()
    values = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
    model.load_state_dict({name: torch.from_numpy(values[name].copy()) for name in model.state_dict()})
    return model


def measure(path, dataset, calibration, seeds):
    """Return digital accuracy, accuracies of chips, and the RMS errors of their logits."""
    plan = spicesim.RunPlan(engine="fast", device="train_on_chip:HARSH", chips=len(seeds), seed=seeds[0])
    found = spicesim.run(plan, path, dataset, calibration)
    return found.first.digital_accuracy, found.accuracies, found.logit_errors


class Erring(nn.Module):
    """Weights with Gaussian errors while they are trained, of a share of the largest."""

    def __init__(self, spread):
        super().__init__()
        self.spread = spread

    def forward(self, weight):
        if not self.training:
            return weight
        return weight + self.spread * weight.detach().abs().max() * torch.randn_like(weight)


def make_erring(model, spread):
    for layer in layers_of(model):
        parametrize.register_parametrization(layer, "weight", Erring(spread))
    return model


def make_sure(model):
    for layer in layers_of(model):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    return model


def layers_of(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def train(model, x, y, *, epochs, batch, rate):
    generator = torch.Generator().manual_seed(SEED)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    steps = epochs * -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start, losses = time.process_time(), []
    for epoch in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(batch):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen], label_smoothing=0.05)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) % 50 == 0:
                spent = time.process_time() - start
                print(f"step {len(losses)} of {steps}: loss {np.mean(losses[-50:]):.4f}, {spent:.0f} s CPU", flush=True)
        print(f"epoch {epoch + 1}: loss {np.mean(losses[-100:]):.4f}", flush=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", type=Path, default=Path("fashion/lenet.onnx"))
    parser.add_argument("--data", type=Path, default=Path("fashion/fashion.npz"))
    parser.add_argument("--calibration", type=Path, help="of the harsh chip; calibrated quickly by default")
    parser.add_argument("--output", type=Path, default=Path("lenet_chip.onnx"))
    parser.add_argument("--json", type=Path, help="write the numbers")
    parser.add_argument("--images", type=int, default=1000, help="test images")
    parser.add_argument("--chips", type=int, default=4, help="chips to measure on")
    parser.add_argument("--through", choices=("chip", "gaussian"), default="chip", help="what training meets")
    parser.add_argument("--spread", type=float, default=0.05, help="of Gaussian errors, of a layer's largest weight")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-images", type=int, help="train on the first N only")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    calibration = (
        calibrate_harsh_chip() if arguments.calibration is None else spicesim.load_calibration(arguments.calibration)
    )
    x, y = read_images(IMAGES, "train")
    kept = slice(CALIBRATION, None if arguments.train_images is None else CALIBRATION + arguments.train_images)
    x, y = torch.from_numpy(x[kept]), torch.from_numpy(y[kept])
    dataset, seeds = load_dataset(arguments.data).first(arguments.images), range(1000, 1000 + arguments.chips)
    digital, before, errors_before = measure(arguments.network, dataset, calibration, seeds)
    print(f"before: digital {digital:.4f}, on the chip {before.mean():.4f} {before.round(4)}", flush=True)
    if arguments.through == "chip":
        chip = TrainingChip(calibration=calibration, device=HARSH)
        meet, leave = partial(make_analog, chip=chip), make_digital
    else:
        meet, leave = partial(make_erring, spread=arguments.spread), make_sure
    model = meet(load_lenet(arguments.network))
    start = time.process_time()
    train(model, x, y, epochs=arguments.epochs, batch=arguments.batch, rate=arguments.rate)
    spent = time.process_time() - start
    model = leave(model).eval()
    export(model, arguments.output, 17, False)
    digital_after, after, errors_after = measure(arguments.output, dataset, calibration, seeds)
    print(f"after: digital {digital_after:.4f}, on the chip {after.mean():.4f} {after.round(4)}")
    recovered = (after.mean() - before.mean()) / (digital - before.mean())
    print(f"training took {spent:.0f} s of a processor")
    print(f"recovered: {recovered:.0%} of what the chip cost")
    print(f"logits off by {errors_before.mean():.3f} RMS before, {errors_after.mean():.3f} after")
    if arguments.json is not None:
        numbers = {
            "digital": digital, "chip": before.tolist(), "digital_after": digital_after, "chip_after": after.tolist(),
            "recovered": float(recovered), "logit_errors": errors_before.tolist(),
            "logit_errors_after": errors_after.tolist(), "images": arguments.images, "epochs": arguments.epochs,
            "through": arguments.through, "spread": arguments.spread, "seconds": spent,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
