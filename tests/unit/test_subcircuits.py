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
    return [line], {}


def tell(home, line):
    """Write the path behind each resistor."""
    return [f"{line} $ {home}" if line.startswith("r") else line], {}


def number(home, line):
    """Give each resistor a number of its own."""
    if not line.startswith("r"):
        return [line], {}
    return ["r1 a b {r*r1_value}"], {"r1_value": f"{letters(home)}"}


def letters(path):
    return sum(map(ord, path))


def test_instances_that_differ_by_numbers_share_a_copy_and_are_called_with_them():
    known, rest = split_subcircuits(individual_subcircuits(TEXT + "\nx9 1 0 inner", number))
    assert set(known) == {"inner_drawn", "outer__xa", "outer__xb"}
    assert known["inner_drawn"].head == ".subckt inner_drawn a b r=1k r1_value=0"
    assert known["inner_drawn"].lines == ("r1 a b {r*r1_value}",)
    assert known["outer__xa"].lines == (
        f"x1 p m inner_drawn r=2k r1_value={letters('xa.x1')} $ a note",
        f"x2 m n inner_drawn r1_value={letters('xa.x2')}",
    )  # fmt: skip
    assert {"xa 1 0 outer__xa", f"x9 1 0 inner_drawn r1_value={letters('x9')}"} <= set(rest)


def test_a_copy_with_numbers_leaves_the_common_one_as_it_is():
    text = individual_subcircuits(TEXT, lambda home, line: number(home, line) if home == "xb.x2" else ([line], {}))
    known, rest = split_subcircuits(text)
    assert set(known) == {"inner", "outer", "inner_drawn", "outer__xb"}
    assert known["outer__xb"].lines == (
        "x1 p m inner r=2k $ a note",
        f"x2 m n inner_drawn r1_value={letters('xb.x2')}",
    )
    assert "xa 1 0 outer" in rest


@pytest.mark.parametrize("taken", ["r1_value=1", "R1_VALUE=1"])
def test_a_name_that_is_taken_is_refused(taken):
    with pytest.raises(SpecError, match=r"'r1_value' of subcircuit 'inner' .* rename it"):
        individual_subcircuits(TEXT.replace("a b r=1k", f"a b r=1k {taken}"), number)


def test_a_name_of_a_copy_that_is_taken_is_not_used_again():
    text = TEXT.replace("inner r=2k", "inner_drawn r=2k") + "\n.subckt inner_drawn a b r=1k\nr1 a b {2*r}\n.ends"
    known, _ = split_subcircuits(individual_subcircuits(text, number))
    assert {"inner__xa__x2", "inner_drawn_drawn"} <= set(known)


def test_instances_whose_lines_differ_have_copies_of_their_own():
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


def test_changes_are_told_the_path():
    seen = []
    individual_subcircuits(TEXT, lambda home, line: seen.append((home, line)) or ([line], {}))
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
