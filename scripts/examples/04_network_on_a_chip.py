"""A network on a calibrated chip: accuracy at circuit fidelity, and an audit at transistor level."""

import numpy as np

import spicesim
from spicesim.network import digits_network, load_digits


def main() -> None:
    """Calibrate a small chip quickly, run 100 digits, audit four tile products."""
    chip = spicesim.preset("generic-1t1r").changed(array={"rows": 32, "columns": 32})
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    digits = load_digits()
    network = spicesim.compile_network(digits_network("mlp"), calibration, x_calibration=digits.x_calibration)
    x, y = digits.x[:100], digits.y[:100]
    for engine in ("ideal", "exact"):
        accuracy = np.mean(network.run(x, engine).logits.argmax(axis=1) == y)
        print(f"{engine:6s} {accuracy:.2f}")
    audit = network.audit(x, count=4)
    print(
        f"audit: largest error {1e6 * audit.max_error:.1f} ppm of full scale, {100 * audit.codes[0]:.1f} % same codes"
    )
    assert audit.max_error < 5e-4


if __name__ == "__main__":
    main()
