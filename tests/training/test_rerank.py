"""The re-ranking of candidates, on the folder's real training."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.splits import targets
from evaluation.ranking import rank
from evaluation.scorer import Problem
from fusion.config import RerankConfig
from training.cutoffs import rerank_names
from training.module import InterestModule
from training.rerank import Reranking
from training.run import levels_of
from training.scorer import CrossAisleScorer

USERS = np.arange(0, 60, 5)


def module_of(run):
    """A module of its own, whose heads are as they begin."""
    model = copy.deepcopy(run.trained.module.model)
    for head in model.rerank.values():
        head.kept.fill_(True)
        for parameter in (head.linear.weight, head.deep[2].weight, head.deep[2].bias):
            torch.nn.init.zeros_(parameter)
        torch.nn.init.ones_(head.weight)
    return InterestModule(model, run.bank, run.plan, [], run.config.optimiser, False, None).eval()


def problem_of(run, level):
    return Problem(run.dataset, levels_of(run.dataset)[level], run.cutoff.time)


def asked(run, module, level):
    problem = problem_of(run, level)
    scorer = CrossAisleScorer(module, run.cutoff).fit(problem)
    history = problem.history.of_users(USERS)
    return scorer.score(history, USERS), scorer.candidates(history, USERS)


@pytest.fixture(params=["type", "product"])
def level(request):
    return request.param


def test_candidates_are_the_best_and_their_evidence_is_named(run, level):
    module = module_of(run)
    scores, found = asked(run, module, level)
    step = ["type", "product"].index(level)
    assert found.evidence.shape == (*found.items.shape, len(rerank_names(run.cutoff, step, with_text=True)))
    assert found.items.shape == (len(USERS), 20)
    assert np.isfinite(found.evidence).all()
    np.testing.assert_allclose(np.take_along_axis(scores, found.items, 1), found.log_p, atol=1e-5)
    others = scores.copy()
    np.put_along_axis(others, found.items, -np.inf, axis=1)
    assert (found.log_p.min(axis=1) >= others.max(axis=1) - 1e-5).all()


def test_others_keep_their_probability_and_all_sum_to_what_they_did(run, level):
    plain, module = module_of(run), module_of(run)
    head = module.model.rerank[f"rerank_{level.capitalize()}"]
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    before, found = asked(run, plain, level)
    after, _ = asked(run, module, level)
    inside = np.zeros(before.shape, dtype=bool)
    np.put_along_axis(inside, found.items, True, axis=1)
    np.testing.assert_allclose(after[~inside], before[~inside], atol=1e-5)
    assert np.abs(after[inside & np.isfinite(before)] - before[inside & np.isfinite(before)]).max() > 0.1
    np.testing.assert_allclose(np.exp(after).sum(1), np.exp(before).sum(1), rtol=1e-4)


def test_a_head_that_is_not_kept_is_not_asked(run, level):
    plain, module = module_of(run), module_of(run)
    head = module.model.rerank[f"rerank_{level.capitalize()}"]
    torch.nn.init.normal_(head.linear.weight)
    head.kept.fill_(False)
    problem = problem_of(run, level)
    scorer = CrossAisleScorer(module, run.cutoff).fit(problem)
    history = problem.history.of_users(USERS)
    np.testing.assert_allclose(scorer.score(history, USERS), asked(run, plain, level)[0], atol=1e-5)
    with pytest.raises(ValueError, match="no re-ranking"):
        scorer.candidates(history, USERS)


def test_validation_decides(run):
    """At the cut-off that is both learnt from and judged by, the head of types cannot but help."""
    module = module_of(run)
    module.model.config = replace(module.model.config, rerank=RerankConfig(candidates=300))
    config = replace(run.config, optimiser=replace(run.config.optimiser, rerank_epochs=20))
    here = run.cutoff
    found = Reranking(config, run.dataset, module).choose([here], here)
    assert list(found) == ["Type", "Product"]
    for label, result in found.items():
        assert len(result.after) == 20
        assert result.epochs == (int(np.argmax(result.after)) + 1 if max(result.after) > result.before else 0)
        assert bool(module.model.rerank[f"rerank_{label}"].kept) == (result.epochs > 0)
    assert found["Type"].epochs
    problem = problem_of(run, "type")
    wanted = targets(run.dataset, problem.level, here.time, 6)
    ranked = rank(CrossAisleScorer(module, here).fit(problem), problem, wanted, 20)
    hits = [np.isin(row, wanted.hits[[user]].indices) for row, user in zip(ranked.items, ranked.users, strict=True)]
    sizes = np.diff(wanted.hits.indptr)[ranked.users]
    discount = 1 / np.log2(np.arange(20) + 2)
    ndcg = [(hit * discount).sum() / discount[: min(n, 20)].sum() for hit, n in zip(hits, sizes, strict=True)]
    assert np.mean(ndcg) == pytest.approx(max(found["Type"].after), abs=1e-4)


def test_fitting_again_gives_the_same(run):
    one, other = module_of(run), module_of(run)
    for module in (one, other):
        Reranking(run.config, run.dataset, module).fit([run.cutoff], {"Type": 2, "Product": 0})
    for name, value in one.model.rerank.state_dict().items():
        torch.testing.assert_close(value, other.model.rerank.state_dict()[name], rtol=0, atol=0)
    assert not one.model.rerank["rerank_Product"].kept


def test_only_the_heads_learn(run):
    module = module_of(run)
    before = copy.deepcopy(module.model.state_dict())
    Reranking(run.config, run.dataset, module).fit([run.cutoff], {"Type": 2, "Product": 2})
    moved = {name for name, value in module.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("rerank.") for name in moved)
