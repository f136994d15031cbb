"""The retrieval tower: vectors whose dot product ranks as the full model does.

The full score of a user and an item is no dot product: it has an MLP over evidence, and it adds log p(category),
log p(type | category) and log p(product | type). It is distilled: with S the full model's scores, one row for each of
a sample of users,

    min over a, b, U, V of  Σ_(u, i unseen) w_i (S_ui − a_u − b_i − u·v)² + λ (‖u‖² + ‖v‖²),

by alternating least squares (as in Hu, Koren and Volinsky, ICDM 2008, here on scores, and with a user's known
categories left out), begun from a randomised SVD (Halko, Martinsson and Tropp, SIAM Review 2011). With w_i the root
of the item's mean probability the fit is best where the top of rankings is made. U is fitted on landmarks, the items
of highest mean probability; all items' vectors follow from U by streaming over the users' scores once more. A user's
vector is solved in the same way, from the user's full scores of the landmarks: so nobody needs to be in the sample.

Only scores are read, never purchases after the cut-off. What a user has bought from is missing from all sums, not
filled in; the mask is one for all items of a category, so that the sums are kept for each category, not each item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.utils.extmath import randomized_svd

from console import track
from data.log import Log
from errors import InputError
from evaluation.scorer import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
FIRST_LOOK = 256
ROUNDS = 2
RIDGE = 1e-4  # λ for each row of a least-squares problem
LEAST = 1e-6

Scores = Callable[[Log, IntArray], FloatArray]


@dataclass(frozen=True)
class TowerConfig:
    """How the retrieval tower is fitted.

    Attributes:
        rank: width of its vectors; fewer where there are fewer users or items. 0: no tower.
        users: users whose full scores it is fitted on, at most.
        held_out: further users on whom its agreement with the full model is measured.
        landmarks: items whose scores the users' vectors are solved from, at most.
        batch: users scored at a time.
        seed: of the sample of users and of the SVD.
    """

    rank: int = 64
    users: int = 1500
    held_out: int = 200
    landmarks: int = 1000
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("users", "held_out", "landmarks", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{getattr(self, name)} is too few", where=f"tower.{name}", remedy="Give 1 or more.")
        if self.rank < 0:
            raise InputError(f"{self.rank} is too few", where="tower.rank", remedy="Give 1 or more; 0 for no tower.")


@dataclass(frozen=True)
class Tower:
    """One level's fitted tower.

    Attributes:
        vectors: v of all items, shape (items, rank).
        bias: b of all items, shape (items,).
        group: the category that each item sits in, −1 for none: such an item is never recommended. Shape (items,).
        landmarks: positions of the items that users are solved from.
        weights: of the landmarks.
    """

    vectors: FloatArray
    bias: FloatArray
    group: IntArray
    landmarks: IntArray
    weights: FloatArray

    def users(self, scores: FloatArray) -> FloatArray:
        """Users' vectors from their full scores.

        Args:
            scores: of all items, −inf in categories bought from, shape (b, items).

        Returns:
            u, shape (b, rank).
        """
        at = self.landmarks
        return _users(scores[:, at], self.vectors[at], self.bias[at], self.group[at], self.weights)[0]

    def score(self, users: FloatArray) -> FloatArray:
        """u · v + b of all items, shape (b, items)."""
        return users @ self.vectors.T + self.bias


def fit_tower(score: Scores, history: Log, rows: IntArray, group: IntArray, config: TowerConfig) -> Tower:
    """Fit the tower of one level.

    Args:
        score: the full model's scores of the level's items, −inf in categories bought from.
        history: of all users before the cut-off.
        rows: the users to learn from.
        group: the category of each item, −1 for none, shape (items,).
        config: its settings.
    """

    def batches(some: IntArray, what: str) -> Iterator[FloatArray]:
        starts = range(0, len(some), config.batch)
        for start in track(starts, what):
            part = some[start : start + config.batch]
            yield np.where(group >= 0, score(history.of_users(part), part), -np.inf).astype(np.float32)

    chance = _mean_chance(batches(rows[:FIRST_LOOK], "Tower: a first look"))
    landmarks = np.sort(np.argsort(-chance, kind="stable")[: min(config.landmarks, int((group >= 0).sum()))])
    weights = np.maximum(chance[landmarks], chance[landmarks].max() * LEAST) ** 0.5
    weights = (weights / weights.mean()).astype(np.float32)
    known = np.concatenate([scores[:, landmarks] for scores in batches(rows, "Tower: landmarks")])
    users, level = _alternate(known, group[landmarks], weights, config)
    everything = [known] if len(landmarks) == len(group) else batches(rows, "Tower: all items")
    vectors, bias = _items(everything, users, level, group)
    return Tower(vectors, bias, group, landmarks, weights)


def _mean_chance(batches: Iterable[FloatArray]) -> FloatArray:
    """Mean probability of each item over the users for whom it is unseen, shape (items,)."""
    total, users = np.float64(0), np.float64(0)
    for scores in batches:
        total = total + np.exp(scores, dtype=np.float64).sum(axis=0)
        users = users + np.isfinite(scores).sum(axis=0)
    return np.asarray(total / np.maximum(users, 1), dtype=np.float32)


def _alternate(
    scores: FloatArray, group: IntArray, weights: FloatArray, config: TowerConfig
) -> tuple[FloatArray, FloatArray]:
    """Users' vectors, shape (users, rank), and their constants a, shape (users,), fitted on the landmarks."""
    known = np.isfinite(scores)
    level = np.where(known, scores, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    rest = np.where(known, scores - level[:, None], 0)
    rest -= known * (rest.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    rank = min(config.rank, *scores.shape)
    left, _, _ = randomized_svd(rest * np.sqrt(weights), rank, random_state=config.seed)
    users = (left * np.sqrt(len(left))).astype(np.float32)
    level = level.astype(np.float32)
    for _ in range(ROUNDS):
        vectors, bias = _items([scores], users, level, group)
        users, level = _users(scores, vectors, bias, group, weights)
    return users, level


def _items(
    batches: Iterable[FloatArray], users: FloatArray, level: FloatArray, group: IntArray
) -> tuple[FloatArray, FloatArray]:
    """All items' vectors and biases, by least squares on the users for whom they are unseen.

    Args:
        batches: scores of consecutive users, shape (b, items).
        users: their vectors, shape (users, rank).
        level: their constants, shape (users,).
        group: the category of each item, shape (items,).
    """
    inputs = _with_ones(users)
    width = inputs.shape[1]
    first = _first_of_each(group)
    grams, right = np.zeros((len(first), width * width)), np.zeros((width, len(group)), dtype=np.float32)
    seen_by, start = np.zeros(len(first)), 0
    for scores in batches:
        part = slice(start, start + len(scores))
        known = np.isfinite(scores)
        unseen = known[:, first].astype(np.float32)
        grams += unseen.T @ _outer(inputs[part])
        right += inputs[part].T @ np.where(known, scores - level[part, None], 0)
        seen_by, start = seen_by + unseen.sum(axis=0), start + len(scores)
    inverse = np.linalg.inv(grams.reshape(-1, width, width) + _penalty(width, RIDGE * seen_by))
    found = np.zeros((len(group), width), dtype=np.float32)
    for at, category in enumerate(group[first]):
        members = np.flatnonzero(group == category)
        found[members] = (inverse[at] @ right[:, members]).T
    never = (group < 0) | np.isin(group, group[first[seen_by == 0]])
    found[never] = 0
    found[never, -1] = found[~never, -1].min(initial=0)
    return found[:, :-1], found[:, -1]


def _users(
    scores: FloatArray, vectors: FloatArray, bias: FloatArray, group: IntArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Users' vectors and constants, by weighted least squares on their unseen items; arguments as above."""
    inputs = _with_ones(vectors)
    width = inputs.shape[1]
    first = _first_of_each(group)
    known = np.isfinite(scores)
    share = sorted_sums(_outer(inputs) * weights[:, None], np.searchsorted(group[first], group), len(first))
    grams = known[:, first].astype(np.float32) @ share
    right = (np.where(known, scores - bias, 0) * weights) @ inputs
    penalty = _penalty(width, RIDGE * known.sum(axis=1))
    found = np.linalg.solve(grams.reshape(-1, width, width) + penalty, right[..., None])[..., 0].astype(np.float32)
    return found[:, :-1], found[:, -1]


def sorted_sums(values: FloatArray, place: IntArray, size: int) -> FloatArray:
    """Sums of the rows of each place, shape (size, width)."""
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(size))
    return np.add.reduceat(values[order], starts, axis=0)


def _first_of_each(group: IntArray) -> IntArray:
    """The first item of each category, by category; items without one are left out."""
    categories, first = np.unique(group, return_index=True)
    return first[categories >= 0]


def _with_ones(vectors: FloatArray) -> FloatArray:
    return np.column_stack([vectors, np.ones(len(vectors), dtype=np.float32)])


def _outer(rows: FloatArray) -> FloatArray:
    """Each row's products with itself, shape (rows, width²)."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


def _penalty(width: int, strength: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """λ on the vector, next to nothing on the constant, shape (problems, width, width)."""
    on = np.r_[np.ones(width - 1), LEAST]
    diagonal = np.maximum(strength[:, None] * on, LEAST)
    return np.asarray(diagonal[:, :, None] * np.eye(width))


def agreement(tower: Tower, scores: FloatArray, k: int) -> npt.NDArray[np.float64]:
    """Share of the full model's k best unseen items that are among the tower's, shape (users,).

    Args:
        tower: of the level.
        scores: the full model's, −inf in categories bought from, shape (users, items).
        k: length of the lists; a user with fewer unseen items has shorter ones.
    """
    found = np.where(np.isfinite(scores), tower.score(tower.users(scores)), -np.inf)
    shares = []
    for full, own in zip(scores, found, strict=True):
        best = [np.argsort(-values, kind="stable")[: min(k, np.isfinite(full).sum())] for values in (full, own)]
        shares.append(np.isin(best[0], best[1]).mean() if len(best[0]) else np.nan)
    return np.array(shares)
