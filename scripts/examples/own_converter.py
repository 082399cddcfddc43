"""A converter of one's own: uniform, but a code in 16 is never given, as with a comparator that is stuck.

On the command line: spicesim infer .. --converter own_converter:MissingCodes, in the folder that holds this file.
"""

import numpy as np

import spicesim
from spicesim.coding import AdcRange
from spicesim.network import digits_network, load_digits


class MissingCodes(AdcRange):
    """Gives the code below in place of each 16th."""

    def codes(self, volts):
        found = super().codes(volts)
        return np.where(found % 16 == 15, found - 1, found)


def main():
    chip = spicesim.preset("generic-1t1r").changed(array={"rows": 16, "columns": 16})
    calibration = spicesim.calibrate(chip, quick=True, aspects=())
    for converter in (None, "own_converter:MissingCodes"):
        plan = spicesim.RunPlan(converter=converter, gains=False)
        found = spicesim.run(plan, digits_network("mlp"), load_digits().x[:50], calibration)
        snr = [layer.snr_db for layer in found.first.result.stats.layers]
        print(f"{converter or 'AdcRange'}: {np.round(snr, 1)} dB")


if __name__ == "__main__":
    main()
