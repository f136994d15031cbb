"""What is known of items that nobody has bought: their place in the catalogue, and what happens around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from evidence.config import ColdConfig, EvidenceConfig
from evidence.cooccurrence import ease_weights
from evidence.histories import map_values
from evidence.interest import USERS_OF_LAMBDA
from evidence.popularity import adopters, buyers, first_times

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
ROWS = 64  # items compared with all at a time: the order of a batch takes eight bytes for each


class ColdEvidence:
    """Evidence on some items of a level that have no history, at one cut-off.

    With the *near* of an item its K most alike sold items by text, weighted by w_ij ∝ exp(cos(i, j) / τ):

    - ``siblings``, ``sold_siblings``, ``products``: how many, logs;
    - ``parent_W``: sum of the buyers of the parent's children in the last W sevenths of a horizon; ``sibling_W``: their
      mean over those ever sold;
    - ``near_W``: Σ_j w_ij log(1 + buyers_j); ``near_entry_W``: the same of first-time buyers;
    - ``of_A``: for each attribute A (brand, …) how well a product of the item's values sells on average;
    - per pair ``near_ease``: Σ_j w_ij EASE_uj, where there are few enough items; ``text_max``, ``text_mean``: cosine
      with the texts of what the user bought.

    Args:
        dataset: the shop's data, in which nobody bought the items before the cut-off.
        level: of the items; None means products.
        parent: of all items of the level, −1 for none, shape (n,).
        cutoff: moment of prediction.
        items: positions of the cold ones, shape (m,); m × n similarities are held.
        texts: text vectors of length 1 (or 0) of all items of the level, shape (n, d).
        windows: horizon, shared with the interest level.
        config: what to count.
    """

    def __init__(
        self,
        dataset: Dataset,
        level: Level | None,
        parent: IntArray,
        cutoff: int,
        items: IntArray,
        texts: FloatArray,
        windows: EvidenceConfig,
        config: ColdConfig,
    ) -> None:
        self.windows, self.config, self.cutoff, self.items = windows, config, cutoff, items
        n_products = len(dataset.catalogue.product_ids)
        identity = sp.eye_array(n_products, dtype=np.float32, format="csr")
        self._of_product = identity if level is None else level.of_product
        log = dataset.log.before(cutoff)
        self._bought = buyers(log, self._of_product, cutoff)
        self._alike = texts[items] @ texts.T
        self._near = self._nearest(np.flatnonzero(self._bought > 0))
        self.item_names, self.of_items = self._fit_items(dataset, log, parent)
        self._ease = self._fit_ease(log) if self._of_product.shape[1] <= config.ease_max_items else None

    def _nearest(self, sold: IntArray) -> sp.csr_array:
        """Weights w of the near of each item, CSR of shape (m, n)."""
        k = min(self.config.neighbours, len(sold))
        shape = self._alike.shape
        if not k:
            return sp.csr_array(shape, dtype=np.float32)
        best, value = np.empty((len(self.items), k), dtype=np.int64), np.empty((len(self.items), k), dtype=np.float32)
        for first in range(0, len(self.items), ROWS):
            rows = slice(first, first + ROWS)
            alike = self._alike[rows, sold]
            best[rows] = np.argpartition(-alike, k - 1, axis=1)[:, :k]
            value[rows] = np.exp((np.take_along_axis(alike, best[rows], axis=1) - 1) / self.config.temperature)
        value /= value.sum(axis=1, keepdims=True)
        row = np.repeat(np.arange(len(self.items)), k)
        return sp.csr_array((value.ravel(), (row, sold[best].ravel())), shape=shape)

    # -- per item ----------------------------------------------------------------------------------------

    def _fit_items(self, dataset: Dataset, log: Log, parent: IntArray) -> tuple[list[str], FloatArray]:
        sold = self._bought > 0
        mine = parent[self.items]
        siblings = _by_parent(parent, np.ones(len(parent), dtype=np.float32), mine)
        sold_siblings = _by_parent(parent, sold.astype(np.float32), mine)
        products = np.asarray(self._of_product.sum(axis=0), dtype=np.float32).ravel()[self.items]
        columns = {"siblings": siblings, "sold_siblings": sold_siblings, "products": products}
        columns = {name: np.log1p(values) for name, values in columns.items()}
        first = first_times(log, self._of_product)
        for window in self.config.windows:
            periods = self.windows.periods(window)
            count = buyers(log, self._of_product, self.cutoff, periods)
            around = _by_parent(parent, count, mine)
            columns[f"parent_{window}"] = np.log1p(around)
            columns[f"sibling_{window}"] = np.log1p(around / np.maximum(sold_siblings, 1))
            columns[f"near_{window}"] = self._near @ np.log1p(count)
            columns[f"near_entry_{window}"] = self._near @ np.log1p(adopters(first, self.cutoff, periods))
        columns |= self._of_attributes(dataset, log)
        return list(columns), np.stack(list(columns.values()), axis=1).astype(np.float32)

    def _of_attributes(self, dataset: Dataset, log: Log) -> dict[str, FloatArray]:
        """Mean over an item's products of log((lines + 1) / (products + 1)) of their value of an attribute."""
        lines = np.bincount(log.product, minlength=len(dataset.catalogue.product_ids)).astype(np.float32)
        own = sp.csr_array(self._of_product[:, self.items].T)
        size = np.maximum(np.asarray(own.sum(axis=1)).ravel(), 1)
        found = {}
        for name, (values, codes) in dataset.catalogue.attributes.items():
            known = codes >= 0
            sums = np.bincount(codes[known], lines[known], minlength=len(values))
            rate = np.log((sums + 1) / (np.bincount(codes[known], minlength=len(values)) + 1))
            of_product = np.where(known, rate[np.maximum(codes, 0)], rate.mean() if len(rate) else 0)
            found[f"of_{name}"] = (own @ of_product.astype(np.float32)) / size
        return found

    # -- per pair ----------------------------------------------------------------------------------------

    def _fit_ease(self, log: Log) -> FloatArray:
        """EASE weights from all items to the near of the cold ones, shape (n, m)."""
        strength = self.config.ease_regularisation * log.n_active / USERS_OF_LAMBDA
        weights = ease_weights(map_values(log.counts(self._of_product), np.log1p), strength)
        return np.ascontiguousarray((self._near @ weights.T).T, dtype=np.float32)

    @property
    def pair_names(self) -> list[str]:
        """Names of the last axis of `pairs`."""
        return ["text_max", "text_mean"] + ["near_ease"] * (self._ease is not None)

    def pairs(self, history: Log) -> FloatArray:
        """Evidence of each (user, cold item) pair.

        Args:
            history: the users' interactions before the cut-off, users numbered 0 … b − 1.

        Returns:
            Shape (b, m, len(pair_names)).
        """
        counts = history.counts(self._of_product)
        out = np.zeros((history.n_users, len(self.items), len(self.pair_names)), dtype=np.float32)
        for user in range(history.n_users):
            bought = counts.indices[counts.indptr[user] : counts.indptr[user + 1]]
            if len(bought):
                alike = self._alike[:, bought]
                out[user, :, 0], out[user, :, 1] = alike.max(axis=1), alike.mean(axis=1)
        if self._ease is not None:
            out[:, :, 2] = map_values(counts, np.log1p) @ self._ease
        return out


def _by_parent(parent: IntArray, values: FloatArray, asked: IntArray) -> FloatArray:
    """Sum of values over all children of the asked parents (0 without a parent), shape (asked,)."""
    known = parent >= 0
    sums = np.bincount(parent[known], values[known], minlength=int(parent.max(initial=-1)) + 1)
    return np.asarray(np.where(asked >= 0, np.append(sums, 0)[asked], 0), dtype=np.float32)
