"""Which nodes of a level are bought by the same users (or in the same baskets), counted before a cut-off.

With N users who bought anything in the window [start, end), n(a) of them something in or below node a, and n(a, b)
of them something in both:

- support = n(a, b), a number of users;
- confidence = P(b | a) = n(a, b) / n(a), which differs by direction;
- lift = P(a, b) / (P(a) P(b)) = n(a, b) N / (n(a) n(b)): 1 when a and b are bought independently.

The default score, by which each node's ``top_k`` neighbours are chosen, is the cosine n(a, b) / √(n(a) n(b)): it is
√(lift × P(a, b)), so it asks for both an association beyond chance and enough users behind it. By lift alone the
rarest pairs win, by confidence alone the most popular targets.

The default unit is the user: a recommender for categories that someone has never bought from must know what the
same people buy, weeks apart. ``unit="basket"`` counts what is bought at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from kg.config import CoPurchaseConfig
from kg.digest import Hashes, hashes, mix

Counts = npt.NDArray[np.int64]


def window_start(dataset: Dataset, window_end: int, config: CoPurchaseConfig) -> int:
    """First period of the window that ends before ``window_end``."""
    first = int(dataset.log.time[0]) if len(dataset.log) else window_end
    return first if config.window is None else max(first, window_end - config.window)


def count(
    dataset: Dataset, level: Level, window_end: int, config: CoPurchaseConfig | None = None, top_k: int | None = None
) -> pd.DataFrame:
    """Count the co-purchases of a level's nodes in [start, ``window_end``); nothing later is looked at.

    Pairs are counted for a block of nodes at a time, so that memory is bounded by ``config.block_entries``
    whatever the number of users and nodes; no users × users matrix exists.

    Args:
        dataset: the shop's data.
        level: a level of its catalogue.
        window_end: first period that is not counted.
        config: see its fields.
        top_k: neighbours kept per node; default ``config.top_k``.

    Returns:
        ``source``, ``target`` (node ids), ``support`` (int64), ``confidence``, ``lift`` (float64), sorted by
        source and then from strong to weak (ties by the target's id).
    """
    config = config or CoPurchaseConfig()
    log = dataset.log.between(window_start(dataset, window_end, config), window_end)
    bought = _bought(log, level, config)
    found = _strongest(bought, config, top_k or config.top_k)
    ids = level.ids.astype(object)
    return found.assign(source=ids[found["source"]], target=ids[found["target"]])


def fingerprints(
    dataset: Dataset, level: Level, window_ends: Iterable[int], config: CoPurchaseConfig, top_k: int
) -> dict[int, str]:
    """For each cut-off a fingerprint of all that ``count`` would look at; an equal one means equal co-purchases.

    It is the sum, over the window's interactions, of a hash of who bought and which nodes the product sits in: so it
    does not depend on products without purchases, nor on the order of rows.
    """
    log = dataset.log
    user = log.basket.astype(np.uint64) if config.unit == "basket" else hashes(dataset.user_ids)[log.user]
    rows = mix(user ^ mix(_node_sets(level))[log.product])
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(rows, dtype=np.uint64)])
    settings = (config.unit, config.min_support, config.score, top_k)
    found = {}
    for end in window_ends:
        start = window_start(dataset, end, config)
        low, high = np.searchsorted(log.time, [start, end])
        inside = int(total[high]) - int(total[low]) & 0xFFFFFFFFFFFFFFFF
        found[end] = "-".join(map(str, (*settings, start, high - low, f"{inside:x}")))
    return found


def _node_sets(level: Level) -> Hashes:
    """One number per product that says which nodes it sits in or below, shape (products,)."""
    links = level.of_product
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(hashes(level.ids)[links.indices], dtype=np.uint64)])
    return total[links.indptr[1:]] - total[links.indptr[:-1]]


def _bought(log: Log, level: Level, config: CoPurchaseConfig) -> sp.csr_array:
    """1 where a unit (row) bought something in or below a node (column), int32; units without a purchase left out."""
    units = log.user if config.unit == "user" else log.basket
    buying = np.bincount(units) > 0
    rows = (np.cumsum(buying) - 1)[units]
    shape = (int(buying.sum()), level.of_product.shape[0])
    bought = sp.csr_array((np.ones(len(rows), dtype=np.float32), (rows, log.product)), shape=shape) @ level.of_product
    bought = sp.csr_array(bought)
    bought.data = np.ones(len(bought.data), dtype=np.float32)
    return bought


def _strongest(bought: sp.csr_array, config: CoPurchaseConfig, top_k: int) -> pd.DataFrame:
    buyers = np.bincount(bought.indices, minlength=bought.shape[1]).astype(np.int64)
    step = max(1, config.block_entries // max(1, bought.shape[1]))
    by_node = sp.csr_array(bought.T)
    nothing = np.empty(0, dtype=np.int64)
    parts = [
        _of_block(by_node[at : at + step] @ bought, at, buyers, bought.shape[0], config, top_k)
        for at in range(0, bought.shape[1], step)
    ]
    return pd.concat(parts, ignore_index=True) if parts else _frame(nothing, nothing, nothing, buyers, 0)


def _of_block(
    both: sp.csr_array, first: int, buyers: Counts, units: int, config: CoPurchaseConfig, top_k: int
) -> pd.DataFrame:
    """The strongest pairs of a block of sources that begins at node ``first``."""
    source = np.repeat(np.arange(first, first + both.shape[0]), np.diff(both.indptr))
    kept = np.flatnonzero((both.data >= config.min_support) & (source != both.indices))
    source, target, support = source[kept], both.indices[kept].astype(np.int64), both.data[kept].astype(np.int64)
    score = _score(support, buyers[source], buyers[target], config)
    # Most pairs are far from the top: only what reaches it, ties included, is sorted.
    strong = np.flatnonzero(_reaches_top(score, source, top_k))
    source, target, support, score = source[strong], target[strong], support[strong], score[strong]
    order = np.lexsort((target, -score, source))
    source, target, support = source[order], target[order], support[order]
    top = np.arange(len(source)) - np.searchsorted(source, source) < top_k
    return _frame(source[top], target[top], support[top], buyers, units)


def _reaches_top(score: npt.NDArray[np.float64], source: Counts, top_k: int) -> npt.NDArray[np.bool_]:
    """Where a score is at least the ``top_k``-th largest of its source; sources stand together."""
    starts = np.flatnonzero(np.r_[True, source[1:] != source[:-1]])[: len(source)]
    ends = np.r_[starts[1:], len(source)][: len(starts)]
    least = np.full(len(starts), -np.inf)
    for i in np.flatnonzero(ends - starts > top_k):
        scores = score[starts[i] : ends[i]]
        least[i] = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
    return score >= np.repeat(least, ends - starts)


def _score(both: Counts, a: Counts, b: Counts, config: CoPurchaseConfig) -> npt.NDArray[np.float64]:
    if config.score == "confidence":
        return both / a
    return both / (a * b) if config.score == "lift" else both / np.sqrt(a * b)


def _frame(source: Counts, target: Counts, support: Counts, buyers: Counts, units: int) -> pd.DataFrame:
    a, b = buyers[source], buyers[target]
    columns = {"confidence": support / a, "lift": support * units / (a * b)}
    return pd.DataFrame({"source": source, "target": target, "support": support, **columns})
