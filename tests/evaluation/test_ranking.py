from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data.splits import Targets, targets
from errors import InputError
from evaluation.ranking import Rankings, rank, tie_order, top_k
from evaluation.scorer import Problem, Scorer

CUTOFF, HORIZON = 12, 8


class Fixed(Scorer):
    """Scores by a function of the item ids."""

    name = "fixed"

    def __init__(self, function):
        self.function = function

    def fit(self, problem):
        self.values = np.array([self.function(i) for i in problem.item_ids], dtype=np.float32)
        return self

    def score(self, history, rows):
        return np.broadcast_to(self.values, (len(rows), len(self.values)))


@pytest.fixture(params=["category", "type", "product"])
def level(request, shop):
    return shop.catalogue.levels.get(request.param)


@pytest.fixture
def problem(shop, level):
    return Problem(shop, level, CUTOFF)


@pytest.fixture
def wanted(shop, level):
    return targets(shop, level, CUTOFF, HORIZON)


def ranked(function, problem, wanted, **options) -> Rankings:
    return rank(Fixed(function).fit(problem), problem, wanted, **options)


def bought_categories(shop, user):
    history = shop.log.before(CUTOFF)
    return {shop.catalogue.product_ids[p].split("t")[0] for p in history.product[history.user == user]}


def test_candidates_are_exactly_the_items_in_unseen_categories(shop, problem, wanted):
    found = ranked(lambda i: hash(i) % 7, problem, wanted, k=len(problem))
    assert len(found.users) > 10
    for user, row in zip(found.users, found.items, strict=True):
        seen = bought_categories(shop, user)
        expected = {i for i in problem.item_ids if i.split("t")[0] not in seen}
        assert set(problem.item_ids[row[row >= 0]]) == expected


def test_every_target_is_a_candidate(problem, wanted):
    found = ranked(lambda i: 0, problem, wanted, k=len(problem))
    for user, row in zip(found.users, found.items, strict=True):
        assert set(wanted.hits[[user]].indices) <= set(row)


def test_best_first_and_padded(problem, wanted):
    found = ranked(lambda i: int(i[1:2]), problem, wanted, k=len(problem) + 3)
    assert found.items.dtype == np.int32
    assert (np.diff(found.scores[found.items[:, 0] >= 0][:, :2], axis=1) <= 0).all()
    assert ((found.items == -1) == np.isneginf(found.scores)).all()
    assert (found.items[:, -3:] == -1).all()


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_do_not_matter(problem, wanted, batch):
    whole = ranked(lambda i: len(i) + int(i[1]), problem, wanted, k=5)
    parts = ranked(lambda i: len(i) + int(i[1]), problem, wanted, k=5, batch=batch)
    np.testing.assert_array_equal(whole.items, parts.items)
    np.testing.assert_array_equal(whole.scores, parts.scores)


def test_to_frame(shop, problem, wanted):
    found = ranked(lambda i: int(i[1]), problem, wanted, k=4)
    frame = found.to_frame(shop.user_ids, problem.item_ids)
    assert list(frame.columns) == ["user_id", "item_id", "rank", "score"]
    assert len(frame) == (found.items >= 0).sum()
    assert frame["rank"].between(1, 4).all()
    first = frame[frame["user_id"] == shop.user_ids[found.users[0]]]
    assert first["item_id"].tolist() == [str(i) for i in problem.item_ids[found.items[0][found.items[0] >= 0]]]


def test_a_frame_is_read_back(shop, problem, wanted):
    found = rank(Fixed(len).fit(problem), problem, wanted, k=7)
    frame = found.to_frame(shop.user_ids, problem.item_ids).sample(frac=1, random_state=0)
    again = Rankings.from_frame(frame, shop.user_ids, problem.item_ids)
    width = again.items.shape[1]
    np.testing.assert_array_equal(again.users, found.users)
    np.testing.assert_array_equal(again.items, found.items[:, :width])
    np.testing.assert_array_equal(again.scores, found.scores[:, :width])
    assert again.n_items == found.n_items
    with pytest.raises(InputError, match="do not hold"):
        Rankings.from_frame(frame, shop.user_ids, problem.item_ids[1:])


def test_no_targets_is_told(shop):
    level = shop.catalogue.interest
    nobody = Targets(np.ones((40, len(level)), dtype=bool), sp.csr_array((40, len(level)), dtype=np.float32))
    problem = Problem(shop, level, CUTOFF)
    with pytest.raises(InputError, match="longer horizon"):
        ranked(lambda i: 0, problem, nobody)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(problem, wanted, bad):
    with pytest.raises(InputError, match=f"fixed scores item '{problem.item_ids[2]}' with {bad}"):
        ranked(lambda i: bad if i == problem.item_ids[2] else 1.0, problem, wanted)


