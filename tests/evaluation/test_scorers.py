from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from data.log import Log
from data.splits import targets
from errors import InputError
from evaluation.baselines import (
    Als,
    AlsConfig,
    Ease,
    EaseConfig,
    ItemCosine,
    ItemCosineConfig,
    Popularity,
    PopularityConfig,
    default_grids,
    nearest_items,
)
from evaluation.scorer import Problem, weigh
from evidence.cooccurrence import cosine_weights

CUTOFF = 12


def unknown(n):
    return np.full(n, -1, dtype=np.int64)


class ScorerContract:
    """What every scorer keeps to; subclasses say how to make one."""

    def make(self):
        raise NotImplementedError

    @pytest.fixture(params=["category", "type", "product"])
    def problem(self, request, shop):
        return Problem(shop, shop.catalogue.levels.get(request.param), CUTOFF)

    def scores(self, problem, users=None):
        users = np.arange(problem.history.n_users) if users is None else np.asarray(users)
        return np.array(self.make().fit(problem).score(problem.history.of_users(users), users))

    def test_shape_and_type(self, problem):
        scores = self.scores(problem)
        assert scores.shape == (problem.history.n_users, len(problem))
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_one_by_one_is_as_in_a_batch(self, problem):
        scorer = self.make().fit(problem)
        users = np.array([5, 0, 17])
        batch = scorer.score(problem.history.of_users(users), users)
        for row, user in enumerate(users):
            alone = scorer.score(problem.history.of_users(np.array([user])), np.array([user]))
            np.testing.assert_allclose(alone[0], batch[row], rtol=1e-4, atol=1e-5)

    def test_fitting_again_gives_the_same(self, problem):
        np.testing.assert_array_equal(self.scores(problem), self.scores(problem))

    def test_fitting_forgets_the_past(self, problem):
        scorer = self.make().fit(problem.at(6)).fit(problem)
        users = np.arange(problem.history.n_users)
        np.testing.assert_array_equal(scorer.score(problem.history, users), self.scores(problem))

    def test_users_it_was_not_fitted_on(self, problem, make_shop):
        stranger = make_shop(seed=9).log.before(CUTOFF).of_users(np.array([3, 4]))
        scores = self.make().fit(problem).score(stranger, unknown(2))
        assert scores.shape == (2, len(problem))
        assert np.isfinite(scores).all()

    def test_a_user_without_history(self, problem):
        empty = problem.history.before(-1).of_users(np.array([0]))
        assert np.isfinite(self.make().fit(problem).score(empty, unknown(1))).all()

    def test_the_future_moves_nothing(self, problem, make_shop):
        rows = problem.dataset.tables.interactions.copy()
        later = rows["time"] >= CUTOFF
        rows.loc[later, "product_id"] = rows.loc[later, "product_id"].sample(frac=1, random_state=1).to_numpy()
        other = make_shop(rows)
        level = other.catalogue.levels.get(problem.name)
        np.testing.assert_array_equal(self.scores(problem), self.scores(Problem(other, level, CUTOFF)))

    def test_the_past_moves_something(self, problem):
        assert not np.array_equal(self.scores(problem), self.scores(problem.at(6)))

    def test_it_has_a_name_and_settings(self):
        scorer = self.make()
        assert scorer.name
        assert scorer.config == type(scorer.config)(**vars(scorer.config))


class TestPopularity(ScorerContract):
    def make(self):
        return Popularity()


class TestRecentPopularity(ScorerContract):
    def make(self):
        return Popularity(PopularityConfig(window=3))


class TestItemCosine(ScorerContract):
    def make(self):
        return ItemCosine(ItemCosineConfig(shrinkage=1.0))


class TestItemCosineOfNeighbours(ScorerContract):
    def make(self):
        return ItemCosine(ItemCosineConfig("log", neighbours=5, exact_items=0, num_threads=1))


class TestEase(ScorerContract):
    def make(self):
        return Ease(EaseConfig(10.0))


class TestAls(ScorerContract):
    def make(self):
        return Als(AlsConfig(factors=4, regularisation=1.0, num_threads=1))


def tiny_log(matrix) -> Log:
    user, product = np.nonzero(matrix)
    ones = np.ones(len(user), dtype=np.float32)
    basket = np.arange(len(user), dtype=np.int32)
    return Log(
        user.astype(np.int32),
        product.astype(np.int32),
        np.zeros_like(basket),
        ones,
        ones,
        basket,
        basket,
        len(matrix),
    )


