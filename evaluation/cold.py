"""Items without any history, ranked among themselves: what is measured, and the simple scorers they are ranked by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from data.splits import blocked, targets
from errors import InputError
from evaluation.baselines import Ease, EaseConfig, Popularity, PopularityConfig
from evaluation.bootstrap import Crossed, Interval, crossed
from evaluation.ranking import batches, tie_order
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from evidence.histories import map_values
from evidence.popularity import buyers

Mask = npt.NDArray[np.bool_]
LAMBDAS = (200.0, 1000.0)
Ranked = Callable[[Log, IntArray], FloatArray]


@dataclass(frozen=True)
class ColdTask:
    """Items that nobody bought before the cut-off, and who buys them after it.

    Attributes:
        problem: level and cut-off; what its history holds is all that a scorer may know.
        items: positions of the items, shape (m,).
        users: rows of the users who buy one of the candidates, shape (n,).
        candidates: items that sit in no category which the user has bought from, or all, shape (n, m).
        wanted: candidates that the user buys in the horizon, shape (n, m).
        anywhere: items of categories that a user has bought from are candidates too.
    """

    problem: Problem
    items: IntArray
    users: IntArray
    candidates: Mask
    wanted: Mask
    anywhere: bool = False

    @classmethod
    def of(
        cls, problem: Problem, items: IntArray, horizon: int, whole: Dataset | None = None, anywhere: bool = False
    ) -> Self:
        """The task of ranking some items.

        Args:
            problem: of data in which nobody bought the items.
            items: positions at the problem's level, shape (m,).
            horizon: of the targets.
            whole: the same shop with the purchases that were withheld: targets come from it, and what a user has
                bought from is told by it too. Default: the problem's own data.
            anywhere: items of categories that a user has bought from are candidates too; what they bought before
                is then no target.

        Raises:
            InputError: nobody buys one of the items.
        """
        known = whole or problem.dataset
        level = None if problem.level is None else known.catalogue.levels[problem.level.name]
        found = targets(known, level, problem.cutoff, horizon)
        hits = _first_bought(problem, known, horizon) if anywhere else found.hits
        hits = sp.csr_array(sp.csc_array(hits)[:, items])
        users = np.flatnonzero(np.diff(hits.indptr))
        if not len(users):
            what = f"nobody buys one of the {len(items)} cold items of the {problem.name} level"
            raise InputError(what, where="cold start", remedy="Give a longer horizon, or withhold more.")
        open_ = np.ones_like(found.unseen[users]) if anywhere else found.unseen[users]
        closed = blocked(open_, sp.csr_array(problem.membership[items]))
        return cls(problem, items, users, ~closed, hits[users].toarray() > 0, anywhere)

    def scores(self, score: Ranked) -> FloatArray:
        """What a scorer gives the users' items, shape (n, m).

        Args:
            score: of the histories and rows of a batch of users, shape (b, m).
        """
        history = self.problem.history
        parts = [score(history.of_users(rows), rows) for rows in batches(self.users, None, len(self.problem))]
        return np.concatenate(parts)

    def gains(self, scores: FloatArray, k: int = 20, seed: int = 0) -> FloatArray:
        """Each wanted pair's share of its user's NDCG@k among the candidates, shape (pairs,), in `pairs`' order.

        Summed over a user's pairs they are NDCG@k. Equal scores are ordered by `tie_order`.
        """
        ties = tie_order(self.problem.item_ids[self.items], seed)
        known = np.where(self.candidates, scores, -np.inf)
        order = np.lexsort((np.broadcast_to(ties, known.shape), -known), axis=1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(1, known.shape[1] + 1)[None, :], axis=1)
        gain = np.where(rank <= k, 1 / np.log2(rank + 1), 0)
        ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[np.minimum(self.wanted.sum(axis=1), k) - 1]
        return np.asarray((gain / ideal[:, None])[self.wanted], dtype=np.float32)

    @property
    def pairs(self) -> Crossed:
        """The wanted pairs, each counting 1 / the number of its user's."""
        user, item = np.nonzero(self.wanted)
        return Crossed(user, item, 1 / self.wanted.sum(axis=1)[user])


def _first_bought(problem: Problem, known: Dataset, horizon: int) -> sp.csr_array:
    """1 where a user first buys an item in the horizon, of whatever category, CSR of shape (users, items)."""
    before = map_values(known.log.before(problem.cutoff).counts(problem.of_product), np.sign)
    after = map_values(known.log.between(problem.cutoff, problem.cutoff + horizon).counts(problem.of_product), np.sign)
    found = sp.csr_array(after - after.multiply(before))
    found.eliminate_zeros()
    return found


def ndcg(task: ColdTask, gains: FloatArray) -> float:
    """Mean over users of NDCG."""
    return float(gains.sum() / len(task.users))


def intervals(task: ColdTask, gains: dict[str, FloatArray], model: str) -> dict[str, dict[str, Interval]]:
    """95% intervals of the model's NDCG less each other's, by resampling users, items, and both.

    Returns:
        By other scorer and ``user``, ``item`` or ``both``.
    """
    others = [name for name in gains if name != model]
    if not others:
        return {}
    table = np.stack([gains[model] - gains[name] for name in others], axis=1)
    found = {over: crossed(task.pairs, table, over) for over in ("user", "item", "both")}
    return {name: {over: found[over][i] for over in found} for i, name in enumerate(others)}


