"""Whether a model's probabilities over the unseen categories are as large as they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from evaluation import metrics
from evaluation.ranking import Rankings


@dataclass(frozen=True)
class Reliability:
    """Told and found shares of the targets, by how large the told share is.

    Attributes:
        told: mean probability of each bin, rising.
        found: mean share of the user's targets in each bin.
        pairs: pairs of user and candidate in each bin.
    """

    told: list[float]
    found: list[float]
    pairs: list[int]

    @property
    def ece(self) -> float:
        """Expected calibration error, Σ_b pairs_b / pairs · |told_b − found_b|.

        Guo et al., "On calibration of modern neural networks", ICML 2017, with bins of equal numbers of pairs.
        """
        gaps = np.abs(np.subtract(self.told, self.found))
        return float(np.average(gaps, weights=self.pairs))


def reliability(rankings: Sequence[Rankings], wanted: Sequence[sp.csr_array], bins: int = 10) -> Reliability:
    """Compare exp(score) with the share of the user's targets that the candidate is.

    A score is log p(category | user), a softmax over the unseen categories: the chance that one of the user's next new
    purchases falls on the category, which is not the chance that the user buys from it at all. What it should equal on
    average is therefore the share 1 / n of a user's n targets for each target, and 0 for what is none. Only the listed
    candidates (a ranking's top k) are looked at, each pair of user and candidate once.

    Args:
        rankings: with log-probabilities as scores.
        wanted: for each the targets of its users, in their order, CSR of shape (users, items).
        bins: bins of (nearly) equal numbers of pairs, by the told probability.
    """
    parts = [_pairs(one, targets) for one, targets in zip(rankings, wanted, strict=True)]
    told, found = (np.concatenate(column) for column in zip(*parts, strict=True))
    return binned(told, found, bins)


def binned(told: npt.NDArray[np.float64], found: npt.NDArray[np.float64], bins: int = 10) -> Reliability:
    """Compare what was told of pairs with what was found.

    Args:
        told: probability or expected value of each pair, shape (n,).
        found: what came, shape (n,).
        bins: bins of (nearly) equal numbers of pairs, by what was told.
    """
    order = np.argsort(told, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return Reliability(
        [float(told[group].mean()) for group in groups],
        [float(found[group].mean()) for group in groups],
        [len(group) for group in groups],
    )


def _pairs(rankings: Rankings, wanted: sp.csr_array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Told and found share of each listed candidate of each user."""
    listed = rankings.items >= 0
    share = metrics.hits(rankings.items, wanted) / metrics.n_targets(wanted)[:, None]
    return np.exp(rankings.scores[listed].astype(np.float64)), share[listed]
