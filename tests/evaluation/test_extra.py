from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from data.log import Log
from data.splits import targets
from errors import InputError
from evaluation.baselines import Popularity, PopularityConfig, default_grids
from evaluation.evaluate import evaluate
from evaluation.extra import (
    Bpr,
    BprConfig,
    StorePopularity,
    StorePopularityConfig,
    extra_grids,
    store_buyers,
    store_shares,
)
from evaluation.scorer import Problem
from evaluation.tuning import run_baselines
from tests.evaluation.test_scorers import CUTOFF, ScorerContract, Tiny, tiny_log, unknown


class TestStorePopularity(ScorerContract):
    def make(self):
        return StorePopularity(StorePopularityConfig(smoothing=5.0))

    def test_stores_that_differ(self, problem):
        """The shop of the other tests has one store; here each user has another one of three by week."""
        log = problem.dataset.log
        spread = replace(problem.dataset, log=replace(log, store=((log.user + log.time) % 3 - 1).astype(np.int32)))
        several = Problem(spread, problem.level, CUTOFF)
        self.test_one_by_one_is_as_in_a_batch(several)
        self.test_shape_and_type(several)
        assert not np.allclose(self.scores(several), self.scores(problem))


class TestBpr(ScorerContract):
    def make(self):
        return Bpr(BprConfig(factors=4, iterations=10))


def purchases(rows, n_users=3) -> Log:
    """A log of (user, product, store, time), in order of time."""
    user, product, store, time = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    ones = np.ones(len(rows), dtype=np.float32)
    return Log(user, product, time, ones, ones, user, store, n_users)


class Stores(Tiny):
    """Products 0, 1 and 2; user 0 shops in store 0, user 1 in store 1, user 2 in both."""

    ROWS = ((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 0, 1), (2, 1, 1, 1), (2, 2, 1, 2))

    def __init__(self, rows=ROWS, cutoff=3):
        super().__init__()
        vars(self).update(cutoff=cutoff, history=purchases(rows), of_product=sp.csr_array(np.eye(3, dtype=np.float32)))


def test_buyers_of_stores_are_distinct():
    np.testing.assert_array_equal(store_buyers(Stores().history, Stores().of_product).toarray(), [[2, 0, 0], [0, 2, 1]])


def test_shares_of_stores():
    shares = store_shares(purchases([(0, 0, 1, 0), (0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 9, 0), (1, 0, -1, 0)]), 2)
    np.testing.assert_allclose(shares.toarray(), [[1 / 4, 1 / 2], [0, 0], [0, 0]])


def test_store_popularity_by_hand():
    """Buyers 2, 2, 1 of 5. With α = 5: store 0 (2 of 7): lifts ((2 + 2) / 7) / .4, (2 / 7) / .4, (1 / 7) / .2."""
    first = np.array([2 * (4 / 7) / 0.4, 2 * (2 / 7) / 0.4, (1 / 7) / 0.2])
    second = np.array([2 * (2 / 8) / 0.4, 2 * (4 / 8) / 0.4, (2 / 8) / 0.2])
    problem = Stores()
    scores = StorePopularity(StorePopularityConfig(smoothing=5.0)).fit(problem).score(problem.history, unknown(3))
    np.testing.assert_allclose(scores, [first, second, first / 3 + 2 * second / 3], rtol=1e-5)


def test_store_popularity_counts_the_window_only():
    problem = Stores()
    scorer = StorePopularity(StorePopularityConfig(window=2, smoothing=5.0)).fit(problem)
    late = Stores([row for row in Stores.ROWS if row[3] >= 1])
    expected = StorePopularity(StorePopularityConfig(smoothing=5.0)).fit(late)
    np.testing.assert_allclose(
        scorer.score(problem.history, unknown(3)), expected.score(problem.history, unknown(3)), rtol=1e-6
    )


@pytest.mark.parametrize("window", [None, 2])
def test_without_stores_it_is_popularity(window):
    problem = Stores([(user, product, -1, time) for user, product, _, time in Stores.ROWS])
    scores = StorePopularity(StorePopularityConfig(window)).fit(problem).score(problem.history, unknown(3))
    expected = Popularity(PopularityConfig(window)).fit(problem).score(problem.history, unknown(3))
    np.testing.assert_array_equal(scores, expected)


def test_a_store_that_is_not_known_says_nothing():
    """Store 0 has no purchase in the window, and store 7 none at all."""
    problem = Stores([(0, 0, 0, 0), (1, 1, 1, 2), (2, 2, 2, 2)])
    scorer = StorePopularity(StorePopularityConfig(window=1)).fit(problem)
    asked = purchases([(0, 0, 0, 0), (1, 0, 7, 0), (2, 0, 1, 0)])
    scores = scorer.score(asked, unknown(3))
    np.testing.assert_allclose(scores[:2], [[0, 1, 1]] * 2)
    assert scores[2, 1] > 1 > scores[2, 2]


