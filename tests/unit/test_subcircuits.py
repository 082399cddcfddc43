"""Instances get subcircuits of their own without changing the circuit."""

import pytest

from spicesim.errors import SpecError
from spicesim.netlist.subcircuits import individual_subcircuits, split_subcircuits

TEXT = """* a comment
.subckt inner a b r=1k
r1 a b {r}
.ends inner
.subckt outer p n
x1 p m inner r=2k $ a note
x2 m n
+ inner
.ends outer
xa 1 0 outer
xb 1 0 outer
v1 1 0 1"""


def keep(home, line):
    return [line]


def tell(home, line):
    """Write the path behind each resistor."""
    return [f"{line} $ {home}" if line.startswith("r") else line]


def test_every_instance_calls_its_own_copy():
    known, rest = split_subcircuits(individual_subcircuits(TEXT, tell))
    assert set(known) == {
        f"{name}__{path}"
        for name, path in (
            ("outer", "xa"), ("outer", "xb"), ("inner", "xa__x1"), ("inner", "xa__x2"), ("inner", "xb__x1"),
            ("inner", "xb__x2"),
        )
    }  # fmt: skip
    assert "xa 1 0 outer__xa" in rest
    assert known["outer__xa"].lines[0] == "x1 p m inner__xa__x1 r=2k $ a note"
    assert known["inner__xa__x1"].head == ".subckt inner__xa__x1 a b r=1k"
    assert known["inner__xa__x1"].lines == ("r1 a b {r} $ xa.x1",)


def test_instances_in_which_nothing_changes_share_a_copy():
    """ngspice 44 ends with "N_SUBCKT_W_PARMS overflow" at some 2000 subcircuits: cells of drawn tiles had two each."""
    known, rest = split_subcircuits(individual_subcircuits(TEXT, keep))
    assert set(known) == {"outer", "inner"}
    assert [line for line in rest if line[:1] in ("x", "v")] == ["xa 1 0 outer", "xb 1 0 outer", "v1 1 0 1"]
    one = individual_subcircuits(TEXT, lambda home, line: tell(home, line) if home == "xb.x2" else [line])
    assert set(split_subcircuits(one)[0]) == {"outer", "inner", "outer__xb", "inner__xb__x2"}


def test_changes_are_told_the_path():
    seen = []
    individual_subcircuits(TEXT, lambda home, line: seen.append((home, line)) or [line])
    assert ("xb.x2", "r1 a b {r}") in seen
    assert ("", "v1 1 0 1") in seen


def test_a_call_of_an_unknown_subcircuit_stays():
    assert individual_subcircuits("xm d g s b nfet w=1u", keep).strip() == "xm d g s b nfet w=1u"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".subckt a b\nr1 b 0 1", "no .ends"),
        (".subckt a b\n.subckt c d\n.ends\n.ends", "within a subcircuit"),
        (".subckt a b\nx1 b a\n.ends\nx1 1 a", "calls itself"),
    ],
)
def test_broken_text_is_refused(text, said):
    with pytest.raises(SpecError, match=said):
        individual_subcircuits(text, keep)
