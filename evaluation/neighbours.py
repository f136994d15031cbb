"""Baselines by the nearest users: weighted sums of what they bought, and the mean-centred prediction of a rating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from data.log import Log
from errors import InputError
from evaluation.scorer import Counting, FloatArray, IntArray, Problem, Scorer, weigh
from evidence.histories import map_values

Weights = Literal["pearson", "cosine"]
Similarity = Callable[[slice], FloatArray]

CELLS_PER_BLOCK = 4_000_000


@dataclass(frozen=True)
class UserKnnConfig:
    """Settings of `UserKnn`.

    Attributes:
        neighbours: k, how many most similar users count.
        counting: what a purchase counts, in the similarity and in the sum: "binary" or "log" of the count.
    """

    neighbours: int = 200
    counting: Counting = "binary"

    def __post_init__(self) -> None:
        _check(self.neighbours, self.counting, ("binary", "log"), "user_knn", "counting")


class UserKnn(Scorer):
    """What the most similar users bought: Σ_v w_uv · x_v over the k nearest, w_uv = x_u·x_v / (‖x_u‖‖x_v‖).

    The neighbours are users of the problem's history, never the user. "User-based top-N" in Karypis, "Evaluation
    of Item-Based Top-N Recommendation Algorithms", CIKM 2001. Similarities exist for a block of users at a time
    and k of them are kept per user, so memory does not grow with users².
    """

    name = "user_knn"

    def __init__(self, config: UserKnnConfig | None = None) -> None:
        self.config: UserKnnConfig = config or UserKnnConfig()

    def fit(self, problem: Problem) -> Self:
        """Keep the population's item vectors, sparse."""
        self._problem = problem
        self._bought = weigh(problem.interactions, self.config.counting)
        self._unit = sp.csr_array(normalize(self._bought).T)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Weighted sums over the neighbours, shape (b, items)."""
        unit = normalize(weigh(self._problem.counts(history), self.config.counting))
        kept = nearest(lambda block: (unit[block] @ self._unit).toarray(), self.config.neighbours, rows, len(self))
        return np.asarray((kept @ self._bought).toarray(), dtype=np.float32)

    def __len__(self) -> int:
        """Number of users in the population."""
        return int(self._bought.shape[0])


@dataclass(frozen=True)
class UserCfConfig:
    """Settings of `UserCf`.

    Attributes:
        neighbours: k, how many most similar users count.
        weights: "pearson": correlation over the items that both bought; "cosine" of the whole vectors of ratings.
        shrinkage: weight of one more neighbour who has not bought the item; 0 is the formula as published.
    """

    neighbours: int = 200
    weights: Weights = "pearson"
    shrinkage: float = 10.0

    def __post_init__(self) -> None:
        _check(self.neighbours, self.weights, ("pearson", "cosine"), "user_cf", "weights")
        if not 0 <= self.shrinkage < np.inf:
            raise InputError(f"shrinkage is {self.shrinkage}", where="user_cf.shrinkage", remedy="Give 0 or more.")


class UserCf(Scorer):
    """User-based collaborative filtering with mean-centring, on ratings R = log(1 + count).

    R̂_ui = R̄_u + (Σ_v w_uv (R_vi − R̄_v) − β R̄_u) / (Σ_v |w_uv| + β), with the sums over those of u's k nearest
    users who bought i, and R̄ the mean over what a user bought. With β = ``shrinkage`` = 0 it is the formula of
    Resnick et al., "GroupLens", CSCW 1994, and of Breese, Heckerman and Kadie, "Empirical Analysis of Predictive
    Algorithms for Collaborative Filtering", UAI 1998 (their equations 1 and 2). That one knows nothing of an item
    that no neighbour bought, and trusts one neighbour as much as fifty. β stands for a neighbour who rates the item
    0, that is, never bought it: where few bought it, the prediction is drawn to 0. Where none did it is 0, with
    β = 0 too, the limit for small β.

    Neighbours have w_uv > 0. As in `UserKnn` only a block of users' similarities exists at a time.
    """

    name = "user_cf"

    def __init__(self, config: UserCfConfig | None = None) -> None:
        self.config: UserCfConfig = config or UserCfConfig()

    def fit(self, problem: Problem) -> Self:
        """Keep the population's ratings, sparse, and their deviations from each user's mean."""
        self._problem = problem
        self._population = _Ratings.of(weigh(problem.interactions, "log"))
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Predicted ratings, shape (b, items)."""
        users = _Ratings.of(weigh(self._problem.counts(history), "log"))
        similar = (pearson if self.config.weights == "pearson" else cosine)(users, self._population)
        kept = nearest(similar, self.config.neighbours, rows, len(self._population.mean))
        deviations = (kept @ self._population.centred).toarray()
        total = (kept @ self._population.bought).toarray()
        strength, mean = np.float32(self.config.shrinkage), users.mean[:, None]
        known = total > 0
        moved = (deviations - strength * mean) / np.where(known, total + strength, 1)
        return np.where(known, mean + moved, 0).astype(np.float32)


