"""Diversity as a dial: re-rankers that trade a list's scores against its variety, in one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pyversity import mmr
from sklearn.preprocessing import normalize

from errors import InputError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
SMOOTHING = 0.01
NOTHING_LEFT = 1e-9


@dataclass(frozen=True)
class Candidates:
    """One user's candidates, best first.

    Attributes:
        scores: falling, shape (n,).
        vectors: what their distance is measured by, shape (n, d).
        groups: what a list shall not have too many of, shape (n,): of a product its category, of a category its
            department.
        areas: what a list shall hold the user's usual shares of, shape (n,): the department.
        usual: share of each area in what the user bought, shape (areas,); all 0 for a user without history.
    """

    scores: FloatArray
    vectors: FloatArray
    groups: IntArray
    areas: IntArray
    usual: Shares

    @property
    def relevance(self) -> FloatArray:
        """Scores brought to 1 (the best) … 0 (the last), so that they compare with cosines and shares."""
        span = float(self.scores[0] - self.scores[-1]) if len(self.scores) else 0.0
        return np.asarray((self.scores - self.scores[-1:]) / (span or 1.0), dtype=np.float32)


class Reranker(ABC):
    """Chooses a list from candidates.

    Attributes:
        name: how people call it.
        looks_at: what of the candidates it looks at besides their scores.

    Args:
        diversity: 0 … 1; 0 is the plain order by score, 1 looks at variety alone as far as the method can.

    Raises:
        InputError: the diversity is not within 0 … 1.
    """

    name: ClassVar[str]
    looks_at: ClassVar[Literal["vectors", "groups", "areas"]]

    def __init__(self, diversity: float) -> None:
        if not 0 <= diversity <= 1:
            raise InputError(f"diversity is {diversity:g}", where="diversity", remedy="Give a number from 0 to 1.")
        self.diversity = diversity

    def rerank(self, candidates: Candidates, k: int) -> IntArray:
        """Places among the candidates of the chosen ones, in their new order, shape (min(k, n),)."""
        size = min(k, len(candidates.scores))
        if self.diversity == 0 or size == 0:
            return np.arange(size)
        return self._choose(candidates, size)

    @abstractmethod
    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        """As `rerank`, with 0 < diversity and 0 < k ≤ n."""


class MaximalMarginalRelevance(Reranker):
    """One by one the candidate with the largest (1 − d) · relevance − d · largest cosine to those chosen.

    Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998 (λ = 1 − d); `pyversity.mmr`.
    """

    name = "mmr"
    looks_at = "vectors"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        found = mmr(candidates.vectors, candidates.relevance, k, self.diversity)
        return found.indices.astype(np.int64)


class DeterminantalPointProcess(Reranker):
    """Greedy MAP of a determinantal point process: one by one what makes det(L) of the chosen largest.

    L = Diag(exp(α r)) S Diag(exp(α r)) with relevance r, cosines S and α = (1 − d) / (2 d), so that the logarithm of
    the determinant grows by 2 α r + log(what the chosen leave of the candidate's vector). Chen, Zhang and Zhou, "Fast
    greedy MAP inference for determinantal point process", NeurIPS 2018 (θ = 1 − d), with the weights kept in
    logarithms: `pyversity.dpp` holds L itself in float32, where they overflow for a small d.
    """

    name = "dpp"
    looks_at = "vectors"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        unit = normalize(candidates.vectors.astype(np.float64))
        gain = candidates.relevance * (1 - self.diversity) / max(self.diversity, NOTHING_LEFT)
        rest, parts = np.ones(len(unit)), np.zeros((len(unit), k))
        chosen = np.empty(k, dtype=np.int64)
        for place in range(k):
            worth = gain + np.log(rest)
            worth[chosen[:place]] = -np.inf
            best = chosen[place] = np.argmax(worth)
            parts[:, place] = (unit @ unit[best] - parts[:, :place] @ parts[best, :place]) / np.sqrt(rest[best])
            rest = np.maximum(rest - parts[:, place] ** 2, NOTHING_LEFT)
        return chosen


class Calibrated(Reranker):
    """One by one the candidate with the largest (1 − d) · Σ relevance − d · KL(p ‖ q̃).

    p: the areas' shares in what the user bought, q: in the list, q̃ = (1 − .01) q + .01 p. Steck, "Calibrated
    recommendations", RecSys 2018 (λ = d). Without a history there is nothing to calibrate to: the plain order.
    """

    name = "calibrated"
    looks_at = "areas"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        if not candidates.usual.any():
            return np.arange(k)
        counts, chosen = np.zeros(len(candidates.usual)), np.empty(k, dtype=np.int64)
        gain = (1 - self.diversity) * candidates.relevance.astype(np.float64)
        for place in range(k):
            nearer = _nearer(candidates.usual, counts, place + 1)
            chosen[place] = np.argmax(gain + self.diversity * nearer[candidates.areas])
            gain[chosen[place]] = -np.inf
            counts[candidates.areas[chosen[place]]] += 1
        return chosen


def _nearer(usual: Shares, counts: Shares, size: int) -> Shares:
    """By how much KL(p ‖ q̃) falls with one more of each area in a list that will have ``size``, shape (areas,).

    Of the sum over areas only the area's own term changes: p log((q̃ + (1 − .01) / size) / q̃).
    """
    smooth = (1 - SMOOTHING) * counts / size + SMOOTHING * usual
    more = (1 - SMOOTHING) / size
    return np.where(usual > 0, usual * np.log1p(more / np.where(usual > 0, smooth, 1)), 0)


class GroupCap(Reranker):
    """In rounds, in each at most m more of a group by the plain order, m = max(1, round(k^(1 − d)))."""

    name = "cap"
    looks_at = "groups"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        most = max(1, round(k ** (1 - self.diversity)))
        order = np.argsort(candidates.groups, kind="stable")
        begin = np.flatnonzero(np.diff(candidates.groups[order], prepend=-2))  # −1: without a group
        nth = np.empty(len(order), dtype=np.int64)
        nth[order] = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
        return np.argsort(nth // most, kind="stable")[:k]


RERANKERS: dict[str, type[Reranker]] = {
    kind.name: kind for kind in (MaximalMarginalRelevance, DeterminantalPointProcess, Calibrated, GroupCap)
}


def reranker(name: str, diversity: float) -> Reranker:
    """The re-ranker of a name.

    Raises:
        InputError: there is none, or the diversity is not within 0 … 1.
    """
    if name not in RERANKERS:
        raise InputError(f"there is no {name!r}", where="reranker", remedy=f"Use one of {', '.join(RERANKERS)}.")
    return RERANKERS[name](diversity)
