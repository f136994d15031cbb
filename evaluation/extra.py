"""Further baselines, run where they are named: popularity in the user's stores, and BPR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data.log import Log
from errors import InputError
from evaluation.baselines import for_implicit
from evaluation.neighbours import UserCf, UserCfConfig, UserKnn, UserKnnConfig
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer, weigh
from evidence.histories import map_values, row_shares
from evidence.popularity import buyers


@dataclass(frozen=True)
class StorePopularityConfig:
    """Settings of `StorePopularity`.

    Attributes:
        window: how many periods before the cut-off count; None: all.
        smoothing: pseudo-buyers that each store has of all stores' assortment; above 0.
    """

    window: int | None = None
    smoothing: float = 1000.0

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise InputError(
                f"window is {self.window}", where="store_popularity.window", remedy="Give 1 or more, or none."
            )
        if not 0 < self.smoothing < np.inf:
            raise InputError(
                f"smoothing is {self.smoothing}", where="store_popularity.smoothing", remedy="Give more than 0."
            )


class StorePopularity(Scorer):
    """Popularity times how much better the item sells where the user shops: n_i · Σ_s m_us · lift_si.

    n_i is the number of distinct buyers in the window, m_us store s's share of u's purchases, n_si the number of
    distinct buyers in the store, and lift_si = ((n_si + α n_i / N) / (N_s + α)) / (n_i / N) with N = Σ_i n_i and
    N_s = Σ_i n_si: the item's share in the store, smoothed with α, against its share in all stores. Purchases
    without a store, or in one that is not in the window, have lift 1; so with no stores at all it is `Popularity`.
    """

    name = "store_popularity"

    def __init__(self, config: StorePopularityConfig | None = None) -> None:
        self.config: StorePopularityConfig = config or StorePopularityConfig()

    def fit(self, problem: Problem) -> Self:
        """Count the buyers of each item, in each store and in all."""
        window, part = self.config.window, problem.history
        if window is not None:
            part = part.between(problem.cutoff - window, problem.cutoff)
        self._buyers = buyers(part, problem.of_product, problem.cutoff)
        local = store_buyers(part, problem.of_product)
        # n_i · lift_si = N n_si / (N_s + α) + n_i α / (N_s + α): the first term is sparse, the second of rank one.
        size = np.asarray(local.sum(axis=1)).ravel() + self.config.smoothing
        scale = (self._buyers.sum() / size).astype(np.float32)
        data = local.data * np.repeat(scale, np.diff(local.indptr))
        self._local = sp.csr_array((data, local.indices, local.indptr), shape=local.shape)
        self._rest = np.where(np.diff(local.indptr) > 0, self.config.smoothing / size, 1).astype(np.float32)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Buyers weighted by the users' stores, shape (b, items)."""
        shares = store_shares(history, len(self._rest))
        elsewhere = 1 - np.asarray(shares.sum(axis=1)).ravel()
        plain = elsewhere + shares @ self._rest
        scores = (shares @ self._local).toarray() + plain[:, None] * self._buyers
        return np.asarray(scores, dtype=np.float32)


def store_buyers(history: Log, of_product: sp.csr_array) -> sp.csr_array:
    """Number of distinct users who bought each item in each store, CSR of shape (stores, items), float32."""
    known = np.flatnonzero(history.store >= 0)
    n_stores = int(history.store.max(initial=-1)) + 1
    visits, visit = np.unique(
        history.user[known].astype(np.int64) * n_stores + history.store[known], return_inverse=True
    )
    ones = np.ones(len(known), dtype=np.float32)
    shape = (len(visits), of_product.shape[0])
    bought = sp.csr_array(sp.csr_array((ones, (visit, history.product[known])), shape=shape) @ of_product)
    at = (np.ones(len(visits), dtype=np.float32), (visits % max(n_stores, 1), np.arange(len(visits))))
    counts = sp.csr_array(sp.csr_array(at, shape=(n_stores, len(visits))) @ map_values(bought, np.sign))
    counts.sort_indices()
    return counts


def store_shares(history: Log, n_stores: int) -> sp.csr_array:
    """Share of each of the first stores in each user's purchases, CSR of shape (n_users, n_stores).

    A row sums to less than 1 where the user also bought in other stores, or in none that is known.
    """
    store = np.where((history.store >= 0) & (history.store < n_stores), history.store, n_stores)
    ones = np.ones(len(history), dtype=np.float32)
    lines = sp.csr_array((ones, (history.user, store)), shape=(history.n_users, n_stores + 1))
    return sp.csr_array(row_shares(lines)[:, :n_stores])


@dataclass(frozen=True)
class BprConfig:
    """Settings of `Bpr`.

    Attributes:
        factors: size of the vectors, without the item's bias; 1 or more.
        learning_rate: of the stochastic gradient steps; above 0.
        regularisation: λ on all factors and biases; 0 or more.
        iterations: as many steps each as there are (user, item) pairs; 1 or more.
        popularity: γ, how much of the logarithm of the item's buyers is added to its score; 0: none.
        num_threads: above 1 the threads race, and a seed no longer fixes the result; 0: all cores.
        seed: of the starting values and of the pairs that are drawn.
    """

    factors: int = 16
    learning_rate: float = 0.02
    regularisation: float = 0.02
    iterations: int = 100
    popularity: float = 1.0
    num_threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("factors", "iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}", where=f"bpr.{name}", remedy="Give 1 or more.")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(
                f"learning_rate is {self.learning_rate}", where="bpr.learning_rate", remedy="Give more than 0."
            )
        for name in ("regularisation", "popularity"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)}", where=f"bpr.{name}", remedy="Give 0 or more.")


