"""Gradient-boosted trees on the evidence that our model is given: the strongest simple opponent there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from time import perf_counter
from typing import Any, Literal, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from data.dataset import Dataset
from data.log import Log
from data.splits import ProtocolConfig, Targets, targets
from errors import InputError
from evaluation.evaluate import evaluate
from evaluation.ranking import rank
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evaluation.tuning import Trial, Tuned, settings
from evidence.config import EvidenceConfig
from evidence.interest import InterestEvidence

Provider = Callable[[int], InterestEvidence]
Gradient = Callable[[npt.NDArray[np.float64], lgb.Dataset], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
USERS_PER_CHUNK = 256


@dataclass(frozen=True)
class LightGbmConfig:
    """Settings of `LightGbm`.

    Attributes:
        train_cutoffs: sliding cut-offs to learn from; each horizon must end at or before the problem's cut-off.
        horizon: periods after a cut-off in which a category counts as taken up.
        objective: "softmax" over a user's categories (see `Softmax`), "binary" (log loss of each pair) or
            "lambdarank" (Burges, "From RankNet to LambdaRank to LambdaMART", 2010; a user is a query).
        trees: number of trees.
        leaves: leaves per tree, at most.
        learning_rate: shrinkage of each tree.
        min_rows: pairs in a leaf, at least.
        feature_share: share of the features that each tree may use.
        row_share: share of the pairs that each tree sees.
        l2: on the leaves' values.
        bins: histogram bins per feature; 63 are quicker than LightGBM's 255.
        negative_share: share of the pairs not taken up that is kept, each weighing as much more.
        max_rows: pairs held at a time; beyond it negatives, then users, are thinned out further.
        num_threads: 0: all cores. Sums depend on it in the last digits.
        seed: of the samples of pairs, rows and features, and of the tie order where stages are tried.
    """

    train_cutoffs: tuple[int, ...] = (16, 20, 24, 28, 33)
    horizon: int = 7
    objective: Literal["softmax", "binary", "lambdarank"] = "softmax"
    trees: int = 300
    leaves: int = 15
    learning_rate: float = 0.05
    min_rows: int = 200
    feature_share: float = 0.25
    row_share: float = 0.7
    l2: float = 1.0
    bins: int = 63
    negative_share: float = 0.07
    max_rows: int = 1_000_000
    num_threads: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("negative_share", self.negative_share), ("feature_share", self.feature_share)):
            if not 0 < value <= 1:
                raise InputError(f"{name} is {value}", where=f"lightgbm.{name}", remedy="Give more than 0, 1 at most.")
        if not self.train_cutoffs or self.max_rows < len(self.train_cutoffs):
            what = f"{len(self.train_cutoffs)} cut-offs, {self.max_rows} pairs in all"
            raise InputError(what, where="lightgbm.train_cutoffs", remedy="Give a cut-off and a pair for each.")

    def params(self) -> dict[str, Any]:
        """The same in LightGBM's words, but for the objective and the number of trees."""
        return {
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_rows,
            "feature_fraction": self.feature_share,
            "bagging_fraction": self.row_share,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "max_bin": self.bins,
            "num_threads": self.num_threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "verbose": -1,
        }


