from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from errors import InputError
from evaluation import neighbours
from evaluation.neighbours import UserCf, UserCfConfig, UserKnn, UserKnnConfig, nearest
from evaluation.scorer import Problem
from tests.evaluation.test_scorers import CUTOFF, ScorerContract, Tiny, tiny_log, unknown


class TestUserKnn(ScorerContract):
    def make(self):
        return UserKnn(UserKnnConfig(neighbours=5))


class TestUserKnnOfLogCounts(ScorerContract):
    def make(self):
        return UserKnn(UserKnnConfig(neighbours=100, counting="log"))


class TestUserCfByPearson(ScorerContract):
    def make(self):
        return UserCf(UserCfConfig(neighbours=8, weights="pearson"))


class TestUserCfByCosine(ScorerContract):
    def make(self):
        return UserCf(UserCfConfig(neighbours=8, weights="cosine", shrinkage=0))


class Counts(Tiny):
    """Users and products with these counts."""

    def __init__(self, counts):
        super().__init__()
        counts = np.asarray(counts)
        user, product = np.nonzero(counts)
        single = tiny_log(counts)
        times = counts[user, product]
        arrays = {name: np.repeat(value, times) for name, value in vars(single).items() if name != "n_users"}
        history = type(single)(**arrays, n_users=len(counts))
        of_product = sp.csr_array(np.eye(counts.shape[1], dtype=np.float32))
        vars(self).update(history=history, of_product=of_product)


def test_the_nearest_users_purchases_by_hand():
    """Of the others, by shared items: user 0 has products 0 and 1."""
    w = {2: 2 / np.sqrt(2 * 3), 4: 2 / np.sqrt(2 * 3), 1: 1 / 2, 3: 1 / np.sqrt(2 * 3)}
    scores = UserKnn(UserKnnConfig(neighbours=3)).fit(Tiny()).score(Tiny().history, np.arange(5))
    expected = w[2] * Tiny.X[2] + w[4] * Tiny.X[4] + w[1] * Tiny.X[1]
    np.testing.assert_allclose(scores[0], expected, atol=1e-6)


def test_log_counts_weigh_similarity_and_purchases():
    problem = Counts([[3, 1, 0], [1, 0, 2]])
    R = np.log1p([[3, 1, 0], [1, 0, 2]])
    weight = R[0] @ R[1] / np.linalg.norm(R[0]) / np.linalg.norm(R[1])
    scores = UserKnn(UserKnnConfig(counting="log")).fit(problem).score(problem.history, np.arange(2))
    np.testing.assert_allclose(scores, [weight * R[1], weight * R[0]], atol=1e-6)


@pytest.mark.parametrize("make", [UserKnn, UserCf], ids=lambda make: make.name)
def test_nobody_is_their_own_neighbour(make):
    """Alone in their taste: without themselves, users have no neighbours."""
    problem = Counts([[3, 1, 0, 0], [0, 0, 2, 5]])
    scorer = make().fit(problem)
    assert not scorer.score(problem.history, np.arange(2)).any()
    assert (scorer.score(problem.history, unknown(2))[0, :2] > 0).all()


A, B, C = np.log(2), np.log(4), np.log(8)  # ratings of 1, 3 and 7 purchases: A, 2A and 3A


def rated():
    """Ratings A·[[1, 3, 0, 0], [1, 2, 3, 0], [1, 3, 2, 2], [3, 1, 0, 1]]: means 2A, 2A, 2A, 5A/3."""
    return Counts([[1, 7, 0, 0], [1, 3, 7, 0], [1, 7, 3, 3], [7, 1, 0, 1]])


def test_mean_centred_prediction_by_hand():
    """User 0's deviations are (−1, 1)·A; over both items 0 and 1, the others' are (−1, 0), (−1, 1), (4/3, −2/3).

    Weights: user 1: 1 / √(2 · 1), user 2: 2 / √(2 · 2) = 1, user 3 is below 0 and no neighbour.
    """
    w1, w2 = 1 / np.sqrt(2), 1.0
    problem = rated()
    scores = UserCf(UserCfConfig(10, "pearson", 0)).fit(problem).score(problem.history, np.arange(4))[0]
    assert scores[0] == pytest.approx(2 * A - A, abs=1e-5)
    assert scores[1] == pytest.approx(2 * A + (w1 * 0 + w2 * A) / (w1 + w2), abs=1e-5)
    assert scores[2] == pytest.approx(2 * A + (w1 * A + w2 * 0) / (w1 + w2), abs=1e-5)
    assert scores[3] == pytest.approx(2 * A + 0, abs=1e-5)


