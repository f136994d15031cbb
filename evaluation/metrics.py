"""What a ranking is worth: per-user accuracy, and coverage and diversity of what is recommended.

Notation: user u has the targets T_u, n = |T_u|; hit_r is 1 where the item at rank r (from 1) is a target.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from evaluation.scorer import FloatArray

Lists = npt.NDArray[np.int32]
PerUser = npt.NDArray[np.float64]


def hits(items: Lists, targets: sp.csr_array) -> npt.NDArray[np.bool_]:
    """True where a recommended item is a target.

    Args:
        items: positions of the items, best first, shape (n, k); −1 is no item.
        targets: binary, CSR of shape (n, all items), rows as in ``items``.

    Returns:
        Shape (n, k).
    """
    n_items = targets.shape[1]
    relevant = sp.coo_array(targets)
    wanted = relevant.row[relevant.data > 0].astype(np.int64) * n_items + relevant.col[relevant.data > 0]
    asked = np.arange(len(items), dtype=np.int64)[:, None] * n_items + items
    return np.isin(asked, wanted) & (items >= 0)


def n_targets(targets: sp.csr_array) -> npt.NDArray[np.int64]:
    """Number of targets of each user, shape (n,)."""
    return np.asarray((targets > 0).sum(axis=1), dtype=np.int64).ravel()


def recall(found: npt.NDArray[np.bool_], n: npt.NDArray[np.int64], k: int) -> PerUser:
    """Recall@k = Σ_{r ≤ k} hit_r / n, shape (users,); NaN for a user without targets.

    Args:
        found: from `hits`, shape (users, at least k unless there are fewer items).
        n: number of targets, shape (users,).
        k: length of the list that is looked at.
    """
    return found[:, :k].sum(axis=1) / _or_nan(n)


def ndcg(found: npt.NDArray[np.bool_], n: npt.NDArray[np.int64], k: int) -> PerUser:
    """NDCG@k = Σ_{r ≤ k} hit_r / log₂(r + 1) ÷ Σ_{r ≤ min(n, k)} 1 / log₂(r + 1), shape (users,).

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with binary
    relevance. Arguments as in `recall`; NaN for a user without targets.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = found[:, :k] @ discounts[: found.shape[1]]
    ideal = np.concatenate([[np.nan], np.cumsum(discounts)])[np.minimum(n, k)]
    return gains / ideal


def hit_rate(found: npt.NDArray[np.bool_], n: npt.NDArray[np.int64], k: int) -> PerUser:
    """1 where any of the first k is a target, else 0, shape (users,). Arguments as in `recall`."""
    return np.where(n > 0, found[:, :k].any(axis=1), np.nan)


def mrr(found: npt.NDArray[np.bool_], n: npt.NDArray[np.int64], k: int) -> PerUser:
    """Reciprocal rank: 1 / rank of the first target within the first k, else 0, shape (users,).

    Arguments as in `recall`. Its mean over users is the MRR@k.
    """
    top = found[:, :k]
    first = np.where(top.any(axis=1), 1 / (top.argmax(axis=1) + 1), 0.0)
    return np.where(n > 0, first, np.nan)


def coverage(items: Lists, n_items: int, k: int) -> float:
    """Share of all items of the level that stand in the first k of at least one user."""
    shown = items[:, :k]
    return len(np.unique(shown[shown >= 0])) / n_items if n_items else float("nan")


def diversity(items: Lists, vectors: sp.csr_array | FloatArray, k: int, batch: int = 256) -> PerUser:
    """Intra-list diversity@k: mean over pairs i ≠ j of the first k of 1 − cos(v_i, v_j), shape (users,).

    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, as a
    distance. No pair is formed: over unit vectors Σ_{i≠j} v_i·v_j = ‖Σ v_i‖² − Σ ‖v_i‖².

    Args:
        items: shape (users, at least k unless there are fewer items); −1 is no item.
        vectors: one row per item, shape (items, d), dense or sparse. With
            `evaluation.evaluate.co_purchase_vectors` the cosine tells how far two items share their buyers. A
            zero vector counts as unlike all others (cosine 0).
        k: length of the list that is looked at.
        batch: users per batch.

    Returns:
        NaN for lists with fewer than two items.
    """
    unit = _unit_rows(sp.csr_array(vectors))
    lengths = np.asarray(unit.multiply(unit).sum(axis=1)).ravel()
    parts = [_similarity(items[at : at + batch, :k], unit, lengths) for at in range(0, len(items), batch)]
    size = (items[:, :k] >= 0).sum(axis=1)
    return 1 - np.concatenate([*parts, np.empty(0)]) / _or_nan(size * (size - 1))


def _similarity(items: Lists, unit: sp.csr_array, lengths: PerUser) -> PerUser:
    """Sum over ordered pairs of different items of their cosine, shape (b,)."""
    row, at = np.nonzero(items >= 0)
    chosen = items[row, at]
    picks = sp.csr_array((np.ones(len(row)), (row, chosen)), shape=(len(items), unit.shape[0]))
    total = sp.csr_array(picks @ unit)
    return np.asarray(total.multiply(total).sum(axis=1)).ravel() - picks @ lengths


def _unit_rows(vectors: sp.csr_array) -> sp.csr_array:
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64)).ravel()
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sp.csr_array(sp.diags_array(scale) @ vectors.astype(np.float64))


def _or_nan(n: npt.NDArray[np.int64]) -> PerUser:
    return np.where(n > 0, n, np.nan)
