from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.dataset import Dataset
from data.tables import Tables

LEVELS = ("category", "type")
TYPES_PER_CATEGORY, PRODUCTS_PER_TYPE = 2, 3


def make_tables(interactions: pd.DataFrame, n_categories: int) -> Tables:
    """A tidy shop: categories c0…, types c0t0…, products c0t0p0…."""
    categories = [f"c{i}" for i in range(n_categories)]
    types = [(f"{c}t{i}", c) for c in categories for i in range(TYPES_PER_CATEGORY)]
    products = [(f"{t}p{i}", t) for t, _ in types for i in range(PRODUCTS_PER_TYPE)]
    rows = [("category", c, c, "", None, None) for c in categories]
    rows += [("type", t, t, "", "category", c) for t, c in types]
    columns = ["level", "node_id", "name", "text", "parent_level", "parent_id"]
    ids = [p for p, _ in products]
    return Tables(
        products=pd.DataFrame({"product_id": ids, "text": ""}),
        taxonomy=pd.DataFrame(rows, columns=columns),
        memberships=pd.DataFrame({"product_id": ids, "level": "type", "node_id": [t for _, t in products]}),
        interactions=interactions,
        users=pd.DataFrame({"user_id": np.unique(interactions["user_id"])}),
        relations=pd.DataFrame({"source_label": [], "weight": []}),
        levels=LEVELS,
        interest_level="category",
        attributes={},
        rejects=pd.DataFrame(),
        name="test",
    )


def make_interactions(n: int, n_users: int, n_categories: int, periods: int, seed: int) -> pd.DataFrame:
    """Users with tastes: three quarters of what they buy comes from a few categories of their own."""
    rng = np.random.default_rng(seed)
    user = np.concatenate([np.arange(n_users), rng.integers(0, n_users, n - n_users)])
    liked = (user + rng.integers(0, max(n_categories // 3, 1), n)) % n_categories
    category = np.where(rng.random(n) < 0.75, liked, rng.integers(0, n_categories, n))
    node, product = rng.integers(0, TYPES_PER_CATEGORY, n), rng.integers(0, PRODUCTS_PER_TYPE, n)
    time = rng.integers(0, periods, n)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{i:03d}" for i in user],
            "product_id": [f"c{c}t{t}p{p}" for c, t, p in zip(category, node, product, strict=True)],
            "time": time,
            "quantity": 1.0,
            "value": 1.0,
            "basket_id": [f"{u}-{t}" for u, t in zip(user, time, strict=True)],
            "store_id": "s",
        }
    )
    return frame.sort_values("time", kind="stable", ignore_index=True)


@pytest.fixture(scope="session")
def make_shop():
    """Factory: interactions or their number → Dataset."""

    def make(interactions=None, *, n=600, n_users=40, n_categories=9, periods=20, seed=0) -> Dataset:
        if interactions is None:
            interactions = make_interactions(n, n_users, n_categories, periods, seed)
        return Dataset.from_tables(make_tables(interactions, n_categories))

    return make


@pytest.fixture(scope="session")
def shop(make_shop) -> Dataset:
    return make_shop()
