"""Users with similar histories, and what they bought."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

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


def nearest(similarity: FloatArray, k: int) -> sp.csr_array:
    """The similarities of the k nearest users (more where the k-th are equal), CSR of shape (b, users)."""
    k = min(k, similarity.shape[1] - 1)
    limit = np.partition(similarity, -k, axis=1)[:, -k][:, None] if k > 0 else np.inf
    return sp.csr_array(np.where(similarity >= limit, similarity, 0).astype(np.float32))
