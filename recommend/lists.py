"""The best candidates of many users, batch by batch, so that no users × products matrix is ever held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import logsumexp

from console import track
from data.catalogue import Level
from data.dataset import Dataset
from data.histories import at_moment
from data.log import Log
from data.rejects import Rejects
from data.splits import blocked, unseen_categories
from errors import InputError
from evaluation.ranking import CELLS_PER_BATCH, Rankings, batches, rank_batch, tie_order, top_k
from evaluation.scorer import Problem
from recommend.emphasis import PLAIN, Emphasis
from training.cold import ColdScorer
from training.scorer import CrossAisleScorer

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MOST_USERS = 256
HANDFUL = 8


@dataclass(frozen=True)
class Asked:
    """Users to answer.

    Attributes:
        user_ids: shape (n,).
        rows: their rows in the population that the run was trained on, −1 for strangers, shape (n,).
        history: what they bought, users numbered 0 … n − 1.
        lift: added to each category's log-probability before it is scaled to 1 again, shape (n, categories); None:
            nothing is.
    """

    user_ids: npt.NDArray[np.str_]
    rows: IntArray
    history: Log
    lift: FloatArray | None = None

    @classmethod
    def known(cls, dataset: Dataset, rows: IntArray, log: Log) -> Self:
        """Users of the run by their rows, shape (n,), with what they bought in a log."""
        return cls(dataset.user_ids[rows], rows, log.of_users(rows))


@dataclass(frozen=True)
class Wish:
    """What a list shall be.

    Attributes:
        k: its length.
        passed: which items may stand in it, shape (items,).
        owned: whether items in categories that the user has bought from may stand in it.
        within: only items of the user's so many best categories; None: of all.
        emphasis: how much late purchases count beside the whole history.
    """

    k: int
    passed: Mask
    owned: bool = False
    within: int | None = None
    emphasis: Emphasis = PLAIN


class Ranker:
    """Ranks one level's items for any histories.

    Args:
        scorer: the trained model.
        dataset: of the run.
        level: whose nodes are ranked; None: the products.
        added: scores the items that were added after training.
    """

    def __init__(
        self, scorer: CrossAisleScorer, dataset: Dataset, level: Level | None, added: ColdScorer | None = None
    ) -> None:
        self.scorer, self.added = scorer, added
        self.problem = Problem(dataset, level, scorer.cutoff.time)
        self.interest = dataset.catalogue.interest

    @cached_property
    def _ties(self) -> IntArray:
        return tie_order(self.problem.item_ids)

    @cached_property
    def _placed(self) -> Mask:
        """Items that sit in a category."""
        return np.diff(self.problem.membership.indptr) > 0

    def encode(self) -> None:
        """Encode the level's items, once; else the first answer does."""
        self.scorer.fit(self.problem).encode()

    def best(self, asked: Asked, wish: Wish) -> Rankings:
        """The k best candidates of each user.

        The order is the one of the run's rankings: candidates sit in no category that the user has bought from,
        equal scores are ordered by `evaluation.ranking.tie_order`.

        Returns:
            Users numbered as in ``asked``; −1 and −∞ where a user has fewer candidates than k.
        """
        size = max(1, min(MOST_USERS, CELLS_PER_BATCH // max(len(self.problem), 1)))
        parts = list(batches(np.arange(len(asked.rows)), size, len(self.problem)))
        passed = wish.passed & self._placed
        lists = [self._batch(asked, users, wish, passed) for users in _shown(parts)]
        items, scores = (np.concatenate(found) for found in zip(*lists, strict=True))
        return Rankings(np.arange(len(asked.rows)), items, scores, len(self.problem))

    def frame(self, asked: Asked, found: Rankings) -> pd.DataFrame:
        """Lists for people: ``user_id``, ``item_id``, ``rank``, ``score``, ``name``, and the nodes above each item."""
        catalogue, level = self.problem.dataset.catalogue, self.problem.level
        frame, items = found.to_frame(asked.user_ids, self.problem.item_ids), found.items[found.items >= 0]
        names = catalogue.product_texts if level is None else level.names
        frame["name"] = [names[item] for item in items]
        for above in (catalogue.interest, catalogue.below):
            if above is level or above is None:
                break
            place = catalogue.first_above(level, above)[items]
            frame[above.name] = np.where(place >= 0, above.ids[place], "")
        return frame

    def _batch(
        self, asked: Asked, users: IntArray, wish: Wish, passed: Mask
    ) -> tuple[npt.NDArray[np.int32], FloatArray]:
        history = asked.history if len(users) == len(asked.rows) else asked.history.of_users(users)
        with _threads(len(users)):
            scores = self.scores(at_moment(history, self.problem.cutoff), asked.rows[users], wish)
        if asked.lift is not None:
            scores = self._lifted(scores, asked.lift[users])
        if not passed.all():
            scores[:, ~passed] = -np.inf
        return rank_batch(scores, wish.k, self._ties)

    @cached_property
    def _category(self) -> IntArray:
        """Category of each item, shape (items,)."""
        catalogue, level = self.problem.dataset.catalogue, self.problem.level
        return np.arange(len(level)) if level is self.interest else catalogue.first_above(level, self.interest)

    def _lifted(self, scores: FloatArray, lift: FloatArray) -> FloatArray:
        """p(i) · exp(lift of i's category), scaled to sum 1, as logs; rows without a lift stay as they are."""
        rows = np.flatnonzero(lift.any(axis=1))
        moved = scores[rows] + lift[rows][:, self._category]
        scores[rows] = moved - logsumexp(moved, axis=1, keepdims=True)
        return scores

    def scores(self, history: Log, rows: IntArray, wish: Wish) -> FloatArray:
        """Scores of a batch, −∞ at what is no candidate whether it passes or not, shape (b, items).

        Args:
            history: of the batch, as `data.histories.at_moment` gives it.
            rows: of its users in the population, −1 for strangers, shape (b,).
            wish: whose ``owned``, ``within`` and ``emphasis`` count here.
        """
        unseen = unseen_categories(history, self.interest)
        allowed = np.ones_like(unseen) if wish.owned else unseen
        scores = wish.emphasis.mixed(history, self.problem.cutoff, lambda part: self._among(part, rows, allowed))
        if not wish.owned:
            np.putmask(scores, np.ascontiguousarray(blocked(unseen, self.problem.membership)), -np.inf)
        if wish.within is not None:
            best = self._best_categories(history, rows, allowed, wish)
            inside = (self.problem.membership @ best.T.astype(np.float32)).T > 0
            np.putmask(scores, np.ascontiguousarray(~inside), -np.inf)
        return scores

    def _among(self, history: Log, rows: IntArray, allowed: Mask) -> FloatArray:
        """Scores among the allowed categories, those of added items too, shape (b, items)."""
        scores = self.scorer.fit(self.problem).score_among(history, rows, allowed)
        if self.added is not None:
            scores[:, self.added.view.items] = self.added.score(history, rows, allowed)
        return scores

    def _best_categories(self, history: Log, rows: IntArray, allowed: Mask, wish: Wish) -> Mask:
        """The ``within`` best of the allowed categories that hold an item which passes, shape (b, categories)."""
        of_part = self.scorer.at_interest().score_among
        scores = wish.emphasis.mixed(history, self.problem.cutoff, lambda part: of_part(part, rows, allowed))
        holds = self.problem.membership.T @ wish.passed.astype(np.float32) > 0
        scores[:, ~holds] = -np.inf
        ties = tie_order(self.interest.ids)
        best = np.zeros_like(allowed)
        for at, row in enumerate(scores):
            best[at, top_k(row, wish.within or 0, ties)] = True
        return best


def pool_size(k: int) -> int:
    """How many of the best a re-ranker chooses a list of k from."""
    return max(100, 5 * k)


def note_short(asked: Asked, found: Rankings, k: int, rejects: Rejects) -> None:
    """Note the users whose lists are shorter than k.

    Raises:
        InputError: nobody has a list.
    """
    size = (found.items[:, :k] >= 0).sum(axis=1)
    if not size.any():
        remedy = "Widen the filters, or ask for other users."
        raise InputError("nobody has a candidate that passes the filters", where="filters", remedy=remedy)
    users = pd.DataFrame({"user_id": asked.user_ids})
    reasons = [f"only {n} of {k} candidates" if n else "no candidate" for n in size[size < k]]
    rejects.drop(users, size < k, "lists", "user_id", np.array(reasons, dtype=object))


def _shown(parts: list[IntArray]) -> Iterable[IntArray]:
    return parts if len(parts) < 2 else track(parts, "batches of users")


@contextmanager
def _threads(n_users: int) -> Iterator[None]:
    """One thread of torch for a handful of users: to wake others takes longer than the work does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if n_users <= HANDFUL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
