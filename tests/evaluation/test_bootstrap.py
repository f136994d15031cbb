from __future__ import annotations

import numpy as np
import pytest

from evaluation import bootstrap as module
from evaluation.bootstrap import bootstrap


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