def test_minus_infinity_is_never_recommended(problem, wanted):
    out = problem.item_ids[1]
    found = ranked(lambda i: -np.inf if i == out else 1.0, problem, wanted, k=len(problem))
    assert 1 not in found.items


def test_a_wrong_shape_is_refused(shop):
    level = shop.catalogue.interest
    scorer = Fixed(lambda i: 0.0).fit(Problem(shop, None, CUTOFF))
    with pytest.raises(ValueError, match="fixed gave scores of shape"):
        rank(scorer, Problem(shop, level, CUTOFF), targets(shop, level, CUTOFF, HORIZON))


def test_products_without_a_category_are_no_candidates(make_shop, monkeypatch):
    shop = make_shop(seed=4)
    membership = shop.catalogue.interest.of_product.tolil()
    membership[3] = 0
    monkeypatch.setitem(vars(shop.catalogue.interest), "of_product", sp.csr_array(membership))
    problem = Problem(shop, None, CUTOFF)
    found = ranked(lambda i: 0.0, problem, targets(shop, None, CUTOFF, HORIZON), k=len(problem))
    assert 3 not in found.items
    assert 4 in found.items


def test_a_user_with_nothing_unseen_is_left_out(make_shop, shop):
    interactions = shop.tables.interactions.copy()
    extra = interactions.iloc[:9].assign(user_id="all", time=0, product_id=[f"c{i}t0p0" for i in range(9)])
    full = make_shop(pd.concat([extra, interactions], ignore_index=True))
    found = targets(full, full.catalogue.interest, CUTOFF, HORIZON)
    assert list(full.user_ids).index("all") not in found.users
    assert len(ranked(lambda i: 0.0, Problem(full, full.catalogue.interest, CUTOFF), found).users)


def test_a_level_with_one_category(make_shop):
    interactions = make_shop(n_categories=1).tables.interactions
    late = interactions.assign(time=np.where(interactions["user_id"] < "u020", interactions["time"], 15))
    one = make_shop(late.sort_values("time", kind="stable"), n_categories=1)
    level = one.catalogue.interest
    found = ranked(lambda i: 0.0, Problem(one, level, CUTOFF), targets(one, level, CUTOFF, HORIZON), k=5)
    np.testing.assert_array_equal(found.items, [[0, -1, -1, -1, -1]] * 20)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([-np.inf, 0, 1, 2]), min_size=1, max_size=12),
    st.integers(1, 14),
    st.integers(0, 99),
)
def test_top_k_is_a_full_sort(scores, k, seed):
    values = np.array(scores, dtype=np.float32)
    ties = np.random.default_rng(seed).permutation(len(values))
    expected = [i for i in np.lexsort((ties, -values)) if values[i] > -np.inf][:k]
    assert top_k(values, k, ties).tolist() == expected


def test_the_tie_order_is_a_fixed_permutation_of_the_ids():
    ids = np.array([f"item {i}" for i in range(500)])
    order = tie_order(ids)
    assert sorted(order) == list(range(500))
    np.testing.assert_array_equal(order, tie_order(ids))
    assert abs(np.corrcoef(order, np.arange(500))[0, 1]) < 0.15
    assert (order != tie_order(ids, seed=1)).mean() > 0.9


def test_the_order_of_the_items_does_not_matter():
    ids = np.array([f"item {i}" for i in range(60)])
    scores = (np.arange(60) % 4).astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(60)
    straight = ids[top_k(scores, 20, tie_order(ids))]
    np.testing.assert_array_equal(straight, ids[shuffled][top_k(scores[shuffled], 20, tie_order(ids[shuffled]))])


def test_a_constant_scorer_is_a_random_one():
    """Every item stands in the top k as often, popular or not, first or last."""
    ids, k, seeds = np.array([f"item {i}" for i in range(30)]), 6, 3000
    shown = np.zeros(30)
    for seed in range(seeds):
        shown[top_k(np.zeros(30, dtype=np.float32), k, tie_order(ids, seed))] += 1
    expected = seeds * k / 30
    # χ² with 29 degrees of freedom (a little less: drawn without replacement); 58 is its 99.9th percentile.
    assert ((shown - expected) ** 2 / expected).sum() < 58
