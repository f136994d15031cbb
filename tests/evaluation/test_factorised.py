from __future__ import annotations

import numpy as np
import pytest

from errors import InputError
from evaluation.baselines import Ease, EaseConfig, Popularity
from evaluation.factorised import Factorised, FactorisedConfig, first_categories
from evaluation.scorer import Problem, Scorer
from tests.evaluation.test_scorers import CUTOFF, ScorerContract


class TestFactorisedEase(ScorerContract):
    def make(self):
        return Factorised(Ease(EaseConfig(10.0)), FactorisedConfig(window=3, scale=5.0))


class Counting(Scorer):
    """Popularity that counts how often it was fitted."""

    name, config = "counting", None

    def __init__(self):
        self.fits, self.inner = [], Popularity()

    def fit(self, problem):
        self.fits.append(problem.cutoff)
        self.inner.fit(problem)
        return self

    def score(self, history, rows):
        return np.log(self.inner.score(history, rows) + 1)


@pytest.fixture
def problem(shop):
    return Problem(shop, None, CUTOFF)


def fitted(problem, config=None):
    return Factorised(Counting(), config).fit(problem)


def test_probabilities_of_the_unseen_categories_sum_to_one(problem):
    users = np.arange(5)
    scores = fitted(problem).score(problem.history.of_users(users), users)
    for user in users:
        seen = np.unique(first_categories(problem)[problem.history.product[problem.history.user == user]])
        candidates = ~np.isin(first_categories(problem), seen)
        if candidates.any():
            assert np.exp(scores[user, candidates]).sum() == pytest.approx(1, abs=1e-4)


def test_shares_by_hand(problem):
    smoothing, window = 2.0, 4
    scorer = fitted(problem, FactorisedConfig(window, smoothing))
    of_category = first_categories(problem) == 3
    items = np.flatnonzero(of_category)

    def people(start):
        log = problem.history.between(start, CUTOFF)
        return np.array([len(np.unique(log.user[log.product == item])) for item in items])

    whole, recent = people(-1), people(CUTOFF - window)
    prior = (whole + smoothing / len(items)) / (whole.sum() + smoothing)
    expected = np.log((recent + smoothing * prior) / (recent.sum() + smoothing))
    np.testing.assert_allclose(scorer._log_share[items], expected, rtol=1e-5)


def test_the_order_of_categories_is_the_scorers(problem):
    """Summed over its items, each category is as likely as the wrapped scorer says."""
    users = np.arange(6)
    history = problem.history.of_users(users)
    scorer = fitted(problem)
    above = scorer._scorer.score(history, users)
    items = np.exp(scorer.score(history, users))
    summed = np.stack([items[:, first_categories(problem) == c].sum(axis=1) for c in range(above.shape[1])], axis=1)
    difference = np.log(summed) - above
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:, :1], above.shape), atol=1e-4)


def test_a_fitted_scorer_is_left_alone(shop, problem):
    inner = Counting().fit(Problem(shop, shop.catalogue.interest, CUTOFF))
    scorer = Factorised(inner, fitted=Problem(shop, shop.catalogue.interest, CUTOFF)).fit(problem)
    assert inner.fits == [CUTOFF]
    assert scorer.name == "counting_factorised"
    scorer.fit(problem.at(6))
    scorer.fit(problem)
    assert inner.fits == [CUTOFF, 6, CUTOFF]


def test_settings_are_checked():
    with pytest.raises(InputError, match=r"factorised\.window"):
        FactorisedConfig(window=0)
    with pytest.raises(InputError, match=r"factorised\.smoothing"):
        FactorisedConfig(smoothing=0)
