from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from evaluation import metrics

ALL = {"recall": metrics.recall, "ndcg": metrics.ndcg, "hit_rate": metrics.hit_rate, "mrr": metrics.mrr}


def measure(lists, relevant, k):
    targets = sp.csr_array(np.asarray(relevant, dtype=np.float32))
    found, n = metrics.hits(np.asarray(lists, dtype=np.int32), targets), metrics.n_targets(targets)
    return {name: metric(found, n, k) for name, metric in ALL.items()}


@st.composite
def rankings(draw, min_targets=1):
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(2, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lists = np.stack([rng.permutation(n_items) for _ in range(n_users)]).astype(np.int32)
    relevant = rng.random((n_users, n_items)) < rng.random()
    for row in relevant:
        row[rng.permutation(n_items)[:min_targets]] = True
    return lists, relevant, draw(st.integers(1, n_items))


def test_by_hand():
    found = measure([[0, 1, 2, 3]], [[0, 1, 0, 1, 1, 0]], 3)
    # Targets 1, 3, 4; the hit is at rank 2 of 3.
    assert found["recall"] == pytest.approx([1 / 3])
    assert found["ndcg"] == pytest.approx([(1 / np.log2(3)) / (1 + 1 / np.log2(3) + 1 / 2)])
    assert found["hit_rate"] == pytest.approx([1])
    assert found["mrr"] == pytest.approx([1 / 2])


def test_ideal_is_truncated_at_the_number_of_targets():
    assert measure([[5, 0, 1]], [[0, 0, 0, 0, 0, 1]], 3)["ndcg"] == pytest.approx([1.0])


def test_padding_is_never_a_hit():
    found = measure([[-1, -1], [1, -1]], [[1, 1], [1, 1]], 2)
    assert found["recall"] == pytest.approx([0, 0.5])
    assert found["mrr"] == pytest.approx([0, 1])


def test_k_beyond_the_lists():
    assert measure([[0, 1]], [[1, 1, 1]], 10)["recall"] == pytest.approx([2 / 3])
    assert measure([[0, 1, 2]], [[1, 1, 1]], 10)["ndcg"] == pytest.approx([1])


def test_a_user_without_targets_has_no_value():
    assert all(np.isnan(values[0]) for values in measure([[0, 1]], [[0, 0]], 2).values())


@settings(max_examples=30, deadline=None)
@given(rankings())
def test_as_published(case):
    lists, relevant, k = case
    n_items = lists.shape[1]
    scores = np.empty(lists.shape)
    np.put_along_axis(scores, lists, np.arange(n_items, 0, -1.0)[None, :].repeat(len(lists), 0), axis=1)
    ours = measure(lists, relevant, k)
    assert ours["ndcg"].mean() == pytest.approx(ndcg_score(relevant.astype(float), scores, k=k))
    published = {
        "recall": RetrievalRecall(top_k=k),
        "ndcg": RetrievalNormalizedDCG(top_k=k),
        "hit_rate": RetrievalHitRate(top_k=k),
        "mrr": RetrievalMRR(top_k=k),
    }
    index = torch.arange(len(lists))[:, None].expand(-1, n_items).reshape(-1)
    for name, metric in published.items():
        theirs = metric(torch.tensor(scores).reshape(-1), torch.tensor(relevant).reshape(-1), index)
        assert ours[name].mean() == pytest.approx(float(theirs), abs=1e-6), name


@settings(max_examples=30, deadline=None)
@given(rankings())
def test_a_perfect_ranking_is_worth_one(case):
    lists, relevant, k = case
    best = np.argsort(~relevant, axis=1, kind="stable")
    found = measure(best, relevant, k)
    for name in ("ndcg", "hit_rate", "mrr"):
        assert found[name] == pytest.approx(np.ones(len(lists)))
    assert found["recall"] == pytest.approx(np.minimum(k / relevant.sum(axis=1), 1))


@settings(max_examples=30, deadline=None)
@given(rankings(), st.randoms(use_true_random=False))
def test_users_are_independent(case, random):
    lists, relevant, k = case
    order = list(range(len(lists)))
    random.shuffle(order)
    straight, shuffled = measure(lists, relevant, k), measure(lists[order], relevant[order], k)
    for name in ALL:
        np.testing.assert_allclose(straight[name][order], shuffled[name], rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(rankings())
def test_what_stands_below_k_does_not_matter(case):
    lists, relevant, k = case
    longer = np.concatenate([lists[:, :k], lists[:, k:][:, ::-1]], axis=1)
    for name, values in measure(lists[:, :k], relevant, k).items():
        np.testing.assert_allclose(values, measure(longer, relevant, k)[name], rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(rankings())
def test_values_lie_between_0_and_1_and_recall_grows_with_k(case):
    lists, relevant, k = case
    found, longer = measure(lists, relevant, k), measure(lists, relevant, k + 1)
    assert all(((values >= 0) & (values <= 1 + 1e-12)).all() for values in found.values())
    for name in ("recall", "hit_rate", "mrr"):
        assert (longer[name] >= found[name]).all()


def test_coverage():
    lists = np.array([[0, 1, 2], [1, 0, -1]], dtype=np.int32)
    assert metrics.coverage(lists, 8, 2) == 2 / 8
    assert metrics.coverage(lists, 8, 3) == 3 / 8


def test_diversity_by_hand():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], dtype=np.float32)
    lists = np.array([[0, 1, 4], [0, 2, 4], [0, 3, 4], [0, 4, 1], [0, -1, -1]], dtype=np.int32)
    found = metrics.diversity(lists, vectors, 2)
    assert found[:4] == pytest.approx([0, 1, 1 - 1 / np.sqrt(2), 1], abs=1e-7)
    assert np.isnan(found[4])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_diversity_is_the_mean_over_pairs(seed, k):
    rng = np.random.default_rng(seed)
    vectors = rng.random((12, 5)).astype(np.float32) * (rng.random((12, 5)) < 0.6)
    lists = np.stack([rng.permutation(12)[:8] for _ in range(5)]).astype(np.int32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    cosine = unit @ unit.T
    pairs = [[1 - cosine[a, b] for a in row[:k] for b in row[:k] if a != b] for row in lists]
    assert metrics.diversity(lists, sp.csr_array(vectors), k, batch=2) == pytest.approx(
        [np.mean(row) for row in pairs], abs=1e-5
    )
