"""Item-to-item weights from who bought what together: EASE and item cosine."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

Weighting = Literal["binary", "log", "recent"]

FloatArray = npt.NDArray[np.float32]


def ease_weights(interactions: sp.csr_array, regularisation: float) -> FloatArray:
    """Item-item weights of EASE: B = I − P · diag(P)⁻¹ with P = (XᵀX + λI)⁻¹, and a zero diagonal.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, equation 8. Scores are X @ B.

    Args:
        interactions: X, shape (users, items).
        regularisation: λ > 0.

    Returns:
        Shape (items, items). Memory and time grow with items² and items³: for a few thousand items.
    """
    gram = (interactions.T @ interactions).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += np.float32(regularisation)
    factor, info = scipy.linalg.lapack.spotrf(gram, lower=False, overwrite_a=True)
    if info:
        raise np.linalg.LinAlgError(f"EASE: XᵀX + {regularisation}·I is not positive definite")
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=False, overwrite_c=True)
    for i in range(len(inverse)):  # LAPACK fills the upper triangle only
        inverse[i + 1 :, i] = inverse[i, i + 1 :]
    weights = -inverse / np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    # LAPACK's columns lie together; SciPy's sparse product would copy them into rows each time.
    return np.asarray(weights, dtype=np.float32, order="C")


def cosine_weights(interactions: sp.csr_array, shrinkage: float = 0.0) -> sp.csr_array:
    """Cosine between the items' user vectors, zero diagonal: s_ij = x_i·x_j / (‖x_i‖‖x_j‖ + shrinkage).

    Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001.

    Args:
        interactions: X, shape (users, items).
        shrinkage: added to the denominator; 0 is the plain cosine.

    Returns:
        CSR of shape (items, items), float32: only pairs with a common user are stored.
    """
    gram = sp.coo_array(interactions.T @ interactions)
    norms = np.sqrt(np.asarray(interactions.multiply(interactions).sum(axis=0)).ravel())
    off = gram.row != gram.col
    rows, columns = gram.row[off], gram.col[off]
    data = gram.data[off] / (norms[rows] * norms[columns] + shrinkage)
    return sp.csr_array((data.astype(np.float32), (rows, columns)), shape=gram.shape)


def user_neighbours(
    batch: sp.csr_array, population: sp.csr_array, k: int, own_rows: npt.NDArray[np.int64]
) -> FloatArray:
    """Scores of the k nearest users by cosine: Σ over neighbours of similarity · their binary purchases.

    Args:
        batch: normalised histories of the asked users, shape (b, items).
        population: normalised histories of all users, shape (users, items).
        k: how many neighbours.
        own_rows: each asked user's row in the population, −1 when not in it, shape (b,): nobody is
            their own neighbour.

    Returns:
        Shape (b, items).
    """
    similarity = (batch @ population.T).toarray()
    known = np.flatnonzero(own_rows >= 0)
    similarity[known, own_rows[known]] = 0
    k = min(k, similarity.shape[1] - 1)
    limit = np.partition(similarity, -k, axis=1)[:, -k][:, None] if k > 0 else np.inf
    kept = sp.csr_array(np.where(similarity >= limit, similarity, 0).astype(np.float32))
    return np.asarray((kept @ (population > 0).astype(np.float32)).toarray(), dtype=np.float32)
