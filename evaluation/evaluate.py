"""From rankings to the figures of a report: means, intervals of differences, and who they hold for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.log import Log
from data.splits import Targets
from errors import InputError
from evaluation import metrics
from evaluation.bootstrap import Interval, bootstrap
from evaluation.distance import NO_STEPS
from evaluation.metrics import PerUser
from evaluation.ranking import Rankings
from evaluation.scorer import FloatArray, IntArray

Figures = dict[str, float | None]
Accuracy = Callable[[npt.NDArray[np.bool_], npt.NDArray[np.int64], int], PerUser]

ACCURACY: dict[str, Accuracy] = {
    "recall": metrics.recall,
    "ndcg": metrics.ndcg,
    "hit_rate": metrics.hit_rate,
    "mrr": metrics.mrr,
}
ACTIVITY_EDGES = (3, 10, 30, 100)


@dataclass(frozen=True)
class Evaluation:
    """What one model's rankings are worth.

    Attributes:
        users: rows of the users with a target, shape (n,).
        per_user: by metric ("ndcg@20"), shape (n,), finite.
        summary: means over these users, coverage and diversity; None where it cannot be computed.
    """

    users: IntArray
    per_user: dict[str, PerUser]
    summary: Figures


def evaluate(
    rankings: Rankings,
    targets: Targets,
    ks: Sequence[int] = (10, 20),
    vectors: sp.csr_array | FloatArray | None = None,
    wide_k: int = 20,
) -> Evaluation:
    """Measure rankings against what was bought.

    Args:
        rankings: of users, each of whom has a target.
        targets: of the same level and cut-off.
        ks: cut-offs of the accuracy metrics.
        vectors: one row per item for intra-list diversity, shape (items, d), such as `co_purchase_vectors`;
            without them "diversity@…" is None.
        wide_k: k of coverage and diversity.

    Raises:
        InputError: no users to average over.
    """
    wanted = sp.csr_array(targets.hits[rankings.users])
    _check(rankings, wanted)
    per_user = accuracy(rankings, wanted, ks)
    summary: Figures = {name: float(values.mean()) for name, values in per_user.items()}
    summary[f"coverage@{wide_k}"] = _finite(metrics.coverage(rankings.items, rankings.n_items, wide_k))
    summary[f"diversity@{wide_k}"] = None
    if vectors is not None:
        summary[f"diversity@{wide_k}"] = _mean(metrics.diversity(rankings.items, vectors, wide_k))
    return Evaluation(rankings.users, per_user, summary)


def accuracy(rankings: Rankings, wanted: sp.csr_array, ks: Sequence[int]) -> dict[str, PerUser]:
    """Recall, NDCG, hit rate and MRR at each k, per user; NaN for users without targets.

    Args:
        rankings: shape (n, k).
        wanted: their targets, in the same order, CSR of shape (n, items).
        ks: cut-offs.
    """
    found, n = metrics.hits(rankings.items, wanted), metrics.n_targets(wanted)
    return {f"{name}@{k}": metric(found, n, k) for k in ks for name, metric in ACCURACY.items()}


def co_purchase_vectors(interactions: sp.csr_array) -> sp.csr_array:
    """Who bought each item, CSR of shape (items, users): their cosine tells how far items share their buyers.

    Args:
        interactions: shape (users, items), such as `Problem.interactions`.
    """
    return sp.csr_array((interactions > 0).astype(np.float32).T)


def differences(
    model: Evaluation,
    baselines: Mapping[str, Evaluation],
    names: Sequence[str] = ("ndcg@20", "recall@20"),
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Paired bootstrap by user of model − baseline, for each baseline and metric.

    All differences share the resamples.

    Raises:
        ValueError: the evaluations are not of the same users.
    """
    for baseline, evaluation in baselines.items():
        if not np.array_equal(model.users, evaluation.users):
            raise ValueError(f"{baseline} was evaluated on other users than the model: nothing to pair")
    if not baselines:
        return {}
    pairs = [(baseline, name) for baseline in baselines for name in names]
    columns = [model.per_user[name] - baselines[baseline].per_user[name] for baseline, name in pairs]
    found: dict[str, dict[str, Interval]] = {baseline: {} for baseline in baselines}
    for (baseline, name), interval in zip(pairs, bootstrap(np.stack(columns, 1), resamples, seed), strict=True):
        found[baseline][name] = interval
    return found


