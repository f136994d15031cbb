"""What the graph tells of a user and an item: the ``BOUGHT_WITH`` that lead from their history to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from evaluation.scorer import FloatArray, IntArray
from kg.config import CoPurchaseConfig
from kg.copurchase import count

STRENGTHS = ("confidence", "lift", "support")
BoolArray = npt.NDArray[np.bool_]


class BoughtWith:
    """The ``BOUGHT_WITH`` relations among a level's nodes, as they stand in the graph at a cut-off.

    They are counted from the data by what the graph was loaded by (`kg.copurchase.count`, which defines them).

    Args:
        dataset: the shop's data; only what is before the cut-off is looked at.
        level: whose nodes they join.
        cutoff: end of their window.
        config: how they were counted.
        top_k: neighbours that each node kept.
    """

    def __init__(self, dataset: Dataset, level: Level, cutoff: int, config: CoPurchaseConfig, top_k: int) -> None:
        self._of_product = level.of_product
        found = count(dataset, level, cutoff, config, top_k)
        source, target = (level.index.get_indexer(pd.Index(found[end])) for end in ("source", "target"))
        order = np.argsort(target, kind="stable")
        self._source = source[order]
        self._starts = np.searchsorted(target[order], np.arange(len(level) + 1))
        self._strengths = found[list(STRENGTHS)].to_numpy(dtype=np.float32)[order]

    def bought(self, history: Log) -> BoolArray:
        """True where a user bought from a node, shape (b, nodes)."""
        return np.asarray((history.counts(self._of_product) > 0).toarray())

    def of(self, bought: BoolArray, user: IntArray, node: IntArray) -> FloatArray:
        """Statistics of the relations (a)-[:BOUGHT_WITH]->(node) with a in the user's history.

        Args:
            bought: from `bought`.
            user: rows of ``bought``, shape (m,).
            node: positions, −1 for none, shape (m,).

        Returns:
            Their number, and their largest confidence, lift and support, each 0 where there is none, shape (m, 4).
        """
        first = self._starts[np.maximum(node, 0)]
        size = np.where(node >= 0, self._starts[np.maximum(node, 0) + 1] - first, 0)
        pair = np.repeat(np.arange(len(node)), size)
        edge = np.arange(len(pair)) - np.repeat(np.cumsum(size) - size, size) + first[pair]
        known = bought[user[pair], self._source[edge]]
        pair, edge = pair[known], edge[known]
        out = np.zeros((len(node), 1 + len(STRENGTHS)), dtype=np.float32)
        out[:, 0] = np.bincount(pair, minlength=len(node))
        np.maximum.at(out[:, 1:], pair, self._strengths[edge])
        return out


def same_value(history: Log, codes: IntArray, user: IntArray, product: IntArray) -> FloatArray:
    """Number of products of a user's history that share the product's value of an attribute, shape (m,).

    Args:
        history: of b users.
        codes: each product's value, −1 for none, shape (products,).
        user: shape (m,).
        product: shape (m,).
    """
    known = np.flatnonzero(codes >= 0)
    ones = np.ones(len(known), dtype=np.float32)
    of_value = sp.csr_array((ones, (known, codes[known])), shape=(len(codes), int(codes.max(initial=0)) + 1))
    places = np.unique(history.user.astype(np.int64) * len(codes) + history.product)
    shape = (history.n_users, len(codes))
    bought = sp.csr_array((np.ones(len(places), dtype=np.float32), np.divmod(places, len(codes))), shape=shape)
    shared = (bought @ of_value).toarray()
    found = shared[user, np.maximum(codes[product], 0)]
    return np.where(codes[product] >= 0, found, 0).astype(np.float32)


def relations(
    dataset: Dataset, levels: Sequence[Level | None], cutoff: int, config: CoPurchaseConfig
) -> list[BoughtWith | None]:
    """The relations of each level from the interest level down; None for products, which have none."""
    sizes = [config.top_k, *[config.below_top_k] * (len(levels) - 1)]
    return [
        None if level is None else BoughtWith(dataset, level, cutoff, config, top_k)
        for level, top_k in zip(levels, sizes, strict=True)
    ]
