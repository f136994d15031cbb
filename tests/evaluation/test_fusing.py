"""Rank fusion and stacking: by hand, indifferent to order, and never of other users."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from errors import InputError
from evaluation.fusing import Stacking, reciprocal, reciprocal_rank_fusion
from evaluation.ranking import Rankings, rank_batch

TIES = np.arange(40)


def rankings(scores):
    scores = np.asarray(scores, dtype=np.float32)
    return Rankings(
        np.arange(len(scores)), *rank_batch(scores, scores.shape[1], TIES[: scores.shape[1]]), scores.shape[1]
    )


def test_fusion_worked_out_by_hand():
    one, other = rankings([[3, 2, 1, -np.inf]]), rankings([[1, 3, 2, -np.inf]])
    fused = reciprocal_rank_fusion([one, other], 4, TIES[:4])
    np.testing.assert_array_equal(fused.items, [[1, 0, 2, -1]])
    np.testing.assert_allclose(fused.scores[0, :3], [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 63 + 1 / 62], rtol=1e-6)
    np.testing.assert_allclose(reciprocal(one, 0), [[1, 1 / 2, 1 / 3, 0]])


def test_one_ranking_fused_with_itself_is_itself():
    one = rankings(np.random.default_rng(0).normal(size=(6, 12)))
    np.testing.assert_array_equal(reciprocal_rank_fusion([one, one], 12, TIES[:12]).items, one.items)


def test_the_order_of_models_does_not_matter():
    rng = np.random.default_rng(1)
    models = [rankings(rng.normal(size=(5, 12))) for _ in range(3)]
    one, other = (reciprocal_rank_fusion(given, 12, TIES[:12]) for given in (models, models[::-1]))
    np.testing.assert_array_equal(one.items, other.items)


def test_stacking_learns_which_model_to_trust():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(80, 30))
    good, noise = rankings(truth + rng.normal(0, 0.5, truth.shape)), rankings(rng.normal(size=truth.shape))
    wanted = sp.csr_array((truth > 1.2).astype(np.float32))
    stacking = Stacking.fit([good, noise], wanted)
    assert stacking.weights[0] > 5 * abs(stacking.weights[1])
    fused = stacking.fuse([good, noise], 30, TIES[:30])
    kept = np.mean([len(set(a[:5]) & set(b[:5])) for a, b in zip(fused.items, good.items, strict=True)])
    assert kept > 4.5


def test_other_users_are_refused():
    one = rankings(np.zeros((3, 4)))
    other = Rankings(np.array([0, 1, 5]), one.items, one.scores, 4)
    with pytest.raises(InputError, match="not of the same users"):
        reciprocal_rank_fusion([one, other], 4, TIES[:4])
    with pytest.raises(InputError, match="not of the same users"):
        Stacking.fit([one, other], sp.csr_array((3, 4)))
