"""Several rankings of the same candidates as one: by reciprocal ranks, or with weights learnt on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from errors import InputError
from evaluation.ranking import Rankings, rank_batch

FloatArray = npt.NDArray[np.float64]
CONSTANT = 60.0


def reciprocal(rankings: Rankings, constant: float = CONSTANT) -> FloatArray:
    """1 / (constant + rank) of each item, rank from 1; 0 for what is not listed, shape (users, items)."""
    out = np.zeros((len(rankings.users), rankings.n_items))
    user, place = np.nonzero(rankings.items >= 0)
    out[user, rankings.items[user, place]] = 1 / (constant + place + 1)
    return out


def standardised(rankings: Rankings) -> FloatArray:
    """Scores less their mean over a user's list, over their deviation; the least of the list for what is not listed.

    Shape (users, items).
    """
    listed = rankings.items >= 0
    scores = np.where(listed, rankings.scores, np.nan).astype(np.float64)
    spread = np.nanstd(scores, axis=1, keepdims=True)
    scores = (scores - np.nanmean(scores, axis=1, keepdims=True)) / np.maximum(spread, 1e-9)
    out = np.repeat(np.nanmin(scores, axis=1, keepdims=True), rankings.n_items, axis=1)
    user, place = np.nonzero(listed)
    out[user, rankings.items[user, place]] = scores[user, place]
    return out


def reciprocal_rank_fusion(
    rankings: Sequence[Rankings], k: int, ties: npt.NDArray[np.int64], constant: float = CONSTANT
) -> Rankings:
    """Σ_m 1 / (constant + rank_m), Cormack, Clarke and Büttcher, SIGIR 2009.

    Args:
        rankings: of the same users, as deep as they are.
        k: length of the fused lists.
        ties: from `evaluation.ranking.tie_order`.
        constant: 60 in the paper.

    Raises:
        InputError: they are not of the same users and items.
    """
    _check(rankings)
    scores = np.sum([reciprocal(one, constant) for one in rankings], axis=0)
    return _ranked(rankings[0], scores, _listed(rankings), k, ties)


@dataclass(frozen=True)
class Stacking:
    """A weighted sum of each model's standardised scores and reciprocal ranks (Wolpert 1992).

    Attributes:
        weights: of the scores of each model, then of the reciprocal ranks, shape (2 models,).
    """

    weights: FloatArray

    @classmethod
    def fit(cls, rankings: Sequence[Rankings], wanted: sp.csr_array, regularisation: float = 1.0) -> Stacking:
        """Logistic regression of what was bought, over all candidates of the validation users.

        Args:
            rankings: of the validation users, by models that were not trained on what came after the cut-off.
            wanted: their targets in the rankings' order, CSR of shape (users, items).
            regularisation: inverse strength of the ridge on standardised inputs.

        Raises:
            InputError: they are not of the same users and items.
        """
        _check(rankings)
        listed = _listed(rankings)
        x = _inputs(rankings)[listed]
        scale = np.maximum(x.std(axis=0), 1e-9)
        found = LogisticRegression(C=regularisation, max_iter=500).fit(x / scale, (wanted > 0).toarray()[listed])
        return cls(found.coef_[0] / scale)

    def fuse(self, rankings: Sequence[Rankings], k: int, ties: npt.NDArray[np.int64]) -> Rankings:
        """The k best by the weighted sum; arguments as of `reciprocal_rank_fusion`, models in the order of `fit`."""
        _check(rankings)
        return _ranked(rankings[0], _inputs(rankings) @ self.weights, _listed(rankings), k, ties)


def _inputs(rankings: Sequence[Rankings]) -> FloatArray:
    """Shape (users, items, 2 models)."""
    return np.stack([*map(standardised, rankings), *map(reciprocal, rankings)], axis=2)


def _listed(rankings: Sequence[Rankings]) -> npt.NDArray[np.bool_]:
    """Whether any lists an item, shape (users, items)."""
    return np.any([reciprocal(one) > 0 for one in rankings], axis=0)


def _ranked(
    like: Rankings, scores: FloatArray, listed: npt.NDArray[np.bool_], k: int, ties: npt.NDArray[np.int64]
) -> Rankings:
    masked = np.where(listed, scores, -np.inf).astype(np.float32)
    return Rankings(like.users, *rank_batch(masked, min(k, like.n_items), ties), like.n_items)


def _check(rankings: Sequence[Rankings]) -> None:
    first = rankings[0]
    if any(one.n_items != first.n_items or not np.array_equal(one.users, first.users) for one in rankings):
        remedy = "Give rankings of one data set, level and cut-off."
        raise InputError("the rankings are not of the same users and items", where="ensemble", remedy=remedy)
