"""Products for a text: what the language model finds, widened over the graph, blended with a user's interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch

from data.catalogue import Level
from data.histories import at_moment
from data.log import Log
from data.rejects import Rejects
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from errors import InputError
from evaluation.ranking import Rankings, rank_batch, tie_order
from evidence.histories import row_shares
from kg.schema import BOUGHT_WITH, level_labels
from recommend.aspects import Aspects
from recommend.diversity import Reranker
from recommend.lists import Asked, Ranker, Wish, pool_size
from training.build import text_plan
from training.loaded import LoadedRun
from training.module import TextPlan
from training.queries import load_queries

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
TEMPERATURE = 0.05
INTEREST, GRAPH, MOST_OWN = 0.2, 0.2, 0.7
TEXTS = "texts"
FAR = 0.3


@dataclass(frozen=True)
class Blend:
    """What counts in the score of a product i of category c, beside the text.

    score = ((1 − g) · t_i + g · Σ_c' A_cc' t_c') / τ + w · log p(i | user), with t_i = o · cos(query, text of the
    product) + (1 − o) · the largest cosine with a text of what it sits in, t_c' the largest t of the products of c', A
    the co-purchases.

    Attributes:
        interest: w ≥ 0; 0: the user does not count.
        graph: g, 0 … 1: how much the text of the categories that c is bought with counts.
        own: o, 0 … 1: how much a product's own text counts against those of its place in the catalogue; None: the
            number of distinct texts for each product, at most .7: titles tell products apart, sizes do not.

    Raises:
        InputError: a weight is out of range.
    """

    interest: float = INTEREST
    graph: float = GRAPH
    own: float | None = None

    def __post_init__(self) -> None:
        if not self.interest >= 0:
            raise InputError(f"interest is {self.interest:g}", where="interest", remedy="Give 0 or more.")
        for name, value in (("graph", self.graph), ("own", self.own)):
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} is {value:g}", where=name, remedy="Give a number from 0 to 1.")


def widened(likeness: FloatArray, of_item: IntArray, links: sp.csr_array, weight: float) -> FloatArray:
    """Likeness of items to a query, mixed with that of the categories that theirs is linked with.

    One step of propagation along normalised links, as in APPNP (Gasteiger et al., "Predict then propagate", ICLR
    2019), from the largest likeness in each category.

    Args:
        likeness: of the items, shape (items,).
        of_item: category of each item, −1 for none, shape (items,).
        links: from categories to those that they are linked with, rows summing to 1, shape (categories, categories).
        weight: of the linked categories' share, 0 … 1. An item without a category, or whose category has no link,
            keeps its likeness.

    Returns:
        Shape (items,).
    """
    top = np.full(links.shape[0], -1.0, dtype=np.float32)
    inside = of_item >= 0
    np.maximum.at(top, of_item[inside], likeness[inside])
    linked = np.diff(links.indptr) > 0
    carried = inside & linked[np.maximum(of_item, 0)]
    out = likeness.copy()
    out[carried] = (1 - weight) * likeness[carried] + weight * (links @ top)[of_item[carried]]
    return out


class Searcher:
    """Finds a run's products by text.

    Args:
        run: a loaded run.
        bank: of all its texts; its encoder reads the queries.
        plan: where each label's texts are in the bank.
        temperature: τ, by which cosines are made logarithms of odds.
    """

    def __init__(self, run: LoadedRun, bank: TextBank, plan: TextPlan, temperature: float = TEMPERATURE) -> None:
        self.run, self.bank, self.plan, self.temperature = run, bank, plan, temperature

    @classmethod
    def of(cls, run: LoadedRun, queries: Path | None = None) -> Self:
        """With the run's own text encoder, or with one that was tuned for queries.

        Args:
            run: a loaded run.
            queries: folder of `training.queries.save_queries`; the catalogue's texts are encoded anew, once, and kept
                in it.

        Raises:
            InputError: the folder holds no tuned weights.
        """
        module = run.scorer.module
        if queries is None:
            return cls(run, module.bank, module.plan)
        encoder, temperature = load_queries(queries)
        plan, texts = text_plan(run.dataset)
        return cls(run, TextBank(encoder, texts, FrozenCache(queries / TEXTS)), plan, temperature)

    def likeness(self, query: str, own: float | None = None) -> FloatArray:
        """How alike a query is to each product and its place in the catalogue (`Blend`), shape (products,).

        Of the taxonomy count the interest level and the one below it.
        """
        with torch.inference_mode():
            vector = self.bank.encoder.encode([query], progress=False)
            cosines = (self.bank.distinct() @ vector[0].to(self.bank.cache.device)).float().cpu().numpy()
        product, *places = (cosines[texts] for texts in self._texts)
        share = self._own if own is None else own
        return np.asarray(share * product + (1 - share) * np.max(places, axis=0), dtype=np.float32)

    def lists(
        self,
        queries: Sequence[str],
        ranker: Ranker,
        aspects: Aspects,
        asked: Asked,
        blend: Blend,
        wish: Wish,
        order: Reranker,
        rejects: Rejects,
    ) -> pd.DataFrame:
        """A list of products for each query.

        Args:
            queries: checked, not empty.
            ranker: of the products.
            aspects: of the products.
            asked: one user.
            blend: weights.
            wish: length, what may stand in the lists.
            order: the re-ranker.
            rejects: notes what is amiss with a query.

        Raises:
            InputError: nothing passes the filters.
        """
        interest = ranker.scores(at_moment(asked.history, ranker.problem.cutoff), asked.rows, wish)[0]
        interest[~wish.passed] = -np.inf
        if not np.isfinite(interest).any():
            remedy = "Widen the filters."
            raise InputError("no product passes the filters", where="filters", remedy=remedy)
        found = [self._list(query, interest, aspects, asked.history, blend, wish, order) for query in queries]
        items, scores, best = zip(*found, strict=True)
        self._note(queries, np.array(best), (np.stack(items) >= 0).sum(axis=1), wish.k, rejects)
        ranked = Rankings(np.arange(len(queries)), np.stack(items), np.stack(scores), len(ranker.problem))
        told = Asked(np.array(queries, dtype=object), np.full(len(queries), -1), asked.history)
        return ranker.frame(told, ranked).rename(columns={"user_id": "query"})

    def _list(
        self,
        query: str,
        interest: FloatArray,
        aspects: Aspects,
        history: Log,
        blend: Blend,
        wish: Wish,
        order: Reranker,
    ) -> tuple[npt.NDArray[np.int32], FloatArray, float]:
        """Items and scores, each of shape (k,), and the best cosine of all candidates."""
        likeness = self.likeness(query, blend.own)
        mixed = widened(likeness, self._category, self._links, blend.graph)
        there = np.isfinite(interest)
        scores = np.where(there, mixed / self.temperature + blend.interest * np.where(there, interest, 0), -np.inf)
        pool = self._pool(scores.astype(np.float32), wish.k)
        chosen = aspects.rerank(order, pool, history, wish.k)
        items, kept = np.full(wish.k, -1, dtype=np.int32), np.full(wish.k, -np.inf, dtype=np.float32)
        size = chosen.items.shape[1]
        items[:size], kept[:size] = chosen.items[0], chosen.scores[0]
        return items, kept, float(likeness[there].max())

    def _pool(self, scores: FloatArray, k: int) -> Rankings:
        """The best candidates with at most k of a category, so that no large category fills all places."""
        ordered = np.lexsort((-scores, self._category))
        begin = np.flatnonzero(np.diff(self._category[ordered], prepend=-2))
        sizes = np.diff(np.append(begin, len(ordered)))
        nth = np.arange(len(ordered)) - np.repeat(begin, sizes)
        few = scores.copy()
        few[ordered[nth >= k]] = -np.inf
        items, best = rank_batch(few[None], min(pool_size(k), len(scores)), self._ties)
        return Rankings(np.zeros(1, dtype=np.int64), items, best, len(scores))

    def _note(
        self, queries: Sequence[str], best: npt.NDArray[np.float64], sizes: IntArray, k: int, rejects: Rejects
    ) -> None:
        frame = pd.DataFrame({"query": [query[:60] for query in queries]})
        limit = self.bank.encoder.limit
        cut = self.bank.encoder.tokenize(queries).lengths.numpy() >= limit
        rejects.drop(frame, cut, "queries", "query", f"only the first {limit} tokens are read")
        far = np.array([f"nothing is near it: largest cosine {value:.2f}" for value in best], dtype=object)
        rejects.drop(frame, best < FAR, "queries", "query", far[best < FAR])
        short = np.array([f"only {n} of {k} candidates" for n in sizes], dtype=object)
        rejects.drop(frame, sizes < k, "queries", "query", short[sizes < k])

    @cached_property
    def _levels(self) -> list[Level]:
        catalogue = self.run.dataset.catalogue
        return [level for level in (catalogue.interest, catalogue.below) if level is not None]

    @cached_property
    def _texts(self) -> list[IntArray]:
        """For the products and each level: which distinct text each product has there, shape (products,)."""
        labels = level_labels(self.run.dataset)
        inverse = self.bank.inverse.cpu().numpy()
        first, last = self.plan.spans[self.plan.leaf]
        found = [inverse[first:last]]
        for level in self._levels:
            texts = inverse[slice(*self.plan.spans[labels[level.name]])]
            found.append(np.where(level.primary >= 0, texts[np.maximum(level.primary, 0)], found[0]))
        return found

    @cached_property
    def _own(self) -> float:
        """Share of a product's own text by default."""
        texts = self._texts[0]
        return min(MOST_OWN, len(np.unique(texts)) / len(texts))

    @cached_property
    def _category(self) -> IntArray:
        return self.run.dataset.catalogue.interest.primary

    @cached_property
    def _ties(self) -> IntArray:
        return tie_order(self.run.dataset.catalogue.product_ids)

    @cached_property
    def _links(self) -> sp.csr_array:
        """Co-purchases of categories in the graph at the cut-off, in either direction, rows summing to 1."""
        label = level_labels(self.run.dataset)[self.run.dataset.catalogue.interest_level]
        size = len(self.run.dataset.catalogue.interest)
        total = sp.csr_array((size, size), dtype=np.float32)
        for (source, name, target), matrix in self.run.scorer.cutoff.graph.contracted.matrices.items():
            if source == target == label and BOUGHT_WITH in name:
                parts = (matrix.values(), matrix.col_indices(), matrix.crow_indices())
                total = total + sp.csr_array(tuple(part.cpu().numpy() for part in parts), shape=matrix.shape)
        return row_shares(sp.csr_array(total))


def checked_queries(query: str | Sequence[str]) -> list[str]:
    """One or several queries as a list.

    Raises:
        InputError: there is none, or one is empty.
    """
    queries = [query] if isinstance(query, str) else [str(one) for one in query]
    if not queries or not all(text.strip() for text in queries):
        raise InputError("the query is empty", where="query", remedy='Give a few words, such as "a beach holiday".')
    return queries


def nobody() -> Asked:
    """Somebody of whom nothing is known: their interest is what is popular."""
    none: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
    money: FloatArray = np.empty(0, dtype=np.float32)
    history = Log(none, none, none, money, money, none, none, n_users=1)
    return Asked(np.array([""]), np.full(1, -1), history)