class LightGbm(Scorer):
    """Trees on [pair ; category ; user] evidence that tell what users take up in the horizon after a cut-off.

    Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017. The evidence is
    `evidence.interest`'s, as our own model is given it; the examples are all (user, unseen category) pairs of
    users with a target at the training cut-offs. For the interest level only.

    Args:
        config: settings; default: those chosen on Complete Journey's validation cut-off.
        evidence: evidence by cut-off, to share with others, of the problem's data set; default: fitted here for
            the configured horizon. Whatever it gives is at or before the problem's cut-off.
    """

    name = "lightgbm"

    def __init__(self, config: LightGbmConfig | None = None, evidence: Provider | None = None) -> None:
        self.config: LightGbmConfig = config or LightGbmConfig()
        self._provider = evidence

    def fit(self, problem: Problem) -> Self:
        """Learn from the training cut-offs, then take in the evidence at the problem's cut-off.

        Raises:
            InputError: a training cut-off whose horizon ends after the problem's cut-off, another level than the
                interest level, or nothing to learn from.
        """
        provider = self._provider or evidence_of(problem.dataset, self.config.horizon)
        return self._fit(problem, gather(problem, self.config, provider), provider)

    def _fit(self, problem: Problem, pairs: TrainingPairs, provider: Provider) -> Self:
        params = self.config.params()
        softmax = self.config.objective == "softmax"
        params["objective"] = Softmax(pairs) if softmax else self.config.objective
        params["lambdarank_truncation_level"] = 20
        self._booster = lgb.train(params, pairs.for_objective(self.config.objective), self.config.trees)
        self._evidence = provided(provider, problem.cutoff)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Sums of the trees' leaves, shape (b, items)."""
        return self.staged(history, rows, [self.config.trees])[0]

    def staged(self, history: Log, rows: IntArray, stages: Sequence[int]) -> FloatArray:
        """Scores after the first so many trees.

        Args:
            history: as of `score`.
            rows: as of `score`.
            stages: numbers of trees, rising.

        Returns:
            Shape (stages, b, items).
        """
        out = np.zeros((len(stages), len(rows), len(self._evidence.items)), dtype=np.float32)
        for start in range(0, len(rows), USERS_PER_CHUNK):
            part = np.arange(start, min(start + USERS_PER_CHUNK, len(rows)))
            table = _all_pairs(self._evidence, history.of_users(part), rows[part])
            out[:, part] = self._predict(table, stages).reshape(len(stages), len(part), -1)
        return out

    def _predict(self, table: FloatArray, stages: Sequence[int]) -> FloatArray:
        total, done, out = np.zeros(len(table)), 0, []
        for stage in stages:
            # The number of iterations is given: LightGBM reads 0 as "all of them".
            if stage > done:
                total += self._booster.predict(
                    table, done, stage - done, raw_score=True, num_threads=self.config.num_threads
                )
            done = stage
            out.append(total.astype(np.float32))
        return np.stack(out)

    @property
    def importance(self) -> dict[str, float]:
        """Gain of each feature, by name, largest first."""
        gains = self._booster.feature_importance("gain")
        order = np.argsort(-gains, kind="stable")
        names = feature_names(self._evidence)
        return {names[i]: float(gains[i]) for i in order}


# -- evidence ---------------------------------------------------------------------------------------------


def evidence_of(dataset: Dataset, horizon: int) -> Provider:
    """Evidence at the interest level, fitted once for each cut-off that is asked for.

    Args:
        dataset: the shop.
        horizon: the windows' unit (see `EvidenceConfig`).
    """
    catalogue, config = dataset.catalogue, EvidenceConfig(horizon=horizon)

    @cache
    def fitted(cutoff: int) -> InterestEvidence:
        return InterestEvidence(dataset, catalogue.interest, catalogue.above, cutoff, config)

    return fitted


def provided(provider: Provider, cutoff: int) -> InterestEvidence:
    """The provider's evidence, if it is of the cut-off.

    Raises:
        ValueError: it is of another one.
    """
    evidence = provider(cutoff)
    if evidence.cutoff != cutoff:
        raise ValueError(f"asked for evidence of cut-off {cutoff}, given that of {evidence.cutoff}")
    return evidence


def feature_names(evidence: InterestEvidence) -> list[str]:
    """Names of the features: pair, category, user."""
    return [*evidence.pair_names, *evidence.item_names, *evidence.user_names]


def _all_pairs(evidence: InterestEvidence, history: Log, rows: IntArray) -> FloatArray:
    """Features of all pairs of some users, user by user, shape (b · categories, features)."""
    pairs, users = evidence.pairs(history, rows), evidence.users(history)
    b, n, width = pairs.shape
    out = np.empty((b, n, width + evidence.items.shape[1] + users.shape[1]), dtype=np.float32)
    out[..., :width] = pairs
    out[..., width : width + evidence.items.shape[1]] = evidence.items[None]
    out[..., width + evidence.items.shape[1] :] = users[:, None]
    return out.reshape(b * n, -1)


