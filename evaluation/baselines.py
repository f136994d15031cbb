"""The simple models that ours has to beat: `evidence`, fitted at a cut-off, under the one contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import all_pairs_knn
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data.log import Log
from errors import InputError
from evaluation.scorer import Counting, FloatArray, IntArray, Problem, Scorer, weigh
from evidence.cooccurrence import cosine_weights, ease_weights
from evidence.popularity import buyers


@dataclass(frozen=True)
class PopularityConfig:
    """Settings of `Popularity`.

    Attributes:
        window: how many periods before the cut-off count; None: all.
    """

    window: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise InputError(f"window is {self.window}", where="popularity.window", remedy="Give 1 or more, or none.")


class Popularity(Scorer):
    """Number of distinct users who bought the item in the window; the same for every user."""

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config: PopularityConfig = config or PopularityConfig()
        self.name = "popularity" if self.config.window is None else "recent_popularity"

    def fit(self, problem: Problem) -> Self:
        """Count the buyers."""
        self._buyers = buyers(problem.history, problem.of_product, problem.cutoff, self.config.window)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The counts, once per user, shape (b, items)."""
        return np.broadcast_to(self._buyers, (len(rows), len(self._buyers)))


@dataclass(frozen=True)
class ItemCosineConfig:
    """Settings of `ItemCosine`.

    Attributes:
        counting: what a purchase counts in the item vectors: "binary" or "log" of the count.
        shrinkage: added to the denominator of the exact cosine, against pairs seen once; only while exact.
        neighbours: how many most similar items are kept per item, above ``exact_items``.
        exact_items: up to so many items all pairs are kept.
        num_threads: for finding the neighbours; 0: all cores.
    """

    counting: Counting = "binary"
    shrinkage: float = 0.0
    neighbours: int = 200
    exact_items: int = 5000
    num_threads: int = 0


class ItemCosine(Scorer):
    """Sum over the user's items of their cosine with the candidate: x_u · S, S_ij = x_i·x_j / (‖x_i‖‖x_j‖).

    Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001. Large
    catalogues keep each item's most similar ones only (Deshpande and Karypis, "Item-Based Top-N
    Recommendation Algorithms", TOIS 2004), so memory grows with items × neighbours.
    """

    name = "item_cosine"

    def __init__(self, config: ItemCosineConfig | None = None) -> None:
        self.config: ItemCosineConfig = config or ItemCosineConfig()

    def fit(self, problem: Problem) -> Self:
        """Compute the similarities."""
        self._problem = problem
        self._weights: sp.csr_array | FloatArray
        weighed = weigh(problem.interactions, self.config.counting)
        if len(problem) <= self.config.exact_items:
            # Nearly full at this size: a dense factor makes scoring several times as fast.
            self._weights = cosine_weights(weighed, self.config.shrinkage).toarray()
        else:
            self._weights = nearest_items(weighed, self.config.neighbours, self.config.num_threads)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Sums of similarities, shape (b, items)."""
        sums = weigh(self._problem.counts(history), self.config.counting) @ self._weights
        return np.asarray(sums.toarray() if sp.issparse(sums) else sums, dtype=np.float32)


def nearest_items(interactions: sp.csr_array, k: int, num_threads: int = 0) -> sp.csr_array:
    """Each item's k most similar items by cosine, found row by row: no items × items matrix ever exists.

    Args:
        interactions: X, shape (users, items).
        k: how many; at most so many are stored per row.
        num_threads: 0 is all cores.

    Returns:
        S of shape (items, items), zero diagonal: S[j, i] is the cosine where j is among the k nearest of i.
    """
    norms = np.sqrt(np.asarray(interactions.multiply(interactions).sum(axis=0))).ravel()
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    unit = for_implicit(interactions @ sp.diags_array(scale))
    found = all_pairs_knn(unit.astype(np.float64), k + 1, show_progress=False, num_threads=num_threads).tocoo()
    other = found.row != found.col
    data = found.data[other].astype(np.float32)
    return sp.csr_array((data, (found.col[other], found.row[other])), shape=found.shape)


@dataclass(frozen=True)
class EaseConfig:
    """Settings of `Ease`.

    Attributes:
        regularisation: λ.
        counting: what a purchase counts: "binary" or "log" of the count.
        max_items: more items than this are refused: time grows with items³, memory with items².
    """

    regularisation: float = 1000.0
    counting: Counting = "binary"
    max_items: int = 5000


class Ease(Scorer):
    """EASE: x_u · B (see `evidence.cooccurrence.ease_weights`)."""

    name = "ease"

    def __init__(self, config: EaseConfig | None = None) -> None:
        self.config: EaseConfig = config or EaseConfig()

    def fit(self, problem: Problem) -> Self:
        """Solve for the weights.

        Raises:
            InputError: more items than ``max_items``.
        """
        if len(problem) > self.config.max_items:
            raise InputError(
                f"{len(problem)} items at the {problem.name} level, {self.config.max_items} at most",
                where="ease.max_items",
                remedy="Leave EASE out at this level, or raise the limit if memory allows 8 · items² bytes.",
            )
        self._problem = problem
        self._weights = ease_weights(weigh(problem.interactions, self.config.counting), self.config.regularisation)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Weighted sums, shape (b, items)."""
        return np.asarray(weigh(self._problem.counts(history), self.config.counting) @ self._weights)


