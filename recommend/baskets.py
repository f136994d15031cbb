"""Baskets as sets of products, and questions made of them: which product was taken out?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.log import Log
from errors import InputError

IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FEWEST = 3


@dataclass(frozen=True)
class Baskets:
    """Baskets of a log.

    Attributes:
        held: 1 where a basket holds a product, CSR of shape (baskets, products), float32.
        users: who bought each, shape (baskets,).
        times: period of each, shape (baskets,).
    """

    held: sp.csr_array
    users: IntArray
    times: IntArray

    @classmethod
    def of(cls, log: Log, n_products: int) -> Baskets:
        """All baskets of a log."""
        first, codes = np.unique(log.basket, return_index=True, return_inverse=True)[1:]
        ones = np.ones(len(log), dtype=np.float32)
        held = sp.csr_array((ones, (codes, log.product)), shape=(len(first), n_products))
        held.sum_duplicates()
        held.data[:] = 1
        return cls(held, log.user[first].astype(np.int64), log.time[first].astype(np.int64))

    def where(self, kept: Mask) -> Baskets:
        """Those that are kept, shape (baskets,)."""
        return Baskets(sp.csr_array(self.held[kept]), self.users[kept], self.times[kept])


@dataclass(frozen=True)
class Questions:
    """Sets with one product taken out.

    Attributes:
        sets: what is left, CSR of shape (n, products), binary.
        hidden: what was taken out, shape (n,).
        users: whose they are, shape (n,).
        times: period of each, shape (n,).
    """

    sets: sp.csr_array
    hidden: IntArray
    users: IntArray
    times: IntArray

    def where(self, kept: Mask) -> Questions:
        """Those that are kept, shape (n,)."""
        return Questions(sp.csr_array(self.sets[kept]), self.hidden[kept], self.users[kept], self.times[kept])


def questions(baskets: Baskets, most: int, groups: IntArray | None = None, seed: int = 0) -> Questions:
    """Take a product out of baskets of three or more, at most one basket of each user while there are users.

    Args:
        baskets: where from.
        most: number of questions at most.
        groups: group (category) of each product, shape (products,): what is taken out is then the only one of its
            group in the basket, and products without a group are left out; None: any product may be taken out.
        seed: of the draws.

    Raises:
        InputError: no basket can be asked about.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(baskets.held.shape[0])
    nth = _nth_of_user(baskets.users[order])
    rows, hidden = [], []
    for row in order[np.argsort(nth, kind="stable")]:
        may = _removable(baskets.held.indices[baskets.held.indptr[row] : baskets.held.indptr[row + 1]], groups)
        if len(may):
            rows.append(int(row))
            hidden.append(int(rng.choice(may)))
        if len(rows) == most:
            break
    if not rows:
        remedy = "Bundles need baskets with three or more products; see `basket_id`."
        raise InputError("no basket has three products", where="bundle", remedy=remedy)
    taken = np.array(hidden, dtype=np.int64)
    return Questions(_without(sp.csr_array(baskets.held[rows]), taken), taken, baskets.users[rows], baskets.times[rows])


def _removable(held: npt.NDArray[np.int32], groups: IntArray | None) -> npt.NDArray[np.int32]:
    """Products of a basket that may be taken out; none of one that is too small."""
    if len(held) < FEWEST:
        return held[:0]
    if groups is None:
        return held
    _, place, number = np.unique(groups[held], return_inverse=True, return_counts=True)
    return held[(number[place] == 1) & (groups[held] >= 0)]


def _without(sets: sp.csr_array, taken: IntArray) -> sp.csr_array:
    entries = sp.coo_array(sets)
    kept = entries.col != taken[entries.row]
    return sp.csr_array((entries.data[kept], (entries.row[kept], entries.col[kept])), shape=sets.shape)


def _nth_of_user(users: IntArray) -> IntArray:
    """How many earlier entries are of the same user, shape (n,)."""
    order = np.argsort(users, kind="stable")
    begin = np.flatnonzero(np.diff(users[order], prepend=-1))
    nth = np.empty(len(users), dtype=np.int64)
    nth[order] = np.arange(len(users)) - np.repeat(begin, np.diff(np.append(begin, len(users))))
    return nth
