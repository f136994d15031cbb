"""Full rankings of all unseen candidates: masks, top k, and ties that favour nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.lookup import positions
from data.splits import Targets, blocked
from errors import InputError
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer

CELLS_PER_BATCH = 4_000_000


@dataclass(frozen=True)
class Rankings:
    """The top k candidates of some users, best first.

    Attributes:
        users: rows of the users in the population, shape (n,).
        items: positions of the items, shape (n, k), int32; −1 where a user has fewer candidates than k.
        scores: their scores, shape (n, k), float32; −inf where items is −1.
        n_items: number of items there are at the level.
    """

    users: IntArray
    items: npt.NDArray[np.int32]
    scores: FloatArray
    n_items: int

    def to_frame(self, user_ids: npt.NDArray[np.str_], item_ids: npt.NDArray[np.str_]) -> pd.DataFrame:
        """One row per recommendation: ``user_id``, ``item_id``, ``rank`` (from 1) and ``score``.

        Args:
            user_ids: ids of the whole population.
            item_ids: ids of all items of the level.
        """
        at, rank = np.nonzero(self.items >= 0)
        return pd.DataFrame(
            {
                "user_id": user_ids[self.users[at]],
                "item_id": item_ids[self.items[at, rank]],
                "rank": (rank + 1).astype(np.int32),
                "score": self.scores[at, rank],
            }
        )

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, user_ids: npt.NDArray[np.str_], item_ids: npt.NDArray[np.str_]
    ) -> Rankings:
        """The way back from `to_frame`; users in the order of the population.

        Args:
            frame: such as a run's ``rankings/LEVEL.parquet``.
            user_ids: ids of the whole population.
            item_ids: ids of all items of the level.

        Raises:
            InputError: an id is not known.
        """
        user, item = positions(frame["user_id"], user_ids), positions(frame["item_id"], item_ids)
        if min(user.min(initial=0), item.min(initial=0)) < 0:
            remedy = "Give the data that they were made with."
            raise InputError("the rankings name what the data do not hold", where="rankings", remedy=remedy)
        place = frame["rank"].to_numpy() - 1
        users, row = np.unique(user, return_inverse=True)
        shape = (len(users), int(place.max(initial=-1)) + 1)
        items, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        items[row, place], scores[row, place] = item, frame["score"]
        return cls(users, items, scores, len(item_ids))


def rank(
    scorer: Scorer,
    problem: Problem,
    targets: Targets,
    k: int = 100,
    *,
    batch: int | None = None,
    seed: int = 0,
) -> Rankings:
    """Rank all candidates of every user with a target.

    Candidates are the items in a category, none of whose categories the user has bought from; all of them are
    ranked, none is sampled. Equal scores, at the edge of the top k too, are ordered by `tie_order`.

    Args:
        scorer: fitted on the problem.
        problem: the level and cut-off.
        targets: of the same level and cut-off; its users are ranked.
        k: length of the lists.
        batch: users per batch; default: as many as keep a score matrix under 4 million cells (16 MB).
        seed: of the tie order.

    Returns:
        Rankings of shape (users with a target, k).

    Raises:
        InputError: no user has a target, or a score is NaN or +inf (with the scorer and the item).
    """
    users = targets.users
    if not len(users):
        raise InputError(
            f"no user has a target at the {problem.name} level after cut-off {problem.cutoff}",
            where="protocol",
            remedy="Give an earlier cut-off, a longer horizon, or data with categories yet to try.",
        )
    ties = tie_order(problem.item_ids, seed)
    lists = [
        rank_batch(_masked_scores(scorer, problem, targets, rows), k, ties)
        for rows in batches(users, batch, len(problem))
    ]
    items, scores = (np.concatenate(parts) for parts in zip(*lists, strict=True))
    return Rankings(users, items, scores, len(problem))


def tie_order(item_ids: npt.NDArray[np.str_], seed: int = 0) -> IntArray:
    """Each item's place among equal scores: a random permutation by seeded hashes of the ids.

    It depends neither on the items' order, nor on their popularity, nor on what was bought, so a scorer gains
    nothing by ties: over seeds, a constant scorer is a random one.

    Returns:
        A permutation of 0 … items − 1, shape (items,); the lower goes first.
    """
    hashes = pd.util.hash_array(np.asarray(item_ids, dtype=object), hash_key=f"{seed:016d}"[-16:])
    places = np.empty(len(item_ids), dtype=np.int64)
    places[np.argsort(hashes, kind="stable")] = np.arange(len(item_ids))
    return places


def top_k(scores: FloatArray, k: int, ties: IntArray) -> npt.NDArray[np.int64]:
    """Positions of the k best of one user's scores, best first; items at −inf are left out.

    Args:
        scores: shape (items,).
        k: at most so many.
        ties: from `tie_order`, shape (items,).
    """
    limit = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    chosen = np.flatnonzero(scores > limit)
    equal = np.flatnonzero(scores == limit) if limit > -np.inf else chosen[:0]
    missing = k - len(chosen)
    if len(equal) > missing:
        equal = equal[np.argpartition(ties[equal], missing - 1)[:missing]]
    chosen = np.concatenate([chosen, equal])
    return chosen[np.lexsort((ties[chosen], -scores[chosen]))][:k]


def batches(users: IntArray, batch: int | None, n_items: int) -> Iterator[IntArray]:
    """The users, some at a time: as many as given, or as keep a score matrix under 4 million cells."""
    size = batch or max(1, min(1024, CELLS_PER_BATCH // max(n_items, 1)))
    for start in range(0, len(users), size):
        yield users[start : start + size]


def rank_batch(scores: FloatArray, k: int, ties: IntArray) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """The k best of each row of scores, as `Rankings` holds them: items and scores, each of shape (b, k)."""
    items = np.full((len(scores), k), -1, dtype=np.int32)
    best = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for at, row in enumerate(scores):
        chosen = top_k(row, k, ties)
        items[at, : len(chosen)] = chosen
        best[at, : len(chosen)] = row[chosen]
    return items, best


def _masked_scores(scorer: Scorer, problem: Problem, targets: Targets, rows: IntArray) -> FloatArray:
    """Scores of a batch with −inf at everything that is not a candidate, shape (b, items)."""
    # Rows must lie in one piece: a broadcast score vector would else be copied column by column.
    scores = np.array(scorer.score(problem.history.of_users(rows), rows), dtype=np.float32, order="C")
    if scores.shape != (len(rows), len(problem)):
        raise ValueError(f"{scorer.name} gave scores of shape {scores.shape}, not {(len(rows), len(problem))}")
    _check_scores(scores, scorer, problem)
    # The mask comes with users as columns: copied to rows first, it is applied four times as fast.
    np.putmask(scores, np.ascontiguousarray(blocked(targets.unseen[rows], problem.membership)), -np.inf)
    scores[:, np.flatnonzero(np.diff(problem.membership.indptr) == 0)] = -np.inf
    return scores


def _check_scores(scores: FloatArray, scorer: Scorer, problem: Problem) -> None:
    peak = scores.max() if scores.size else np.float32(0)
    if peak < np.inf:
        return
    row, item = np.argwhere(np.isnan(scores) | (scores == np.inf))[0]
    raise InputError(
        f"{scorer.name} scores item {str(problem.item_ids[item])!r} with {scores[row, item]}",
        where=f"{problem.name} level, cut-off {problem.cutoff}",
        remedy="A score must be a number. Look for a division by zero or a diverged training.",
    )
