"""Users with similar histories, and what they bought."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.log import FEW, Log
from evidence.histories import map_values

FloatArray = npt.NDArray[np.float32]


class UserProfiles:
    """Similarity of users: cosine of their TF-IDF histories.

    p_ui = log(1 + lines) · idf_i scaled to length 1, with idf_i = log((n + 1) / (n_i + 1)), n users and n_i buyers.

    Args:
        counts: log(1 + lines) of the population, CSR of shape (users, items).
        n_active: users with a history.
    """

    def __init__(self, counts: sp.csr_array, n_active: int) -> None:
        buyers = np.bincount(counts.indices, minlength=counts.shape[1])
        self._idf = np.log((n_active + 1) / (buyers + 1)).astype(np.float32)
        self._by_item = sp.csr_array(self.of(counts).T)  # turned round once: SciPy would do so in every product

    def of(self, counts: sp.csr_array) -> sp.csr_array:
        """Profiles of users with these log counts, CSR of shape (b, items), rows of length 1."""
        weighted = sp.csr_array(counts.multiply(self._idf[None, :]))
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        scale = sp.dia_array((1 / np.maximum(norms, 1e-6)[None, :], [0]), shape=(len(norms), len(norms)))
        return sp.csr_array(scale @ weighted, dtype=np.float32)

    def similarity(self, counts: sp.csr_array, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Cosine with everybody, shape (b, users); 0 with oneself.

        Args:
            counts: log(1 + lines) of the asked users, CSR of shape (b, items).
            rows: each asked user's row in the population, −1 when not in it, shape (b,).
        """
        found = (self.of(counts) @ self._by_item).toarray()
        known = np.flatnonzero(rows >= 0)
        found[known, rows[known]] = 0
        return np.asarray(found, dtype=np.float32)


class Shoppers:
    """Users compared by the products that they bought, at one cut-off; one serves all evidence that asks.

    Args:
        log: the population's interactions before the cut-off.
        n_products: of the catalogue.
    """

    def __init__(self, log: Log, n_products: int) -> None:
        self._products = sp.eye_array(n_products, dtype=np.float32, format="csr")
        self._profiles = UserProfiles(self._counts(log), log.n_active)
        self._last: tuple[Log, npt.NDArray[np.int64], FloatArray] | None = None

    def similarity(self, history: Log, rows: npt.NDArray[np.int64]) -> FloatArray:
        """`UserProfiles.similarity` of users with these histories, shape (b, users); not to be changed in place.

        That of a handful of users is kept until others are asked for: each level's evidence on them asks for it.

        Args:
            history: the users' interactions before the cut-off, users numbered 0 … b − 1.
            rows: their rows in the population, −1 for strangers, shape (b,).
        """
        last = self._last
        if last is not None and last[0] is history and np.array_equal(last[1], rows):
            return last[2]
        found = self._profiles.similarity(self._counts(history), rows)
        self._last = (history, rows.copy(), found) if history.n_users <= FEW else None
        return found

    def _counts(self, history: Log) -> sp.csr_array:
        """log(1 + lines) of each product, CSR of shape (users, products)."""
        return map_values(history.counts(self._products), np.log1p)


def nearest(similarity: FloatArray, k: int) -> sp.csr_array:
    """The similarities of the k nearest users (more where the k-th are equal), CSR of shape (b, users)."""
    k = min(k, similarity.shape[1] - 1)
    limit = np.partition(similarity, -k, axis=1)[:, -k][:, None] if k > 0 else np.inf
    return sp.csr_array(np.where(similarity >= limit, similarity, 0).astype(np.float32))
