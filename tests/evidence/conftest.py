"""A made-up shop of 80 users, and the same shop with another future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.config import DataConfig, SyntheticConfig
from data.dataset import Dataset
from data.load import load

SMALL = {"departments": 3, "categories": 12, "types_per_category": 2, "start_categories": 3, "later_categories": 2}


def shop_of(**sizes):
    settings = {"products": 60, "users": 80, "periods": 24, "stores": 3, "brands": 4, **SMALL, **sizes}
    return load(DataConfig(source="synthetic", synthetic=SyntheticConfig(**settings)))


def with_tables(dataset, **changes):
    return Dataset.from_tables(replace(dataset.tables, **changes))


def another_future(dataset, cutoff, seed=0):
    """Everything in the interactions at or after the cut-off is drawn anew; what is before it stays."""
    rng = np.random.default_rng(seed)
    rows = dataset.tables.interactions.copy()
    later = (rows["time"] >= cutoff).to_numpy()
    n = int(later.sum())
    rows.loc[later, "user_id"] = rng.choice(dataset.user_ids, n)
    rows.loc[later, "product_id"] = rng.choice(dataset.catalogue.product_ids, n)
    rows.loc[later, "quantity"] = rng.integers(1, 50, n).astype(float)
    rows.loc[later, "value"] = rng.random(n) * 1000
    rows.loc[later, "basket_id"] = "later"
    rows.loc[later, "store_id"] = rng.choice(rows["store_id"].dropna().unique(), n)
    rows.loc[later, "time"] = rng.integers(cutoff, cutoff + 40, n)
    return with_tables(dataset, interactions=rows.sort_values("time", kind="stable", ignore_index=True))


def without_future(dataset, cutoff):
    rows = dataset.tables.interactions
    return with_tables(dataset, interactions=rows[rows["time"] < cutoff].reset_index(drop=True))


@pytest.fixture(scope="session")
def make_shop():
    return shop_of


@pytest.fixture(scope="session")
def shop():
    return shop_of()


@pytest.fixture(scope="session")
def futures():
    """Ways to change what comes after a cut-off: (dataset, cutoff) → Dataset."""
    return {"drawn anew": another_future, "gone": without_future}


@pytest.fixture(scope="session")
def changed():
    """Factory: (dataset, **changes to its tables) → Dataset."""
    return with_tables