# -- examples ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Sampled pairs of one cut-off, user by user.

    Attributes:
        cutoff: the cut-off.
        user: rows of the users, rising, shape (n,).
        category: shape (n,).
        taken: whether the category was taken up in the horizon, shape (n,), bool.
        weight: how many pairs this one stands for, shape (n,), float32.
    """

    cutoff: int
    user: IntArray
    category: IntArray
    taken: npt.NDArray[np.bool_]
    weight: FloatArray


class TrainingPairs:
    """Features and labels of all training cut-offs, binned by LightGBM once for all settings.

    Args:
        table: features, shape (n, features).
        samples: where the rows come from; n pairs in all.
        config: bins and seed.
    """

    def __init__(self, table: FloatArray, samples: list[Sample], config: LightGbmConfig) -> None:
        self.taken = np.concatenate([sample.taken for sample in samples])
        self.weight = np.concatenate([sample.weight for sample in samples])
        sizes = [np.unique(sample.user, return_counts=True)[1] for sample in samples]
        self.sizes = np.concatenate(sizes)
        self._binned = lgb.Dataset(table, self.taken, params=config.params()).construct()

    def __len__(self) -> int:
        return len(self.taken)

    def for_objective(self, objective: str) -> lgb.Dataset:
        """The binned features, with groups for ranking and weights for the log loss."""
        self._binned.set_weight(self.weight if objective == "binary" else None)
        self._binned.set_group(self.sizes if objective == "lambdarank" else None)
        return self._binned


def gather(problem: Problem, config: LightGbmConfig, provider: Provider) -> TrainingPairs:
    """The training pairs; no more than ``max_rows`` are held.

    Raises:
        InputError: as `LightGbm.fit`.
    """
    check(problem, config)
    samples = [sample_pairs(problem.dataset, cutoff, config) for cutoff in config.train_cutoffs]
    samples = [sample for sample in samples if len(sample.user)]
    if not samples:
        raise InputError(
            f"nobody takes up anything within {config.horizon} periods of cut-offs {list(config.train_cutoffs)}",
            where="lightgbm.train_cutoffs",
            remedy="Give later cut-offs or a longer horizon.",
        )
    width = len(feature_names(provided(provider, samples[0].cutoff)))
    table = np.empty((sum(len(sample.user) for sample in samples), width), dtype=np.float32)
    start = 0
    for sample in samples:
        _fill(table[start : start + len(sample.user)], problem.dataset, sample, provided(provider, sample.cutoff))
        start += len(sample.user)
    return TrainingPairs(table, samples, config)


def check(problem: Problem, config: LightGbmConfig) -> None:
    """Refuse what would leak, and other levels.

    Raises:
        InputError: as `LightGbm.fit`.
    """
    if problem.level is not problem.dataset.catalogue.interest:
        raise InputError(
            f"the {problem.name} level is not the interest level",
            where="lightgbm",
            remedy="Wrap it in `evaluation.factorised.Factorised` for other levels.",
        )
    for cutoff in config.train_cutoffs:
        if cutoff + config.horizon > problem.cutoff:
            raise InputError(
                f"the horizon of cut-off {cutoff} ends at {cutoff + config.horizon}, after {problem.cutoff}: a leak",
                where="lightgbm.train_cutoffs",
                remedy=f"Give cut-offs of at most {problem.cutoff - config.horizon}, or a shorter horizon.",
            )


def sample_pairs(dataset: Dataset, cutoff: int, config: LightGbmConfig) -> Sample:
    """All pairs taken up and some of the others, of the users with a target at a cut-off."""
    most = config.max_rows // len(config.train_cutoffs)
    rng = np.random.default_rng((config.seed, cutoff))
    found = targets(dataset, dataset.catalogue.interest, cutoff, config.horizon)
    users = _thin_users(found, most // 2, rng)
    taken = found.hits[users].toarray() > 0
    other = np.flatnonzero((found.unseen[users] & ~taken).ravel())
    kept = min(round(config.negative_share * len(other)), most - int(taken.sum()))
    kept = min(len(other), max(kept, 0))
    cells = np.sort(np.concatenate([np.flatnonzero(taken.ravel()), rng.choice(other, kept, replace=False)]))
    label = taken.ravel()[cells]
    weight = np.where(label, 1, len(other) / max(kept, 1)).astype(np.float32)
    place, category = np.divmod(cells, taken.shape[1])
    return Sample(cutoff, users[place], category, label, weight)


def _thin_users(found: Targets, most: int, rng: np.random.Generator) -> IntArray:
    """Users with a target, or a random part of them with no more than so many targets (one user at least)."""
    users = found.users
    shuffled = rng.permutation(users)
    held = np.cumsum(np.diff(found.hits.indptr)[shuffled])
    if not len(held) or held[-1] <= most:
        return users
    return np.sort(shuffled[: max(1, int(np.searchsorted(held, most, side="right")))])


def _fill(table: FloatArray, dataset: Dataset, sample: Sample, evidence: InterestEvidence) -> None:
    """Write a sample's features, a few users at a time."""
    history, users = dataset.log.before(sample.cutoff), np.unique(sample.user)
    for start in range(0, len(users), USERS_PER_CHUNK):
        part = users[start : start + USERS_PER_CHUNK]
        low, high = np.searchsorted(sample.user, [part[0], part[-1] + 1])
        place = np.searchsorted(part, sample.user[low:high])
        rows = place * len(evidence.items) + sample.category[low:high]
        table[low:high] = _all_pairs(evidence, history.of_users(part), part)[rows]


