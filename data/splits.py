"""The protocol in time: cut-offs, histories before them, targets after them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.catalogue import Level
from data.dataset import Dataset
from data.log import Log
from errors import InputError


@dataclass
class ProtocolConfig:
    """Global temporal split. All times are period numbers of the data (weeks on the built-in data).

    Attributes:
        test_cutoff: history before it, targets from it on; only for reporting.
        validation_cutoff: the cut-off that every choice is made on.
        train_cutoffs: sliding cut-offs to train on while choices are made; each horizon must end at or
            before the validation cut-off.
        refit_cutoffs: sliding cut-offs of the final training, once choices are made; each horizon must end
            at or before the test cut-off. Empty: no refit, the chosen model is reported as it is.
        horizon: number of periods after a cut-off in which targets are looked for.
        test_cutoffs: several test windows, rising, such as ``33,40,47``: each is trained and tested apart, with all
            other cut-offs moved along with it (see `data.windows`). None: ``test_cutoff`` alone.
    """

    test_cutoff: int = 47
    validation_cutoff: int = 40
    train_cutoffs: list[int] = field(default_factory=lambda: [16, 20, 24, 28, 33])
    refit_cutoffs: list[int] = field(default_factory=lambda: [16, 20, 24, 28, 33, 38, 40])
    horizon: int = 7
    test_cutoffs: list[int] | None = None

    @property
    def cutoffs(self) -> list[int]:
        """Every cut-off, sorted."""
        return sorted({*self.train_cutoffs, *self.refit_cutoffs, self.validation_cutoff, self.test_cutoff})

    def check(self, log: Log) -> None:
        """Refuse cut-offs that leak or that lie outside the data.

        Raises:
            InputError: with the field, its value and what to change.
        """
        first, last = (int(log.time[0]), int(log.time[-1])) if len(log) else (0, 0)
        if self.horizon < 1:
            raise InputError(f"horizon is {self.horizon}", where="protocol.horizon", remedy="Give 1 or more.")
        limits = [("train_cutoffs", self.train_cutoffs, self.validation_cutoff)]
        limits += [("validation_cutoff", [self.validation_cutoff], self.test_cutoff)]
        limits += [("refit_cutoffs", self.refit_cutoffs, self.test_cutoff)]
        if not self.train_cutoffs:
            raise InputError("no cut-off to train on", where="protocol.train_cutoffs", remedy="Give at least one.")
        for name, cutoffs, limit in limits:
            for cutoff in cutoffs:
                end = cutoff + self.horizon
                if end > limit:
                    raise InputError(
                        f"the horizon of cut-off {cutoff} ends at {end}, after {limit}: a leak",
                        where=f"protocol.{name}",
                        remedy=f"Give cut-offs of at most {limit - self.horizon}, or a shorter horizon.",
                    )
        earliest = [("train_cutoffs", min(self.train_cutoffs)), *(("refit_cutoffs", c) for c in self.refit_cutoffs)]
        for name, cutoff in [("test_cutoff", self.test_cutoff), *earliest]:
            if not first < cutoff <= last:
                raise InputError(
                    f"cut-off {cutoff} lies outside the data, which spans periods {first} to {last}",
                    where=f"protocol.{name}",
                    remedy="Give cut-offs with interactions before and after them.",
                )

    def notes(self, log: Log) -> list[str]:
        """What is sound but should be told: the test targets are looked for beyond the end of the data."""
        end, last = self.test_cutoff + self.horizon - 1, int(log.time[-1])
        short = f"the data ends with period {last}, the test targets' horizon with {end}: some targets may be missing"
        return [short] if last < end else []


@dataclass(frozen=True)
class Targets:
    """What users bought after a cut-off from nodes that were unseen before it.

    Attributes:
        unseen: True where the user has no interaction with the category before the cut-off, shape
            (users, categories), bool. (Categories are few; products are never a dense axis.)
        hits: nodes (of the asked level) first met in the horizon, CSR of shape (users, nodes), binary.
    """

    unseen: npt.NDArray[np.bool_]
    hits: sp.csr_array

    @property
    def users(self) -> npt.NDArray[np.int64]:
        """Rows of users with at least one target."""
        return np.flatnonzero(np.diff(self.hits.indptr) > 0)


def unseen_categories(history: Log, interest: Level) -> npt.NDArray[np.bool_]:
    """True where a user has no interaction with a category, shape (n_users, categories)."""
    return ~(history.counts(interest.of_product) > 0).toarray()


def blocked(unseen: npt.NDArray[np.bool_], membership: sp.csr_array) -> npt.NDArray[np.bool_]:
    """True where an item sits in any category that the user has already bought from.

    Args:
        unseen: shape (b, categories).
        membership: which item sits in which category, shape (items, categories).

    Returns:
        Shape (b, items).
    """
    return np.asarray((membership @ (~unseen).T.astype(np.float32)).T > 0)


def targets(dataset: Dataset, level: Level | None, cutoff: int, horizon: int) -> Targets:
    """Targets at a level (None: products): first met in the horizon, within unseen categories only.

    At levels below the interest level everything in an already-bought category is masked, so what remains
    was never bought before.
    """
    catalogue = dataset.catalogue
    interest = catalogue.interest
    unseen = unseen_categories(dataset.log.before(cutoff), interest)
    n_products = len(catalogue.product_ids)
    of_product = sp.eye_array(n_products, dtype=np.float32, format="csr") if level is None else level.of_product
    future = dataset.log.between(cutoff, cutoff + horizon)
    bought = sp.coo_array(future.counts(of_product))
    if level is interest:
        free = unseen[bought.row, bought.col]
    else:
        membership = interest.of_product if level is None else catalogue.links(level, interest)
        free = _free_pairs(bought, unseen, sp.csr_array(membership))
    ones = np.ones(int(free.sum()), dtype=np.float32)
    hits = sp.csr_array((ones, (bought.row[free], bought.col[free])), shape=bought.shape)
    return Targets(unseen, hits)


def _free_pairs(bought: sp.coo_array, unseen: npt.NDArray[np.bool_], membership: sp.csr_array) -> npt.NDArray[np.bool_]:
    """For each (user, item) pair: is every category of the item unseen by the user?"""
    seen = sp.csr_array(~unseen, dtype=np.float32)
    touched = membership[bought.col].multiply(seen[bought.row]).sum(axis=1)
    in_category = np.diff(membership.indptr)[bought.col] > 0
    return (np.asarray(touched).ravel() == 0) & in_category