@dataclass(frozen=True)
class AlsConfig:
    """Settings of `Als`.

    Attributes:
        factors: size of the vectors.
        regularisation: λ on both sides.
        alpha: weight of a purchase against the absence of one.
        counting: what a purchase counts: "binary" or "log" of the count.
        iterations: alternations.
        num_threads: 0: all cores.
        seed: of the starting values.
    """

    factors: int = 32
    regularisation: float = 0.01
    alpha: float = 1.0
    counting: Counting = "binary"
    iterations: int = 15
    num_threads: int = 0
    seed: int = 0


class Als(Scorer):
    """Implicit-feedback matrix factorisation by alternating least squares, with `implicit`.

    Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008. A batch's
    user vectors are solved from its own histories, so unknown users are scored like known ones.
    """

    name = "als"

    def __init__(self, config: AlsConfig | None = None) -> None:
        self.config: AlsConfig = config or AlsConfig()

    def fit(self, problem: Problem) -> Self:
        """Factorise the interactions."""
        self._problem = problem
        config = self.config
        # implicit threads by rows; a BLAS that threads as well makes it slower, of which implicit would warn.
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(
                factors=config.factors,
                regularization=config.regularisation,
                alpha=config.alpha,
                iterations=config.iterations,
                num_threads=config.num_threads,
                random_state=config.seed,
            )
            self._model.fit(self._weighed(problem.interactions), show_progress=False)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Products of vectors, shape (b, items)."""
        counts = self._weighed(self._problem.counts(history))
        with threadpool_limits(1, "blas"):
            users = self._model.recalculate_user(np.arange(len(rows)), counts)
        return np.asarray(users @ self._model.item_factors.T, dtype=np.float32)

    def _weighed(self, counts: sp.csr_array) -> sp.csr_matrix:
        return for_implicit(weigh(counts, self.config.counting))


def for_implicit(matrix: sp.csr_array) -> sp.csr_matrix:
    """The same matrix as `implicit` reads it: a matrix, not an array, with 32-bit indices."""
    indices, indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return sp.csr_matrix((matrix.data, indices, indptr), shape=matrix.shape)


def default_grids(problem: Problem) -> dict[str, list[Scorer]]:
    """The baselines that fit a level's size, each with the settings that validation chooses from.

    Above 5,000 items a trial is dear: EASE is left out, and the grids keep what mattered on Complete
    Journey's validation cut-off (NDCG@20 there of item cosine with 50, 200, 1000 neighbours: .0471, .0488,
    .0486, the last in 3 GiB; on log counts .0481; of ALS with 32 and 64 factors .0524 and .0524).
    """
    large = len(problem) > EaseConfig().max_items
    windows = (2, 4, 6, 8) if large else (1, 2, 4, 6, 8, 12)
    grids: dict[str, list[Scorer]] = {
        "popularity": [Popularity()],
        "recent_popularity": [Popularity(PopularityConfig(window)) for window in windows],
    }
    return grids | (_large_grids() if large else _small_grids(len(problem)))


def _small_grids(n_items: int) -> dict[str, list[Scorer]]:
    strengths = (50.0, 200.0, 500.0, 1000.0, 2000.0) if n_items <= 1000 else (200.0, 1000.0, 2000.0)
    return {
        "item_cosine": [ItemCosine(ItemCosineConfig("binary")), ItemCosine(ItemCosineConfig("log"))],
        "ease": [Ease(EaseConfig(strength)) for strength in strengths],
        "als": [Als(AlsConfig(16, 10.0)), Als(AlsConfig(16, 30.0, 4.0)), Als(AlsConfig(32, 30.0, 4.0))],
    }


def _large_grids() -> dict[str, list[Scorer]]:
    return {
        "item_cosine": [ItemCosine(ItemCosineConfig(neighbours=200))],
        "als": [Als(AlsConfig(32, 10.0)), Als(AlsConfig(32, 30.0))],
    }
