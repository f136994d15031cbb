from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from training.texts import TextSimilarity

BOUGHT = sp.csr_array(np.array([[1, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
CANDIDATES = np.array([[1, 3], [0, 2], [1, 0]])


@pytest.fixture
def types(run):
    """Positions of four types in the bank, and their vectors of length 1."""
    positions = run.plan.positions("Type")[:4]
    vectors = torch.nn.functional.normalize(run.bank.embed(positions), dim=1)
    return positions, vectors.detach().numpy()


def test_largest_and_mean_cosine_by_hand(run, types):
    positions, vectors = types
    found = TextSimilarity(run.bank, positions).of(BOUGHT, CANDIDATES)
    for user, nodes in ((0, [0, 2]), (2, [1])):
        alike = vectors[CANDIDATES[user]] @ vectors[nodes].T
        np.testing.assert_allclose(found[user], np.stack([alike.max(1), alike.mean(1)], 1), atol=1e-5)


def test_no_history_is_like_nothing(run, types):
    assert not TextSimilarity(run.bank, types[0]).of(BOUGHT, CANDIDATES)[1].any()


def test_what_was_bought_itself_is_most_alike(run, types):
    found = TextSimilarity(run.bank, types[0]).of(BOUGHT, CANDIDATES)
    assert found[2, 0, 0] == pytest.approx(1, abs=1e-5)
    assert (found[..., 0] >= found[..., 1] - 1e-6).all()
