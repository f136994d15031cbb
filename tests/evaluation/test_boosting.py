from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.splits import ProtocolConfig, targets
from errors import InputError
from evaluation.boosting import (
    LightGbm,
    LightGbmConfig,
    Softmax,
    TrainingPairs,
    default_grid,
    evidence_of,
    gather,
    sample_pairs,
    tune_lightgbm,
)
from evaluation.evaluate import evaluate
from evaluation.ranking import rank
from evaluation.scorer import Problem
from tests.evaluation.test_scorers import CUTOFF, ScorerContract

SMALL = LightGbmConfig(
    train_cutoffs=(2, 3), horizon=3, trees=5, leaves=4, min_rows=5, negative_share=0.5, num_threads=1, row_share=0.9
)


@pytest.fixture
def problem(shop):
    return Problem(shop, shop.catalogue.interest, CUTOFF)


class TestLightGbm(ScorerContract):
    @pytest.fixture
    def problem(self, shop):
        return Problem(shop, shop.catalogue.interest, CUTOFF)

    def make(self):
        return LightGbm(SMALL)


class TestLightGbmBinary(TestLightGbm):
    def make(self):
        return LightGbm(replace(SMALL, objective="binary"))


class TestLightGbmLambdarank(TestLightGbm):
    def make(self):
        return LightGbm(replace(SMALL, objective="lambdarank"))


def all_scores(scorer, problem):
    return scorer.score(problem.history, np.arange(problem.history.n_users))


def test_cutoffs_that_leak_are_refused(problem):
    LightGbm(replace(SMALL, train_cutoffs=(CUTOFF - 3,))).fit(problem)
    with pytest.raises(InputError, match="a leak"):
        LightGbm(replace(SMALL, train_cutoffs=(3, CUTOFF - 2))).fit(problem)


def test_refit_cutoffs_that_leak_are_refused(shop, problem):
    found = targets(shop, problem.level, 8, 3)
    with pytest.raises(InputError, match="a leak"):
        tune_lightgbm([SMALL], problem.at(8), found, problem, (CUTOFF - 2,), stages=(1,))


def test_other_levels_are_refused(shop):
    with pytest.raises(InputError, match="interest level"):
        LightGbm(SMALL).fit(Problem(shop, None, CUTOFF))


