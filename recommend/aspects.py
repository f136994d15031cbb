"""What re-rankers look at besides scores: vectors, categories, departments, and what a user usually buys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

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
        groups: the category of an item below the interest level, else the department, shape (items,); None where
            there is none.
        areas: the department, that is the node over the interest level, shape (items,); None where there is none.
        of_product: which product sits in which department, CSR of shape (products, departments).
    """

    vectors: FloatArray
    groups: IntArray | None
    areas: IntArray | None
    of_product: sp.csr_array

    @classmethod
    def of(cls, scorer: CrossAisleScorer, problem: Problem) -> Aspects:
        """Take them from the trained model and the catalogue."""
        catalogue, level = problem.dataset.catalogue, problem.level
        above, interest = catalogue.above, catalogue.interest
        vectors = scorer.fit(problem).vectors()
        areas = None if above is None else catalogue.first_above(level, above)
        groups = areas if level is interest else catalogue.first_above(level, interest)
        none = sp.csr_array((len(catalogue.product_ids), 1), dtype=np.float32)
        return cls(vectors - vectors.mean(axis=0), groups, areas, none if above is None else above.of_product)

    def rerank(self, order: Reranker, pool: Rankings, history: Log, k: int) -> Rankings:
        """The chosen k of each user's pool, in their new order.

        Args:
            order: the re-ranker.
            pool: candidates of each user, best first.
            history: of the same users.
            k: length of the new lists.

        Raises:
            InputError: the re-ranker looks at departments and there are none.
        """
        if getattr(self, order.looks_at) is None:
            remedy = "Use mmr or dpp, or train with an interest level that has a level over it."
            raise InputError(f"{order.name} needs a level over the interest level", where="reranker", remedy=remedy)
        usual = row_shares(history.counts(self.of_product))
        shape = (len(pool.items), min(k, pool.items.shape[1]))
        items, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        for user, listed in enumerate(pool.items):
            there = listed[listed >= 0].astype(np.int64)
            known = pool.scores[user, : len(there)]
            chosen = order.rerank(self._candidates(there, known, usual[[user]]), k)
            items[user, : len(chosen)], scores[user, : len(chosen)] = there[chosen], known[chosen]
        return Rankings(pool.users, items, scores, pool.n_items)

    def _candidates(self, items: IntArray, scores: FloatArray, usual: sp.csr_array) -> Candidates:
        none = np.zeros(len(items), dtype=np.int64)
        groups = none if self.groups is None else self.groups[items]
        areas = none if self.areas is None else self.areas[items]
        return Candidates(scores, self.vectors[items], groups, areas, usual.toarray().ravel().astype(np.float64))
