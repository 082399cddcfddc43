"""A transformer at circuit fidelity: MiniLM-L6 on 1,296 tiles, judged by WordSim-353.

Needs what scripts/export_minilm.py writes, whose first lines say how to get it, and a calibration of the chip. Run::

    spicesim init --preset gf180-1t1r -o chip.toml
    spicesim calibrate chip.toml --aspects "" -o chip.cal.json
    python scripts/examples/06_minilm.py minilm --calibration chip.cal.json
    python scripts/examples/06_minilm.py minilm --calibration chip.cal.json --device typical --audit 8
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import spicesim
from spicesim.devices.presets import device_preset
from spicesim.engine import DeviceEngine, FastEngine

TOLERANCE = 3e-3
"""Largest error of an output, of its converter's range: .8 of a step, at inputs that are wilder than any in use."""
LEAST_COSINE = {None: 0.985, "typical": 0.95}


class Clock:
    """Tell how long each step took, by the wall and in the processor."""

    def __init__(self):
        self.last = time.monotonic(), time.process_time()

    def tell(self, step):
        now = time.monotonic(), time.process_time()
        print(f"{step:40s} {now[0] - self.last[0]:6.1f} s, processor {now[1] - self.last[1]:6.1f} s", flush=True)
        self.last = now


def correlate(embeddings, pairs):
    """Return Spearman's correlation between cosines of words and what people said."""
    cosines = np.sum(embeddings[pairs["first"]] * embeddings[pairs["second"]], axis=1)
    return spearmanr(cosines, pairs["human"]).statistic


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what scripts/export_minilm.py wrote")
    parser.add_argument("--calibration", type=Path, default=Path("chip.cal.json"))
    parser.add_argument("--device", help="real devices, such as typical")
    parser.add_argument("--seed", type=int, default=0, help="of the chip's devices and of the audit's sample")
    parser.add_argument("--audit", type=int, default=0, help="products to do in ngspice")
    given = parser.parse_args(arguments)
    words, typical, pairs = (
        dict(np.load(given.folder / f"{name}.npz")) for name in ("wordsim", "calibration", "pairs")
    )

    clock = Clock()
    calibration = spicesim.load_calibration(given.calibration)
    network = spicesim.compile_network(
        given.folder / "minilm.onnx", calibration, x_calibration=typical, input_scale="vector"
    )
    clock.tell(f"compiled, {len(network.layers)} layers on arrays")
    engine = FastEngine(calibration, tolerance=TOLERANCE)
    if given.device:
        limits, box = calibration.conductance_range, calibration.conductance_limits
        model = device_preset(given.device)
        engine = DeviceEngine(engine, calibration.chip, model, limits, seed=given.seed, box=box)
    prepared = network.prepare(engine, progress=True)
    forms = [tile.form for layer in prepared for tile in layer]
    clock.tell(f"prepared {len(forms)} tiles, {forms.count('exact')} to be solved exactly")
    network.fit_gains(typical, engine)
    clock.tell("fitted gains")
    result = network.run(words, engine, sample=given.audit, seed=given.seed, progress=True)
    clock.tell(f"ran {len(result.logits)} words, {result.stats.mvms:,} tile products")

    digital = network.run_digital(words)
    lengths = np.linalg.norm(result.logits, axis=1) * np.linalg.norm(digital, axis=1)
    cosine = float(np.mean(np.sum(result.logits * digital, axis=1) / lengths))
    found, wanted = correlate(result.logits, pairs), correlate(digital, pairs)
    print(
        f"WordSim-353: Spearman {found:.4f}, digital {wanted:.4f}; mean cosine to the digital embeddings {cosine:.4f}"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    assert abs(found - wanted) < 0.02
    assert cosine > LEAST_COSINE.get(given.device, 0.0)
    if given.audit:
        audit = spicesim.audit_samples(result.samples, calibration, progress="audit")
        clock.tell(f"audited {audit.count} products in ngspice")
        print(f"audit: largest error {100 * audit.max_error:.4f} % of full scale, RMS {100 * audit.rms_error:.4f} %")
        assert audit.max_error < 2e-3


if __name__ == "__main__":
    main()
