"""Means, spreads and intervals over windows and seeds, on figures made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.bootstrap import bootstrap, bootstrap_windows
from evaluation.evaluate import Evaluation
from evaluation.pooled import mean_over_seeds, pooled_activity, pooled_differences, spread


def measured(users, ndcg, recall=None) -> Evaluation:
    """Evaluations of one training from per-user figures."""
    per_user = {"ndcg@20": np.array(ndcg, dtype=float), "recall@20": np.array(recall or ndcg, dtype=float)}
    return Evaluation(np.array(users), per_user, {})


TWO_WINDOWS = {
    33: [measured([0, 1], [0.0, 0.4]), measured([0, 1], [0.2, 0.6])],
    40: [measured([1, 2, 5, 7], [0.5] * 4), measured([1, 2, 5, 7], [0.5, 0.5, 0.7, 0.9])],
}


def test_mean_and_spread_by_hand():
    found = spread(TWO_WINDOWS, "ndcg@20")
    trained = np.array([[0.2, 0.4], [0.5, 0.65]])
    assert found.mean == pytest.approx(trained.mean())
    assert found.over_windows == pytest.approx((0.575 - 0.3) / np.sqrt(2))
    assert found.over_seeds == pytest.approx(np.sqrt((0.2**2 / 2 + 0.15**2 / 2) / 2))


def test_one_window_or_one_seed_has_no_spread():
    found = spread({40: [TWO_WINDOWS[40][0]]}, "ndcg@20")
    assert (found.over_windows, found.over_seeds) == (None, None)
    assert found.mean == 0.5


def test_seeds_are_averaged_user_by_user():
    found = mean_over_seeds(TWO_WINDOWS[40])
    np.testing.assert_allclose(found.per_user["ndcg@20"], [0.5, 0.5, 0.6, 0.7])
    assert found.summary["ndcg@20"] == pytest.approx(0.575)
    with pytest.raises(ValueError, match="different users"):
        mean_over_seeds([TWO_WINDOWS[40][0], TWO_WINDOWS[33][0]])


def test_the_difference_is_that_of_the_means():
    rival = {33: [measured([0, 1], [0.1, 0.1])], 40: [measured([1, 2, 5, 7], [0.3, 0.2, 0.1, 0.0])]}
    gap = pooled_differences(TWO_WINDOWS, {"rival": rival}, resamples=200)["rival"]["ndcg@20"]
    assert gap.mean == pytest.approx(spread(TWO_WINDOWS, "ndcg@20").mean - spread(rival, "ndcg@20").mean)
    assert gap.low <= gap.mean <= gap.high


def test_a_constant_difference_has_no_width():
    rival = {w: [measured(one.users, one.per_user["ndcg@20"] - 0.1) for one in of] for w, of in TWO_WINDOWS.items()}
    gap = pooled_differences(TWO_WINDOWS, {"rival": rival}, resamples=500)["rival"]["ndcg@20"]
    assert (gap.low, gap.mean, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_differences_are_paired():
    """Users differ by much more than the models do: paired, the interval is narrow and leaves 0 out."""
    rng = np.random.default_rng(0)
    level = rng.random(300)
    ours = {40: [measured(range(300), level + 0.01 + 0.01 * rng.random(300))]}
    rivals = {"same": ours, "rival": {40: [measured(range(300), level)]}}
    found = pooled_differences(ours, rivals, resamples=500)
    assert found["rival"]["ndcg@20"].low > 0.01
    assert (found["same"]["ndcg@20"].low, found["same"]["ndcg@20"].high) == (0, 0)


def test_one_window_is_the_ordinary_bootstrap():
    values = np.random.default_rng(1).random((80, 3))
    assert bootstrap_windows(values[:, None], 400, seed=5) == bootstrap(values, 400, seed=5)


def test_a_user_is_drawn_with_all_their_windows():
    """The same differences in two windows are no further evidence; those of other users would be."""
    gaps = np.random.default_rng(2).normal(0, 1, 200)
    once = bootstrap(gaps, 1000)[0]
    again = bootstrap_windows(np.stack([gaps, gaps], axis=1)[:, :, None], 1000)[0]
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    apart = np.full((400, 2, 1), np.nan)
    apart[:200, 0, 0], apart[200:, 1, 0] = gaps, gaps
    others = bootstrap_windows(apart, 1000)[0]
    assert others.high - others.low < 0.8 * (once.high - once.low)


def test_windows_count_alike_whatever_their_users():
    values = np.full((10, 2, 1), np.nan)
    values[:, 0, 0], values[0, 1, 0] = 1.0, 3.0
    found = bootstrap_windows(values, 2000)[0]
    assert found.mean == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((1, 2)), (
        "a resample without a user of the second window leaves it out"
    )


def test_it_covers_the_truth_about_95_times_in_100():
    """Users of very different sizes of effect, most of them in both windows."""
    rng, covered = np.random.default_rng(3), []
    for trial in range(200):
        taste = rng.normal(0.1, 1, 150)
        values = taste[:, None] + rng.normal(0, 0.5, (150, 2))
        values[rng.random((150, 2)) < 0.2] = np.nan
        known = values[~np.isnan(values).all(axis=1)][:, :, None]
        found = bootstrap_windows(known, 400, seed=trial)[0]
        covered.append(found.low <= 0.1 <= found.high)
    assert 0.89 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize(
    "values",
    [
        np.empty((0, 2, 1)),
        np.array([[[1.0], [np.nan]], [[2.0], [np.nan]]]),
        np.array([[[1.0], [2.0]], [[np.nan], [np.nan]]]),
        np.array([[[1.0, np.nan]]]),
        np.array([[[np.inf, 1.0]]]),
    ],
    ids=["no users", "empty window", "user without a window", "part of the figures", "infinite"],
)
def test_gaps_in_the_figures_are_refused(values):
    with pytest.raises(ValueError, match=r"each window needs a user|some quantities"):
        bootstrap_windows(values, 10)


def test_other_windows_and_other_users_are_refused():
    with pytest.raises(ValueError, match=r"on windows \[33\], the model on \[33, 40\]"):
        pooled_differences(TWO_WINDOWS, {"rival": {33: TWO_WINDOWS[33]}})
    wrong = {33: TWO_WINDOWS[33], 40: [measured([1, 2, 5, 8], [0.1] * 4)]}
    with pytest.raises(ValueError, match="rival was evaluated on other users"):
        pooled_differences(TWO_WINDOWS, {"rival": wrong})


def test_activity_is_that_of_each_window():
    """User 1 has two baskets before the first window and twelve before the second."""
    baskets = {33: np.array([2, 2, 0, 0, 0, 0, 0, 0]), 40: np.array([0, 12, 40, 0, 0, 40, 0, 200])}
    found = pooled_activity(TWO_WINDOWS, baskets)
    assert {label: part["users"] for label, part in found.items()} == {
        "0–3": 2, "4–10": 0, "11–30": 1, "31–100": 2, "101+": 1
    }  # fmt: skip
    assert found["0–3"]["ndcg@20"] == pytest.approx((0.1 + 0.5) / 2)
    assert found["31–100"]["ndcg@20"] == pytest.approx((0.5 + 0.6) / 2)
