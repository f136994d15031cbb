"""Cold items ranked among themselves: the figures agree with the plain metrics, the simple scorers with hand counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from data.splits import targets
from errors import InputError
from evaluation import metrics
from evaluation.baselines import Popularity
from evaluation.cold import ByProducts, ColdTask, OfParent, Random, TextNearest, intervals, ndcg, simple_scorers
from evaluation.ranking import rank_batch, tie_order
from evaluation.scorer import Problem

CUTOFF, HORIZON, COLD = 12, 8, np.array([1, 5, 8, 13])


@pytest.fixture(scope="module")
def task(shop):
    """Four types that nobody bought, with their purchases known to the targets alone."""
    level = shop.catalogue.below
    lost = np.isin(shop.log.product, np.unique(level.of_product.tocsc()[:, COLD].indices))
    without = replace(shop, log=shop.log.where(~lost))
    return ColdTask.of(Problem(without, level, CUTOFF), COLD, HORIZON, shop)


def test_targets_are_those_of_the_whole_shop(task, shop):
    found = targets(shop, shop.catalogue.below, CUTOFF, HORIZON)
    np.testing.assert_array_equal(task.wanted, found.hits[task.users].toarray()[:, COLD] > 0)
    assert task.wanted.any(axis=1).all()
    assert not (task.wanted & ~task.candidates).any()
    assert (task.problem.interactions[:, COLD].sum()) == 0


def test_gains_add_up_to_ndcg(task):
    scores = np.random.default_rng(0).integers(0, 3, task.candidates.shape).astype(np.float32)
    gains = task.gains(scores, k=2)
    per_user = np.bincount(task.pairs.user, gains, minlength=len(task.users))
    ties = tie_order(task.problem.item_ids[task.items])
    lists, _ = rank_batch(np.where(task.candidates, scores, -np.inf).astype(np.float32), 2, ties)
    hits = targets_of(task)
    plain = metrics.ndcg(metrics.hits(lists, hits), metrics.n_targets(hits), 2)
    np.testing.assert_allclose(per_user, plain, rtol=1e-6)
    assert ndcg(task, gains) == pytest.approx(plain.mean(), rel=1e-5)


def targets_of(task):
    return sp.csr_array(task.wanted.astype(np.float32))


def test_knowing_all_is_one_and_leads_surely(task):
    wanted = task.wanted.astype(np.float32)
    gains = {"all": task.gains(wanted, k=1), "none": task.gains(-wanted, k=1)}
    assert ndcg(task, gains["all"]) == pytest.approx(1)
    found = intervals(task, gains, "all")["none"]
    assert set(found) == {"user", "item", "both"}
    assert found["user"].low > 0
    assert all(one.mean == pytest.approx(1 - ndcg(task, gains["none"]), rel=1e-5) for one in found.values())


def test_nobody_buys_them(task, shop):
    with pytest.raises(InputError, match="nobody buys one of the 4 cold items"):
        ColdTask.of(task.problem, COLD, HORIZON, task.problem.dataset)


def test_siblings_get_their_parents_buyers(task):
    problem, level = task.problem, task.problem.dataset.catalogue.interest
    parent = np.arange(len(problem)) // 2
    rows = np.arange(3)
    history = problem.history.of_users(rows)
    plain = OfParent(Popularity(), parent, level).fit(problem).score(history, rows)
    shared = OfParent(Popularity(), parent, level, per_sibling=True).fit(problem).score(history, rows)
    buyers = np.diff(problem.history.counts(level.of_product).tocsc().indptr)
    np.testing.assert_array_equal(plain[0], np.repeat(buyers, 2))
    sold = (problem.interactions.sum(axis=0) > 0).reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(shared[0], np.repeat(buyers / np.maximum(sold, 1), 2))
    by_products = ByProducts(parent, level, alone=False).fit(problem).score(history, rows)
    np.testing.assert_allclose(by_products[0], 3 * np.repeat(buyers, 2) / 6)


def test_likeness_of_texts(task):
    problem = task.problem
    vectors = np.eye(len(problem), dtype=np.float32)
    rows = np.arange(4)
    history = problem.history.of_users(rows)
    bought = problem.counts(history).toarray() > 0
    largest = TextNearest(vectors, largest=True).fit(problem).score(history, rows)
    np.testing.assert_array_equal(largest > 0, bought)
    mean = TextNearest(vectors, largest=False).fit(problem).score(history, rows)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)


def test_all_simple_scorers_rank(task):
    level = task.problem.dataset.catalogue.interest
    texts = np.random.default_rng(0).normal(size=(len(task.problem), 6)).astype(np.float32)
    scorers = simple_scorers(level, np.arange(len(task.problem)) // 2, texts, HORIZON)
    assert len({scorer.name for scorer in scorers}) == len(scorers) == 11
    for scorer in scorers:
        scorer.fit(task.problem)
        scores = task.scores(lambda history, rows, s=scorer: s.score(history, rows)[:, COLD])
        assert scores.shape == task.candidates.shape
        assert 0 <= ndcg(task, task.gains(scores)) <= 1


def test_chance_does_not_depend_on_the_batch(task):
    scorer, history = Random(3).fit(task.problem), task.problem.history
    together = scorer.score(history.of_users(np.arange(4)), np.arange(4))
    np.testing.assert_array_equal(together[2:3], scorer.score(history.of_users(np.array([2])), np.array([2])))
