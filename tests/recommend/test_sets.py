"""Evidence on what goes with a set, by hand; weights that find what was planted; questions without leaks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from data.log import Log
from errors import InputError
from evidence.cooccurrence import ease_weights
from recommend import seasons
from recommend.baskets import Baskets, questions
from recommend.bundles import at_season, learnt_by_season
from recommend.sets import Goods, Lesson, Regressed, SetEvidence, Texts, Together, fit, taken


def rows(*baskets, size):
    """CSR of baskets given as lists of products."""
    pairs = [(at, item) for at, basket in enumerate(baskets) for item in basket]
    index = np.array(pairs).T
    return sp.csr_array((np.ones(len(pairs), dtype=np.float32), (index[0], index[1])), shape=(len(baskets), size))


def test_what_is_together_by_hand():
    counts = sp.csr_array(np.array([[1, 1, 0], [1, 0, 0], [2, 1, 0], [0, 0, 1]], dtype=np.float32))
    found = Together(counts, prior=2.0).of(sp.csr_array(np.array([[0.5, 0.5, 0]], dtype=np.float32)))
    share = (np.array([3, 2, 1]) + 0.5) / 5
    both = np.array([[1, 2, 0], [2, 0, 0]])  # the first node is twice in one basket
    wanted = np.log(((both + 2 * share) / (np.array([[3], [2]]) + 2)).mean(axis=0) / share)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)


def test_weights_of_the_nodes_in_most_baskets():
    counts = sp.csr_array(np.array([[1, 2, 0], [1, 0, 0], [2, 1, 0], [0, 1, 1]], dtype=np.float32))
    found = Regressed(counts, most=2)
    assert found.kept.tolist() == [0, 1]
    wanted = ease_weights(sp.csr_array((counts[:, [0, 1]].toarray() > 0).astype(np.float32)), 1.0)
    scores = found.of(sp.csr_array(np.array([[0.5, 0, 0.5]], dtype=np.float32)))
    np.testing.assert_allclose(scores[0], [0, 0.5 * wanted[0, 1], 0], atol=1e-6)


def test_a_set_without_a_node_says_nothing():
    held = sp.csr_array(np.array([[1, 1], [1, 0]], dtype=np.float32))
    assert Together(held).of(sp.csr_array((1, 2), dtype=np.float32)).tolist() == [[0, 0]]


@pytest.fixture
def planted():
    """Product i of 8 goes with product i + 8; every other product is drawn."""
    rng = np.random.default_rng(0)
    baskets = []
    for _ in range(600):
        one = int(rng.integers(8))
        baskets.append([one, one + 8, *(int(item) for item in rng.choice(np.arange(16, 40), 2, replace=False))])
    groups = {"type": np.arange(40) // 4, "category": np.arange(40) // 8}
    vectors = np.eye(40, dtype=np.float32)
    goods = Goods(groups, {"product": Texts(np.eye(5, dtype=np.float32), np.arange(40) % 6 - 1)}, vectors)
    return goods, rows(*baskets, size=40)


def test_evidence_is_the_same_for_some_products_as_for_all_and_one_by_one(planted):
    goods, held = planted
    evidence = SetEvidence(goods, held, held[:50])
    together = [f"{kind}_{name}" for kind in ("with", "ease") for name in ("product", "type", "category")]
    assert evidence.names == ["popular", "lately", *together, "text_product", "learnt"]
    sets = rows([0, 20], [3], [30, 31, 32], size=40)
    whole, some = evidence.of(sets), np.array([11, 8, 39])
    np.testing.assert_allclose(evidence.of(sets, some), whole[:, some], rtol=1e-5)
    np.testing.assert_allclose(evidence.of(sp.csr_array(sets[[1]])), whole[[1]], rtol=1e-5)


def test_what_was_planted_is_found(planted):
    goods, held = planted
    hidden = np.array([held.indices[held.indptr[row] + 1] for row in range(300)], dtype=np.int64)
    sets = rows(
        *([held.indices[held.indptr[row]], *held.indices[held.indptr[row] + 2 :][:2]] for row in range(300)), size=40
    )
    model = fit([Lesson(SetEvidence(goods, held[300:], without=["learnt"]), sets, hidden)], "category")
    asked = rows(*([item] for item in range(8)), size=40)
    assert list(model.scores(asked).argmax(axis=1)) == list(range(8, 16))
    np.testing.assert_allclose(model.scores(asked), model.evidence.of(asked) @ model.weights, rtol=1e-4)


def test_what_sells_in_a_season_is_found_in_it():
    """Product 0 is bought in spring, 1 in autumn, whatever else is in the basket; the others are drawn."""
    rng = np.random.default_rng(0)
    times = rng.integers(1, 53, size=1500)
    held = [
        [*rng.choice(np.arange(2, 24), 3, replace=False), *[0] * int(8 <= time <= 18), *[1] * int(34 <= time <= 44)]
        for time in times
    ]
    goods = Goods({"category": np.arange(24)})
    baskets = Baskets(rows(*held, size=24), rng.integers(400, size=1500), times)
    asked = rows([5, 9], size=24)
    model = learnt_by_season(goods, baskets, "week", "category")
    spring, autumn = (at_season(model, baskets, season, "week").scores(asked)[0] for season in (13, 39))
    others = np.setdiff1d(np.arange(2, 24), [5, 9])
    assert spring[0] > spring[others].max() > spring[1]
    assert autumn[1] > autumn[others].max() > autumn[0]
    with pytest.raises(InputError, match="they go from month 1 to 1"):
        at_season(model, Baskets(baskets.held, baskets.users, np.ones_like(times)), 7, "month")


@given(st.integers(-2000, 2000), st.integers(-2000, 2000))
def test_a_time_of_year_comes_back_each_year(time, period):
    for unit, years in (("day", 4 * 365 + 1), ("month", 12)):
        near = seasons.around(np.array([time, time + years, time - years]), period, unit)
        assert near.all() or not near.any()
        assert near[0] == seasons.around(np.array([period]), time, unit)[0]


def test_a_year_of_weeks_ends_where_it_begins():
    near = seasons.around(np.array([50, 52, 53, 1, 3, 4, 30]), 1, "week")
    assert near.tolist() == [False, True, True, True, True, False, False]


def test_taken_groups():
    groups = np.array([0, 0, 1, -1, 2])
    assert taken(groups, rows([1, 3], size=5), 0).tolist() == [True, True, False, False, False]


def test_questions_take_one_product_of_its_own_category():
    basket = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3], dtype=np.int32)
    product = np.array([0, 1, 2, 0, 1, 3, 0, 2, 2, 4, 5], dtype=np.int32)
    user = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2], dtype=np.int32)
    money, none = np.ones(11, np.float32), np.zeros(11, np.int32)
    baskets = Baskets.of(Log(user, product, none, money, money, basket, none, 3), 6)
    groups = np.array([0, 0, 1, 2, -1, -1])
    found = questions(baskets, 10, groups)
    assert sorted(zip(found.users.tolist(), found.hidden.tolist(), strict=True)) == [(0, 2), (0, 3), (2, 2)]
    assert not found.sets[np.arange(3), found.hidden].any()
    assert len(set(questions(baskets, 2, groups).users)) == 2
    with pytest.raises(InputError, match="no basket has three products"):
        questions(baskets, 2, np.full(6, -1))
    assert len(questions(baskets, 10).hidden) == 3
