"""Small transformations of histories that several kinds of evidence share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from data.log import Log


def map_values(matrix: sp.csr_array, function: np.ufunc) -> sp.csr_array:
    """Apply a function with f(0) = 0 to the stored values of a CSR matrix; shape as given."""
    return sp.csr_array((function(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def weightings(history: Log, of_product: sp.csr_array, cutoff: int, half_life: int) -> dict[str, sp.csr_array]:
    """The users' histories over nodes in three weightings, each CSR of shape (users, nodes).

    ``binary``; ``log``: log(1 + lines); ``recent``: log(1 + lines weighted by 2^(−age / half-life)).

    Args:
        history: interactions before the cut-off.
        of_product: which product belongs to which node, CSR of shape (products, nodes).
        cutoff: moment of prediction, from which ages are counted.
        half_life: in periods.
    """
    age = (cutoff - history.time).astype(np.float32)
    counts = history.counts(of_product)
    recent = history.counts(of_product, np.exp2(-age / half_life).astype(np.float32))
    return {"binary": map_values(counts, np.sign), "log": map_values(counts, np.log1p),
            "recent": map_values(recent, np.log1p)}  # fmt: skip


def row_shares(matrix: sp.csr_array) -> sp.csr_array:
    """Rows scaled to sum 1 (empty rows stay empty); shape as given."""
    matrix = sp.csr_array(matrix)
    totals = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1e-6)
    data = matrix.data / np.repeat(totals, np.diff(matrix.indptr))
    return sp.csr_array((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def by_store(log: Log, n_stores: int, of_product: sp.csr_array) -> sp.csr_array:
    """Lines of each node in each store, CSR of shape (stores, nodes)."""
    known = np.flatnonzero(log.store >= 0)
    ones = np.ones(len(known), dtype=np.float32)
    shape = (n_stores, of_product.shape[0])
    return sp.csr_array(sp.csr_array((ones, (log.store[known], log.product[known])), shape=shape) @ of_product)


def store_mix(history: Log, n_stores: int, cutoff: int, half_life: int) -> sp.csr_array:
    """Share of each store in each user's purchases, recent ones counting more.

    Args:
        history: interactions before the cut-off.
        n_stores: number of stores.
        cutoff: moment of prediction.
        half_life: of the recency weights, in periods.

    Returns:
        CSR of shape (users, stores), rows sum to 1 (0 for a user without a known store).
    """
    known = np.flatnonzero(history.store >= 0)
    age = (cutoff - history.time[known]).astype(np.float32)
    data = np.exp2(-age / half_life).astype(np.float32)
    shape = (history.n_users, n_stores)
    return row_shares(sp.csr_array((data, (history.user[known], history.store[known])), shape=shape))
