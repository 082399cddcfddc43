"""A kit's subcircuits by size: what their conditions leave, their cards' numbers, and what is left to the simulator."""

import pytest

from spicesim.ngspice.kit import specialise

BLOCK = """\
.subckt fet d g s b w=1u l=0.1u ng=1 m=1
.model small psp vth='0.3+1e-8/l' c='k/ng'
+ lap=2
.model wide psp vth='0.4*w'
.if (ng < 2)
Nfet d g s b small w=w l=l nf='ng' mult='m'
.else
Nfet d g s b wide w=w l=l nf='ng' mult='m'
.endif
.ends fet"""
SITE = ("cell", "xm1", "fet")
NETLIST = """\
t
.subckt cell a
xm1 a a 0 0
+ fet w=2u l=0.2u
.ends
xm1 a a 0 0 fet w=9u
"""


def text_of(block, *calls):
    found = specialise({"fet": block}, {SITE: list(calls)})
    return None if found is None else "\n".join(found.cards)


def test_a_size_has_the_cards_that_its_conditions_leave():
    text = text_of(BLOCK, {"w": 2e-6, "l": 2e-7})
    assert "vth = '0.3+1e-8/(2e-07)'" in text.replace("vth=", "vth = ")
    assert "c='k/(1)'" in text
    assert "wide" not in text
    assert ".if" not in text
    assert "Nfet d g s b small__0 w=2e-06 l=2e-07 nf=1.0 mult=1.0" in text
    wide = text_of(BLOCK, {"w": 2e-5, "ng": 2.0})
    assert "small" not in wide
    assert "nf=2.0" in wide
    assert "lap=2" not in wide


def test_what_cards_do_not_hold_stays_a_parameter():
    text = text_of(BLOCK, {"w": 2e-6, "m": 3.0}, {"w": 2e-6, "m": 5.0})
    assert "mult='m'" in text


@pytest.mark.parametrize(
    "change",
    [
        ("lap=2", "lap=2\n.param k=1"),  # on which cards may hang
        ("Nfet d g s b small", "Nfet d g s b another"),  # a card from elsewhere
        ("l=0.1u", "l='w/10'"),
    ],
)
def test_what_cannot_be_seen_through_is_left(change):
    assert text_of(BLOCK, {"w": 2e-6}) is not None
    assert text_of(BLOCK.replace(*change), {"w": 2e-6}) is None


def test_one_line_of_several_sizes_and_what_is_not_in_the_kit_are_left():
    assert text_of(BLOCK, {"w": 2e-6}, {"w": 3e-6}) is None
    assert specialise({}, {SITE: [{"w": 2e-6}]}) is None


def test_calls_are_told_apart_by_where_they_stand():
    found = specialise({"fet": BLOCK}, {SITE: [{"w": 2e-6, "l": 2e-7}], ("", "xm1", "fet"): [{"w": 9e-6}]})
    lines = found.rename(NETLIST).splitlines()
    assert [line.split()[5] for line in lines if line.startswith("xm1")] == ["fet__0", "fet__1"]
    assert specialise({}, {}).rename(NETLIST) == NETLIST
