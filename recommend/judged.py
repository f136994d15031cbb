"""What lists are worth: against the run's own test horizon, or against purchases that came since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.dataset import Dataset
from data.histories import Histories, joined, renumbered
from data.lookup import positions
from data.rejects import Rejects
from data.splits import Targets, targets
from errors import InputError
from evaluation.bootstrap import bootstrap
from evaluation.evaluate import accuracy
from evaluation.metrics import coverage
from evaluation.ranking import Rankings

TABLE = "purchases"


@dataclass(frozen=True)
class Later:
    """What was bought from a cut-off on.

    Attributes:
        dataset: of the run, with these purchases.
        cutoff: of the run's test.
        horizon: length of the window that is looked at.
    """

    dataset: Dataset
    cutoff: int
    horizon: int

    @classmethod
    def read(
        cls,
        given: pd.DataFrame | Path | str,
        dataset: Dataset,
        cutoff: int,
        stores: npt.NDArray[np.object_],
        rejects: Rejects,
    ) -> Later:
        """Purchases of the run's users since its test cut-off, in place of those that its data hold.

        Args:
            given: as histories (`data.histories.Histories.read`).
            dataset: of the run.
            cutoff: of its test; earlier rows are noted.
            stores: ids of the stores in the order of the run's numbers.
            rejects: notes what cannot be used.

        Raises:
            InputError: the file or a column is missing, or no row can be used.
        """
        found = Histories.read(given, dataset)
        rejects.extend(found.rejects)
        rows = rejects.drop(found.rows, found.rows["time"] < cutoff, TABLE, "time", "before the run's test cut-off")
        known = positions(rows["user_id"], dataset.user_ids) >= 0
        rows = rejects.drop(rows, ~known, TABLE, "user_id", "the run knows no such user")
        if not len(rows):
            remedy = f"Give purchases of the run's users from period {cutoff} on."
            raise InputError("no purchase can be used", where=TABLE, remedy=remedy)
        log = replace(found, rows=rows).log(dataset, stores, int(dataset.log.basket.max(initial=-1)) + 1)
        log = renumbered(log, positions(found.user_ids, dataset.user_ids), len(dataset.user_ids))
        whole = joined([dataset.log.before(cutoff), log], len(dataset.user_ids))
        return cls(replace(dataset, log=whole), cutoff, int(log.time.max()) - cutoff + 1)

    def targets(self, name: str) -> Targets:
        """What users first bought from categories that were new to them, at a level (``product``: products).

        Raises:
            InputError: nobody did.
        """
        level = self.dataset.catalogue.levels.get(name)
        found = targets(self.dataset, level, self.cutoff, self.horizon)
        if not len(found.users):
            remedy = "Give purchases of a longer time."
            raise InputError("nobody bought from a category that was new to them", where=name, remedy=remedy)
        return found


def figures(level: str, ranked: Rankings, found: Targets, k: int) -> pd.DataFrame:
    """Means over users with 95% intervals (bootstrap by user), and the share of the items that is shown.

    Args:
        level: its name.
        ranked: lists of the users with targets, in their order.
        found: the targets.
        k: length of the lists.

    Returns:
        ``level``, ``metric`` (recall, ndcg, hit_rate, mrr and coverage at k), ``value``, ``low``, ``high``, ``users``.
    """
    per_user = accuracy(ranked, found.hits[found.users], (k,))
    intervals = bootstrap(np.stack(list(per_user.values()), axis=1))
    rows = [(metric, one.mean, one.low, one.high) for metric, one in zip(per_user, intervals, strict=True)]
    rows.append((f"coverage@{k}", coverage(ranked.items, ranked.n_items, k), np.nan, np.nan))
    frame = pd.DataFrame(rows, columns=["metric", "value", "low", "high"])
    frame.insert(0, "level", level)
    return frame.assign(users=len(found.users))
