"""The golden netlists: small circuits of every kind, and the values that ngspice gives for them.

``scripts/refresh_golden`` runs this file to write ``netlists/golden`` anew.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from spicesim.chip import preset
from spicesim.netlist import (
    DIALECTS,
    Netlist,
    build_cell,
    build_column,
    build_crossbar,
    build_dac,
    build_sense_amplifier,
    build_tile,
    format_netlist,
)
from spicesim.ngspice.batch import BatchSimulator, ngspice_version


def golden_netlists() -> dict[str, Netlist]:
    """Build them; all numbers are written out, so that no random stream can change them."""
    g = np.array(
        [
            [5e-6, 40e-6, 12e-6, 1e-6],
            [25e-6, 8e-6, 50e-6, 30e-6],
            [18e-6, 3e-6, 22e-6, 45e-6],
            [10e-6, 35e-6, 0.0, 15e-6],
        ]
    )
    codes = np.array([255, 0, 128, 37])
    netlists = {}
    for name in ("generic-1t1r", "gf180-1t1r"):
        chip = preset(name)
        if name.startswith("gf180"):
            chip = chip.changed(
                process={"kits": [{"dialect": "spectre", "path": "/pdk/gf180mcu.scs", "section": "typical"}]}
            )
        short = name.split("-")[0]
        v = chip.dac.v_span * codes / 256
        netlists |= {
            f"{short}_cell": build_cell(chip, 50e-6),
            f"{short}_column": build_column(chip, g[:, 1], v, 40e3),
            f"{short}_crossbar": build_crossbar(chip, g, v),
            f"{short}_dac": build_dac(chip.changed(dac={"bits": 4})),
            f"{short}_senseamp": build_sense_amplifier(chip, 20e3, 100e-6, points=41),
            f"{short}_tile": build_tile(chip, g, codes, polarity="unipolar", r_feedback=40e3),
        }
    chip = preset("generic-1t1r")
    selectors = chip.changed(cell={"kind": "1s1r"}, dac={"v_span": 1.5})
    pairs = chip.changed(cell={"kind": "2t2r"})
    gates = chip.changed(cell={"inputs": "gate"}, dac={"kind": "bits"})
    g = np.where(g == 0, 20e-6, g)  # no device of a differential cell is open alone
    return netlists | {
        "generic_1s1r": build_crossbar(selectors, g, selectors.dac.v_span * codes / 256),
        "generic_2t2r": build_crossbar(pairs, g, pairs.dac.v_span * codes / 256),
        "generic_gates": build_tile(gates, g, np.array([1, 0, 1, 1]), polarity="unipolar", r_feedback=40e3),
    }


def golden_dialects() -> dict[str, str]:
    """Format them for the other simulators, by file name; VACASK reads no foundry's files."""
    return {
        f"{name}.{dialect}": portable(format_netlist(netlist, dialect))
        for name, netlist in golden_netlists().items()
        for dialect in DIALECTS[1:]
        if not (dialect == "vacask" and name.startswith("gf180"))
    }


def portable(text: str) -> str:
    """Take the place of the models on this machine out of a netlist."""
    return re.sub(r"(['\"])[^'\"]*/site-packages/", r"\1SITE-PACKAGES/", text)


def simulate(netlist: Netlist) -> dict[str, list[float]]:
    """Return every probe's values."""
    (plot,) = BatchSimulator().run(netlist)
    return {probe: [float(f"{x:.9e}") for x in plot.vectors[probe]] for probe in netlist.probes}


def main(folder: Path) -> None:
    """Write netlists and values."""
    for name, netlist in golden_netlists().items():
        (folder / f"{name}.cir").write_text(portable(netlist.format()))
        document = {"ngspice": ngspice_version(), "values": simulate(netlist)}
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "dialects").mkdir(exist_ok=True)
    for name, text in golden_dialects().items():
        (folder / "dialects" / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
