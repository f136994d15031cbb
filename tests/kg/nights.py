"""The tiny shop on the next day, for tests of updates."""

from dataclasses import replace

import pandas as pd


def next_night(tables):
    """The shop a day later: products changed, moved, gone, new; a coupon more, one less, one with another weight."""
    products = tables.products[tables.products["product_id"] != "p07"].copy()
    products.loc[products["product_id"] == "p03", "text"] = "another text"
    products.loc[products["product_id"] == "p04", "brand"] = "b9"
    new = pd.DataFrame({"product_id": ["p98", "p99"], "text": ["new", "Größe ☀"], "brand": ["b1", None]})
    members = tables.memberships[tables.memberships["product_id"] != "p07"].copy()
    members.loc[members["product_id"] == "p05", "node_id"] = "Lamps > 2"
    joining = pd.DataFrame({"product_id": ["p98", "p99"], "level": "type", "node_id": "Tea > 1"})
    relations = tables.relations.drop(index=1).copy()
    relations.loc[0, "weight"] = 7.5
    relations = pd.concat([relations, relations.iloc[[0]].assign(target_id="p98")], ignore_index=True)
    interactions = tables.interactions[tables.interactions["product_id"] != "p07"].reset_index(drop=True)
    return replace(
        tables,
        products=pd.concat([products, new], ignore_index=True),
        memberships=pd.concat([members, joining], ignore_index=True),
        relations=relations,
        interactions=interactions,
    )
