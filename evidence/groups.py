"""What the users of a group (of an age, of a size of household) buy: all that is known of a user without a history."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.log import Log
from data.lookup import positions
from evidence.histories import map_values

FloatArray = npt.NDArray[np.float32]
SMOOTHING = 300.0  # of 20, 100 and 300, by NDCG@20 on the built-in data's validation cut-off


class GroupEvidence:
    """How much more, or less, often than others a group's users buy from each node.

    With n_g users in group g, of whom n_gc bought from node c, p_c the share of all users with a known attribute who
    did, and k a smoothing: lift_gc = log((n_gc + k · p_c) / (n_g + k)) − log p_c. A user's groups, one for each
    attribute that is known of them, add up, as in naive Bayes.

    Args:
        history: interactions before the cut-off; users without any are in no group.
        of_product: which product belongs to which node, shape (products, nodes).
        users: a column of text for each attribute, null where unknown; a row for each user of the history.
        smoothing: k, in users.
    """

    def __init__(
        self, history: Log, of_product: sp.csr_array, users: pd.DataFrame, smoothing: float = SMOOTHING
    ) -> None:
        bought = map_values(history.counts(of_product), np.sign)
        counted = (np.diff(bought.indptr) > 0) & users.notna().any(axis=1).to_numpy(dtype=bool)
        share = np.asarray(bought[counted].mean(axis=0)).ravel() if counted.any() else np.zeros(bought.shape[1])
        self._values: dict[str, npt.NDArray[np.str_]] = {}
        self._lifts: dict[str, FloatArray] = {}
        for name in users.columns:
            values = np.unique(users[name].dropna().to_numpy(dtype=str))
            of_user = np.where(counted, positions(users[name], values), -1)
            self._values[name] = values
            self._lifts[name] = _lifts(bought, of_user, len(values), share, smoothing)

    def known(self, name: str, values: pd.Series) -> npt.NDArray[np.bool_]:
        """Whether each value of an attribute is one that the history's users have, shape (n,)."""
        return positions(values, self._values[name]) >= 0

    def of_people(self, people: pd.DataFrame) -> FloatArray:
        """Sums of the lifts of people's groups; an attribute or a value that is unknown adds nothing.

        Args:
            people: a column of text for each attribute that is known of anybody.

        Returns:
            Shape (people, nodes).
        """
        nodes = next(iter(self._lifts.values())).shape[1] if self._lifts else 0
        out = np.zeros((len(people), nodes), dtype=np.float32)
        for name, lifts in self._lifts.items():
            if name in people:
                group = positions(people[name], self._values[name])
                out[group >= 0] += lifts[group[group >= 0]]
        return out


def _lifts(
    bought: sp.csr_array, group: npt.NDArray[np.int64], n: int, share: npt.NDArray[np.float64], smoothing: float
) -> FloatArray:
    """Lift of each group of an attribute, shape (n, nodes); 0 for a node that nobody bought from."""
    users = np.flatnonzero(group >= 0)
    membership = sp.csr_array((np.ones(len(users)), (group[users], users)), shape=(n, bought.shape[0]))
    counts = (membership @ bought).toarray()
    sizes = np.bincount(group[users], minlength=n)[:, None]
    there = np.where(share > 0, share, 1)
    lift = np.log((counts + smoothing * there) / (sizes + smoothing) / there)
    return np.where(share > 0, lift, 0).astype(np.float32)