class Tiny(Problem):
    """Five users and four products, without a shop around them."""

    X = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1]], dtype=np.float32)

    def __init__(self):
        vars(self).update(
            cutoff=1,
            level=None,
            history=tiny_log(self.X),
            of_product=sp.csr_array(np.eye(4, dtype=np.float32)),
        )


def test_popularity_counts_buyers():
    scores = Popularity().fit(Tiny()).score(Tiny().history, unknown(5))
    np.testing.assert_array_equal(scores, [[4, 4, 3, 2]] * 5)


def test_ease_is_the_constrained_ridge_regression():
    """Each column by itself: regress the item on the others with ridge λ, which is what EASE solves."""
    X, strength = Tiny.X.astype(float), 2.0
    expected = np.zeros((4, 4))
    for j in range(4):
        others = [i for i in range(4) if i != j]
        gram = X[:, others].T @ X[:, others] + strength * np.eye(3)
        expected[others, j] = np.linalg.solve(gram, X[:, others].T @ X[:, j])
    scores = Ease(EaseConfig(strength)).fit(Tiny()).score(Tiny().history, unknown(5))
    np.testing.assert_allclose(scores, X @ expected, atol=1e-5)


def test_cosine_by_hand():
    X = Tiny.X
    cosine = X.T @ X / np.outer(np.linalg.norm(X, axis=0), np.linalg.norm(X, axis=0))
    np.fill_diagonal(cosine, 0)
    scores = ItemCosine().fit(Tiny()).score(Tiny().history, unknown(5))
    np.testing.assert_allclose(scores, X @ cosine, atol=1e-6)
    assert cosine[0, 3] == pytest.approx(1 / np.sqrt(4 * 2))


def test_all_neighbours_are_the_exact_cosine(shop):
    counts = weigh(Problem(shop, None, CUTOFF).interactions, "log")
    exact = cosine_weights(counts).toarray()
    np.testing.assert_allclose(nearest_items(counts, counts.shape[1], 1).toarray(), exact, atol=1e-6)


def test_neighbours_are_each_items_nearest(shop):
    counts = weigh(Problem(shop, None, CUTOFF).interactions, "binary")
    exact = cosine_weights(counts).toarray()
    found = nearest_items(counts, 4, 1).toarray()
    for item in range(counts.shape[1]):
        kept = np.flatnonzero(found[:, item])
        assert len(kept) <= 4
        np.testing.assert_allclose(np.sort(found[kept, item]), np.sort(exact[item])[-4:][-len(kept) :], atol=1e-6)


def test_als_ranks_what_the_like_minded_buy():
    history = tiny_log(np.kron(np.eye(2), np.ones((6, 4))) - np.eye(12, 8))
    problem = Tiny()
    vars(problem).update(history=history, of_product=sp.csr_array(np.eye(8, dtype=np.float32)))
    vars(problem).pop("interactions", None)
    scores = Als(AlsConfig(factors=2, num_threads=1)).fit(problem).score(history, unknown(12))
    for user in range(8):
        own = np.arange(4) + (4 if user >= 6 else 0)
        assert scores[user][own].min() > np.delete(scores[user], own).max()


def test_als_does_not_warn_of_threads(shop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Als(AlsConfig(factors=2)).fit(Problem(shop, shop.catalogue.interest, CUTOFF))


def test_ease_refuses_too_many_items(shop):
    with pytest.raises(InputError, match=r"ease\.max_items"):
        Ease(EaseConfig(max_items=3)).fit(Problem(shop, shop.catalogue.interest, CUTOFF))


def test_a_window_is_positive():
    with pytest.raises(InputError, match=r"popularity\.window"):
        PopularityConfig(0)


def test_grids_hold_scorers_of_their_name(shop):
    grids = default_grids(Problem(shop, None, CUTOFF))
    assert list(grids) == ["popularity", "recent_popularity", "item_cosine", "ease", "als"]
    assert all(scorer.name == name for name, grid in grids.items() for scorer in grid)
    assert all(len({scorer.config for scorer in grid}) == len(grid) for grid in grids.values())


def test_problem_counts_and_membership(shop):
    for name in ("category", "type", "product"):
        problem = Problem(shop, shop.catalogue.levels.get(name), CUTOFF)
        assert problem.name == name
        assert problem.interactions.sum() == len(problem.history)
        assert (problem.membership.toarray().astype(bool).sum(axis=1) == 1).all()
        assert len(problem.item_ids) == len(problem) == problem.membership.shape[0]
        assert targets(shop, problem.level, CUTOFF, 8).hits.shape == problem.interactions.shape
