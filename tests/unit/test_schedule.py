"""Schedules of products on stacked arrays: cases told by hand, what is conserved, and what may never get slower."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicesim.errors import SpecError
from spicesim.schedule import Experts, Placement, Routing, Stacks, WorkLayer, Workload, load_stacks, place, simulate
from spicesim.schedule.placement import group_experts

BARE = Stacks(
    tiers=2, t_tier=3.0, e_tier=0.5, digital_rate=1e30, memory_rate=1e30, digital_energy=0, memory_energy=0, in_flight=1
)  # fmt: skip
"""Products take all time and energy, and tokens come one by one."""


def layer(name="a", tiles=(0,), vectors=1.0, t=10.0, e=1.0, after=(), expert=None, **more):
    return WorkLayer(
        name=name, tiles=tuple(tiles), vectors=vectors, t_product=t, e_product=e, after=frozenset(after), expert=expert,
        **more,
    )  # fmt: skip


def put(stacks, tiers=None):
    return Placement(
        stacks=np.array(stacks), tiers=np.zeros(len(stacks), int) if tiers is None else np.array(tiers),
        groups=np.zeros((0, 0), int),
    )  # fmt: skip


def times(found):
    """Begin and end of the products, by tile and token."""
    jobs = found.jobs
    return {(int(k), int(n)): (b, e) for k, n, b, e in zip(jobs.tile, jobs.token, jobs.begun, jobs.ended, strict=True)}


def mixture(choices, *, experts=4, tiles=2, **more):
    """One router a block, and experts of two layers on as many tiles each."""
    choices = np.asarray(choices)
    layers, before, tile = [], (), 0
    for block in range(choices.shape[1]):
        router = len(layers)
        layers.append(layer(f"blocks.{block}/router/", [tile], t=4.0, after=before, **more))
        tile, last = tile + 1, []
        for expert in range(experts):
            for k, name in enumerate(("up", "down")):
                own = range(tile, tile + tiles)
                after = [router] if k == 0 else [len(layers) - 1]
                layers.append(layer(name, own, after=after, expert=(block, expert), **more))
                tile += tiles
            last.append(len(layers) - 1)
        before = tuple(last)
    return Workload(layers=tuple(layers), tokens=len(choices), routing=Routing(choices=choices, experts=experts))


def test_three_products_on_two_stacks_begin_and_end_as_told_by_hand():
    """Tiles 0 and 1 share a stack, tile 2 has its own: one change of tier, and the last layer waits for both."""
    work = Workload(
        layers=(layer("a", [0]), layer("b", [1], t=5.0), layer("c", [2], vectors=2.0, t=7.0, e=2.0, after=[0])),
        tokens=1,
    )
    found = simulate(work, put([0, 0, 1], [0, 1, 0]), BARE)
    assert times(found) == {(0, 0): (0.0, 10.0), (1, 0): (10.0, 18.0), (2, 0): (10.0, 24.0)}
    assert (found.tier_changes, found.makespan, found.waiting) == (1, 24.0, pytest.approx(1 / 3))
    assert found.energy == {"products": 6.0, "changes of tier": 0.5, "digital units": 0.0, "memory": 0.0}
    np.testing.assert_allclose(found.busy, [18.0, 14.0])


def test_one_bank_for_two_stacks_is_had_by_one_after_the_other():
    work = Workload(layers=(layer("a", [0]), layer("b", [1], t=5.0), layer("c", [2], t=7.0, after=[0])), tokens=1)
    found = simulate(work, put([0, 0, 1], [0, 1, 0]), BARE.changed(converters=1))
    assert times(found) == {(0, 0): (0.0, 10.0), (1, 0): (10.0, 18.0), (2, 0): (18.0, 25.0)}
    assert found.use["converters"] == 1.0


def test_memory_and_digital_units_take_their_time_and_energy():
    work = Workload(layers=(layer("a", [0], operations=8.0, bytes=6.0), layer("b", [1], after=[0])), tokens=1)
    shared = BARE.changed(digital_rate=2.0, memory_rate=3.0, digital_energy=0.25, memory_energy=2.0)
    found = simulate(work, put([0, 1]), shared)
    assert times(found) == {(0, 0): (2.0, 12.0), (1, 0): (16.0, 26.0)}
    assert found.energy == {"products": 2.0, "changes of tier": 0.0, "digital units": 2.0, "memory": 12.0}


def test_tokens_in_flight_follow_each_other_through_a_pipeline():
    """Three inputs through a chain of 10 and 6: the slower layer is the interval, alone they take 16 each."""
    work = Workload(layers=(layer("a", [0]), layer("b", [1], t=6.0, after=[0])), tokens=3)
    alone, pipelined = (simulate(work, put([0, 1]), BARE.changed(in_flight=n)) for n in (1, 3))
    assert (alone.makespan, alone.latency) == (48.0, 16.0)
    assert pipelined.makespan == 36.0
    assert times(pipelined)[1, 2] == (30.0, 36.0)


@pytest.mark.parametrize("tiers", [1, 2, 4])
@pytest.mark.parametrize("grouping", ["number", "random", "apart", "blocks"])
@pytest.mark.parametrize("shared", [{}, {"converters": 3, "in_flight": 4, "digital_rate": 5.0, "memory_rate": 7.0}])
def test_work_joules_and_seconds_are_conserved(tiers, grouping, shared):
    """Whatever the order, each token's chosen products are done once, and nothing else."""
    generator = np.random.default_rng(3)
    choices = np.stack([[generator.permutation(4)[:2] for _ in range(2)] for _ in range(12)])
    work = mixture(choices, vectors=2.0, e=0.25, operations=3.0, bytes=2.0)
    stacks = BARE.changed(tiers=tiers, **shared)
    found = simulate(work, place(work, tiers, grouping, seen=work.routing), stacks)
    jobs = Counter(zip(found.jobs.token.tolist(), found.jobs.layer.tolist(), found.jobs.tile.tolist(), strict=True))
    wanted = Counter()
    for token, rows in enumerate(choices):
        for number, one in enumerate(work.layers):
            if one.expert is None or one.expert[1] in rows[one.expert[0]]:
                wanted.update((token, number, tile) for tile in one.tiles)
    assert jobs == wanted
    counted = [work.layers[number] for _, number, _ in wanted]
    assert found.products == sum(one.vectors for one in counted)
    assert found.energy["products"] == pytest.approx(sum(one.vectors * one.e_product for one in counted), rel=1e-12)
    spent = sum(one.vectors * one.t_product for one in counted) + found.tier_changes * stacks.t_tier
    assert found.busy.sum() == pytest.approx(spent, rel=1e-12)
    layers = {(token, number) for token, number, _ in wanted}
    assert (found.operations, found.bytes) == (3.0 * len(layers), 2.0 * len(layers))
    assert tiers > 1 or (found.tier_changes == 0 and found.conflicts == 0)
    assert json.loads(json.dumps(found.document()))["products"] == found.products


