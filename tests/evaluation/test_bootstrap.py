from __future__ import annotations

import numpy as np
import pytest

from evaluation import bootstrap as module
from evaluation.bootstrap import Crossed, bootstrap, crossed


def test_agrees_with_the_normal_interval_of_a_large_sample():
    values = np.random.default_rng(0).normal(0.3, 2.0, 2000)
    found = bootstrap(values)[0]
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_covers_the_truth_about_95_times_in_100():
    truth, trials = 0.2, 300
    samples = np.random.default_rng(1).normal(truth, 1.0, (200, trials))
    intervals = bootstrap(samples, resamples=1000)
    covered = np.mean([i.low <= truth <= i.high for i in intervals])
    assert 0.91 <= covered <= 0.98


def test_same_seed_same_interval():
    values = np.random.default_rng(2).random(50)
    assert bootstrap(values, 500, seed=3) == bootstrap(values, 500, seed=3)
    assert bootstrap(values, 500, seed=3) != bootstrap(values, 500, seed=4)


def test_columns_share_the_resamples():
    column = np.random.default_rng(2).random(50)
    alone, first, second = *bootstrap(column, 500), *bootstrap(np.stack([column, column - 1], 1), 500)
    assert first.mean == pytest.approx(alone.mean)
    assert (first.low, first.high) == pytest.approx((alone.low, alone.high))
    assert (second.low, second.high) == pytest.approx((alone.low - 1, alone.high - 1))


def test_chunks_hold_every_resample(monkeypatch):
    monkeypatch.setattr(module, "CELLS_PER_CHUNK", 70)
    means = module._resampled_means(np.arange(10.0)[:, None], 25, np.random.default_rng(0))
    assert means.shape == (25, 1)
    assert ((means >= 0) & (means <= 9)).all()
    assert len(np.unique(means)) > 10


def test_a_constant_has_no_width():
    found = bootstrap(np.full(20, 0.5))[0]
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("values", [np.empty(0), np.array([0.1, np.nan])])
def test_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="finite"):
        bootstrap(values)


def pairs_of(n_users=60, n_items=8, seed=0):
    """Every user with two items, gains that depend on the item."""
    rng = np.random.default_rng(seed)
    item = np.stack([rng.permutation(n_items)[:2] for _ in range(n_users)]).ravel()
    user = np.repeat(np.arange(n_users), 2)
    gains = 0.5 * ((item < n_items / 2) + 0.1 * rng.random(len(item)))
    return Crossed(user, item, np.full(len(item), 0.5)), gains[:, None]


def test_crossed_by_user_is_the_bootstrap_by_user():
    pairs, gains = pairs_of()
    (found,) = crossed(pairs, gains, "user", 2000)
    (plain,) = bootstrap(np.bincount(pairs.user, gains[:, 0]), 2000)
    assert found.mean == pytest.approx(plain.mean)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_few_items_make_it_less_sure_than_many_users():
    pairs, gains = pairs_of()
    found = {over: crossed(pairs, gains, over, 2000)[0] for over in ("user", "item", "both")}
    width = {over: one.high - one.low for over, one in found.items()}
    assert width["user"] < width["item"] < 1.05 * width["both"]


def test_crossed_needs_a_pair():
    nothing = np.zeros(0, dtype=np.int64)
    with pytest.raises(ValueError, match="at least one pair"):
        crossed(Crossed(nothing, nothing, nothing.astype(float)), np.zeros((0, 1)), "both")
