"""The same shop with another future, for tests that nothing of it is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.dataset import Dataset


def with_tables(dataset: Dataset, **changes: object) -> Dataset:
    """The data with other tables."""
    return Dataset.from_tables(replace(dataset.tables, **changes))


def another_future(dataset: Dataset, cutoff: int, seed: int = 0) -> Dataset:
    """Everything in the interactions at or after the cut-off is drawn anew; what is before it stays.

    Some of it happens in a store that was not there before, none of it after the end of the data.
    """
    rng = np.random.default_rng(seed)
    rows = dataset.tables.interactions.copy()
    later = (rows["time"] >= cutoff).to_numpy()
    n, last = int(later.sum()), int(rows["time"].max())
    rows.loc[later, "user_id"] = rng.choice(dataset.user_ids, n)
    rows.loc[later, "product_id"] = rng.choice(dataset.catalogue.product_ids, n)
    rows.loc[later, "quantity"] = rng.integers(1, 50, n).astype(float)
    rows.loc[later, "value"] = rng.random(n) * 1000
    rows.loc[later, "basket_id"] = "later"
    rows.loc[later, "store_id"] = rng.choice([*rows["store_id"].dropna().unique(), "opened later"], n)
    rows.loc[later, "time"] = rng.permutation(np.append(rng.integers(cutoff, last + 1, max(n - 1, 0)), last))[:n]
    return with_tables(dataset, interactions=rows.sort_values("time", kind="stable", ignore_index=True))


def without_future(dataset: Dataset, cutoff: int) -> Dataset:
    """Nothing happens from the cut-off on."""
    rows = dataset.tables.interactions
    return with_tables(dataset, interactions=rows[rows["time"] < cutoff].reset_index(drop=True))
