"""A transformer at circuit fidelity: MiniLM-L6 on 1,296 tiles, judged by WordSim-353.

Needs what scripts/export_minilm.py writes, whose first lines say how to get it, and a calibration of a chip, whatever
its macro. Run::

    spicesim init --preset gf180-1t1r -o chip.toml
    spicesim calibrate chip.toml --aspects "" -o chip.cal.json
    python scripts/examples/06_minilm.py minilm --calibration chip.cal.json
    python scripts/examples/06_minilm.py minilm --calibration chip.cal.json --device typical --audit 8
"""

import argparse
import resource
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import spicesim
from spicesim.experiment.plan import MappingPlan
from spicesim.network.dataset import Dataset

TOLERANCE = 3e-3
"""Largest error of an output, of its converter's range: .8 of a step, at inputs that are wilder than any in use."""
LEAST_COSINE = {None: 0.985, "typical": 0.95}
"""Of amplifiers that hold their lines."""
LEAST_OTHERS = 0.9
"""Of other read-outs, whose steps are larger beside what they read: .954 on gf180-voltage, .939 on gf180-pulse."""


def correlate(embeddings, pairs):
    """Return Spearman's correlation between cosines of words and what people said."""
    first, second = embeddings[pairs["first"]], embeddings[pairs["second"]]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return spearmanr(np.sum(first * second, axis=1) / lengths, pairs["human"]).statistic


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what scripts/export_minilm.py wrote")
    parser.add_argument("--calibration", type=Path, default=Path("chip.cal.json"))
    parser.add_argument("--device", help="real devices, such as typical")
    parser.add_argument("--seed", type=int, default=0, help="of the chip's devices and of the audit's sample")
    parser.add_argument("--audit", type=int, default=0, help="products to do in ngspice")
    parser.add_argument("--tile-rows", type=int, help="rows of a tile that are used, where amplifiers bear no more")
    parser.add_argument("--smooth", type=float, help="strength of the smoothing of inputs, such as .5")
    given = parser.parse_args(arguments)
    words, typical, pairs = (
        dict(np.load(given.folder / f"{name}.npz")) for name in ("wordsim", "calibration", "pairs")
    )
    plan = spicesim.RunPlan(
        engine="fast", tolerance=TOLERANCE, device=given.device, audit=given.audit, seed=given.seed,
        mapping=MappingPlan(input_scale="vector", tile_rows=given.tile_rows, smooth=given.smooth),
    )  # fmt: skip
    data = Dataset(inputs=words, labels=None, calibration_inputs=typical)
    ran = spicesim.run(plan, given.folder / "minilm.onnx", data, given.calibration, progress=True).first
    stats = ran.result.stats
    print(f"prepared in {ran.preparation_seconds:.1f} s, run in {ran.seconds:.1f} s, {stats.mvms:,} tile products")
    print("".join(f"note: {note}\n" for note in stats.notes if "stays digital" not in note), end="")

    analog, digital = ran.result.logits, ran.digital
    lengths = np.linalg.norm(analog, axis=1) * np.linalg.norm(digital, axis=1)
    cosine = float(np.mean(np.sum(analog * digital, axis=1) / lengths))
    found, wanted = correlate(analog, pairs), correlate(digital, pairs)
    print(
        f"WordSim-353: Spearman {found:.4f}, digital {wanted:.4f}; mean cosine to the digital embeddings {cosine:.4f}"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if ran.audit is not None:
        audit = ran.audit
        print(
            f"audit of {audit.count} products: largest error {100 * audit.max_error:.4f} % of full scale, "
            f"RMS {100 * audit.rms_error:.4f} %"
        )
        assert audit.max_error < 2e-3
    assert abs(found - wanted) < 0.02
    holds = spicesim.load_calibration(given.calibration).chip.sense_amplifier.kind == "tia"
    assert cosine > (LEAST_COSINE.get(given.device, 0.0) if holds else LEAST_OTHERS)


if __name__ == "__main__":
    main()
