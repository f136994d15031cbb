from __future__ import annotations

import numpy as np
import pytest

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.log import Log
from data.splits import blocked, targets, unseen_categories
from evaluation.ranking import rank
from evaluation.scorer import Problem
from training.run import levels_of
from training.scorer import CrossAisleScorer

LEVELS = ("category", "type", "product")


@pytest.fixture(params=LEVELS)
def problem(request, run):
    return Problem(run.dataset, levels_of(run.dataset)[request.param], run.cutoff.time)


def fresh(run, problem):
    return CrossAisleScorer(run.trained.module, run.cutoff).fit(problem)


def everybody(run, level):
    problem = Problem(run.dataset, levels_of(run.dataset)[level], run.cutoff.time)
    return fresh(run, problem).score(problem.history, np.arange(problem.history.n_users))


def history_of(products, n_users=1, time=5):
    """One user who bought some products, at one time."""
    n = len(products)
    zeros = np.zeros(n, dtype=np.int32)
    ones = np.ones(n, dtype=np.float32)
    return Log(zeros, np.asarray(products, dtype=np.int32), zeros + time, ones, ones, zeros, zeros, n_users)


def test_shape_and_mask(run, problem):
    users = np.arange(problem.history.n_users)
    scores = fresh(run, problem).score(problem.history, users)
    assert scores.shape == (len(users), len(problem))
    assert scores.dtype == np.float32
    bought = blocked(unseen_categories(problem.history, run.dataset.catalogue.interest), problem.membership)
    np.testing.assert_array_equal(np.isneginf(scores), bought)
    assert np.isfinite(scores[~bought]).all()
    assert (scores[~bought] <= 1e-5).all()
    assert bought.any()


def test_one_by_one_is_as_in_a_batch(run, problem):
    scorer, users = fresh(run, problem), np.array([5, 0, 17])
    batch = scorer.score(problem.history.of_users(users), users)
    for row, user in enumerate(users):
        alone = scorer.score(problem.history.of_users(np.array([user])), np.array([user]))
        np.testing.assert_allclose(alone[0], batch[row], rtol=1e-4, atol=1e-4)


def test_asking_again_gives_the_same(run, problem):
    users = np.arange(8)
    history = problem.history.of_users(users)
    one, other = fresh(run, problem), fresh(run, problem)
    np.testing.assert_array_equal(one.score(history, users), one.score(history, users))
    np.testing.assert_array_equal(one.score(history, users), other.score(history, users))


def test_the_module_may_have_been_left_in_training(run, problem):
    users = np.arange(8)
    history = problem.history.of_users(users)
    expected = fresh(run, problem).score(history, users)
    run.trained.module.train()
    np.testing.assert_array_equal(fresh(run, problem).score(history, users), expected)


def test_levels_in_any_order(run):
    users = np.arange(6)
    shared = CrossAisleScorer(run.trained.module, run.cutoff)
    for level in ("product", "category", "type", "product"):
        problem = Problem(run.dataset, levels_of(run.dataset)[level], run.cutoff.time)
        history = problem.history.of_users(users)
        np.testing.assert_array_equal(
            shared.fit(problem).score(history, users), fresh(run, problem).score(history, users)
        )


@pytest.mark.parametrize("level", LEVELS)
def test_scores_are_log_probabilities(run, level):
    total = np.exp(everybody(run, level).astype(float)).sum(axis=1)
    np.testing.assert_allclose(total, 1, rtol=1e-4)


@pytest.fixture
def not_reranked(run):
    """For one test, no level is ranked again."""
    heads = list(run.trained.module.model.rerank.values())
    before = [bool(head.kept) for head in heads]
    for head in heads:
        head.kept.fill_(False)
    yield
    for head, kept in zip(heads, before, strict=True):
        head.kept.fill_(kept)


@pytest.mark.parametrize(("lower", "upper", "step"), [("type", "category", 0), ("product", "type", 1)])
def test_children_add_up_to_their_parent(run, not_reranked, lower, upper, step):
    children, parents = (np.exp(everybody(run, level).astype(float)) for level in (lower, upper))
    parent = run.cutoff.chain.parents[step]
    total = np.stack([np.bincount(parent, row, minlength=parents.shape[1]) for row in children])
    filled = np.bincount(parent, minlength=parents.shape[1]) > 0
    np.testing.assert_allclose(total[:, filled], parents[:, filled], rtol=1e-3, atol=1e-7)


def test_scores_differ_between_users_and_items(run, problem):
    scores = everybody(run, problem.name)
    free = np.flatnonzero(np.isfinite(scores[:2]).all(axis=0))
    assert len(np.unique(scores[0][free])) > 3
    assert not np.allclose(scores[0][free] - scores[0][free].mean(), scores[1][free] - scores[1][free].mean())


def test_users_it_was_not_trained_on(run, problem):
    sizes = {**vars(run.config.data.synthetic), "seed": 9}
    other = load(DataConfig(source="synthetic", synthetic=SyntheticConfig(**sizes)))
    stranger = other.log.before(run.cutoff.time).of_users(np.array([3, 4]))
    scores = fresh(run, problem).score(stranger, np.full(2, -1))
    unseen = unseen_categories(stranger, run.dataset.catalogue.interest)
    np.testing.assert_array_equal(np.isfinite(scores), ~blocked(unseen, problem.membership))


def test_a_user_without_history(run, problem):
    empty = problem.history.before(-1).of_users(np.array([0]))
    scores = fresh(run, problem).score(empty, np.array([-1]))
    assert np.isfinite(scores).all()
    assert np.exp(scores.astype(float)).sum() == pytest.approx(1, rel=1e-3)


def test_a_user_who_has_bought_from_every_category(run, problem):
    full = history_of(np.arange(len(run.dataset.catalogue.product_ids)))
    assert np.isneginf(fresh(run, problem).score(full, np.array([-1]))).all()


def test_what_one_buys_moves_the_scores(run, problem):
    scorer = fresh(run, problem)
    one, other = (scorer.score(history_of(products), np.array([-1])) for products in ([0, 24], [0, 1, 25]))
    both = np.isfinite(one) & np.isfinite(other)
    assert both.any()
    assert not np.allclose(one[both], other[both])


def test_another_cutoff_is_refused(run, problem):
    with pytest.raises(ValueError, match="cut-off 31"):
        fresh(run, problem.at(22))


def test_rankings_hold_unseen_candidates_only(run, problem):
    wanted = targets(run.dataset, problem.level, problem.cutoff, 6)
    rankings = rank(fresh(run, problem), problem, wanted)
    unseen = wanted.unseen[rankings.users]
    forbidden = blocked(unseen, problem.membership)
    for row, items in enumerate(rankings.items):
        kept = items[items >= 0]
        assert len(kept) == min(100, (~forbidden[row]).sum())
        assert not forbidden[row][kept].any()
        assert (np.diff(rankings.scores[row][: len(kept)]) <= 0).all()
