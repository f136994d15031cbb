from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from evidence.neighbours import UserProfiles, nearest

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
