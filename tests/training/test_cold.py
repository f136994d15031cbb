"""Items that nobody bought: what is pretended is not known, and the heads that learn from it are kept with the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.splits import unseen_categories
from training.cold import ColdScorer, ColdView
from training.cold_fit import chosen, cold_cutoffs, examples_at, fit_head, fit_heads, pretend, unsold, without_items
from training.cutoffs import Chain
from training.saved import COLD, load_cold, save_cold
from training.scorer import CrossAisleScorer

TIME = 16


def moment(run):
    return TIME, run.graphs[TIME]


@pytest.fixture(scope="module", params=[0, 1], ids=["type", "product"])
def step(request):
    return request.param


@pytest.fixture(scope="module")
def pretended(run, step):
    return pretend(run.config, run.trained.module, run.dataset, moment(run), step)


def test_a_run_has_a_head_for_each_level(run):
    assert cold_cutoffs(run.config) == [24]
    assert set(run.trained.cold) == {"Type", "Product"}
    assert cold_cutoffs(replace(run.config, cold=replace(run.config.cold, cutoffs=0))) == []


def test_purchases_of_what_is_made_to_look_unsold_move_nothing(run, step, pretended):
    """Other users and other amounts, in another order: no evidence, no vector, no score of a parent moves."""
    view, task = pretended
    level, log = Chain.of(run.dataset).levels[step], run.dataset.log
    lost = ~np.isin(np.arange(len(log)), _kept(run, level, view.items))
    assert lost.sum() > 10
    users, values = log.user.copy(), log.value.copy()
    users[lost] = np.random.default_rng(0).integers(0, log.n_users, lost.sum())
    values[lost] *= 7
    other = replace(run.dataset, log=replace(log, user=users, value=values))
    again, _ = pretend(run.config, run.trained.module, other, moment(run), step)
    np.testing.assert_array_equal(again.items, view.items)
    rows = np.arange(20)
    history = task.problem.history.of_users(rows)
    for one, two in zip(view.of(history, rows), again.of(history, rows), strict=True):
        np.testing.assert_array_equal(one, two)


def _kept(run, level, items):
    without = without_items(run.dataset, level, items).log
    sold = np.isin(run.dataset.log.product, np.unique(without.product))
    assert sold.sum() == len(without)
    return np.flatnonzero(sold)


def test_no_co_purchase_of_them_is_left(run, pretended):
    view, _ = pretended
    for edge_type, matrix in view.scorer.cutoff.graph.contracted.matrices.items():
        if "BOUGHT_WITH" in edge_type[1] and view.label in (edge_type[0], edge_type[2]):
            dense = matrix.to_dense().numpy()
            assert edge_type[2] != view.label or not dense[view.items].any()
            assert edge_type[0] != view.label or not dense[:, view.items].any()


def test_evidence_is_finite_and_named(run, pretended):
    view, task = pretended
    rows = task.users[:9]
    history = task.problem.history.of_users(rows)
    parent, evidence = view.of(history, rows)
    assert evidence.shape == (len(rows), len(view.items), len(view.names))
    assert np.isfinite(evidence).all()
    interest = run.dataset.catalogue.interest
    closed = ~unseen_categories(history, interest)
    above = view.chain.parents[view.step][view.items]
    category = above if view.step == 0 else view.chain.parents[0][above]
    np.testing.assert_array_equal(np.isneginf(parent), closed[:, category])


def test_a_head_learns_and_its_mass_is_that_of_the_purchases(run, step):
    examples = examples_at(run.config, run.trained.module, run.dataset, moment(run), step)
    head = fit_head([examples], run.config.cold, 0)
    again = fit_head([examples], run.config.cold, 0)
    found = head(examples.parent, examples.evidence)
    torch.testing.assert_close(found, again(examples.parent, examples.evidence))
    assert found.exp().sum(dim=1).mean().item() == pytest.approx(examples.share, rel=1e-3)
    assert 0 < examples.share < 1

    def loss(scores):
        bought = examples.bought & scores.isfinite()
        return -(scores.log_softmax(1).masked_fill(~bought, 0)).sum()

    assert loss(found) < loss(examples.parent)


def test_kept_with_the_run(run, step, pretended, tmp_path):
    save_cold(tmp_path, run.trained.cold)
    heads = load_cold(tmp_path)
    view, task = pretended
    rows = task.users[:5]
    history = task.problem.history.of_users(rows)
    one, two = (ColdScorer(view, of[view.label]).score(history, rows) for of in (run.trained.cold, heads))
    np.testing.assert_array_equal(one, two)
    save_cold(tmp_path / "none", {})
    assert load_cold(tmp_path / "none") == {}
    assert [path.name for path in tmp_path.iterdir()] == [COLD]


def test_users_one_by_one_score_as_together(run):
    chain, cutoff = Chain.of(run.dataset), run.cutoff
    items = chosen(chain.parents[1], run.config.cold, [0])
    view = ColdView(run.trained.module, cutoff, chain, 1, items, run.config)
    scorer, rows = ColdScorer(view, run.trained.cold["Product"]), np.arange(6)
    together = scorer.score(cutoff.history.of_users(rows), rows)
    for row in rows:
        alone = scorer.score(cutoff.history.of_users(rows[[row]]), rows[[row]])
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4, atol=1e-4)


def test_without_re_ranking_nothing_is_ranked_again(run):
    scorer = CrossAisleScorer(run.trained.module, run.cutoff, reranks=False)
    assert scorer._rerank_head(0) is None


def test_what_really_is_unsold_is_learnt_from_too(run):
    """Products that nobody bought before the cut-off."""
    level = Chain.of(run.dataset).levels[1]
    view, task = unsold(run.config, run.trained.module, run.dataset, moment(run), 1)
    assert level is None
    assert not task.problem.interactions[:, view.items].nnz
    assert task.wanted.any(axis=1).all()
    never = replace(run.config, cold=replace(run.config.cold, kinds=["unsold"]))
    heads = fit_heads(never, run.trained.module, run.dataset, run.graphs, [TIME])
    assert "Product" in heads