class Softmax:
    """Gradients of the cross-entropy between a user's scores and what they took up, for LightGBM.

    L = Σ_u n_u^½ · −(1/n_u) Σ_{c taken} log(e^{s_uc} / Σ_c' w_uc' e^{s_uc'}): the mean over a user's n targets with
    weight n^½, so each target weighs n^−½, as in our model's own loss. The weights w undo the sampling of negatives.
    ListNet's top-one loss (Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007).

    Args:
        pairs: labels, weights and sizes of the users' groups.
    """

    def __init__(self, pairs: TrainingPairs) -> None:
        sizes = pairs.sizes
        self._starts, self._sizes = np.cumsum(sizes) - sizes, sizes
        taken = np.add.reduceat(pairs.taken.astype(float), self._starts)
        mass = np.sqrt(taken)
        self._mass = np.repeat(mass * taken.sum() / mass.sum(), sizes)
        self._aim, self._weight = pairs.taken / np.repeat(taken, sizes), pairs.weight.astype(float)

    def __call__(
        self, scores: npt.NDArray[np.float64], _: lgb.Dataset
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Gradient and (diagonal) curvature of each pair's score, both of shape (n,)."""
        top = np.repeat(np.maximum.reduceat(scores, self._starts), self._sizes)
        odds = self._weight * np.exp(scores - top)
        share = odds / np.repeat(np.add.reduceat(odds, self._starts), self._sizes)
        return self._mass * (share - self._aim), np.maximum(self._mass * share * (1 - share), 1e-6)


# -- choosing ---------------------------------------------------------------------------------------------


def default_grid(protocol: ProtocolConfig, num_threads: int = 0, seed: int = 0) -> list[LightGbmConfig]:
    """The settings that validation chooses from; each with every stage of `tune_lightgbm`.

    What led to them, NDCG@20 on Complete Journey's validation cut-off (one seed; differences under .002 are noise):
    softmax .2908 with 15 leaves, .2890 with 31, .2894 with 8; with 30 % of the negatives .2907 in five times the time;
    binary .2896, lambdarank .2906 in twice the time, rank_xendcg .2892; EASE .2807.
    """
    base = LightGbmConfig(
        train_cutoffs=tuple(protocol.train_cutoffs), horizon=protocol.horizon, num_threads=num_threads, seed=seed
    )
    return [base, replace(base, leaves=8)]


def tune_lightgbm(
    grid: Sequence[LightGbmConfig],
    validation: Problem,
    targets: Targets,
    test: Problem,
    refit_cutoffs: Sequence[int] = (),
    *,
    stages: Sequence[int] = (150, 200, 250, 300, 350),
    evidence: Provider | None = None,
    metric: str = "ndcg@20",
) -> Tuned:
    """Choose settings and number of trees on validation, then fit for the test, as `evaluation.tuning.tune` does.

    Each setting is trained once, with as many trees as the last stage, and judged at every stage.

    Args:
        grid: settings; their number of trees is not used.
        validation: the problem at the validation cut-off.
        targets: its targets.
        test: the interest level at the test cut-off.
        refit_cutoffs: cut-offs to learn from for the test; empty: those of the setting.
        stages: numbers of trees, rising.
        evidence: evidence by cut-off, to share with others; default: fitted here, once per cut-off.
        metric: its name with its k, as `evaluate` calls it.

    Raises:
        ValueError: an empty grid.
        InputError: cut-offs that leak.
    """
    if not grid or not stages:
        raise ValueError("an empty grid: nothing to choose from")
    provider = evidence or evidence_of(test.dataset, grid[0].horizon)
    configs: list[LightGbmConfig] = []
    trials: list[Trial] = []
    for pairs, config in _gathered(grid, validation, provider):
        scorer = LightGbm(replace(config, trees=stages[-1]), provider)
        trials += _try_stages(scorer, pairs, provider, validation, targets, stages, metric)
        configs += [replace(config, trees=stage) for stage in stages]
    best = int(np.argmax([-1.0 if trial.value is None else trial.value for trial in trials]))
    chosen = replace(configs[best], train_cutoffs=tuple(refit_cutoffs) or configs[best].train_cutoffs)
    return Tuned(LightGbm(chosen, provider).fit(test), trials, best)


def _gathered(
    grid: Sequence[LightGbmConfig], problem: Problem, provider: Provider
) -> Iterator[tuple[TrainingPairs, LightGbmConfig]]:
    """Each setting with its pairs; neighbours that ask for the same pairs share them, and one lot is held at a time."""
    key, pairs = None, None
    for config in grid:
        asked = (config.train_cutoffs, config.horizon, config.negative_share, config.max_rows, config.bins, config.seed)
        if pairs is None or asked != key:
            pairs = None
            key, pairs = asked, gather(problem, config, provider)
        yield pairs, config


def _try_stages(
    scorer: LightGbm,
    pairs: TrainingPairs,
    provider: Provider,
    problem: Problem,
    targets: Targets,
    stages: Sequence[int],
    metric: str,
) -> list[Trial]:
    started, k = perf_counter(), int(metric.rpartition("@")[2])
    users = targets.users
    scores = scorer._fit(problem, pairs, provider).staged(problem.history.of_users(users), users, stages)
    trials = []
    for stage, of_stage in zip(stages, scores, strict=True):
        rankings = rank(_Known(users, of_stage), problem, targets, k, seed=scorer.config.seed)
        value = evaluate(rankings, targets, ks=(k,)).summary[metric]
        trials.append(Trial(settings(scorer) | {"trees": stage}, value, perf_counter() - started))
        started = perf_counter()
    return trials


class _Known(Scorer):
    """Scores that were computed already.

    Args:
        users: rows of the users, rising, shape (n,).
        scores: shape (n, items).
    """

    name = "lightgbm"

    def __init__(self, users: IntArray, scores: FloatArray) -> None:
        self._users, self._scores = users, scores

    def fit(self, problem: Problem) -> Self:
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        return self._scores[np.searchsorted(self._users, rows)]
