"""Tell what a conversion of a SAR ADC takes, part by part: comparator, switches, references, logic of cells.

The logic is simulated once ideal and once of cells, whose codes and delay are told, too::

    python scripts/conversion_energy.py gf180-1t1r --bits 8 --sample 40ns --bit 16ns --span 1.6

One row of a table each; energies are of the mean conversion of eight inputs over the range.
"""

import argparse
from dataclasses import replace

import numpy as np

from spicesim.calibration.conversions import read_codes
from spicesim.calibration.energy import conversion_inputs, logic_power, mean_conversion, supply_power
from spicesim.characterise.sar_adc import logic_delay
from spicesim.chip import preset
from spicesim.chip.blocks import ChargeDac, SarAdc
from spicesim.netlist.sar_adc import build_sar_adc
from spicesim.ngspice.batch import BatchSimulator
from spicesim.units import format_si, parse_quantity

METER = "vcomparator vdd vdd_comparator 0"
HEAD = ("logic", "codes", "comparator", "switches", "references", "its logic", "all", "leakage", "delay")


def measure(chip, sizes):
    """Return a row of the table."""
    reference, half, supply = chip.sense_amplifier.v_reference, sizes.dac.span / 2, chip.process.supply
    netlist = build_sar_adc(chip, conversion_inputs(chip, sizes), sizes)
    body = netlist.body.replace(" vdd 0 comparator ", " vdd_comparator 0 comparator ")
    netlist = replace(netlist, body=f"{body}\n{METER}", probes=(*netlist.probes, "i(vcomparator)"))
    results = BatchSimulator(timeout=3600.0).run(netlist)
    time = np.asarray(results[0].vectors["time"].real)

    def energy(power):
        return mean_conversion(power, time, sizes)

    comparator = energy(-supply_power(results, {"vcomparator": supply}))  # a meter takes what a source gives
    switches = energy(supply_power(results, {"vdd": supply})) - comparator
    references = energy(supply_power(results, {"v0": reference + half, "v1": reference - half}))
    parts, more = [comparator, switches, references], ["", ""]
    if sizes.logic == "cells":
        power = logic_power(chip, results)
        parts.append(energy(power))
        more = [format_si(float(power[0]), "W", 3), format_si(logic_delay(results, sizes, supply), "s", 3)]
    told = [format_si(part, "J", 3) for part in (*parts, sum(parts))]
    told.insert(3, "not counted") if sizes.logic == "ideal" else None
    return sizes.logic, " ".join(map(str, read_codes(results, sizes))), *told, *more


def main():
    """Measure both kinds of logic."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--bits", type=int, default=8)
    for name, default in (("sample", "40ns"), ("bit", "16ns"), ("span", "1.6")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--corner", default="typical")
    given = parser.parse_args()
    chip = preset(given.preset).at(corner=given.corner)
    dac = ChargeDac(bits=given.bits, span=parse_quantity(given.span))
    print("", *HEAD, "", sep=" | ")
    for logic in ("ideal", "cells"):
        sizes = SarAdc(logic=logic, sample=given.sample, bit=given.bit, dac=dac)
        print("", *measure(chip, sizes), "", sep=" | ", flush=True)


if __name__ == "__main__":
    main()
