"""The interactions in integers, sorted by time, and slices of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

FEW = 8  # users for whom an index by user is worth its making, and what was counted is kept


@dataclass(frozen=True)
class Log:
    """Interactions as parallel arrays, all of shape (n,), sorted by time.

    Attributes:
        user: row of the user in this log's ``n_users``.
        product: position in the catalogue.
        time: period number.
        quantity: how many.
        value: money spent.
        basket: number of the basket (unique over users).
        store: number of the store, −1 where unknown.
        n_users: number of users, those without an interaction here included.
    """

    user: npt.NDArray[np.int32]
    product: npt.NDArray[np.int32]
    time: npt.NDArray[np.int32]
    quantity: npt.NDArray[np.float32]
    value: npt.NDArray[np.float32]
    basket: npt.NDArray[np.int32]
    store: npt.NDArray[np.int32]
    n_users: int

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def n_active(self) -> int:
        """Number of users with an interaction here."""
        return len(np.unique(self.user))

    def between(self, start: int, end: int) -> Log:
        """Interactions with start ≤ time < end; a view, nothing is copied."""
        low, high = np.searchsorted(self.time, [start, end])
        return self._slice(slice(int(low), int(high)))

    def before(self, end: int) -> Log:
        """Interactions with time < end; a view, nothing is copied."""
        return self._slice(slice(0, int(np.searchsorted(self.time, end))))

    def where(self, kept: npt.NDArray[np.bool_]) -> Log:
        """The interactions that are kept, shape (n,); a copy."""
        arrays = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name != "n_users"}
        return Log(**arrays, n_users=self.n_users)

    def of_users(self, users: npt.NDArray[np.int64]) -> Log:
        """Interactions of some users, who become rows 0 … len(users) − 1 in the given order.

        Args:
            users: distinct rows, shape (b,).
        """
        row = np.full(self.n_users, -1, dtype=np.int32)
        row[users] = np.arange(len(users), dtype=np.int32)
        kept = self._of_few(users) if len(users) <= FEW else np.flatnonzero(row[self.user] >= 0)
        arrays = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name != "n_users"}
        arrays["user"] = row[arrays["user"]]
        return Log(**arrays, n_users=len(users))

    def _of_few(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Places of some users' interactions, ascending, without a look at the others'."""
        index, no_place = self._by_user, np.empty(0, dtype=np.int64)
        parts = [index.indices[index.indptr[user] : index.indptr[user + 1]] for user in users]
        return np.sort(np.concatenate([no_place, *parts]))

    @cached_property
    def _by_user(self) -> sp.csr_array:
        """Row u has an entry at each place of the log where user u stands, CSR of shape (n_users, n)."""
        places = (self.user, np.arange(len(self)))
        return sp.csr_array((np.ones(len(self), dtype=np.bool_), places), shape=(self.n_users, len(self)))

    def counts(self, of_product: sp.csr_array, weights: npt.NDArray[np.float32] | None = None) -> sp.csr_array:
        """Weighted number of interactions of each user with each node.

        For a handful of users what was counted without weights is kept, since all evidence on them asks for it.

        Args:
            of_product: which product belongs to which node, shape (products, nodes).
            weights: one weight per interaction, shape (n,); default all ones.

        Returns:
            CSR of shape (n_users, nodes), float32; the caller's own.
        """
        if weights is not None or self.n_users > FEW:
            return self._lines(of_product.shape[0], weights) @ of_product
        if id(of_product) not in self._kept:
            self._kept[id(of_product)] = of_product, self._plain_lines(of_product.shape[0]) @ of_product
        return self._kept[id(of_product)][1].copy()

    @cached_property
    def _kept(self) -> dict[int, tuple[sp.csr_array, sp.csr_array]]:
        """What was counted, by the id of what products belong to, which is held so that its id stays its own."""
        return {}

    @cached_property
    def _plain_lines(self) -> Callable[[int], sp.csr_array]:
        """`_lines` without weights, kept."""
        return cache(self._lines)

    def _lines(self, n_products: int, weights: npt.NDArray[np.float32] | None = None) -> sp.csr_array:
        """Weighted number of interactions of each user with each product, CSR of shape (n_users, products)."""
        data = np.ones(len(self), dtype=np.float32) if weights is None else weights.astype(np.float32)
        return sp.csr_array((data, (self.user, self.product)), shape=(self.n_users, n_products))

    def _slice(self, part: slice) -> Log:
        arrays = {f.name: getattr(self, f.name)[part] for f in fields(self) if f.name != "n_users"}
        return Log(**arrays, n_users=self.n_users)
