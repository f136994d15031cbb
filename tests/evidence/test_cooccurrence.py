from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from evidence.cooccurrence import cosine_weights, ease_weights

X = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1]], dtype=np.float32)


def test_ease_is_the_closed_form():
    inverse = np.linalg.inv(X.T @ X + 3 * np.eye(4))
    expected = np.eye(4) - inverse / np.diag(inverse)
    np.testing.assert_allclose(ease_weights(sp.csr_array(X), 3.0), expected, atol=1e-5)


def test_ease_refuses_what_has_no_inverse():
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        ease_weights(sp.csr_array(np.zeros((2, 3), dtype=np.float32)), 0.0)


@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_cosine(shrinkage):
    norms = np.linalg.norm(X, axis=0)
    expected = X.T @ X / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(cosine_weights(sp.csr_array(X), shrinkage).toarray(), expected, atol=1e-6)


def test_cosine_of_an_item_nobody_bought():
    found = cosine_weights(sp.csr_array(np.array([[1, 0], [1, 0]], dtype=np.float32)))
    assert np.isfinite(found.data).all()
    assert found.nnz == 0