class Bpr(Scorer):
    """Matrix factorisation by Bayesian personalised ranking, with `implicit`: p_u · q_i + b_i + γ log n_i.

    Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    **Users are folded in.** A user's vector is p_u = [mean of q_i over what they bought, 1] W, with the W that, by
    least squares over the population, comes nearest to the vectors that the training gave its users. So a score
    depends on the history alone, and unknown users are scored like known ones; without a history it is the
    population's average vector in that regression.

    **Popularity is given back.** `implicit` draws the items that a user has not bought in proportion to their
    purchases, not uniformly. A pairwise model then learns log p(i | u) − log p(i): whom an item suits more than
    others, not how likely it is. γ log n_i with n_i the item's buyers (½ where there are none) puts the second
    term back, as the correction for sampled classes does (Bengio and Senécal 2008); 1 would be all of it.
    """

    name = "bpr"

    def __init__(self, config: BprConfig | None = None) -> None:
        self.config: BprConfig = config or BprConfig()

    def fit(self, problem: Problem) -> Self:
        """Factorise the interactions and solve for the map from histories to user vectors."""
        self._problem = problem
        bought = weigh(problem.interactions, "binary")
        users, items = self._factorise(bought)
        self._items = items[:, :-1]
        popular = np.log(np.maximum(np.asarray(bought.sum(axis=0)).ravel(), 0.5))
        self._bias = (items[:, -1] + self.config.popularity * popular).astype(np.float32)
        known = np.diff(bought.indptr) > 0
        self._map = np.linalg.lstsq(self._inputs(bought)[known], users[known, :-1], rcond=None)[0]
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Products of vectors and what belongs to the item alone, shape (b, items)."""
        users = self._inputs(weigh(self._problem.counts(history), "binary")) @ self._map
        return np.asarray(users @ self._items.T + self._bias, dtype=np.float32)

    def _factorise(self, bought: sp.csr_array) -> tuple[FloatArray, FloatArray]:
        """Vectors of shape (users, factors + 1) and (items, factors + 1): the last column holds 1 and the bias."""
        config = self.config
        model = BayesianPersonalizedRanking(
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.regularisation,
            iterations=config.iterations,
            num_threads=config.num_threads,
            random_state=config.seed,
        )
        with threadpool_limits(1, "blas"):
            model.fit(for_implicit(bought), show_progress=False)
        return model.user_factors, model.item_factors

    def _inputs(self, bought: sp.csr_array) -> FloatArray:
        """Mean vector of each user's items, and 1, shape (users, factors + 1)."""
        mean = row_shares(bought) @ self._items
        return np.hstack([mean, np.ones((len(mean), 1), dtype=np.float32)])


LARGE = 5000  # items; above it a trial is dear, and the grids are smaller


def extra_grids(problem: Problem) -> dict[str, list[Scorer]]:
    """The baselines that a run leaves out unless they are named, each with the settings validation chooses from."""
    large = len(problem) > LARGE
    return {
        "store_popularity": [StorePopularity(config) for config in _store_configs(large)],
        "user_knn": [UserKnn(config) for config in _knn_configs(large)],
        "user_cf": [UserCf(config) for config in _cf_configs(large)],
        "bpr": [Bpr(config) for config in _bpr_configs(len(problem))],
    }


def _store_configs(large: bool) -> list[StorePopularityConfig]:
    strengths = (30_000.0,) if large else (1000.0, 10_000.0, 30_000.0)
    return [StorePopularityConfig(window, strength) for window in (8, None) for strength in strengths]


def _knn_configs(large: bool) -> list[UserKnnConfig]:
    if large:
        return [UserKnnConfig(neighbours, "log") for neighbours in (100, 300)]
    return [UserKnnConfig(neighbours, counting) for neighbours in (100, 300) for counting in ("binary", "log")]


def _cf_configs(large: bool) -> list[UserCfConfig]:
    if large:
        return [UserCfConfig(neighbours, "cosine", 100.0) for neighbours in (100, 400)]
    cosine = [
        UserCfConfig(neighbours, "cosine", strength) for neighbours in (25, 100) for strength in (10.0, 100.0, 300.0)
    ]
    return [*cosine, UserCfConfig(100, "pearson", 100.0)]


def _bpr_configs(n_items: int) -> list[BprConfig]:
    if n_items > LARGE:
        return [BprConfig(16, 0.05, strength, 30) for strength in (0.02, 0.05)]
    configs = [BprConfig(16, 0.02, strength) for strength in (0.02, 0.05)]
    if n_items > 1000:
        return configs
    return [*configs, BprConfig(16, 0.02, 0.01), BprConfig(32, 0.02, 0.02), BprConfig(16, 0.02, 0.05, popularity=0.5)]
