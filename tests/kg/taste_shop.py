"""A shop whose customers have plain tastes, so that the right answers are known; and a write-back for it."""

import math

import pandas as pd

from kg.config import CoPurchaseConfig
from kg.load import load_graph

CONFIG = CoPurchaseConfig(min_support=2)
WINDOWS = [10, 15]
PARENTS = {"Tea": ["Food"], "Käse": ["Food"], "Coffee": ["Food"], "Lamps": ["Home"], "Candles": ["Home", "Gifts"]}
CATEGORIES = list(PARENTS)
TYPES = [f"{category} > {i}" for category in CATEGORIES for i in range(2)]
TASTES = [("Tea", "Candles", "Lamps")] * 12 + [("Käse", "Coffee")] * 12 + [("Tea", "Coffee")] * 8 + [CATEGORIES] * 4
BUYERS = {category: sum(category in taste for taste in TASTES) for category in CATEGORIES}
LATE = ("Tea", "Coffee")  # these buy their coffee only after the first window
LEARNT = [("Tea", "Lamps", 0.2, 3.0, 20), ("Tea", "Käse", 0.3, 1.5, 25), ("Lamps", "Tea", 0.4, 0.5, 9)]


def lift(one, other):
    """By hand: how much more often bought together than by chance, in the last window."""
    both = sum(one in taste and other in taste for taste in TASTES)
    return both * len(TASTES) / (BUYERS[one] * BUYERS[other])


def confidence(one, other):
    """By hand: share of the customers of the one that have bought of the other."""
    return sum(one in taste and other in taste for taste in TASTES) / BUYERS[one]


def build(make_dataset):
    """Twenty products, two of each type; 36 customers."""
    rows = [("department", name, None, None) for name in ("Food", "Home", "Gifts")]
    rows += [("category", name, "department", parent) for name, parents in PARENTS.items() for parent in parents]
    rows += [("type", name, "category", name.split(" > ")[0]) for name in TYPES]
    taxonomy = pd.DataFrame(rows, columns=["level", "node_id", "parent_level", "parent_id"])
    taxonomy = taxonomy.assign(name=taxonomy["node_id"], text=taxonomy["node_id"])
    members = [(f"p{i:02}", "type", TYPES[i // 2]) for i in range(20)]
    return make_dataset(
        taxonomy=taxonomy,
        memberships=pd.DataFrame(members, columns=["product_id", "level", "node_id"]),
        interactions=_purchases(),
        users=pd.DataFrame({"user_id": [f"u{i:02}" for i in range(len(TASTES))]}),
    )


def open_shop(store, dataset):
    """Load the shop and a write-back."""
    load_graph(store, dataset, WINDOWS, CONFIG)
    columns = ("source", "target", "probability", "lift", "support")
    store.write(
        "UNWIND $rows AS row MATCH (a:Category {node_id: row.source}) MATCH (b:Category {node_id: row.target}) "
        "CREATE (a)-[:LEADS_TO {probability: row.probability, lift: row.lift, support: row.support, run: 'one'}]->(b)",
        rows=[dict(zip(columns, row, strict=True)) for row in LEARNT],
    )
    store.write(
        "UNWIND $rows AS row MATCH (p:Product {product_id: row.id}) SET p.embedding = row.v, p.embedding_run = 'one'",
        rows=[{"id": f"p{i:02}", "v": [math.cos(i / 7), math.sin(i / 7)]} for i in range(19)],
    )
    return store


def _purchases():
    rows = [
        (f"u{user:02}", f"p{4 * CATEGORIES.index(category) + user % 4:02}", 12 if late else 5)
        for user, taste in enumerate(TASTES)
        for category in taste
        for late in [taste == LATE and category == "Coffee"]
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "product_id", "time"]).sort_values("time", ignore_index=True)
    baskets = frame["user_id"] + "@" + frame["time"].astype(str)
    return frame.assign(quantity=1.0, value=2.5, basket_id=baskets, store_id="s").astype({"time": "int64"})