def test_the_seed_decides(problem):
    scores = [all_scores(LightGbm(replace(SMALL, seed=seed)).fit(problem), problem) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_shared_evidence_changes_nothing(shop, problem):
    asked = []
    own = evidence_of(shop, SMALL.horizon)

    def shared(cutoff):
        asked.append(cutoff)
        return own(cutoff)

    scores = all_scores(LightGbm(SMALL, shared).fit(problem), problem)
    np.testing.assert_array_equal(scores, all_scores(LightGbm(SMALL).fit(problem), problem))
    assert set(asked) == {2, 3, CUTOFF}


def test_evidence_of_another_cutoff_is_refused(shop, problem):
    with pytest.raises(ValueError, match="cut-off 3, given that of 15"):
        LightGbm(replace(SMALL, train_cutoffs=(3,)), lambda _: evidence_of(shop, 3)(15)).fit(problem)


def test_stages_are_numbers_of_trees(problem):
    users = np.arange(7)
    history = problem.history.of_users(users)
    staged = LightGbm(SMALL).fit(problem).staged(history, users, [0, 2, 5])
    assert not staged[0].any()
    for at, trees in ((1, 2), (2, 5)):
        alone = LightGbm(replace(SMALL, trees=trees)).fit(problem).score(history, users)
        np.testing.assert_allclose(staged[at], alone, rtol=1e-6)


def test_samples_hold_all_targets_and_stand_for_all_pairs(shop, problem):
    sample = sample_pairs(shop, 6, SMALL)
    found = targets(shop, problem.level, 6, SMALL.horizon)
    assert found.unseen[sample.user, sample.category].all()
    assert sample.taken.sum() == found.hits.nnz
    assert (found.hits.toarray()[sample.user, sample.category] == sample.taken).all()
    assert sample.weight.sum() == pytest.approx(found.unseen[found.users].sum())
    assert (np.diff(sample.user) >= 0).all()


@pytest.mark.parametrize("most", [40, 60, 200])
def test_rows_are_bounded(problem, shop, most):
    config = replace(SMALL, max_rows=most)
    pairs = gather(problem, config, evidence_of(shop, 3))
    assert 0 < len(pairs) <= most
    assert pairs.taken.any()


def test_softmax_gradient_is_the_slope_of_the_loss(shop, problem):
    pairs = gather(problem, SMALL, evidence_of(shop, 3))
    scores = np.random.default_rng(0).normal(size=len(pairs))
    gradient, curvature = Softmax(pairs)(scores, None)
    for at in (0, 7, len(pairs) - 1):
        step = np.zeros(len(pairs))
        step[at] = 1e-5
        slope = (loss(pairs, scores + step) - loss(pairs, scores - step)) / 2e-5
        assert gradient[at] == pytest.approx(slope, rel=1e-4, abs=1e-7)
    assert (curvature > 0).all()


def loss(pairs: TrainingPairs, scores):
    """The formula in the docstring, user by user, with weights that sum as the targets do."""
    total, norm, ends = 0.0, 0.0, np.cumsum(pairs.sizes)
    for start, end in zip(ends - pairs.sizes, ends, strict=True):
        part = slice(start, end)
        taken = pairs.taken[part]
        normaliser = np.log((pairs.weight[part] * np.exp(scores[part])).sum())
        total += np.sqrt(taken.sum()) * (normaliser - scores[part][taken].mean())
        norm += np.sqrt(taken.sum())
    return total * pairs.taken.sum() / norm


def test_tuning_takes_the_best_stage_and_refits(shop, problem):
    validation = problem.at(8)
    found = targets(shop, problem.level, 8, 3)
    grid = [SMALL, replace(SMALL, leaves=2)]
    tuned = tune_lightgbm(grid, validation, found, problem, (3, 5, 8), stages=(1, 4))
    assert [trial.config["trees"] for trial in tuned.trials] == [1, 4, 1, 4]
    for trial in tuned.trials:
        scorer = LightGbm(LightGbmConfig(**trial.config)).fit(validation)
        expected = evaluate(rank(scorer, validation, found, 20), found, ks=(20,)).summary["ndcg@20"]
        assert trial.value == pytest.approx(expected, rel=1e-6)
    assert tuned.trials[tuned.best].value == max(trial.value for trial in tuned.trials)
    assert tuned.scorer.config.train_cutoffs == (3, 5, 8)
    assert tuned.scorer.config.trees == tuned.trials[tuned.best].config["trees"]
    np.testing.assert_array_equal(
        all_scores(tuned.scorer, problem), all_scores(LightGbm(tuned.scorer.config).fit(problem), problem)
    )


def test_an_empty_grid_is_refused(shop, problem):
    with pytest.raises(ValueError, match="empty grid"):
        tune_lightgbm([], problem, targets(shop, problem.level, CUTOFF, 3), problem)


def test_importance_names_the_evidence(problem):
    importance = LightGbm(SMALL).fit(problem).importance
    assert "neighbours" in importance
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_default_grid_follows_the_protocol():
    grid = default_grid(ProtocolConfig(train_cutoffs=[4, 8], horizon=3), seed=5)
    assert {config.train_cutoffs for config in grid} == {(4, 8)}
    assert {(config.horizon, config.seed) for config in grid} == {(3, 5)}


def test_settings_are_checked():
    with pytest.raises(InputError, match=r"lightgbm\.negative_share"):
        LightGbmConfig(negative_share=0)
    with pytest.raises(InputError, match=r"lightgbm\.train_cutoffs"):
        LightGbmConfig(train_cutoffs=())


def test_nothing_to_learn_from_is_refused(shop, problem):
    late = Problem(shop, problem.level, 60)
    with pytest.raises(InputError, match="nobody takes up"):
        LightGbm(replace(SMALL, train_cutoffs=(50,))).fit(late)
