"""Diversity as a dial: re-rankers that trade a list's scores against its variety, in one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pyversity import dpp, mmr

from errors import InputError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
SMOOTHING = 0.01
STEEPEST = 4.0


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
    usual: npt.NDArray[np.float64]

    @property
    def relevance(self) -> FloatArray:
        """Scores brought to 1 (the best) … 0 (the last), so that they compare with cosines and shares."""
        span = float(self.scores[0] - self.scores[-1]) if len(self.scores) else 0.0
        return np.asarray((self.scores - self.scores[-1:]) / (span or 1.0), dtype=np.float32)


class Reranker(ABC):
    """Chooses a list from candidates.

    Args:
        diversity: 0 … 1; 0 is the plain order by score, 1 looks at variety alone as far as the method can.

    Raises:
        InputError: the diversity is not within 0 … 1.
    """

    name: ClassVar[str]

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

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        found = mmr(candidates.vectors, candidates.relevance, k, self.diversity)
        return found.indices.astype(np.int64)


class DeterminantalPointProcess(Reranker):
    """Greedy MAP of a determinantal point process: one by one what makes det(L) of the chosen largest.

    L = Diag(exp(α r)) S Diag(exp(α r)) with cosines S, scores r standardised over the candidates and
    α = (1 − d) / (2 d), no larger than 4, beyond which the order hardly differs from the plain one and float32 ends.
    Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process", NeurIPS 2018 (θ = 1 − d);
    `pyversity.dpp`, whose scale · (1 − d) is α.
    """

    name = "dpp"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        rest = 1 - self.diversity
        alpha = min(rest / (2 * self.diversity), STEEPEST)
        found = dpp(candidates.vectors, candidates.relevance, k, self.diversity, scale=alpha / rest if rest else 1.0)
        return found.indices.astype(np.int64)


class Calibrated(Reranker):
    """One by one the candidate with the largest (1 − d) · Σ relevance − d · KL(p ‖ q̃).

    p: the areas' shares in what the user bought, q: in the list, q̃ = (1 − .01) q + .01 p. Steck, "Calibrated
    recommendations", RecSys 2018 (λ = d). Without a history there is nothing to calibrate to: the plain order.
    """

    name = "calibrated"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        if not candidates.usual.any():
            return np.arange(k)
        counts, chosen = np.zeros(len(candidates.usual)), np.empty(k, dtype=np.int64)
        gain = (1 - self.diversity) * candidates.relevance.astype(np.float64)
        for place in range(k):
            apart = _divergence(candidates.usual, (counts + np.eye(len(counts))) / (place + 1))
            chosen[place] = np.argmax(gain - self.diversity * apart[candidates.areas])
            gain[chosen[place]] = -np.inf
            counts[candidates.areas[chosen[place]]] += 1
        return chosen


def _divergence(usual: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """KL(p ‖ q̃) of each row of shares, shape (m, areas) → (m,)."""
    smooth = (1 - SMOOTHING) * shares + SMOOTHING * usual
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = usual * np.log(usual / smooth)
    return np.asarray(np.where(usual > 0, terms, 0).sum(axis=1))


class GroupCap(Reranker):
    """The plain order with at most m of each group, m = max(1, round(k^(1 − d))); what is over the cap goes last."""

    name = "cap"

    def _choose(self, candidates: Candidates, k: int) -> IntArray:
        most = max(1, round(k ** (1 - self.diversity)))
        order = np.argsort(candidates.groups, kind="stable")
        begin = np.flatnonzero(np.diff(candidates.groups[order], prepend=-1))
        nth = np.empty(len(order), dtype=np.int64)
        nth[order] = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
        return np.argsort(nth >= most, kind="stable")[:k]


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
