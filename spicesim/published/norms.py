"""What numbers of different macros are brought to, and what bounds them: bits, nodes, and the energy of converters."""

import math

__all__ = ["adc_floor", "adc_survey", "node_factor", "one_bit"]

_WALDEN, _WALDEN_CORNER = 0.67e-15, 4.42e8
_SCHREIER, _SCHREIER_CORNER = 184.76, 3.19e7


def one_bit(rate: float, input_bits: float, weight_bits: float) -> float:
    """Return operations of one bit by one bit in place of those of more.

    Parameters
    ----------
    rate : float
        Operations, in a time or for an energy.
    input_bits, weight_bits : float
        Of their factors.

    Notes
    -----
    A product of bits is one operation, so the rule is ``rate * input_bits * weight_bits``; Shanbhag and Roy,
    Benchmarking In-memory Computing (IMC) Architectures, CICC 2022, IEEE Xplore 9772817. It says nothing of outputs.
    """
    return rate * input_bits * weight_bits


def node_factor(node: float, supply: float, to_node: float, to_supply: float) -> float:
    """Return what an energy is multiplied by from one node and supply to another.

    Parameters
    ----------
    node, to_node : float
        Technologies [m].
    supply, to_supply : float
        Supplies [V].

    Notes
    -----
    Energies are ``C V^2``, and capacitances go with the node: generalised scaling, Baccarani, Wordeman, Dennard, IEEE
    T-ED 31, 1984, doi 10.1109/T-ED.1984.21504. Currents of cells and bias currents do not follow it.
    """
    return to_node / node * (to_supply / supply) ** 2


def adc_floor(bits: float) -> float:
    """Return the least energy of a conversion of that many effective bits, as fitted to published converters [J].

    Notes
    -----
    .3 pJ up to 10.5 bits, above ``10^(.1 (6.02 bits - 68.25))`` pJ; Rekhi et al., Analog/Mixed-Signal Hardware Error
    Modeling for Deep Learning Inference, DAC 2019, doi 10.1145/3316781.3317770, from Murmann's survey of 2019 and
    before. Held as zigzag-imc has it. Converters of few bits have come below .3 pJ since.
    """
    return 0.3e-12 if bits <= 10.5 else 1e-12 * 10 ** (0.1 * (6.02 * bits - 68.25))


def adc_survey(bits: float, rate: float) -> float:
    """Return the energy of a conversion at the envelope of Murmann's survey [J].

    Parameters
    ----------
    bits : float
        Effective bits.
    rate : float
        Conversions a second [Hz].

    Notes
    -----
    The larger of what two figures of merit give at their best: Walden's, .67 fJ a step, times
    ``sqrt(1 + (rate/442 MHz)^2)``, and Schreier's, 184.76 dB, less ``10 log10 sqrt(1 + (rate/31.9 MHz)^2)``, of which
    an energy is ``10^((SNDR - FoM)/10) / 2``. Murmann, ADC Performance Survey 1997-2021, as its
    plots draw them.
    """
    sndr = 6.02 * bits + 1.76
    walden = _WALDEN * math.hypot(1.0, rate / _WALDEN_CORNER) * 2**bits
    schreier = _SCHREIER - 10 * math.log10(math.hypot(1.0, rate / _SCHREIER_CORNER))
    return max(walden, 10 ** ((sndr - schreier) / 10) / 2)
