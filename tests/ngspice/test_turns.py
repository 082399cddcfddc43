"""Works beside each other: they find what they find alone, share processors, and end together if one fails."""

import threading
import time

import joblib
import pytest

from spicesim.calibration.campaign import Campaign
from spicesim.errors import SimulationError
from spicesim.netlist.netlist import Netlist
from spicesim.ngspice.batch import BatchSimulator


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SPICESIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPICESIM_RUNS", str(tmp_path / "runs"))


def dividers(first, count=3):
    """Dividers, each with another resistor, and the volts that they give."""
    ohms = range(first, first + count)
    netlists = [Netlist(title=f"divider {k}", body=f"v1 a 0 1\nr1 a b {k}k\nr2 b 0 1k", probes=("v(b)",)) for k in ohms]
    return netlists, [1 / (1 + k) for k in ohms]


def divide(first, label):
    """Return a work that simulates some in two batches, and how far they are off."""

    def work(campaign):
        off = []
        for start in (first, first + 3):
            netlists, volts = dividers(start)
            results = campaign.run(netlists, label)
            off += [result[0].vectors["v(b)"][0].real - own for result, own in zip(results, volts, strict=True)]
        return max(map(abs, off))

    return work


@pytest.fixture
def watched(monkeypatch):
    """Most simulations at a time, and how many began, while each takes a moment longer."""
    run, lock, seen = BatchSimulator.run, threading.Lock(), {"now": 0, "most": 0, "all": 0}

    def slower(self, netlist):
        with lock:
            seen["now"] += 1
            seen["all"] += 1
            seen["most"] = max(seen["most"], seen["now"])
        time.sleep(0.05)
        try:
            return run(self, netlist)
        finally:
            with lock:
                seen["now"] -= 1

    monkeypatch.setattr(BatchSimulator, "run", slower)
    return seen


def test_works_find_what_they_find_alone_and_are_entered_in_their_order(watched):
    campaign = Campaign(jobs=2)
    found = campaign.beside([divide(1, "first"), divide(20, "second"), divide(40, "third")])
    assert max(found) < 1e-9
    assert [run.label for run in campaign.log] == ["first"] * 6 + ["second"] * 6 + ["third"] * 6
    assert {label: cost.simulations for label, cost in campaign.costs.items()} == {
        "first": 6, "second": 6, "third": 6,
    }  # fmt: skip
    assert campaign.fresh == campaign.simulations == watched["all"] == 18
    assert watched["most"] == 2


def test_works_within_works_share_the_same_processors(watched):
    inner = [divide(20, "inner"), divide(40, "inner")]
    campaign = Campaign(jobs=2)
    first, rest = campaign.beside([divide(1, "outer"), lambda own: own.beside(inner)])
    assert max(first, *rest) < 1e-9
    assert watched["most"] == 2
    assert [run.label for run in campaign.log] == ["outer"] * 6 + ["inner"] * 12


def test_a_work_that_fails_ends_the_others_at_their_next_simulation(watched):
    def fail(campaign):
        campaign.run([Netlist(title="wrong", body="v1 a 0 1\nx1 a b missing", probes=("v(b)",))], "wrong")

    def long(campaign):
        for first in range(1, 3000, 3):
            campaign.run(dividers(first)[0], "long")

    with pytest.raises(SimulationError, match="'wrong' failed"):
        Campaign(jobs=2).beside([long, fail, long])
    assert watched["all"] < 100


def test_works_come_one_after_the_other_where_other_processes_simulate():
    names, caller = [], threading.current_thread()

    def work(campaign):
        names.append(threading.current_thread())
        return divide(1, "own")(campaign)

    campaign = Campaign(jobs=2)
    with joblib.parallel_config(backend="loky"):
        assert max(campaign.beside([work, work])) < 1e-9
    assert names == [caller] * 2
    assert campaign.fresh == 6