def test_shrinkage_is_a_neighbour_who_has_not_bought_it():
    w1, w2, strength = 1 / np.sqrt(2), 1.0, 0.5
    problem = rated()
    scores = UserCf(UserCfConfig(10, "pearson", strength)).fit(problem).score(problem.history, np.arange(4))[0]
    assert scores[2] == pytest.approx(2 * A + (w1 * A - strength * 2 * A) / (w1 + w2 + strength), abs=1e-5)
    assert scores[3] == pytest.approx(2 * A - strength * 2 * A / (w2 + strength), abs=1e-5)
    assert scores[3] < scores[2]


def test_prediction_by_cosine_by_hand():
    """The nearest user alone counts: user 2 for user 0, with (1 + 9) / √(10 · 18) against 7 / √(10 · 14)."""
    problem = rated()
    scores = UserCf(UserCfConfig(1, "cosine", 2.0)).fit(problem).score(problem.history, np.arange(4))[0]
    weight = 10 / np.sqrt(10 * 18)
    deviations = np.array([-1, 1, 0, 0]) * A
    np.testing.assert_allclose(scores, 2 * A + (weight * deviations - 2 * 2 * A) / (weight + 2), atol=1e-5)


def test_what_no_neighbour_bought_is_predicted_as_not_bought():
    problem = Counts([[1, 7, 0], [1, 7, 0], [0, 0, 3]])
    scores = UserCf(UserCfConfig(5, "pearson", 0)).fit(problem).score(problem.history, np.arange(3))
    assert scores[0, 2] == 0
    assert scores[0, 1] > scores[0, 0] > 0


matrices = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(st.integers(-20, 20), min_size=n, max_size=n), min_size=1, max_size=9)
)


@given(matrices, st.integers(1, 15), st.integers(1, 40), st.randoms(use_true_random=False))
def test_nearest_are_the_largest_above_zero(rows, k, cells, random):
    similarity = np.array(rows, dtype=np.float32) / 64
    b, n = similarity.shape
    own = np.array([random.choice([-1, random.randrange(n)]) for _ in range(b)], dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "CELLS_PER_BLOCK", cells)
        found = nearest(lambda block: similarity[block].copy(), k, own, n).toarray()
    for row in range(b):
        others = [value for user, value in enumerate(similarity[row]) if user != own[row] and value > 0]
        kept = np.flatnonzero(found[row])
        np.testing.assert_array_equal(found[row, kept], similarity[row, kept])
        assert own[row] not in kept
        assert sorted(found[row, kept]) == sorted(others)[-k:]


@pytest.mark.parametrize("make", [UserKnn, UserCf], ids=lambda make: make.name)
def test_no_block_of_similarities_is_larger_than_said(make, shop, monkeypatch):
    problem = Problem(shop, shop.catalogue.interest, CUTOFF)
    users = np.arange(problem.history.n_users)
    expected = make().fit(problem).score(problem.history, users)
    seen = []

    def keep(similarity, k, rows):
        seen.append(similarity.size)
        return whole(similarity, k, rows)

    whole = neighbours._keep
    monkeypatch.setattr(neighbours, "_keep", keep)
    monkeypatch.setattr(neighbours, "CELLS_PER_BLOCK", 3 * len(users))
    np.testing.assert_allclose(make().fit(problem).score(problem.history, users), expected, rtol=1e-5, atol=1e-6)
    assert max(seen) == 3 * len(users)
    assert sum(seen) == len(users) ** 2


@pytest.mark.parametrize(
    ("make", "settings", "where"),
    [
        (UserKnnConfig, {"neighbours": 0}, r"user_knn\.neighbours"),
        (UserKnnConfig, {"counting": "often"}, r"user_knn\.counting"),
        (UserCfConfig, {"neighbours": -1}, r"user_cf\.neighbours"),
        (UserCfConfig, {"weights": "euclid"}, r"user_cf\.weights"),
        (UserCfConfig, {"shrinkage": -0.1}, r"user_cf\.shrinkage"),
        (UserCfConfig, {"shrinkage": float("nan")}, r"user_cf\.shrinkage"),
    ],
)
def test_settings_that_cannot_be(make, settings, where):
    with pytest.raises(InputError, match=where):
        make(**settings)