def compare(
    model: Evaluation,
    baselines: Mapping[str, Evaluation],
    names: Sequence[str] = ("ndcg@20", "recall@20"),
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """`differences` as metrics.json holds them: {BASELINE: {METRIC: {"mean", "low", "high"}}}."""
    found = differences(model, baselines, names, resamples, seed)
    return {baseline: {name: vars(value).copy() for name, value in by.items()} for baseline, by in found.items()}


def results(levels: Mapping[str, Mapping[str, Evaluation]], model: str = "crossaisle") -> dict[str, object]:
    """The "test" and "difference" parts of metrics.json.

    Args:
        levels: {LEVEL: {MODEL: evaluation}}, the model among them; a level without it has no difference.
        model: name of ours.
    """
    test = {level: {name: e.summary for name, e in models.items()} for level, models in levels.items()}
    difference = {
        level: compare(models[model], {name: e for name, e in models.items() if name != model})
        for level, models in levels.items()
        if model in models
    }
    return {"test": test, "difference": difference}


def basket_counts(history: Log) -> IntArray:
    """Number of each user's baskets, shape (n_users,)."""
    _, first = np.unique(history.basket, return_index=True)
    return np.bincount(history.user[first], minlength=history.n_users).astype(np.int64)


def by_activity(evaluation: Evaluation, baskets: IntArray, edges: Sequence[int] = ACTIVITY_EDGES) -> dict[str, Figures]:
    """Accuracy by number of baskets in the history, such as {"0–3": {"users": 52, "ndcg@20": …}, …}.

    Args:
        evaluation: of one model.
        baskets: of the whole population, from `basket_counts`.
        edges: last number of each bucket, rising; one more bucket holds the rest.
    """
    bucket = np.searchsorted(np.asarray(edges), baskets[evaluation.users])
    firsts = [0, *(edge + 1 for edge in edges)]
    labels = [f"{first}–{edge}" for first, edge in zip(firsts, edges, strict=False)] + [f"{firsts[-1]}+"]
    found: dict[str, Figures] = {}
    for at, label in enumerate(labels):
        members = bucket == at
        found[label] = {"users": float(members.sum())}
        found[label] |= {name: _mean(values[members]) for name, values in evaluation.per_user.items()}
    return found


def by_popularity(
    rankings: Rankings, targets: Targets, popularity: FloatArray, ks: Sequence[int] = (10, 20)
) -> dict[str, Figures]:
    """Accuracy where only the head's, the middle's or the tail's targets count, {"head": {"users": …, …}, …}.

    The rankings stay whole; each tier is averaged over the users with a target in it.

    Args:
        rankings: of one model.
        targets: of the same level and cut-off.
        popularity: of each item before the cut-off, shape (items,).
        ks: cut-offs.
    """
    wanted = sp.csr_array(targets.hits[rankings.users])
    tiers = popularity_tiers(wanted, popularity)
    found: dict[str, Figures] = {}
    for at, label in enumerate(("head", "middle", "tail")):
        part = sp.csr_array(wanted @ sp.diags_array((tiers == at).astype(np.float32)))
        part.eliminate_zeros()
        items: Figures = {"items": float((tiers == at).sum())}
        found[label] = items | _of_part(rankings, part, ks)
    return found


def popularity_tiers(wanted: sp.csr_array, popularity: FloatArray) -> npt.NDArray[np.int64]:
    """0 (head), 1 (middle) or 2 (tail) for each item, shape (items,), each tier with a third of the targets.

    Items are cut in order of popularity; the item in which a third ends belongs to the more popular tier.
    """
    order = np.argsort(-popularity, kind="stable")
    held = np.asarray(wanted.sum(axis=0)).ravel()[order]
    before = np.cumsum(held) - held
    tiers = np.empty(len(order), dtype=np.int64)
    tiers[order] = np.minimum(3 * before // max(held.sum(), 1), 2).astype(np.int64)
    return tiers


def by_distance(rankings: Rankings, distances: sp.csr_array, ks: Sequence[int] = (10, 20)) -> dict[str, Figures]:
    """Accuracy where only targets of a distance count, {"1": {"targets": …, "users": …, …}, "2": …, "none": …}.

    The rankings stay whole; each group is averaged over the users with a target in it. A distance that no target
    has is left out.

    Args:
        rankings: of one model.
        distances: from `evaluation.distance.distances`, of the same level and cut-off, shape (users, items).
        ks: cut-offs.
    """
    steps = sp.csr_array(distances[rankings.users])
    found: dict[str, Figures] = {}
    for step in sorted(set(steps.data.tolist()), key=lambda step: (step == NO_STEPS, step)):
        part = sp.csr_array((steps == step).astype(np.float32))
        found["none" if step == NO_STEPS else str(step)] = _of_part(rankings, part, ks)
    return found


def _of_part(rankings: Rankings, part: sp.csr_array, ks: Sequence[int]) -> Figures:
    """Size of a part of the targets, and the accuracy where no others count, averaged over its users."""
    size: Figures = {"targets": float(part.nnz), "users": float((metrics.n_targets(part) > 0).sum())}
    return size | {name: _mean(values) for name, values in accuracy(rankings, part, ks).items()}


def _check(rankings: Rankings, wanted: sp.csr_array) -> None:
    if not len(rankings.users) or (metrics.n_targets(wanted) == 0).any():
        raise InputError(
            f"{len(rankings.users)} users to average over, not all with a target",
            where="evaluation",
            remedy="Rank the users of these targets; without any, give an earlier cut-off.",
        )


def _mean(values: PerUser) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
