"""How many users buy what, and how many begin to, in the windows before a cut-off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.log import Log

FloatArray = npt.NDArray[np.float32]


def buyers(history: Log, of_product: sp.csr_array, cutoff: int, window: int | None = None) -> FloatArray:
    """Number of distinct users who bought each node in the last ``window`` periods before the cut-off.

    Args:
        history: interactions; those at or after the cut-off are not looked at.
        of_product: which product belongs to which node, shape (products, nodes).
        cutoff: moment of prediction.
        window: number of periods; None is all of them.

    Returns:
        Shape (nodes,).
    """
    start = np.iinfo(np.int32).min if window is None else cutoff - window
    counts = history.between(start, cutoff).counts(of_product)
    return np.bincount(counts.indices, minlength=counts.shape[1]).astype(np.float32)


def first_times(history: Log, of_product: sp.csr_array) -> sp.coo_array:
    """The period in which each user first bought each node, plus 1 (so that 0 means never).

    Returns:
        COO of shape (users, nodes), one entry per pair.
    """
    membership = of_product.tocsr()
    lengths = np.diff(membership.indptr)[history.product]
    users = np.repeat(history.user.astype(np.int64), lengths)
    times = np.repeat(history.time, lengths)
    nodes = membership[history.product].indices.astype(np.int64)
    # The log is sorted by time, so the first occurrence of a pair is its first purchase.
    keys, first = np.unique(users * of_product.shape[1] + nodes, return_index=True)
    rows, columns = np.divmod(keys, of_product.shape[1])
    return sp.coo_array((times[first] + 1, (rows, columns)), shape=(history.n_users, of_product.shape[1]))


def adopters(first: sp.coo_array, cutoff: int, window: int) -> FloatArray:
    """Number of users who bought each node for the first time in the last ``window`` periods.

    Args:
        first: from `first_times`.
        cutoff: moment of prediction.
        window: number of periods.

    Returns:
        Shape (nodes,).
    """
    times = first.data - 1
    recent = (times >= cutoff - window) & (times < cutoff)
    return np.bincount(first.col[recent], minlength=first.shape[1]).astype(np.float32)
