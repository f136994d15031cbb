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
