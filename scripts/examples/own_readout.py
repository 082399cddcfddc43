"""A read-out of one's own: a current conveyor in front of a resistor, in this one file: own_readout/tia.cir.

A description names the folder, ``library = "own_readout"``: a subcircuit there stands in for that of the library with
the same name and ports. It is data, so there is nothing to trust. On the command line: spicesim calibrate chip.toml ..
Input and output against current are found in ngspice, whole tiles are held against them, and audits do products again
with these transistors.
"""

from pathlib import Path

import numpy as np

import spicesim
from spicesim.network import digits_network, load_digits


def main():
    chip = spicesim.preset("generic-1t1r").changed(
        library=str(Path(__file__).parent / "own_readout"),
        array={"rows": 16, "columns": 8},
        sense_amplifier={"r_feedback": (5e3, 10e3, 20e3)},
    )
    calibration = spicesim.calibrate(chip, quick=True, aspects=("energy", "noise"))
    worst = max(check.max_error for check in calibration.checks)
    print(f"{len(calibration.checks)} whole tiles: at most {100 * worst:.5f} % of full scale off")
    model = calibration.senseamps[0]
    moved = 1e3 * np.ptp(model.v_in)
    print(f"{model.parameters['gain'].value:.3f} of the current comes out, and the input moves by {moved:.1f} mV")
    found = spicesim.run(spicesim.RunPlan(audit=4), digits_network("mlp"), load_digits().x[:50], calibration)
    print(f"audit: at most {100 * found.first.audit.max_error:.5f} % of full scale off")
    assert found.first.audit.max_error < calibration.verdict.claim


if __name__ == "__main__":
    main()
