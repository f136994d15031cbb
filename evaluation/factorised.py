"""A scorer of categories, carried down to types and products by what sells within a category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data.log import Log
from data.splits import unseen_categories
from errors import InputError
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evidence.popularity import buyers


@dataclass(frozen=True)
class FactorisedConfig:
    """Settings of `Factorised`.

    Attributes:
        window: periods before the cut-off in which an item's share of its category is counted.
        smoothing: pseudo-count (in buyers) that draws that share towards the one over the whole history, and the
            latter towards equal shares.
        scale: what the category's scores are multiplied with, for scorers whose scores are no log-odds.
    """

    window: int = 6
    smoothing: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"window is {self.window}", where="factorised.window", remedy="Give 1 or more.")
        if not self.smoothing > 0:
            raise InputError(f"smoothing is {self.smoothing}", where="factorised.smoothing", remedy="Give more than 0.")


class Factorised(Scorer):
    """log p(item) = log p(category) + log share of the item in its category, the same share for every user.

    p(category) is the softmax of the wrapped scorer's scores over the categories that the user has not bought from.
    The share is (n_i + α π_i) / (Σ n + α) with n the buyers in the window, sums over the category's items, and π the
    same over the whole history (with equal shares for its own π). Items count in the first of their categories; those
    in none score as low as the least likely item can. Memory is that of the result.

    Args:
        scorer: of the interest level; fitted along unless ``fitted`` says that it is.
        config: settings.
        fitted: the problem that the scorer is fitted on already: fitting at its cut-off leaves the scorer alone.
    """

    def __init__(self, scorer: Scorer, config: FactorisedConfig | None = None, fitted: Problem | None = None) -> None:
        self.config: FactorisedConfig = config or FactorisedConfig()
        self.name = f"{scorer.name}_factorised"
        self._scorer, self._fitted = scorer, fitted

    def fit(self, problem: Problem) -> Self:
        """Fit the scorer of categories, and count the shares."""
        interest = Problem(problem.dataset, problem.dataset.catalogue.interest, problem.cutoff)
        known = self._fitted
        if known is None or known.dataset is not interest.dataset or known.cutoff != interest.cutoff:
            self._scorer.fit(interest)
            self._fitted = None if known is None else interest
        self._interest = problem.dataset.catalogue.interest
        self._parent = first_categories(problem)
        self._log_share = self._count_shares(problem)
        return self

    def _count_shares(self, problem: Problem) -> FloatArray:
        """Log shares of the items in their categories, shape (items,)."""
        share = self._share(np.zeros(len(problem), dtype=np.float32), np.ones(len(problem), dtype=np.float32))
        for window in (None, self.config.window):
            share = self._share(buyers(problem.history, problem.of_product, problem.cutoff, window), share)
        floor = np.log(share.min(initial=1))
        return np.where(self._parent >= 0, np.log(share), floor).astype(np.float32)

    def _share(self, counts: FloatArray, prior: FloatArray) -> FloatArray:
        """(n + α π) / Σ (n + α π), the sum over each category's items, shape (items,)."""
        raised = counts + self.config.smoothing * prior
        place = self._parent + 1
        return np.asarray(raised / np.bincount(place, raised)[place], dtype=np.float32)

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Log probabilities, shape (b, items)."""
        above = self._log_softmax(history, self._scorer.score(history, rows) * np.float32(self.config.scale))
        floor = above.min(axis=1, keepdims=True)
        out = np.concatenate([floor, above], axis=1)[:, self._parent + 1]
        out += self._log_share
        return out

    def _log_softmax(self, history: Log, scores: FloatArray) -> FloatArray:
        """Log-softmax over the unseen categories; the others get the same constant, shape (b, categories)."""
        candidate = unseen_categories(history, self._interest)
        masked = np.where(candidate | ~candidate.any(axis=1, keepdims=True), scores, -np.inf)
        top = masked.max(axis=1, keepdims=True)
        total = np.exp(masked - top).sum(axis=1, keepdims=True)
        return np.asarray(scores - top - np.log(total), dtype=np.float32)


def first_categories(problem: Problem) -> IntArray:
    """The first category of each item, shape (items,); −1 where it has none."""
    membership = problem.membership
    first = np.full(len(problem), -1, dtype=np.int64)
    filled = np.diff(membership.indptr) > 0
    first[filled] = membership.indices[membership.indptr[:-1][filled]]
    return first
