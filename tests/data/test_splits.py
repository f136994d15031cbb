"""Cut-offs that leak are refused; targets and masks against a definition in plain Python."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalogue import Catalogue, Level
from data.log import Log
from data.splits import ProtocolConfig, blocked, targets, unseen_categories
from errors import InputError

USERS, PRODUCTS, TYPES, CATEGORIES = 4, 6, 4, 3
rows = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, PRODUCTS - 1), st.integers(1, 10)), max_size=40)
types_of = st.lists(st.integers(0, TYPES - 1), min_size=PRODUCTS, max_size=PRODUCTS)
categories_of = st.lists(st.sets(st.integers(0, CATEGORIES - 1), min_size=1), min_size=PRODUCTS, max_size=PRODUCTS)


def log_of(rows) -> Log:
    array = np.array(sorted(rows, key=lambda r: r[2]), dtype=np.int32).reshape(-1, 3)
    n = len(array)
    ones, zeros = np.ones(n, dtype=np.float32), np.zeros(n, dtype=np.int32)
    return Log(array[:, 0], array[:, 1], array[:, 2], ones, ones, zeros, zeros, USERS)


def level_of(name, members, n) -> Level:
    dense = np.zeros((PRODUCTS, n), dtype=np.float32)
    for product, nodes in enumerate(members):
        dense[product, list(nodes)] = 1
    ids = [f"{name}{i}" for i in range(n)]
    return Level(name, np.array(ids), ids, ids, sp.csr_array(dense))


def shop(rows, types, categories):
    levels = {
        "category": level_of("category", categories, CATEGORIES),
        "type": level_of("type", [{t} for t in types], TYPES),
    }
    ids = np.array([f"p{i}" for i in range(PRODUCTS)])
    catalogue = Catalogue(ids, [""] * PRODUCTS, levels, "category", {})
    return SimpleNamespace(catalogue=catalogue, log=log_of(rows))


def by_hand(rows, nodes_of, categories, cutoff, horizon):
    """(user, node) bought in the horizon, none of whose categories the user has bought from before."""
    seen = {(u, c) for u, p, t in rows if t < cutoff for c in categories[p]}
    of_node: dict[int, set[int]] = {}
    for product, nodes in enumerate(nodes_of):
        for node in nodes:
            of_node.setdefault(node, set()).update(categories[product])
    bought = {(u, n) for u, p, t in rows if cutoff <= t < cutoff + horizon for n in nodes_of[p]}
    return {(u, n) for u, n in bought if not any((u, c) in seen for c in of_node[n])}


def pairs(array) -> set[tuple[int, int]]:
    return {(int(u), int(n)) for u, n in zip(*array.nonzero(), strict=True)}


@settings(max_examples=50, deadline=None)
@given(rows, types_of, categories_of, st.integers(1, 10), st.integers(1, 5))
def test_targets_below_the_interest_level(rows, types, categories, cutoff, horizon):
    dataset = shop(rows, types, categories)
    found = targets(dataset, dataset.catalogue.levels["type"], cutoff, horizon)
    assert pairs(found.hits) == by_hand(rows, [{t} for t in types], categories, cutoff, horizon)
    found = targets(dataset, None, cutoff, horizon)
    assert pairs(found.hits) == by_hand(rows, [{p} for p in range(PRODUCTS)], categories, cutoff, horizon)
    assert set(found.users) == {u for u, _ in pairs(found.hits)}


@settings(max_examples=50, deadline=None)
@given(rows, categories_of, st.integers(1, 10), st.integers(1, 5))
def test_targets_at_the_interest_level(rows, categories, cutoff, horizon):
    dataset = shop(rows, [0] * PRODUCTS, categories)
    found = targets(dataset, dataset.catalogue.interest, cutoff, horizon)
    seen = {(u, c) for u, p, t in rows if t < cutoff for c in categories[p]}
    bought = {(u, c) for u, p, t in rows if cutoff <= t < cutoff + horizon for c in categories[p]}
    assert pairs(found.hits) == bought - seen
    assert pairs(~found.unseen) == seen
    assert set(found.hits.data) <= {1.0}


@settings(max_examples=30, deadline=None)
@given(rows, categories_of)
def test_blocked(rows, categories):
    dataset = shop(rows, [0] * PRODUCTS, categories)
    interest = dataset.catalogue.interest
    unseen = unseen_categories(dataset.log, interest)
    mask = blocked(unseen, interest.of_product)
    for user in range(USERS):
        for product in range(PRODUCTS):
            assert mask[user, product] == any(not unseen[user, c] for c in categories[product])


@settings(max_examples=30, deadline=None)
@given(rows, rows, categories_of, st.integers(1, 10))
def test_the_future_does_not_move_what_is_unseen(rows, others, categories, cutoff):
    past = [row for row in rows if row[2] < cutoff]
    future = [row for row in others if row[2] >= cutoff]
    two = shop([*past, *future], [0] * PRODUCTS, categories)
    one = shop(past, [0] * PRODUCTS, categories)
    interest = one.catalogue.interest
    np.testing.assert_array_equal(
        targets(one, interest, cutoff, 3).unseen, targets(two, two.catalogue.interest, cutoff, 3).unseen
    )


def year() -> Log:
    return log_of([(0, 0, t) for t in range(1, 54)])


def test_the_defaults_are_sound():
    ProtocolConfig().check(year())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            {"train_cutoffs": [16, 34]},
            "protocol.train_cutoffs: the horizon of cut-off 34 ends at 41, after 40",
        ),
        ({"validation_cutoff": 41}, "protocol.validation_cutoff: .* ends at 48, after 47"),
        ({"refit_cutoffs": [41]}, "protocol.refit_cutoffs: .* a leak"),
        ({"horizon": 8}, "a leak\n  Give cut-offs of at most"),
        ({"horizon": 0}, "protocol.horizon: horizon is 0"),
        ({"train_cutoffs": []}, "no cut-off to train on"),
        ({"train_cutoffs": [1]}, "cut-off 1 lies outside the data, which spans periods 1 to 53"),
        ({"refit_cutoffs": [0, 40]}, "protocol.refit_cutoffs: cut-off 0 lies outside the data"),
        ({"test_cutoff": 54}, "protocol.test_cutoff: cut-off 54 lies outside the data"),
    ],
)
def test_leaks_and_nonsense_are_refused(change, where):
    with pytest.raises(InputError, match=where):
        ProtocolConfig(**change).check(year())


@pytest.mark.parametrize(("cutoff", "told"), [(47, []), (48, ["the data ends with period 53"]), (53, ["with 59"])])
def test_a_test_window_that_the_data_does_not_fill_is_told(cutoff, told):
    protocol = ProtocolConfig(test_cutoff=cutoff)
    protocol.check(year())
    notes = protocol.notes(year())
    assert len(notes) == len(told)
    assert all(words in note for words, note in zip(told, notes, strict=True))


@pytest.mark.parametrize(("cutoff", "horizon"), [(60, 5), (-9, 3)])
def test_a_window_outside_the_data_has_no_target(cutoff, horizon):
    dataset = shop([(0, 0, t) for t in range(1, 54)], [0] * PRODUCTS, [{0}] * PRODUCTS)
    for level in (dataset.catalogue.interest, dataset.catalogue.levels["type"], None):
        assert not len(targets(dataset, level, cutoff, horizon).users)
