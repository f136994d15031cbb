"""What a ranking is worth beyond accuracy: novelty, serendipity, and how evenly the catalogue is shown.

Notation as in `evaluation.metrics`; p_i is the share of users who bought item i before the cut-off.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evaluation.metrics import Lists, PerUser

HEAD = 0.8


def novelty(items: Lists, buyers: npt.NDArray[np.float32], n_users: int, k: int) -> PerUser:
    """Mean self-information of the first k, −log₂ p_i in bits, shape (users,); NaN for an empty list.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010. An item that
    nobody has bought counts as one that one user has.

    Args:
        items: positions, best first, shape (n, at least k unless there are fewer); −1 is no item.
        buyers: users who bought each item before the cut-off, shape (all items,).
        n_users: number of users.
        k: length of the list that is looked at.
    """
    shown = items[:, :k]
    bits = -np.log2(np.maximum(buyers, 1) / n_users)[shown]
    return _mean_of(bits, shown >= 0)


def serendipity(found: npt.NDArray[np.bool_], items: Lists, expected: Lists, k: int) -> PerUser:
    """Share of the first k that were bought and that the primitive recommender would not have shown, shape (users,).

    Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
    RecSys 2010, equation 4.

    Args:
        found: True where an item is a target, from `evaluation.metrics.hits`, shape (n, at least k).
        items: positions, best first, shape (n, at least k).
        expected: the primitive recommender's lists for the same users, such as the most popular candidates.
        k: length of both lists that is looked at.
    """
    known = (items[:, :k, None] == expected[:, None, :k]).any(axis=2)
    return _mean_of(found[:, :k] & ~known, items[:, :k] >= 0)


def gini(items: Lists, n_items: int, k: int) -> float:
    """Gini coefficient of how often each item stands in the first k: 0 all alike, towards 1 always the same few.

    Fleder and Hosanagar, "Blockbuster culture's next rise or fall", Management Science 2009. Items that are never
    shown count.
    """
    shown = items[:, :k]
    times = np.sort(np.bincount(shown[shown >= 0], minlength=n_items))
    if not times.any():
        return float("nan")
    place = np.arange(1, n_items + 1)
    return float(((2 * place - n_items - 1) * times).sum() / (n_items * times.sum()))


def tail_share(items: Lists, buyers: npt.NDArray[np.float32], k: int) -> float:
    """Share of the first k that lie outside the head: the fewest items with 80% of all (buyer, item) pairs.

    Args:
        items: positions, best first, shape (n, at least k).
        buyers: users who bought each item before the cut-off, shape (all items,).
        k: length of the list that is looked at.
    """
    order = np.argsort(-buyers, kind="stable")
    before = np.cumsum(buyers[order]) - buyers[order]
    tail = np.empty(len(buyers), dtype=np.bool_)
    tail[order] = before >= HEAD * buyers.sum()
    shown = items[:, :k]
    return float(tail[shown[shown >= 0]].mean()) if (shown >= 0).any() else float("nan")


def _mean_of(values: npt.NDArray[np.generic], there: npt.NDArray[np.bool_]) -> PerUser:
    """Mean over the places where there is an item, shape (n, k) → (n,); NaN where there is none."""
    size = there.sum(axis=1)
    return np.where(there, values, 0).sum(axis=1) / np.where(size > 0, size, np.nan)
