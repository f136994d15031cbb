"""Evidence that is dear to have for every pair: only a few hundred candidates of each user have it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from evidence.config import CandidateConfig, EvidenceConfig
from evidence.cooccurrence import ease_weights
from evidence.histories import map_values, weightings
from evidence.interest import USERS_OF_LAMBDA
from evidence.neighbours import Shoppers, nearest

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

NOTHING: Mapping[float, FloatArray] = MappingProxyType({})


class CandidateEvidence:
    """Co-occurrence at a level below the interest level, for candidates, at one cut-off.

    - ``similar_users``: Σ_v s_uv · [v bought i], s_uv the cosine of the users' TF-IDF histories of products;
    - ``neighbours_K``: the same over the K nearest users; ``neighbours_K_W``: counting what they bought in the last W
      sevenths of a horizon alone;
    - ``cosine``: Σ_j∈history cos(i, j) / √n_j over the level's nodes, so that what few (n_j) bought tells more; made
      by way of the users, (x_u D² Bᵀ) (B D) with binary purchases B and D the inverse lengths of its columns;
    - ``ease_VARIANT``: EASE scores of the binary, log and recency-weighted history, where there are few enough nodes.

    All but EASE are logs, log(1 + ·).

    Args:
        dataset: the shop's data; only interactions before the cut-off are looked at.
        level: of the candidates; None means products.
        cutoff: moment of prediction.
        windows: horizon and half-life, shared with the interest level.
        config: what to count.
        shoppers: the population's, where they are compared already.
        solved: EASE weights of the level's log counts by λ, where there are any already (`WithinEvidence.ease`).
    """

    def __init__(
        self,
        dataset: Dataset,
        level: Level | None,
        cutoff: int,
        windows: EvidenceConfig,
        config: CandidateConfig,
        shoppers: Shoppers | None = None,
        solved: Mapping[float, FloatArray] = NOTHING,
    ) -> None:
        self.windows, self.config, self.cutoff = windows, config, cutoff
        n_products = len(dataset.catalogue.product_ids)
        identity = sp.eye_array(n_products, dtype=np.float32, format="csr")
        self._of_product = identity if level is None else level.of_product
        log = dataset.log.before(cutoff)
        self._users = shoppers or Shoppers(log, n_products)
        bought = self._bought(log)
        lengths = np.sqrt(np.bincount(bought.indices, minlength=bought.shape[1]))
        self._scale = (1 / np.maximum(lengths, 1)).astype(np.float32)
        unit = self._scaled(bought)
        self._unit_by_item = sp.csr_array(unit.T)  # turned round once: SciPy would do so in every product
        recent = [self._bought(log, windows.periods(window)) for window in config.recent_windows]
        self._purchases = [sp.csc_array(matrix) for matrix in (bought, *recent)]
        self._unit_columns = sp.csc_array(unit)
        self._ease = self._fit_ease(log, solved) if self._of_product.shape[1] <= config.ease_max_items else {}

    def _bought(self, history: Log, last: int | None = None) -> sp.csr_array:
        """Binary purchases, of the last so many periods or all, CSR of shape (users, nodes)."""
        part = history if last is None else history.between(self.cutoff - last, self.cutoff)
        return map_values(part.counts(self._of_product), np.sign)

    def _scaled(self, bought: sp.csr_array) -> sp.csr_array:
        return sp.csr_array((self._scale[bought.indices], bought.indices, bought.indptr), shape=bought.shape)

    # -- EASE --------------------------------------------------------------------------------------------

    def _variants(self, history: Log) -> dict[str, sp.csr_array]:
        half_life = self.windows.periods(self.windows.half_life)
        return weightings(history, self._of_product, self.cutoff, half_life)

    def _fit_ease(self, log: Log, solved: Mapping[float, FloatArray]) -> dict[str, FloatArray]:
        regularisation = self.config.ease_regularisation
        strength = regularisation * log.n_active / USERS_OF_LAMBDA
        there = {"log": solved[regularisation]} if regularisation in solved else {}
        return {
            name: there[name] if name in there else ease_weights(matrix, strength)
            for name, matrix in self._variants(log).items()
        }

    # -- pairs -------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of the last axis of `of`."""
        found = ["similar_users", "cosine"]
        found += [f"neighbours_{k}" for k in self.config.neighbours]
        found += [f"neighbours_{self.config.neighbours[0]}_{window}" for window in self.config.recent_windows]
        return found + [f"ease_{name}" for name in self._ease]

    def of(self, history: Log, rows: IntArray, candidates: IntArray) -> FloatArray:
        """Evidence of each user's candidates.

        Args:
            history: the users' interactions before the cut-off, users numbered 0 … b − 1.
            rows: their rows in the population, −1 for strangers, shape (b,).
            candidates: positions of the items, shape (b, n).

        Returns:
            Shape (b, n, len(names)).
        """
        asked, place = np.unique(candidates, return_inverse=True)
        place = place.reshape(candidates.shape)
        columns = [np.log1p(scores) for scores in self._co_purchases(history, rows, asked)]
        variants = self._variants(history) if self._ease else {}
        picked = [np.take_along_axis(np.asarray(column), place, axis=1) for column in columns]
        # The whole level's scores: to pick the asked ones' columns out of the weights takes longer than to multiply.
        ease = [np.asarray(variants[name] @ weights) for name, weights in self._ease.items()]
        picked += [np.take_along_axis(scores, candidates, axis=1) for scores in ease]
        return np.stack(picked, axis=2).astype(np.float32)

    def _co_purchases(self, history: Log, rows: IntArray, asked: IntArray) -> list[FloatArray]:
        """Sums over users, each of shape (b, asked)."""
        similarity = self._users.similarity(history, rows)
        bought, *recent = (sp.csr_array(matrix[:, asked]) for matrix in self._purchases)
        common = (self._scaled(self._bought(history)) @ self._unit_by_item).toarray()
        kept = [nearest(similarity, k) for k in self.config.neighbours]
        sums = [_product(similarity, bought), _product(common, self._unit_columns[:, asked])]
        sums += [(weights @ bought).toarray() for weights in kept]
        return sums + [(kept[0] @ matrix).toarray() for matrix in recent]


def _product(dense: FloatArray, sparse: sp.csc_array) -> FloatArray:
    """dense @ sparse, row-major."""
    return np.ascontiguousarray((sparse.T @ dense.T).T, dtype=np.float32)
