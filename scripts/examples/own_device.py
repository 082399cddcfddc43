"""A device law of one's own: programmed to 2 %, drifting as a power of time, some cells stuck.

On the command line: spicesim infer .. --device own_device:GLASS --time 1d, in the folder that holds this file.
"""

import spicesim
from spicesim.devices import DeviceModel, PowerDrift
from spicesim.network import digits_network, load_digits
from spicesim.network.dataset import Dataset

GLASS = DeviceModel(
    name="glass",
    programming=(0.02,),  # of the highest conductance, whatever the cell's own
    drift=PowerDrift(t_0=60.0, mean=(0.0, 0.03, 0.0, 0.1), spread=(0.0, 0.01, 0.0, 0.05)),
    stuck_low=1e-3,
    sources=("made up for this example",),
)


def main():
    chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    digits = load_digits()
    data = Dataset(inputs={"x": digits.x[:100]}, labels=digits.y[:100], calibration_inputs=digits.x_calibration)
    for time in ("0s", "1d", "1y"):
        plan = spicesim.RunPlan(engine="fast", device="own_device:GLASS", time=time, chips=2)
        found = spicesim.run(plan, digits_network("mlp"), data, calibration)
        print(f"after {time}: accuracy {found.accuracies.mean():.3f}")


if __name__ == "__main__":
    main()