@pytest.mark.parametrize("shared", [None, 2])
def test_no_two_products_have_a_stack_or_a_bank_at_a_time(shared):
    generator = np.random.default_rng(4)
    choices = np.stack([[generator.permutation(4)[:2]] for _ in range(20)])
    work = mixture(choices)
    placement = place(work, 4)
    found = simulate(work, placement, BARE.changed(tiers=4, in_flight=5, converters=shared))
    for stack in range(placement.count):
        own = placement.stacks[found.jobs.tile] == stack
        order = np.argsort(found.jobs.begun[own], kind="stable")
        assert (found.jobs.begun[own][order][1:] >= found.jobs.ended[own][order][:-1]).all()
    if shared is not None:
        at = np.concatenate([found.jobs.begun, found.jobs.ended])
        steps = np.concatenate([np.ones(len(found.jobs)), -np.ones(len(found.jobs))])
        assert np.cumsum(steps[np.lexsort((steps, at))]).max() <= shared


def test_a_layer_waits_for_all_that_it_takes_and_experts_for_their_router():
    work = mixture([[[0, 3], [1, 2]]])
    found = simulate(work, place(work, 2), BARE)
    ends = {int(n): e for n, e in zip(found.jobs.layer, found.jobs.ended, strict=True)}
    begins = {int(n): b for n, b in zip(found.jobs.layer, found.jobs.begun, strict=True)}
    for number, waits in work.taken(0).items():
        assert all(begins[number] >= ends[other] for other in waits)
    assert work.taken(0)[9] == {0, 2, 8}, "the second router waits for the experts chosen, not for all"


def test_the_same_schedule_comes_out_every_time():
    choices = np.random.default_rng(5).permuted(np.tile(np.arange(4), (10, 2, 1)), axis=2)[..., :2]
    work = mixture(choices)
    first, second = (simulate(work, place(work, 2, "random", seed=1), BARE.changed(in_flight=3)) for _ in range(2))
    for name in ("token", "tile", "asked", "begun", "ended"):
        np.testing.assert_array_equal(getattr(first.jobs, name), getattr(second.jobs, name))


