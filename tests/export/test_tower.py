"""The retrieval tower on scores with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from data.log import Log
from errors import InputError
from export.tower import TowerConfig, agreement, fit_tower

USERS, ITEMS, RANK = 120, 60, 3
GROUP = np.repeat(np.arange(10), 6)
GROUP[-3:] = -1


def log(n_users=USERS) -> Log:
    """Nobody bought anything; who is asked for is told by the rows."""
    none = np.empty(0, dtype=np.int32)
    return Log(none, none, none, none.astype(np.float32), none.astype(np.float32), none, none, n_users)


@pytest.fixture(scope="module")
def scores():
    """Log-probabilities of rank 3 with a bias, a constant for each user, and two known categories for each."""
    rng = np.random.default_rng(1)
    made = rng.normal(size=(USERS, RANK)) @ rng.normal(size=(RANK, ITEMS)) + 2 * rng.normal(size=ITEMS)
    for row in made:
        row[np.isin(GROUP, rng.choice(10, 2, replace=False))] = -np.inf
    made -= np.log(np.exp(made).sum(axis=1, keepdims=True))
    return made.astype(np.float32)


def fit(scores, **settings):
    rows = np.arange(80)
    return fit_tower(lambda _, rows: scores[rows], log(), rows, GROUP, TowerConfig(**{"rank": RANK} | settings))


@pytest.mark.parametrize("landmarks", [ITEMS, 30])
def test_scores_of_low_rank_are_found_again(scores, landmarks):
    """Of users whom it was not fitted on, and of items that are no landmarks, up to a constant for each user."""
    tower = fit(scores, landmarks=landmarks)
    found = tower.score(tower.users(scores[80:]))
    for own, full in zip(found, scores[80:], strict=True):
        known = np.isfinite(full) & (GROUP >= 0)
        gap = own[known] - full[known]
        assert np.ptp(gap) < 0.15
    assert np.nanmean(agreement(tower, np.where(GROUP >= 0, scores[80:], -np.inf), 10)) > 0.97


def test_what_is_in_no_category_is_never_best(scores):
    tower = fit(scores)
    assert (tower.vectors[GROUP < 0] == 0).all()
    assert (tower.bias[GROUP < 0] <= tower.bias.min()).all()


def test_a_category_that_all_have_bought_from_is_never_best(scores):
    known = scores.copy()
    known[:, GROUP == 4] = -np.inf
    tower = fit(known)
    assert np.isfinite(tower.vectors).all()
    assert (tower.bias[GROUP == 4] == tower.bias.min()).all()


def test_batches_of_users_do_not_matter(scores):
    one, other = fit(scores, batch=80), fit(scores, batch=7)
    np.testing.assert_allclose(one.score(one.users(scores[80:])), other.score(other.users(scores[80:])), atol=1e-3)


def test_agreement_counts_the_common_best(scores):
    tower = fit(scores)
    exact = tower.score(tower.users(scores[:5]))
    exact[~np.isfinite(scores[:5])] = -np.inf
    shares = agreement(tower, scores[:5], 10)
    for share, own, full in zip(shares, exact, scores[:5], strict=True):
        assert share == len(set(np.argsort(-own)[:10]) & set(np.argsort(-full)[:10])) / 10


@pytest.mark.parametrize(("name", "value"), [("rank", -1), ("users", 0), ("landmarks", 0), ("batch", 0)])
def test_nonsense_is_refused(name, value):
    with pytest.raises(InputError, match=f"tower.{name}"):
        TowerConfig(**{name: value})