lines = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-1, 3), st.just(0)), min_size=1)


@given(lines, st.floats(0.5, 100))
def test_what_a_user_gains_by_stores_is_nothing_on_the_whole(rows, smoothing):
    """Whatever the stores, each user's scores add up to all items' buyers: lifts only move popularity about."""
    problem = Stores(rows, cutoff=1)
    scorer = StorePopularity(StorePopularityConfig(smoothing=smoothing)).fit(problem)
    total = Popularity().fit(problem).score(problem.history, unknown(1)).sum()
    np.testing.assert_allclose(scorer.score(problem.history, unknown(3)).sum(axis=1), total, rtol=1e-4)


def blocks():
    """Two groups of six users with four products each; everyone lacks one product of their group's."""
    history = tiny_log(np.kron(np.eye(2), np.ones((6, 4))) - np.eye(12, 8))
    problem = Tiny()
    vars(problem).update(history=history, of_product=sp.csr_array(np.eye(8, dtype=np.float32)))
    return problem


def test_bpr_ranks_what_the_like_minded_buy():
    problem = blocks()
    scores = Bpr(BprConfig(4, 0.1, 0.01, 300)).fit(problem).score(problem.history, unknown(12))
    for user in range(12):
        own = np.arange(4) + (4 if user >= 6 else 0)
        assert scores[user, own].min() > np.delete(scores[user], own).max()


def test_bpr_is_fixed_by_its_seed():
    problem = blocks()
    first, again, other = (
        Bpr(BprConfig(4, seed=seed)).fit(problem).score(problem.history, unknown(12)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_bpr_folds_users_in_near_the_trained_vectors():
    """The map is the least-squares one: no other map of the mean vectors has a smaller error."""
    problem = blocks()
    scorer = Bpr(BprConfig(4, 0.1, 0.01, 300, popularity=0)).fit(problem)
    users, items = scorer._factorise(problem.interactions)
    mean = np.stack([items[row > 0, :-1].mean(axis=0) for row in problem.interactions.toarray()])
    inputs = np.hstack([mean, np.ones((12, 1))])
    folded = scorer.score(problem.history, unknown(12)) - items[:, -1]
    best = inputs @ np.linalg.lstsq(inputs, users[:, :-1], rcond=None)[0]
    np.testing.assert_allclose(folded, best @ items[:, :-1].T, atol=1e-3)


def test_bpr_adds_the_logarithm_of_the_buyers():
    problem = Tiny()
    plain, half = (
        Bpr(BprConfig(2, popularity=popularity)).fit(problem).score(problem.history, unknown(5))
        for popularity in (0, 0.5)
    )
    np.testing.assert_allclose(half - plain, [0.5 * np.log([4, 4, 3, 2])] * 5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "settings", "where"),
    [
        (StorePopularityConfig, {"window": 0}, r"store_popularity\.window"),
        (StorePopularityConfig, {"smoothing": 0}, r"store_popularity\.smoothing"),
        (BprConfig, {"factors": 0}, r"bpr\.factors"),
        (BprConfig, {"iterations": 0}, r"bpr\.iterations"),
        (BprConfig, {"learning_rate": 0}, r"bpr\.learning_rate"),
        (BprConfig, {"learning_rate": float("nan")}, r"bpr\.learning_rate"),
        (BprConfig, {"regularisation": -1}, r"bpr\.regularisation"),
        (BprConfig, {"popularity": -1}, r"bpr\.popularity"),
    ],
)
def test_settings_that_cannot_be(make, settings, where):
    with pytest.raises(InputError, match=where):
        make(**settings)


@pytest.mark.parametrize("large", [False, True])
def test_grids_hold_scorers_of_their_name(shop, monkeypatch, large):
    monkeypatch.setattr("evaluation.extra.LARGE", 3 if large else 5000)
    grids = extra_grids(Problem(shop, None, CUTOFF))
    assert list(grids) == ["store_popularity", "user_knn", "user_cf", "bpr"]
    assert not set(grids) & set(default_grids(Problem(shop, None, CUTOFF)))
    assert all(scorer.name == name for name, grid in grids.items() for scorer in grid)
    assert all(len({scorer.config for scorer in grid}) == len(grid) > 1 for grid in grids.values())


def test_like_minded_users_beat_popularity_where_users_have_tastes(make_shop):
    big = make_shop(n=5000, n_users=400, n_categories=24)
    test = Problem(big, big.catalogue.interest, CUTOFF)
    validation = test.at(8)
    wanted, test_wanted = (targets(big, p.level, p.cutoff, 4) for p in (validation, test))
    grids = extra_grids(test) | {"popularity": [Popularity()]}
    done = run_baselines(grids, validation, wanted, test, test_wanted)
    found = {name: evaluate(b.rankings, test_wanted).summary["ndcg@20"] for name, b in done.items()}
    for name in ("user_knn", "user_cf", "bpr"):
        assert found[name] > found["popularity"] + 0.02, found
