"""What simple models know of the choice within a parent: which type of a category, which product of a type.

The levels factorise: log p(product) = log p(category) + log p(type | category) + log p(product | type), so products
are ranked without a users × products matrix.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from evidence.config import EvidenceConfig, WithinConfig
from evidence.cooccurrence import ease_weights
from evidence.histories import by_store, map_values, store_mix
from evidence.interest import USERS_OF_LAMBDA
from evidence.popularity import adopters, buyers, first_times

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class WithinEvidence:
    """Evidence on children given their parent, at one cut-off.

    Args:
        dataset: the shop's data; only interactions before the cut-off are looked at.
        level: the children's level; None means products.
        parent: each child's parent (primary membership), −1 for none, shape (children,).
        cutoff: moment of prediction.
        windows: horizon and recency, shared with the interest level.
        config: what to count.
    """

    def __init__(
        self,
        dataset: Dataset,
        level: Level | None,
        parent: IntArray,
        cutoff: int,
        windows: EvidenceConfig,
        config: WithinConfig,
    ) -> None:
        self.config, self.windows, self.cutoff, self.parent = config, windows, cutoff, parent
        n_products = len(dataset.catalogue.product_ids)
        identity = sp.eye_array(n_products, dtype=np.float32, format="csr")
        self.of_product = identity if level is None else level.of_product
        log = dataset.log.before(cutoff)
        self.item_names, self.items = self._fit_items(log)
        self._fit_stores(log, int(dataset.log.store.max(initial=-1)) + 1)
        self._fit_attributes(dataset, log, level)
        self._ease: FloatArray | None = None
        if self.of_product.shape[1] <= config.ease_max_items:
            scale = log.n_active / USERS_OF_LAMBDA
            counts = map_values(log.counts(self.of_product), np.log1p)
            self._ease = ease_weights(counts, config.ease_regularisation * scale)

    @property
    def ease(self) -> dict[float, FloatArray]:
        """EASE weights of log counts that are solved already, by λ as configured, each (children, children)."""
        return {} if self._ease is None else {self.config.ease_regularisation: self._ease}

    # -- per child ---------------------------------------------------------------------------------------

    def _fit_items(self, log: Log) -> tuple[list[str], FloatArray]:
        cutoff, periods = self.cutoff, self.windows.periods
        first = first_times(log, self.of_product)
        columns: dict[str, FloatArray] = {}
        for name, windows in (
            ("share", self.config.popularity_windows),
            ("entry", self.config.adopter_windows),
        ):
            prior = self._uniform()
            for window in windows:
                if name == "share":
                    counts = buyers(log, self.of_product, cutoff, periods(window))
                else:
                    counts = adopters(first, cutoff, periods(window))
                prior = self.smoothed_share(counts, prior)
                columns[f"{name}_{window}"] = np.log(prior)
        last = np.full(self.of_product.shape[1], -1, dtype=np.int64)
        membership = self.of_product[log.product]
        np.maximum.at(last, membership.indices, np.repeat(log.time, np.diff(membership.indptr)))
        ever = (last >= 0).astype(np.float32)
        columns["never_sold"] = 1 - ever
        columns["periods_since_sale"] = np.log1p(np.where(last >= 0, cutoff - last, 0)).astype(np.float32)
        return list(columns), np.stack(list(columns.values()), axis=1).astype(np.float32)

    def siblings_sum(self, values: FloatArray) -> FloatArray:
        """Sum over the siblings (itself included) of each child, along the last axis; shape as given."""
        known = self.parent >= 0
        if not known.any():
            return np.asarray(values, dtype=np.float32)
        totals = np.asarray((self._family @ values.T).T)
        return np.asarray(np.where(known, totals[..., np.maximum(self.parent, 0)], values), dtype=np.float32)

    @cached_property
    def _family(self) -> sp.csr_array:
        """1 where a child sits under a parent, CSR of shape (parents, children)."""
        known = np.flatnonzero(self.parent >= 0)
        ones = np.ones(len(known), dtype=np.float32)
        shape = (int(self.parent.max(initial=-1)) + 1, len(self.parent))
        return sp.csr_array((ones, (self.parent[known], known)), shape=shape)

    def smoothed_share(self, counts: FloatArray, prior: FloatArray) -> FloatArray:
        """Share among siblings: (n_i + α π_i) / (Σ n + α), with a prior share π and pseudo-count α."""
        alpha = self.config.smoothing
        return np.asarray((counts + alpha * prior) / (self.siblings_sum(counts) + alpha), dtype=np.float32)

    def _uniform(self) -> FloatArray:
        return np.asarray(1 / self.siblings_sum(np.ones(len(self.parent), dtype=np.float32)), dtype=np.float32)

    # -- per pair ----------------------------------------------------------------------------------------

    def _fit_stores(self, log: Log, n_stores: int) -> None:
        """Sales of each child in each store of the window, sparse."""
        self._stores: sp.csr_array | None = None
        if n_stores:
            part = log.between(self.cutoff - self.windows.periods(self.config.store_window), self.cutoff)
            self._stores = by_store(part, n_stores, self.of_product)
            self._store_total = np.asarray(self._stores.sum(axis=0), dtype=np.float32).ravel()

    def _fit_attributes(self, dataset: Dataset, log: Log, level: Level | None) -> None:
        """Which attribute value each product has, and the values' overall shares (for products only)."""
        self._attributes: list[tuple[str, IntArray, sp.csr_array, FloatArray]] = []
        for name, (values, codes) in dataset.catalogue.attributes.items() if level is None else []:
            known = np.flatnonzero(codes >= 0)
            ones = np.ones(len(known), dtype=np.float32)
            of_value = sp.csr_array((ones, (known, codes[known])), shape=(len(codes), len(values)))
            total = np.asarray(log.counts(of_value).sum(axis=0)).ravel() + 1
            self._attributes.append((name, codes, of_value, (total / total.sum()).astype(np.float32)))

    @property
    def pair_names(self) -> list[str]:
        """Names of the arrays that `pairs` gives."""
        names = ["store"] if self._stores is not None else []
        names += ["ease"] if self._ease is not None else []
        return names + [f"affinity_{name}" for name, *_ in self._attributes]

    def pairs(self, history: Log) -> list[FloatArray]:
        """Evidence of each (user, child) pair, one array of shape (b, children) per name.

        ``store``: log ratio of the child's sales in the user's stores to what its share would lead one to expect;
        ``ease``: EASE score; ``affinity_A``: log ratio of the user's share of attribute A's value to everybody's.
        """
        out = []
        if self._stores is not None:
            out.append(self._store_ratio(history))
        if self._ease is not None:
            counts = map_values(history.counts(self.of_product), np.log1p)
            out.append(np.asarray(counts @ self._ease, dtype=np.float32))
        out += [self._affinity(history, *attribute[1:]) for attribute in self._attributes]
        return out

    def _store_ratio(self, history: Log) -> FloatArray:
        assert self._stores is not None
        mix = store_mix(history, self._stores.shape[0], self.cutoff, self.windows.periods(self.windows.half_life))
        local = np.asarray((mix @ self._stores).toarray(), dtype=np.float32)
        total = self.siblings_sum(local)
        share = self._store_total / np.maximum(self.siblings_sum(self._store_total[None])[0], 1e-9)
        smoothing = 0.5 * share
        ratio = np.log((local + smoothing + 1e-4) / (total * share + smoothing + 1e-4))
        ratio[np.asarray(mix.sum(axis=1)).ravel() == 0] = 0
        return np.asarray(ratio, dtype=np.float32)

    def _affinity(self, history: Log, codes: IntArray, of_value: sp.csr_array, overall: FloatArray) -> FloatArray:
        counts = history.counts(of_value).toarray()
        alpha = 20.0
        ratio = np.log((counts + alpha * overall) / ((counts.sum(axis=1, keepdims=True) + alpha) * overall))
        return np.asarray(np.where(codes >= 0, ratio[:, np.maximum(codes, 0)], 0), dtype=np.float32)