def test_with_a_stack_a_tile_nothing_conflicts_and_no_tier_changes():
    generator = np.random.default_rng(8)
    choices = np.stack([[generator.permutation(4)[:3] for _ in range(2)] for _ in range(9)])
    work = mixture(choices)
    found = simulate(work, place(work, 1, "random"), BARE.changed(tiers=1))
    assert (found.conflicts, found.tier_changes, found.placement.count, found.waiting) == (0.0, 0, work.tiles, 0.0)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_schedule_is_no_shorter_than_its_work_and_its_longest_chain_allow_and_more_converters_do_not_slow_it(data):
    """Layers that wait for others before them, one stack a tile, banks shared."""
    layers, tile, longest = [], 0, []
    for number in range(data.draw(st.integers(1, 5))):
        after = data.draw(st.sets(st.integers(0, number - 1))) if number else set()
        tiles, t = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
        layers.append(layer(f"l{number}", range(tile, tile + tiles), t=float(t), after=after))
        longest.append(t + max((longest[k] for k in after), default=0))
        tile += tiles
    work = Workload(layers=tuple(layers), tokens=data.draw(st.integers(1, 4)))
    spans = []
    for banks in (1, 2, tile):
        found = simulate(work, put(range(tile)), BARE.changed(converters=banks, in_flight=2))
        assert found.latencies.min() >= max(longest)
        assert found.makespan * banks >= found.busy.sum() * (1 - 1e-12)
        spans.append(found.makespan)
    assert spans[0] == pytest.approx(found.busy.sum()), "one bank has no rest"
    assert spans[0] >= spans[-1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tiers", [2, 4])
def test_experts_are_set_apart_as_well_as_any_grouping_can(seed, tiers):
    """Against all ways to put eight experts into groups of two or four."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(8, 0.7), 300)
    choices = np.argsort(generator.gumbel(size=(300, 8)) + np.log(shares + 1e-9), axis=1)[:, None, -2:]
    routing = Routing(choices=choices, experts=8)
    best = min(
        routing.conflicts(np.array([groups]))
        for groups in itertools.product(range(8 // tiers), repeat=8)
        if Counter(groups) == dict.fromkeys(range(8 // tiers), tiers) and groups[0] == 0
    ) if tiers == 4 else None  # fmt: skip
    found = routing.conflicts(group_experts((1, 8), tiers, "apart", seen=routing))
    assert best is None or found == pytest.approx(best)
    assert found < min(routing.conflicts(group_experts((1, 8), tiers, "random", seed=k)) for k in range(20)) + 1e-12


def test_conflicts_are_counted_by_token_and_block():
    routing = Routing(choices=np.array([[[0, 1], [0, 2]], [[2, 3], [1, 2]]]), experts=4)
    groups = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    assert routing.conflicts(groups) == 0.5
    assert routing.together()[0].tolist() == [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]


def test_experts_of_random_groups_conflict_as_often_as_chance_says():
    """Of eight experts, two chosen evenly: 3 in 7 share one of two groups, 1 in 7 one of four."""
    generator = np.random.default_rng(9)
    choices = generator.permuted(np.tile(np.arange(8), (4000, 1, 1)), axis=2)[..., :2]
    routing = Routing(choices=choices, experts=8)
    for tiers, chance in ((4, 3 / 7), (2, 1 / 7)):
        groups = group_experts((1, 8), tiers, "random", seed=2)
        assert routing.conflicts(groups) == pytest.approx(chance, abs=4 * np.sqrt(chance / 4000))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stacks(tiers=0), "tiers"),
        (lambda: BARE.changed(converter=3), "unknown key"),
        (lambda: Experts(pattern="(a"), "regular expression"),
        (lambda: Experts(router="a"), "1 are wanted"),
        (lambda: Routing(choices=np.array([[[0, 0]]]), experts=4), "twice"),
        (lambda: Routing(choices=np.array([[[0, 4]]]), experts=4), r"0\.\.3"),
        (lambda: Routing(choices=np.zeros((1, 1)), experts=4), "integers"),
        (lambda: place(mixture([[[0, 1]]]), 3), "do not divide"),
        (lambda: place(mixture([[[0, 1]]]), 2, "apart"), "more inputs"),
        (lambda: Workload(layers=(layer(after=[0]),), tokens=1), "not before it"),
        (lambda: Workload(layers=(layer(vectors=-1.0),), tokens=1), "less than no work"),
        (lambda: Workload(layers=(layer(expert=(0, 0)),), tokens=1), "routers chose"),
        (lambda: simulate(Workload(layers=(layer(),), tokens=1), put([0, 1]), BARE), "another network|placement"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_reason(make, words):
    with pytest.raises((SpecError, ValueError), match=words):
        make()


def test_stacks_are_read_from_a_table_with_units(tmp_path):
    path = tmp_path / "stacks.toml"
    path.write_text('[stacks]\ntiers = 8\nt_tier = "50n"\nconverters = 12\n')
    assert load_stacks(path) == Stacks(tiers=8, t_tier=5e-8, converters=12)
    path.write_text("tiers = 8\n")
    with pytest.raises(SpecError, match=r"\[stacks\] is wanted"):
        load_stacks(path)


def test_all_tokens_may_choose_the_same_expert():
    """They queue for it: after the first router's 4, six times 10 on the first layer and 10 on the second."""
    work = mixture(np.zeros((6, 1, 1), int))
    found = simulate(work, place(work, 4), BARE.changed(tiers=4, in_flight=6))
    assert (found.conflicts, found.tier_changes, found.makespan) == (0.0, 0, 74.0)


def test_no_tokens_take_no_time_and_no_energy():
    work = mixture(np.zeros((0, 1, 2), int))
    found = simulate(work, place(work, 4), BARE)
    assert (found.makespan, found.latency, found.energy_per_token, found.conflicts, found.waiting) == (0, 0, 0, 0, 0)
    assert set(found.use.values()) == {0.0}
    json.dumps(found.document())