# -- simple scorers ------------------------------------------------------------------------------------------


class OfParent(Scorer):
    """An item's score is its parent's; siblings are equal.

    Args:
        scorer: of the parents' level.
        parent: each item's parent, shape (items,); items without one score −∞.
        level: of the parents.
        per_sibling: divide by the number of the parent's children that somebody bought (at least 1).
        told: what tables call the parents' scorer; default: its name.
    """

    def __init__(
        self, scorer: Scorer, parent: IntArray, level: Level, per_sibling: bool = False, told: str = ""
    ) -> None:
        self.name = f"parent's {told or scorer.name}{' per sold sibling' * per_sibling}"
        self._scorer, self._parent, self._level, self._per_sibling = scorer, parent, level, per_sibling

    def fit(self, problem: Problem) -> Self:
        """Fit the parents' scorer and count who of the children was bought."""
        above = Problem(problem.dataset, self._level, problem.cutoff)
        self._scorer.fit(above)
        sold = buyers(problem.history, problem.of_product, problem.cutoff) > 0
        counted = np.bincount(self._parent[sold & (self._parent >= 0)], minlength=len(above))
        self._divisor = np.maximum(counted, 1) if self._per_sibling else np.ones(len(above))
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Shape (b, items)."""
        above = self._scorer.score(history, rows) / self._divisor
        return np.asarray(np.where(self._parent >= 0, above[:, np.maximum(self._parent, 0)], -np.inf), np.float32)


class ByProducts(Scorer):
    """How many products of the catalogue sit in an item, alone or times its parent's buyers per product.

    Args:
        parent: each item's parent, shape (items,).
        level: of the parents.
        alone: without the parent's buyers.
    """

    def __init__(self, parent: IntArray, level: Level, alone: bool) -> None:
        self.name = "products in the catalogue" if alone else "parent's popularity by share of products"
        self._parent, self._level, self._alone = parent, level, alone

    def fit(self, problem: Problem) -> Self:
        """Count products and buyers."""
        size = np.asarray(problem.of_product.sum(axis=0)).ravel()
        above = buyers(problem.history, self._level.of_product, problem.cutoff)
        per_product = above / np.maximum(np.asarray(self._level.of_product.sum(axis=0)).ravel(), 1)
        rate = np.where(self._parent >= 0, per_product[np.maximum(self._parent, 0)], 0)
        self._scores = np.asarray(size if self._alone else size * rate, dtype=np.float32)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The same for every user, shape (b, items)."""
        return np.broadcast_to(self._scores, (len(rows), len(self._scores)))


def simple_scorers(level: Level, parent: IntArray, texts: FloatArray, horizon: int) -> list[Scorer]:
    """What cold items are compared with: nothing in it is fitted to the targets.

    Args:
        level: of the items' parents.
        parent: of all items of the level, shape (items,).
        texts: one text vector per item, shape (items, d).
        horizon: in periods; one of the windows in which buyers are counted.
    """
    found: list[Scorer] = [Random()]
    for window, told in ((None, "popularity"), (horizon, "recent popularity")):
        counted = PopularityConfig(window)
        found += [OfParent(Popularity(counted), parent, level, each, told) for each in (False, True)]
    found += [ByProducts(parent, level, alone) for alone in (True, False)]
    if len(level) <= EaseConfig().max_items:
        found += [
            OfParent(Ease(EaseConfig(weight)), parent, level, told=f"EASE (λ = {weight:g})") for weight in LAMBDAS
        ]
    return [*found, TextNearest(texts, False), TextNearest(texts, True)]


class TextNearest(Scorer):
    """Cosine of an item's text with the texts of what the user bought: their mean, or the largest.

    Args:
        vectors: one text vector per item, shape (items, d).
        largest: the largest cosine instead of the mean.
    """

    def __init__(self, vectors: FloatArray, largest: bool) -> None:
        self.name = f"text, {'nearest purchase' if largest else 'mean of purchases'}"
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._unit, self._largest = vectors / np.maximum(lengths, 1e-9), largest

    def fit(self, problem: Problem) -> Self:
        """Nothing is learnt."""
        self._problem = problem
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Shape (b, items); 0 for a user without history."""
        counts = self._problem.counts(history)
        out = np.zeros((len(rows), len(self._unit)), dtype=np.float32)
        for user in range(len(rows)):
            bought = counts.indices[counts.indptr[user] : counts.indptr[user + 1]]
            if len(bought):
                out[user] = self._of(self._unit[bought])
        return out

    def _of(self, bought: FloatArray) -> FloatArray:
        if self._largest:
            return np.asarray((self._unit @ bought.T).max(axis=1))
        return np.asarray(self._unit @ bought.mean(axis=0))


class Random(Scorer):
    """Scores drawn anew for every user.

    Args:
        seed: with the batch's first user, fixes the scores.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, problem: Problem) -> Self:
        """Nothing is learnt."""
        self._items = len(problem)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Shape (b, items)."""
        draws = [np.random.default_rng([self._seed, row + 1]).random(self._items, np.float32) for row in rows]
        return np.stack(draws)
