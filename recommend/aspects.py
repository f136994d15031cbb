"""What re-rankers look at besides scores: vectors, categories, departments, and what a user usually buys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Catalogue, Level
from data.log import Log
from errors import InputError
from evaluation.ranking import Rankings
from evaluation.scorer import Problem
from evidence.histories import row_shares
from recommend.diversity import Candidates, Reranker
from training.scorer import CrossAisleScorer

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Aspects:
    """Of one level's items.

    Attributes:
        vectors: what the model's fusion made of graph and text, less their mean, shape (items, d).
        groups: the category of an item below the interest level, else the department, shape (items,).
        areas: the department, that is the node over the interest level, shape (items,).
        of_product: which product sits in which department, CSR of shape (products, departments).
    """

    vectors: FloatArray
    groups: IntArray
    areas: IntArray
    of_product: sp.csr_array

    @classmethod
    def of(cls, scorer: CrossAisleScorer, problem: Problem) -> Aspects:
        """Take them from the trained model and the catalogue.

        Raises:
            InputError: there is no level over the interest level to tell departments.
        """
        catalogue = problem.dataset.catalogue
        above = catalogue.above
        if above is None:
            remedy = "Leave diversity at 0, or train with an interest level that has a level over it."
            raise InputError("there is nothing over the interest level", where="diversity", remedy=remedy)
        vectors = scorer.fit(problem).vectors()
        areas = _first(catalogue, problem.level, above)
        groups = areas if problem.level is catalogue.interest else _first(catalogue, problem.level, catalogue.interest)
        return cls(vectors - vectors.mean(axis=0), groups, areas, above.of_product)

    def rerank(self, order: Reranker, pool: Rankings, history: Log, k: int) -> Rankings:
        """The chosen k of each user's pool, in their new order.

        Args:
            order: the re-ranker.
            pool: candidates of each user, best first.
            history: of the same users.
            k: length of the new lists.
        """
        usual = row_shares(history.counts(self.of_product))
        shape = (len(pool.items), min(k, pool.items.shape[1]))
        items, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        for user in range(len(items)):
            there = pool.items[user][pool.items[user] >= 0].astype(np.int64)
            shares = usual[[user]].toarray().ravel().astype(np.float64)
            known = pool.scores[user, : len(there)]
            candidates = Candidates(known, self.vectors[there], self.groups[there], self.areas[there], shares)
            chosen = order.rerank(candidates, k)
            items[user, : len(chosen)], scores[user, : len(chosen)] = there[chosen], known[chosen]
        return Rankings(pool.users, items, scores, pool.n_items)


def _first(catalogue: Catalogue, level: Level | None, above: Level) -> IntArray:
    """The node above that each item shares most products with, shape (items,)."""
    if level is None:
        return above.primary
    return np.asarray(catalogue.links(level, above).argmax(axis=1), dtype=np.int64).ravel()
