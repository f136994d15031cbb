"""The one contract of everything that scores: what it is fitted on, what it is asked, what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Counting = Literal["binary", "log"]


@dataclass(frozen=True)
class Problem:
    """What there is to rank, and what is known at a cut-off: `history` ends before it.

    Attributes:
        dataset: the shop.
        level: level whose nodes are the items; None: the products are the items.
        cutoff: moment of prediction.
    """

    dataset: Dataset
    level: Level | None
    cutoff: int

    @property
    def name(self) -> str:
        """The level's name, or "product"."""
        return "product" if self.level is None else self.level.name

    @cached_property
    def history(self) -> Log:
        """All users' interactions before the cut-off."""
        return self.dataset.log.before(self.cutoff)

    @cached_property
    def of_product(self) -> sp.csr_array:
        """Which product belongs to which item, CSR of shape (products, items); the identity for products."""
        if self.level is not None:
            return self.level.of_product
        return sp.csr_array(sp.eye_array(len(self.dataset.catalogue.product_ids), dtype=np.float32, format="csr"))

    @cached_property
    def item_ids(self) -> npt.NDArray[np.str_]:
        """Ids of the items as in the source, shape (items,)."""
        return self.dataset.catalogue.product_ids if self.level is None else self.level.ids

    @cached_property
    def membership(self) -> sp.csr_array:
        """Which item sits in which category, CSR of shape (items, categories).

        At the interest level an item is its own category only, even where products sit in several.
        """
        catalogue = self.dataset.catalogue
        if self.level is None:
            return catalogue.interest.of_product
        if self.level is catalogue.interest:
            return sp.csr_array(sp.eye_array(len(self.level), dtype=np.float32, format="csr"))
        return catalogue.links(self.level, catalogue.interest)

    @cached_property
    def interactions(self) -> sp.csr_array:
        """Number of each user's interactions with each item, CSR of shape (users, items), float32."""
        return self.counts(self.history)

    def counts(self, history: Log) -> sp.csr_array:
        """Number of interactions with each item in any log, CSR of shape (n_users of the log, items)."""
        counts = history.counts(self.of_product)
        counts.sort_indices()
        return counts

    def at(self, cutoff: int) -> Problem:
        """The same items at another cut-off."""
        return Problem(self.dataset, self.level, cutoff)

    def __len__(self) -> int:
        return self.of_product.shape[1]


class Scorer(ABC):
    """Gives every item a score for every user; higher is better.

    Attributes:
        name: how tables call it.
        config: a dataclass with all its settings, or None.
    """

    name: str
    config: Any = None

    @abstractmethod
    def fit(self, problem: Problem) -> Self:
        """Learn from the problem's history, and from nothing at or after its cut-off.

        Fitting again forgets what was fitted before.
        """

    @abstractmethod
    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """Score all items for a batch of users. A user is their history: the same history, the same scores.

        Args:
            history: the batch's own interactions before the cut-off; user rows are 0 … b − 1.
            rows: each user's row in the fitted population, −1 where unknown, shape (b,). Only to leave a
                user out of their own neighbours.

        Returns:
            Shape (b, items), float32. −inf means "never recommend"; NaN is refused by `evaluation.ranking`.
        """


def weigh(counts: sp.csr_array, counting: Counting) -> sp.csr_array:
    """Interactions as a model sees them: 1 per bought item ("binary") or log(1 + count) ("log")."""
    weighed = counts.astype(np.float32, copy=True)
    weighed.data = np.ones_like(weighed.data) if counting == "binary" else np.log1p(weighed.data)
    return weighed
