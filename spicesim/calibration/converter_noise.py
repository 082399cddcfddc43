"""Noise of a conversion, by closed forms, as no large signal has a noise analysis."""

import numpy as np
from scipy.constants import Boltzmann, zero_Celsius

from spicesim.calibration.campaign import Campaign
from spicesim.chip import Chip
from spicesim.chip.blocks import SarAdc
from spicesim.netlist.sar_adc import build_strobe

__all__ = ["converter_noise"]

GAMMA = 2 / 3
"""Noise of a saturated transistor's channel relative to a conductance of its transconductance [1]."""


def converter_noise(chip: Chip, sizes: SarAdc, campaign: Campaign) -> tuple[float, float | None]:
    """Find the noise of a conversion, by closed forms: of sampling, and of a decision at the input if known [V].

    Sampling leaves kT/C on the array. A comparator's pair draws the charge G v of an input v, with G the integral of
    its transconductance over a strobe, and the charge 4 k T gamma G of noise, squared: so 4 k T gamma / G at its input
    (B. Razavi, The StrongARM latch, IEEE Solid-State Circuits Magazine 7(2), 2015). What follows the pair adds less.
    """
    energy = Boltzmann * (chip.process.temperature_c + zero_Celsius)
    sampling = float(np.sqrt(energy / sizes.dac.total))
    if chip.process.call != "M":
        return sampling, None
    netlist = build_strobe(chip, sizes)
    (results,) = campaign.run([netlist], "converter noise")
    pair = np.mean([results[0].vectors[probe].real for probe in netlist.probes[1:]], axis=0)
    charge = float(np.trapezoid(pair, results[0].vectors["time"].real))
    return sampling, float(np.sqrt(4 * energy * GAMMA / charge))
