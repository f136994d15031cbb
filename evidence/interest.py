"""Everything simple models know of (user, category) pairs at a cut-off, at the interest level.

One object per cut-off. It is fitted on the population's log before the cut-off and answers for any
history: a user is what they bought, whether they were in the population or not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from evidence.config import EvidenceConfig
from evidence.cooccurrence import cosine_weights, ease_weights
from evidence.histories import by_store, map_values, row_shares, store_mix, weightings
from evidence.neighbours import Shoppers, UserProfiles, nearest
from evidence.popularity import adopters, buyers, first_times

FloatArray = npt.NDArray[np.float32]


USERS_OF_LAMBDA = 2500  # λ of EASE is stated for so many users; the Gram matrix grows with their number


class InterestEvidence:
    """Per-pair, per-category and per-user evidence at one cut-off.

    Args:
        dataset: the shop's data; only interactions before the cut-off are looked at.
        level: the interest level.
        above: the level over it, or None.
        cutoff: moment of prediction.
        config: what to count.

    Attributes:
        shoppers: users compared by the products that they bought.
    """

    def __init__(
        self, dataset: Dataset, level: Level, above: Level | None, cutoff: int, config: EvidenceConfig
    ) -> None:
        self.config, self.cutoff, self.level = config, cutoff, level
        log = dataset.log.before(cutoff)
        self._parents = _parent_shares(dataset, level, above)
        self._start = int(log.time[0]) if len(log) else cutoff
        self._n_stores = int(dataset.log.store.max(initial=-1)) + 1
        self.shoppers = Shoppers(log, len(dataset.catalogue.product_ids))
        self._fit_cooccurrence(log)
        self._fit_stores(log)
        self.item_names, self.items = self._fit_items(log)

    # -- histories -----------------------------------------------------------------------------------

    def variants(self, history: Log) -> dict[str, sp.csr_array]:
        """The users' histories over categories in four weightings, each CSR of shape (users, categories).

        Those of `evidence.histories.weightings`, and ``last``: binary over the recent window only.
        """
        of_product, half_life = self.level.of_product, self.config.periods(self.config.half_life)
        start = self.cutoff - self.config.periods(self.config.recent_window)
        last = history.between(start, self.cutoff).counts(of_product)
        return weightings(history, of_product, self.cutoff, half_life) | {"last": map_values(last, np.sign)}

    def _fit_cooccurrence(self, log: Log) -> None:
        variants = self.variants(log)
        scale = log.n_active / USERS_OF_LAMBDA
        self._ease = {
            (name, strength): ease_weights(matrix, strength * scale)
            for name, matrix in variants.items()
            for strength in self.config.ease_regularisation
        }
        cosine = cosine_weights(variants["binary"]).toarray()
        self._cosine = {
            "cosine": cosine,
            "cosine_normalised": cosine / (cosine.sum(axis=0, keepdims=True) + 1e-6),
        }
        self._users = UserProfiles(variants["log"], log.n_active)
        self._bought = variants["binary"]

    def profiles(self) -> FloatArray:
        """Each category's cosine with all categories, centred and of length 4, shape (categories, categories)."""
        centred = self._cosine["cosine"] - self._cosine["cosine"].mean(axis=0)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.asarray(4 * centred / np.maximum(length, 1e-6), dtype=np.float32)

    # -- stores ------------------------------------------------------------------------------------------

    def _fit_stores(self, log: Log) -> None:
        """Lines of each category in each store, per window, and over all stores: shares of the store's lines."""
        self._store_lift = []
        for window in self.config.store_windows if self._n_stores else []:
            part = log.between(self.cutoff - self.config.periods(window), self.cutoff)
            counts = by_store(part, self._n_stores, self.level.of_product).toarray()
            whole = counts.sum(axis=0, keepdims=True) + 1
            share = whole / whole.sum()
            prior = 200.0
            local = (counts + prior * share) / (counts.sum(axis=1, keepdims=True) + prior)
            self._store_lift.append(np.log(local / share).astype(np.float32))

    # -- per category ------------------------------------------------------------------------------------

    def _fit_items(self, log: Log) -> tuple[list[str], FloatArray]:
        config, of_product, cutoff = self.config, self.level.of_product, self.cutoff
        first = first_times(log, of_product)
        columns: dict[str, FloatArray] = {}
        for window in config.popularity_windows:
            columns[f"popularity_{window}"] = np.log1p(buyers(log, of_product, cutoff, config.periods(window)))
        for window in config.adopter_windows:
            new = adopters(first, cutoff, config.periods(window))
            columns[f"adopters_{window}"] = np.log1p(new)
            ever = buyers(log.before(cutoff - config.periods(window)), of_product, cutoff)
            columns[f"adoption_rate_{window}"] = np.log((new + 0.5) / (log.n_active - ever + 1))
        short, *_, long = config.popularity_windows
        middle = config.popularity_windows[len(config.popularity_windows) // 2]
        columns["trend_short"] = columns[f"popularity_{short}"] - columns[f"popularity_{middle}"]
        columns["trend_long"] = columns[f"popularity_{middle}"] - columns[f"popularity_{long}"]
        columns["adopter_trend"] = (
            columns[f"adopters_{config.adopter_windows[0]}"] - columns[f"adopters_{config.adopter_windows[-1]}"]
        )
        ever = buyers(log, of_product, cutoff)
        columns["share_of_users"] = ever / np.float32(max(log.n_active, 1))
        lines = np.asarray(log.counts(of_product).sum(axis=0), dtype=np.float32).ravel()
        columns["repeat"] = np.log((lines + 1) / (ever + 1))
        columns["products"] = np.log1p(np.asarray(of_product.sum(axis=0), dtype=np.float32).ravel())
        return list(columns), np.stack(list(columns.values()), axis=1).astype(np.float32)

    # -- per user ----------------------------------------------------------------------------------------

    def users(self, history: Log) -> FloatArray:
        """Per-user evidence, shape (users, len(user_names))."""
        n, cutoff = history.n_users, self.cutoff
        recent = history.between(cutoff - self.config.periods(4), cutoff)
        baskets, recent_baskets = (
            _distinct(history.user, history.basket, n),
            _distinct(recent.user, recent.basket, n),
        )
        lines = np.bincount(history.user, minlength=n)
        spend = np.bincount(history.user, np.maximum(history.value, 0), minlength=n)
        last, begin = np.full(n, self._start), np.full(n, cutoff)
        np.maximum.at(last, history.user, history.time)
        np.minimum.at(begin, history.user, history.time)
        first = first_times(history, self.level.of_product)
        known = np.bincount(first.row, minlength=n)
        entered = [
            np.bincount(first.row[first.data - 1 >= cutoff - self.config.periods(w)], minlength=n) for w in (2, 4, 12)
        ]
        per_basket = lines / np.maximum(baskets, 1)
        columns = [
            baskets,
            recent_baskets,
            lines,
            spend,
            per_basket,
            cutoff - last,
            cutoff - begin,
            known,
            *entered,
        ]
        return np.log1p(np.stack(columns, axis=1)).astype(np.float32)

    user_names = (
        "baskets", "recent_baskets", "lines", "spend", "lines_per_basket", "periods_since_last",
        "periods_since_first", "categories", "entered_2", "entered_4", "entered_12",
    )  # fmt: skip

    # -- purchases ---------------------------------------------------------------------------------------

    purchase_names = ("lines", "recent_lines", "last_lines", "spend")

    def purchases(self, history: Log) -> tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.bool_]]:
        """What each user bought, category by category, padded to the longest history.

        Returns:
            Categories of shape (users, length), features (logs of lines, of recency-weighted lines, of lines in the
            last four sevenths of a horizon, of spend) of shape (users, length, 4), and a mask of shape
            (users, length), True where there is a purchase. The length is at least 1.
        """
        of_product = self.level.of_product
        age = (self.cutoff - history.time).astype(np.float32)
        decay = np.exp2(-age / self.config.periods(self.config.half_life)).astype(np.float32)
        last = (age <= self.config.periods(4)).astype(np.float32)
        counts = history.counts(of_product)
        counts.sort_indices()
        length = np.diff(counts.indptr)
        user = np.repeat(np.arange(history.n_users), length)
        place = np.arange(len(user)) - np.repeat(counts.indptr[:-1], length)
        shape = (history.n_users, max(1, int(length.max(initial=0))))
        bought = np.zeros(shape, dtype=np.int64)
        bought[user, place] = counts.indices
        mask = np.zeros(shape, dtype=np.bool_)
        mask[user, place] = True
        features = np.zeros((*shape, 4), dtype=np.float32)
        for i, weights in enumerate((None, decay, last, np.maximum(history.value, 0))):
            weighted = history.counts(of_product, weights)
            features[user, place, i] = np.log1p(np.asarray(weighted[user, counts.indices]).ravel())
        return bought, features, mask

    # -- per pair ----------------------------------------------------------------------------------------

    @property
    def pair_names(self) -> list[str]:
        """Names of the last axis of `pairs`."""
        names = [f"ease_{name}_{strength:g}" for name, strength in self._ease]
        names += [*self._cosine, "cosine_max", "neighbours"]
        names += [f"product_neighbours_{k}" for k in self.config.product_neighbours]
        names += [f"store_{window}" for window in self.config.store_windows[: len(self._store_lift)]]
        if self._parents is not None:
            names += ["parent_share", "parent_recent_share", "parent_lines", "parent_breadth"]
        return names

    def pairs(self, history: Log, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Evidence of each (user, category) pair.

        Args:
            history: the asked users' interactions before the cut-off, users numbered 0 … b − 1.
            rows: these users' rows in the population, −1 for strangers, shape (b,).

        Returns:
            Shape (b, categories, len(pair_names)).
        """
        variants = self.variants(history)
        out = [variants[name] @ weights for (name, _), weights in self._ease.items()]
        out += [_log(variants["binary"] @ weights) for weights in self._cosine.values()]
        out.append(_max_similarity(variants["binary"], self._cosine["cosine"]))
        neighbours = nearest(self._users.similarity(variants["log"], rows), self.config.neighbours)
        out.append(_log((neighbours @ self._bought).toarray()))
        out += self._product_neighbours(history, rows)
        half_life = self.config.periods(self.config.half_life)
        mix = store_mix(history, self._n_stores, self.cutoff, half_life) if self._store_lift else None
        out += [mix @ lift for lift in self._store_lift if mix is not None]
        if self._parents is not None:
            out += self._affinity(variants)
        return np.stack([np.asarray(column, dtype=np.float32) for column in out], axis=2)

    def _product_neighbours(self, history: Log, rows: npt.NDArray[np.int64]) -> list[FloatArray]:
        """What the users who bought the same products bought, the nearest so many: log(1 + Σ_v s_uv [v bought c])."""
        similarity = self.shoppers.similarity(history, rows)
        kept = [nearest(similarity, k) for k in self.config.product_neighbours]
        return [np.log1p((weights @ self._bought).toarray()) for weights in kept]

    def _affinity(self, variants: dict[str, sp.csr_array]) -> list[FloatArray]:
        """What the user does in the category's parents: share, recent share, lines, breadth."""
        parents = self._parents
        assert parents is not None
        shares = [row_shares(variants[name] @ parents) @ parents.T for name in ("log", "recent")]
        lines = variants["log"] @ parents
        size = np.asarray(parents.sum(axis=0)).ravel()
        breadth = (variants["binary"] @ parents).toarray() / np.maximum(size, 1e-6)
        columns = [
            shares[0].toarray(),
            shares[1].toarray(),
            np.log1p((lines @ parents.T).toarray()),
            breadth @ parents.T,
        ]
        return [np.asarray(column, dtype=np.float32) for column in columns]


def _log(scores: FloatArray) -> FloatArray:
    """Logs of scores that are never negative."""
    return np.log(scores + np.float32(1e-3))


def _parent_shares(dataset: Dataset, level: Level, above: Level | None) -> sp.csr_array | None:
    """Share of each parent in a category's products, CSR of shape (categories, parents)."""
    return None if above is None else row_shares(dataset.catalogue.links(level, above))


def _distinct(user: npt.NDArray[np.int32], value: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.int64]:
    """Number of distinct values of each user, shape (n,)."""
    pairs = np.unique(user.astype(np.int64) * (int(value.max(initial=0)) + 1) + value)
    return np.bincount(pairs // (int(value.max(initial=0)) + 1), minlength=n)


def _max_similarity(binary: sp.csr_array, similarity: FloatArray) -> FloatArray:
    """Largest similarity of any bought node to each node, shape (users, nodes)."""
    out = np.zeros((binary.shape[0], similarity.shape[1]), dtype=np.float32)
    for user in range(binary.shape[0]):
        bought = binary.indices[binary.indptr[user] : binary.indptr[user + 1]]
        if len(bought):
            out[user] = similarity[bought].max(axis=0)
    return out