@dataclass(frozen=True)
class _Ratings:
    """Users' ratings in the forms that weights and predictions need, each CSR of shape (users, items).

    Attributes:
        ratings: R.
        centred: R − R̄ where bought, zeros stored.
        bought: 1 where bought.
        mean: R̄ over what was bought, 0 where nothing was, shape (users,).
    """

    ratings: sp.csr_array
    centred: sp.csr_array
    bought: sp.csr_array
    mean: FloatArray

    @classmethod
    def of(cls, ratings: sp.csr_array) -> _Ratings:
        """All forms of a matrix of ratings."""
        length = np.diff(ratings.indptr)
        mean = np.asarray(ratings.sum(axis=1)).ravel() / np.maximum(length, 1)
        data = ratings.data - np.repeat(mean, length)
        centred = sp.csr_array((data.astype(np.float32), ratings.indices, ratings.indptr), shape=ratings.shape)
        return cls(ratings, centred, map_values(ratings, np.sign), mean.astype(np.float32))

    @cached_property
    def columns(self) -> tuple[sp.csr_array, sp.csr_array, sp.csr_array]:
        """Transposes of ``centred``, of its squares and of ``bought``, each CSR of shape (items, users)."""
        centred = sp.csr_array(self.centred.T)
        return centred, map_values(centred, np.square), sp.csr_array(self.bought.T)

    @cached_property
    def unit_columns(self) -> sp.csr_array:
        """Transpose of the ratings scaled to length 1 per user, CSR of shape (items, users)."""
        return sp.csr_array(normalize(self.ratings).T)


def cosine(users: _Ratings, population: _Ratings) -> Similarity:
    """Cosine between ratings: a function from a block of the users to an array of shape (block, population)."""
    unit = normalize(users.ratings)
    return lambda block: (unit[block] @ population.unit_columns).toarray()


def pearson(users: _Ratings, population: _Ratings) -> Similarity:
    """Correlation over the items that both bought, about each one's mean over all they bought (Breese et al. 1998).

    Σ_i (R_ui − R̄_u)(R_vi − R̄_v) / √(Σ_i (R_ui − R̄_u)² · Σ_i (R_vi − R̄_v)²), 0 where either sum is 0.

    Returns:
        A function from a block of the users to an array of shape (block, population).
    """
    centred, squares, bought = population.columns

    def of(block: slice) -> FloatArray:
        product = (users.centred[block] @ centred).toarray()
        own = (map_values(users.centred[block], np.square) @ bought).toarray()
        theirs = (users.bought[block] @ squares).toarray()
        norms = np.sqrt(own * theirs)
        return np.divide(product, norms, out=np.zeros_like(product), where=norms > 1e-6)

    return of


def nearest(similarity: Similarity, k: int, rows: IntArray, n_users: int) -> sp.csr_array:
    """Each user's k largest similarities that are above 0, found by blocks of at most 4 million similarities.

    Args:
        similarity: from a block of the b users to their similarities, shape (block, n_users).
        k: at most so many are kept per user.
        rows: each user's own row in the population, −1 where not in it, shape (b,): nobody is their own neighbour.
        n_users: size of the population.

    Returns:
        CSR of shape (b, n_users), float32.
    """
    size = max(1, CELLS_PER_BLOCK // max(n_users, 1))
    starts = range(0, max(len(rows), 1), size)
    blocks = [_keep(similarity(slice(start, start + size)), k, rows[start : start + size]) for start in starts]
    return sp.csr_array(sp.vstack(blocks, format="csr"))


def _keep(similarity: FloatArray, k: int, rows: IntArray) -> sp.csr_array:
    """A block's k largest similarities per row above 0, its users' own ones left out."""
    known = np.flatnonzero(rows >= 0)
    similarity[known, rows[known]] = 0
    k = min(k, similarity.shape[1])
    chosen = np.argpartition(similarity, similarity.shape[1] - k, axis=1)[:, similarity.shape[1] - k :]
    values = np.take_along_axis(similarity, chosen, axis=1)
    at, place = np.nonzero(values > 0)
    data = values[at, place].astype(np.float32)
    return sp.csr_array((data, (at, chosen[at, place])), shape=similarity.shape)


def _check(neighbours: int, choice: str, choices: tuple[str, ...], name: str, field: str) -> None:
    """Refuse settings that a neighbourhood cannot have."""
    if neighbours < 1:
        raise InputError(f"neighbours is {neighbours}", where=f"{name}.neighbours", remedy="Give 1 or more.")
    if choice not in choices:
        raise InputError(f"{field} is {choice!r}", where=f"{name}.{field}", remedy=f"Give one of {', '.join(choices)}.")
