"""How strong an interest is: the calibrated probability of a purchase within the horizon, and the expected spend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import GammaRegressor, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from console import track
from data.histories import at_moment
from data.log import Log
from data.splits import unseen_categories
from errors import InputError
from evaluation.ranking import Rankings, batches
from files import read_json, write_json
from training.cutoffs import CutOff
from training.scorer import CrossAisleScorer

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FORMAT = 1
FILE = "strength.json"
FOLDS = 5
PRIOR = 5.0  # buyers that the mean spend over all categories counts as
USERS_PER_BATCH = 256
METHODS = ("isotonic", "platt", "customer")


@dataclass(frozen=True)
class Spends:
    """Mean spend before a cut-off, over a window as long as the horizon.

    Attributes:
        category: money that a buyer of the category left there, smoothed towards the mean of all, shape (categories,).
        user: money that each user left in a category that they bought from, shape (b,); the mean of all for who
            bought nothing.
    """

    category: FloatArray
    user: FloatArray

    @classmethod
    def of(cls, cutoff: CutOff, history: Log, horizon: int) -> Self:
        """Count them."""
        of_product, start = cutoff.interest.level.of_product, cutoff.time - horizon
        recent = cutoff.history.between(start, cutoff.time)
        spent = recent.counts(of_product, np.maximum(recent.value, 0))
        buyers = np.bincount(spent.indices, minlength=spent.shape[1])
        mean = float(spent.sum()) / max(spent.nnz, 1)
        category = (np.asarray(spent.sum(axis=0)).ravel() + PRIOR * mean) / (buyers + PRIOR)
        own = history.between(start, cutoff.time)
        by_user = own.counts(of_product, np.maximum(own.value, 0))
        user = (np.asarray(by_user.sum(axis=1)).ravel() + mean) / (np.diff(by_user.indptr) + 1)
        return cls(category.astype(np.float64), user.astype(np.float64))

    def features(self) -> FloatArray:
        """Logs of both for each pair, shape (b, categories, 2)."""
        shape = (len(self.user), len(self.category))
        user, category = np.broadcast_to(self.user[:, None], shape), np.broadcast_to(self.category, shape)
        return np.log(np.stack([user, category], axis=2) + 0.01)


@dataclass(frozen=True)
class Known:
    """What is known of each pair of user and category.

    Attributes:
        log_p: the model's score, −inf for what is no candidate, shape (b, categories).
        figures: per-user evidence and log of the number of candidates, shape (b, figures).
        spends: mean spends before.
    """

    log_p: FloatArray
    figures: FloatArray
    spends: Spends

    @classmethod
    def of(cls, scorer: CrossAisleScorer, history: Log, rows: IntArray, horizon: int) -> Self:
        """Ask the model and count."""
        log_p = scorer.at_interest().score(history, rows).astype(np.float64)
        n = np.log(np.maximum(np.isfinite(log_p).sum(axis=1), 1))
        figures = np.concatenate([scorer.cutoff.interest.users(history), n[:, None]], axis=1)
        return cls(log_p, figures.astype(np.float64), Spends.of(scorer.cutoff, history, horizon))

    def inputs(self, method: str) -> FloatArray:
        """What a method reads of each pair, shape (b, categories, features)."""
        log_p = np.where(np.isfinite(self.log_p), self.log_p, 0)[..., None]
        if method != "customer":
            return log_p
        shape = (*self.log_p.shape, self.figures.shape[1])
        return np.concatenate([log_p, np.broadcast_to(self.figures[:, None], shape)], axis=2)


@dataclass(frozen=True)
class Logistic:
    """p = σ(w · x + b) with w of raw features."""

    weights: list[float]
    bias: float

    @classmethod
    def fit(cls, x: FloatArray, bought: npt.NDArray[np.bool_]) -> Self:
        """Maximum likelihood on standardised features, shape (n, features) (Platt 1999)."""
        mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        found = LogisticRegression(C=1e6, max_iter=500).fit((x - mean) / scale, bought)
        weights = found.coef_[0] / scale
        return cls(weights.tolist(), float(found.intercept_[0] - weights @ mean))

    def __call__(self, x: FloatArray) -> FloatArray:
        """Probabilities, shape (…)."""
        return np.asarray(1 / (1 + np.exp(-(x @ np.array(self.weights) + self.bias))))


@dataclass(frozen=True)
class Isotonic:
    """A rising step-wise linear map of the score (Zadrozny and Elkan, KDD 2002)."""

    scores: list[float]
    probabilities: list[float]

    @classmethod
    def fit(cls, x: FloatArray, bought: npt.NDArray[np.bool_]) -> Self:
        """Least squares under the rise; x of shape (n, 1)."""
        found = IsotonicRegression(out_of_bounds="clip").fit(x[:, 0], bought.astype(float))
        return cls(found.X_thresholds_.tolist(), found.y_thresholds_.tolist())

    def __call__(self, x: FloatArray) -> FloatArray:
        """Probabilities, shape (…)."""
        return np.interp(x[..., 0], self.scores, self.probabilities)


KINDS: dict[str, type[Logistic] | type[Isotonic]] = {"isotonic": Isotonic, "platt": Logistic, "customer": Logistic}


@dataclass(frozen=True)
class Strength:
    """Probability of a purchase in the horizon, and expected spend, of candidate categories.

    The score is log p(category | a new purchase): a share, which says nothing of how many new purchases there will be.
    ``isotonic`` and ``platt`` map the score alone; ``customer`` is Platt's logistic with the user's figures (baskets,
    recency, categories lately entered, …) beside the score. The expected spend is the probability times the spend of
    who buys, exp(v · log[mean spend of user, of category] + a), a Gamma regression.

    Attributes:
        method: one of isotonic, platt, customer.
        probability: its fitted map.
        spend: weights of the two logs of mean spends, and the constant; empty where the data tell no spends.
        horizon: periods that both are about.
        fitted_at: the cut-off whose horizon they were fitted on.
        log_loss: of each method, cross-validated over the users there.
    """

    method: str
    probability: Logistic | Isotonic
    spend: list[float]
    horizon: int
    fitted_at: int
    log_loss: dict[str, float]

    def of(self, known: Known) -> tuple[FloatArray, FloatArray]:
        """Probability and expected spend, each of shape (b, categories); NaN for what is no candidate, and no
        spend where the data tell none."""
        probability = np.where(np.isfinite(known.log_p), self.probability(known.inputs(self.method)), np.nan)
        return probability, probability * self.spend_of_buyers(known.spends)

    def spend_of_buyers(self, spends: Spends) -> FloatArray:
        """What a user spends in a category, given that they buy from it, shape (b, categories)."""
        if not self.spend:
            return np.full((len(spends.user), len(spends.category)), np.nan)
        *weights, constant = self.spend
        return np.asarray(np.exp(spends.features() @ np.array(weights) + constant))

    def of_lists(
        self, scorer: CrossAisleScorer, history: Log, rows: IntArray, found: Rankings
    ) -> tuple[FloatArray, FloatArray]:
        """Probability and expected spend of listed categories, in the order of `Rankings.to_frame`.

        Args:
            scorer: the run's model.
            history: of the users whose lists these are.
            rows: their rows in the population, −1 for strangers.
            found: the lists.
        """
        parts = [
            self._of_batch(scorer, history.of_users(users), rows[users], found.items[users])
            for users in batches(np.arange(len(rows)), USERS_PER_BATCH, 1)
        ]
        probability, spend = (np.concatenate(column) for column in zip(*parts, strict=True))
        return probability, spend

    def _of_batch(
        self, scorer: CrossAisleScorer, history: Log, rows: IntArray, items: npt.NDArray[np.int32]
    ) -> list[FloatArray]:
        known = Known.of(scorer, at_moment(history, scorer.cutoff.time), rows, self.horizon)
        there = items >= 0
        return [np.take_along_axis(one, np.where(there, items, 0), axis=1)[there] for one in self.of(known)]

    def write(self, path: Path) -> None:
        """Write JSON, whole or not at all."""
        write_json(path, {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back.

        Raises:
            InputError: the file is damaged or of another version.
        """
        try:
            facts = read_json(path)
            if facts.pop("format") != FORMAT:
                raise ValueError("another format")
            probability = KINDS[facts["method"]](**facts.pop("probability"))
            return cls(probability=probability, **facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            remedy = "Make it again: `crossaisle calibrate RUN`."
            raise InputError("the calibration cannot be read", where=str(path), remedy=remedy) from error


@dataclass(frozen=True)
class Outcomes:
    """What users did in the horizon, and what was known before; candidates of all users in one row of pairs.

    Attributes:
        user: row of the user of each pair, shape (n,).
        category: of each pair, shape (n,).
        bought: whether they bought, shape (n,).
        spent: how much, shape (n,).
        inputs: by method, each of shape (n, features).
        log_spends: logs of mean spends before, of user and category, shape (n, 2).
        log_p: the model's score, shape (n,).
    """

    user: IntArray
    category: IntArray
    bought: npt.NDArray[np.bool_]
    spent: FloatArray
    inputs: dict[str, FloatArray]
    log_spends: FloatArray
    log_p: FloatArray


def outcomes(scorer: CrossAisleScorer, horizon: int) -> Outcomes:
    """Every candidate of every user with a history before the scorer's cut-off, and what came in the horizon after."""
    cutoff = scorer.cutoff
    users = np.unique(cutoff.history.user).astype(np.int64)
    future = cutoff.dataset.log.between(cutoff.time, cutoff.time + horizon)
    parts = [
        _outcomes(scorer, rows, future, horizon) for rows in track(list(batches(users, USERS_PER_BATCH, 1)), "users")
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    inputs = {method: joined.pop(method) for method in METHODS}
    return Outcomes(inputs=inputs, **joined)


def _outcomes(
    scorer: CrossAisleScorer, rows: IntArray, future: Log, horizon: int
) -> dict[str, npt.NDArray[np.generic]]:
    of_product = scorer.cutoff.interest.level.of_product
    history, after = scorer.cutoff.history.of_users(rows), future.of_users(rows)
    known = Known.of(scorer, history, rows, horizon)
    at = unseen_categories(history, scorer.cutoff.interest.level)
    user, category = np.nonzero(at)
    found = {
        "user": rows[user],
        "category": category.astype(np.int64),
        "bought": after.counts(of_product).toarray()[at] > 0,
        "spent": after.counts(of_product, np.maximum(after.value, 0)).toarray()[at].astype(np.float64),
        "log_spends": known.spends.features()[at],
        "log_p": known.log_p[at],
    }
    return found | {method: known.inputs(method)[at] for method in METHODS}


def fit(seen: Outcomes, horizon: int, fitted_at: int) -> Strength:
    """Choose the map of the score by cross-validation over users, and fit it and the spend on all pairs.

    Args:
        seen: at the validation cut-off, scored by a model that was not trained on what came after it.
        horizon: periods.
        fitted_at: that cut-off.

    Raises:
        InputError: too few bought anything new to fit it.
    """
    if len(np.unique(seen.user[seen.bought])) < FOLDS:
        remedy = "Give a longer horizon, or more data."
        raise InputError("too few new purchases in the validation window", where="calibrate", remedy=remedy)
    losses = {method: _cross_validated(KINDS[method].fit, seen.inputs[method], seen) for method in METHODS}
    method = min(losses, key=lambda name: losses[name])
    probability = KINDS[method].fit(seen.inputs[method], seen.bought)
    return Strength(method, probability, _fit_spend(seen), horizon, fitted_at, losses)


def _cross_validated(
    fit_map: Callable[[FloatArray, npt.NDArray[np.bool_]], Logistic | Isotonic], x: FloatArray, seen: Outcomes
) -> float:
    told = np.empty(len(x))
    for train, held in GroupKFold(FOLDS).split(x, groups=seen.user):
        told[held] = fit_map(x[train], seen.bought[train])(x[held])
    return float(log_loss(seen.bought, np.clip(told, 1e-6, 1 - 1e-6), labels=[False, True]))


def _fit_spend(seen: Outcomes) -> list[float]:
    """Weights of a Gamma regression with log link over the pairs with a spend, and its constant; none without any."""
    paid = seen.bought & (seen.spent > 0)
    if not paid.any():
        return []
    if paid.sum() < FOLDS:
        return [0.0, 1.0, 0.0]  # the category's mean, where few paid
    found = GammaRegressor(alpha=1e-3, max_iter=500).fit(seen.log_spends[paid], seen.spent[paid])
    return [*found.coef_.tolist(), float(found.intercept_)]
