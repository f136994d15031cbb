from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from data.log import FEW
from evidence.neighbours import Shoppers, UserProfiles, nearest

X = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1]], dtype=np.float32)
NOBODY = np.array([-1])


def profiles(matrix):
    """By the formula, densely."""
    weighted = matrix * np.log((len(matrix) + 1) / ((matrix > 0).sum(axis=0) + 1))
    return weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-6)


def test_similarity_is_the_cosine_of_tfidf_histories_and_0_with_oneself():
    expected = profiles(X) @ profiles(X).T
    np.fill_diagonal(expected, 0)
    found = UserProfiles(sp.csr_array(X), len(X)).similarity(sp.csr_array(X), np.arange(5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_stranger_may_equal_somebody():
    found = UserProfiles(sp.csr_array(X), len(X)).similarity(sp.csr_array(X[:1]), NOBODY)
    assert found[0].argmax() == 0
    assert found[0, 0] == pytest.approx(1, abs=1e-6)


def test_no_history_is_like_nobodys():
    found = UserProfiles(sp.csr_array(X), len(X)).similarity(sp.csr_array((1, 4), dtype=np.float32), NOBODY)
    assert not found.any()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_nearest_by_brute_force(k):
    similarity = np.random.default_rng(k).random((4, 7)).astype(np.float32)
    found = nearest(similarity, k).toarray()
    for row, kept in zip(similarity, found, strict=True):
        np.testing.assert_array_equal(kept, np.where(row >= np.sort(row)[-k], row, 0))


def test_a_population_of_one_has_no_neighbours():
    assert nearest(np.zeros((1, 1), dtype=np.float32), 5).sum() == 0


def test_a_handful_is_compared_once_and_others_anew(shop, monkeypatch):
    log = shop.log.before(15)
    shoppers, times = Shoppers(log, len(shop.catalogue.product_ids)), []
    compare = UserProfiles.similarity
    monkeypatch.setattr(UserProfiles, "similarity", lambda *given: times.append(1) or compare(*given))
    user, other = np.array([3]), np.array([4])
    histories = {rows.tobytes(): log.of_users(rows) for rows in (user, other)}
    for rows in (user, user, other, user, NOBODY):
        history = histories[other.tobytes() if rows is other else user.tobytes()]
        fresh = Shoppers(log, len(shop.catalogue.product_ids)).similarity(history, rows)
        times.pop()
        np.testing.assert_array_equal(shoppers.similarity(history, rows), fresh)
    assert len(times) == 4


def test_what_many_are_like_is_not_kept(shop):
    log, users = shop.log.before(15), np.arange(FEW + 1)
    shoppers = Shoppers(log, len(shop.catalogue.product_ids))
    history = log.of_users(users)
    assert shoppers.similarity(history, users) is not shoppers.similarity(history, users)
