"""A shop small enough to know every answer by heart, and ways to spoil it."""

from __future__ import annotations

import pandas as pd
import pytest

from data.rejects import Rejects
from data.sources.triples import join_relations
from data.tables import Tables


def make_shop() -> Tables:
    """Two departments, three categories (c2 in both departments), four products, three users."""
    taxonomy = pd.DataFrame(
        [
            ("department", "d1", "D1", "d1", None, None),
            ("department", "d2", "D2", "d2", None, None),
            ("category", "c1", "C1", "c1, d1", "department", "d1"),
            ("category", "c2", "C2", "c2, d1", "department", "d1"),
            ("category", "c2", "C2", "c2, d1", "department", "d2"),
            ("category", "c3", "C3", "c3, d2", "department", "d2"),
        ],
        columns=["level", "node_id", "name", "text", "parent_level", "parent_id"],
    ).astype("str")
    interactions = pd.DataFrame(
        [
            ("u1", "p1", 1, 1.0, 2.0, "b1", "s1"),
            ("u1", "p2", 3, 2.0, 4.0, "b2", None),
            ("u2", "p3", 2, 1.0, 1.0, "b3", "s1"),
            ("u2", "p1", 5, 0.0, 0.0, "b4", "s2"),
            ("u3", "p4", 4, 1.0, 1.5, "b5", "s2"),
        ],
        columns=["user_id", "product_id", "time", "quantity", "value", "basket_id", "store_id"],
    )
    text = ["user_id", "product_id", "basket_id", "store_id"]
    return Tables(
        products=pd.DataFrame(
            {
                "product_id": ["p1", "p2", "p3", "p4"],
                "text": ["one", "two", "", "four"],
                "brand": ["x", "y", None, "x"],
            }
        ).astype("str"),
        taxonomy=taxonomy,
        memberships=pd.DataFrame(
            {"product_id": ["p1", "p2", "p3", "p4"], "level": "category", "node_id": ["c1", "c2", "c3", "c3"]}
        ).astype("str"),
        interactions=interactions.astype(dict.fromkeys(text, "str")),
        users=pd.DataFrame({"user_id": ["u1"], "age": ["30"]}).astype("str"),
        relations=join_relations([]),
        levels=("department", "category"),
        interest_level="category",
        attributes={"brand": "Brand"},
        rejects=Rejects().frame(),
        name="little",
    )


@pytest.fixture
def shop() -> Tables:
    return make_shop()
