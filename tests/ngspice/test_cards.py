"""Simulations with the cards that a netlist needs are those with all cards of the process, to the last bit."""

import dataclasses

import numpy as np
import pytest

from spicesim.calibration.mismatch_bench import draw_chip
from spicesim.chip import preset
from spicesim.draws import ChipDraw
from spicesim.netlist import build_tile
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator
from spicesim.ngspice.cards import needed_cards


def tile(name, drawn):
    chip = preset(name)
    g = np.random.default_rng(2).uniform(1e-6, 5e-6, (3, 2))
    codes = np.array([0, 1, 1]) if chip.dac.kind == "bits" else np.array([255, 7, 130])
    built = build_tile(chip, g, codes, polarity="unipolar", r_feedback=max(chip.settings))
    return draw_chip(built, chip, ChipDraw(5)) if drawn else built


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("name", ["gf180-1t1r", "gf180-pulse", "sky130-1t1r"])
def test_fewer_cards_change_no_bit(name, drawn, monkeypatch):
    netlist = tile(name, drawn)
    (few,) = BatchSimulator().run(netlist)
    monkeypatch.setattr("spicesim.ngspice.folder.needed_cards", lambda netlist: None)
    (all_of_them,) = BatchSimulator().run(netlist)
    for probe in netlist.probes:
        np.testing.assert_array_equal(few.vectors[probe], all_of_them.vectors[probe])


def test_most_cards_are_not_needed():
    for name, most in (("gf180-1t1r", 20), ("sky130-1t1r", 30)):
        text, cards = needed_cards(tile(name, drawn=False))
        assert 0 < cards.count(".model") <= most
        assert text.count(".include 'models.cir'") == 1
        assert ".lib" not in text


def one(model, body):
    return Netlist(title="t", body=f".lib '{model}' typical\n{body}", probes=("v(a)",), models=(model,))


def test_what_cannot_be_seen_through_keeps_its_files():
    process = preset("gf180-1t1r").process
    model = process.models[1].resolve()
    device = "va a 0 1\nm1 a a 0 0 nfet_03v3"
    assert needed_cards(one(model, f"{device} w=2u l=0.28u")) is not None
    assert needed_cards(one(model, device)) is None  # no size
    assert needed_cards(one(model, "va a 0 1\nx1 a a 0 0 nfet_03v3 w=2u l=0.28u")) is None  # a subcircuit of the kit
    assert needed_cards(one(model, f"{device} w=2u l=0.28u\nd1 a 0 diode_nd2ps_03v3")) is None
    assert needed_cards(tile("generic-1t1r", drawn=False)) is None


@pytest.mark.parametrize("size", [0.28e-6, 0.5e-6, 0.499999e-6, 0.500001e-6, 1.2e-6, 10e-6, 50e-6])
def test_bins_are_those_that_ngspice_takes_at_their_borders_too(size, monkeypatch):
    chip = preset("gf180-1t1r")
    bodies = [f"va a 0 1\nm1 a a 0 0 nfet_03v3 w={w!r} l={size!r}" for w in (0.5e-6, 1.2e-6, 10e-6, 100e-6)]
    files = [model.resolve() for model in chip.process.models]
    head = "\n".join(f".lib '{f}' {m.section}" for f, m in zip(files, chip.process.models, strict=True))
    for body in bodies:
        netlist = Netlist(title="t", body=f"{head}\n{body}", probes=("i(va)",), models=tuple(dict.fromkeys(files)))
        (few,) = BatchSimulator().run(netlist)
        with monkeypatch.context() as patch:
            patch.setattr("spicesim.ngspice.folder.needed_cards", lambda netlist: None)
            (whole,) = BatchSimulator().run(dataclasses.replace(netlist))
        np.testing.assert_array_equal(few.vectors["i(va)"], whole.vectors["i(va)"])


def pair(body, monkeypatch):
    """Simulate a circuit of GF180MCU with the cards that it needs, and with all."""
    chip = preset("gf180-1t1r")
    files = [model.resolve() for model in chip.process.models]
    head = "\n".join(f".lib '{f}' {m.section}" for f, m in zip(files, chip.process.models, strict=True))
    netlist = Netlist(title="t", body=f"{head}\n{body}", probes=("i(va)",), models=tuple(dict.fromkeys(files)))
    assert needed_cards(netlist) is not None
    (few,) = BatchSimulator().run(netlist)
    with monkeypatch.context() as patch:
        patch.setattr("spicesim.ngspice.folder.needed_cards", lambda netlist: None)
        (whole,) = BatchSimulator().run(netlist)
    return few.vectors["i(va)"], whole.vectors["i(va)"]


def test_fingers_have_their_bins(monkeypatch):
    np.testing.assert_array_equal(*pair("va a 0 1\nm1 a a 0 0 nfet_03v3 w=20u l=0.28u nf=20", monkeypatch))


def test_a_file_behind_the_file_may_change(tmp_path):
    """Cards are kept between runs; those of a file that another one reads, too."""
    inner, outer = tmp_path / "inner.lib", tmp_path / "outer.lib"
    outer.write_text(".include 'inner.lib'\n")
    found = []
    for gain in ("100u", "2000u"):
        inner.write_text(f".model n nmos level=1 kp={gain}\n")
        body = f".include '{outer}'\nva a 0 3\nm1 a a 0 0 n w=1u l=1u"
        netlist = Netlist(title="t", body=body, probes=("i(va)",), models=(outer,))
        assert needed_cards(netlist) is not None
        found.append(float(BatchSimulator().run(netlist)[0].vectors["i(va)"][0]))
    assert found[1] == pytest.approx(20 * found[0], rel=1e-6)


def test_what_reads_or_calls_itself_is_left_to_the_simulator(tmp_path):
    loop = tmp_path / "loop.lib"
    loop.write_text(".lib tt\n.lib 'loop.lib' tt\n.model n nmos level=1\n.endl tt\n")
    netlist = Netlist(title="t", body=f".lib '{loop}' tt\nva a 0 1", probes=("i(va)",), models=(loop,))
    assert needed_cards(netlist) is None
    calls = f".include '{tmp_path / 'own.lib'}'\n.subckt s a\nx1 a s\n.ends s\nva a 0 1\nx1 a s"
    (tmp_path / "own.lib").write_text(".model n nmos level=1\n")
    assert needed_cards(Netlist(title="t", body=calls, probes=("i(va)",), models=(tmp_path / "own.lib",))) is None
