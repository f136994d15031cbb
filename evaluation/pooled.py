"""One set of figures from several test windows and several trainings: means, spreads, and intervals of differences.

Notation: w a window, s a seed, u a user with a target in w, x_uws a user's figure, such as NDCG@20.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import Interval, bootstrap_windows
from evaluation.evaluate import Evaluation, Figures, by_activity
from evaluation.scorer import IntArray

METRICS = ("ndcg@20", "recall@20")
ByWindow = Mapping[int, Sequence[Evaluation]]


@dataclass(frozen=True)
class Spread:
    """A figure over windows and seeds.

    Attributes:
        mean: mean over windows of the mean over seeds of the mean over users.
        over_windows: standard deviation (n − 1) between the windows' means over seeds; None with one window.
        over_seeds: standard deviation (n − 1) between the seeds of a window, as the root of its mean square over
            windows; None with one training a window.
    """

    mean: float
    over_windows: float | None
    over_seeds: float | None


def mean_over_seeds(evaluations: Sequence[Evaluation], metrics: Sequence[str] = METRICS) -> Evaluation:
    """Several trainings as one: each user's figures averaged over the seeds.

    Args:
        evaluations: of the same users.
        metrics: that are kept.

    Raises:
        ValueError: they are of different users.
    """
    first = evaluations[0]
    if any(not np.array_equal(first.users, other.users) for other in evaluations):
        raise ValueError("the seeds were evaluated on different users: nothing to average")
    per_user = {name: np.mean([one.per_user[name] for one in evaluations], axis=0) for name in metrics}
    return Evaluation(first.users, per_user, {name: float(values.mean()) for name, values in per_user.items()})


def spread(of: ByWindow, metric: str) -> Spread:
    """A model's figure with its spread.

    Args:
        of: {WINDOW: one evaluation for each seed}, as many of each window.
        metric: such as "ndcg@20".
    """
    table = np.array([[one.per_user[metric].mean() for one in evaluations] for evaluations in of.values()])
    windows, seeds = table.shape
    return Spread(
        float(table.mean()),
        float(table.mean(axis=1).std(ddof=1)) if windows > 1 else None,
        float(np.sqrt(table.var(axis=1, ddof=1).mean())) if seeds > 1 else None,
    )


def pooled_differences(
    model: ByWindow,
    baselines: Mapping[str, ByWindow],
    metrics: Sequence[str] = METRICS,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Paired bootstrap by user of model − baseline, pooled over windows: {BASELINE: {METRIC: interval}}.

    The difference of a user in a window is d_uw = mean_s x_uws(model) − mean_s x_uws(baseline). Users are resampled
    with all their windows (`bootstrap_windows`), so the interval tells how sure the mean difference is over users, for
    these windows and averaged over these trainings; how trainings differ is told by `spread`. All differences share
    the resamples.

    Args:
        model: {WINDOW: one evaluation for each seed}.
        baselines: the same windows of each; their number of trainings may differ from the model's.
        metrics: the figures.
        resamples: number of resamples.
        seed: same seed, same intervals.

    Raises:
        ValueError: a baseline was evaluated on other windows or other users.
    """
    if not baselines:
        return {}
    ours = {window: mean_over_seeds(evaluations, metrics) for window, evaluations in model.items()}
    pairs = [(name, metric) for name in baselines for metric in metrics]
    users = np.unique(np.concatenate([one.users for one in ours.values()]))
    values = np.full((len(users), len(ours), len(pairs)), np.nan)
    for name, of in baselines.items():
        if list(of) != list(ours):
            raise ValueError(f"{name} was evaluated on windows {list(of)}, the model on {list(ours)}")
        columns = [place for place, (baseline, _) in enumerate(pairs) if baseline == name]
        for at, (window, one) in enumerate(ours.items()):
            rows = np.searchsorted(users, one.users)
            values[rows[:, None], at, columns] = _gaps(name, one, mean_over_seeds(of[window], metrics), metrics)
    found: dict[str, dict[str, Interval]] = {name: {} for name in baselines}
    for (name, metric), interval in zip(pairs, bootstrap_windows(values, resamples, seed), strict=True):
        found[name][metric] = interval
    return found


def _gaps(name: str, ours: Evaluation, other: Evaluation, metrics: Sequence[str]) -> npt.NDArray[np.float64]:
    """Each user's differences, shape (users, metrics)."""
    if not np.array_equal(ours.users, other.users):
        raise ValueError(f"{name} was evaluated on other users than the model: nothing to pair")
    return np.stack([ours.per_user[metric] - other.per_user[metric] for metric in metrics], axis=1)


def pooled_activity(of: ByWindow, baskets: Mapping[int, IntArray]) -> dict[str, Figures]:
    """`by_activity` over all windows, a user of two windows counting as two; seeds are averaged.

    Args:
        of: {WINDOW: one evaluation for each seed}.
        baskets: {WINDOW: baskets of the whole population before it}, from `basket_counts`.
    """
    parts = [mean_over_seeds(evaluations) for evaluations in of.values()]
    counts = np.concatenate([baskets[window][one.users] for window, one in zip(of, parts, strict=True)])
    per_user = {name: np.concatenate([one.per_user[name] for one in parts]) for name in METRICS}
    return by_activity(Evaluation(np.arange(len(counts)), per_user, {}), counts)
