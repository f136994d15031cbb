"""From a configuration to a data set: read a source, take bad rows out, encode."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd

from data.config import DataConfig
from data.dataset import Dataset
from data.lookup import among
from data.tables import Tables
from data.validate import validate
from data.withhold import withhold
from errors import InputError

SOURCES = {
    "complete_journey": "data.sources.complete_journey",
    "tabular": "data.sources.tabular",
    "synthetic": "data.sources.synthetic",
}


def load(config: DataConfig) -> Dataset:
    """Read, validate and encode the data that a configuration names.

    Raises:
        InputError: an unknown source or interest level, or anything wrong with the source's files.
    """
    return Dataset.from_tables(withhold(validate(read(config)), config))


def read(config: DataConfig) -> Tables:
    """The source's tables as they are, but for the interest level and the sample of users."""
    if config.source not in SOURCES:
        remedy = f"Give one of {', '.join(SOURCES)}."
        raise InputError(f"unknown source {config.source!r}", where="data.source", remedy=remedy)
    tables: Tables = import_module(SOURCES[config.source]).read(config)
    tables = replace(tables, interest_level=config.interest_level or tables.interest_level)
    if tables.interest_level not in tables.levels:
        remedy = f"Give one of the levels {', '.join(tables.levels)}."
        what = f"unknown level {tables.interest_level!r}"
        raise InputError(what, where="data.interest_level", remedy=remedy)
    if config.max_users is not None:
        tables = sample_users(tables, config.max_users, config.seed)
    return tables if config.max_products is None else most_bought(tables, config.max_products)


def most_bought(tables: Tables, most: int) -> Tables:
    """Keep the products with the most lines (equal ones by id), and what hangs on them.

    Raises:
        InputError: when no product would be left.
    """
    if most < 1:
        raise InputError(f"{most} products are none", where="data.max_products", remedy="Give 1 or more.")
    lines = tables.interactions["product_id"].value_counts().rename_axis("product_id").reset_index(name="lines")
    kept = lines.sort_values(["lines", "product_id"], ascending=[False, True])["product_id"].head(most)
    dropped = tables.products["product_id"][~among(tables.products["product_id"], kept)]
    relations = tables.relations
    ends = [
        among(relations[f"{end}_id"], dropped) & (relations[f"{end}_label"] == "Product")
        for end in ("source", "target")
    ]
    memberships = tables.memberships[among(tables.memberships["product_id"], kept)]
    return replace(
        tables,
        products=tables.products[among(tables.products["product_id"], kept)],
        memberships=memberships,
        taxonomy=_with_products(tables.taxonomy, memberships),
        interactions=tables.interactions[among(tables.interactions["product_id"], kept)],
        relations=relations[~(ends[0] | ends[1])],
        notes=[*tables.notes, f"the {len(kept):,} most bought of {len(tables.products):,} products"],
    )


def _with_products(taxonomy: pd.DataFrame, memberships: pd.DataFrame) -> pd.DataFrame:
    """The nodes that products sit in, and all above them."""
    parents = taxonomy.dropna(subset=["parent_id"])
    up = dict.fromkeys(zip(memberships["level"], memberships["node_id"], strict=True))
    frontier = list(up)
    above: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for level, node, parent_level, parent in parents[["level", "node_id", "parent_level", "parent_id"]].itertuples(
        index=False
    ):
        above.setdefault((level, node), []).append((parent_level, parent))
    while frontier:
        frontier = [parent for node in frontier for parent in above.get(node, []) if parent not in up]
        up.update(dict.fromkeys(frontier))
    keys = zip(taxonomy["level"], taxonomy["node_id"], strict=True)
    return taxonomy[[key in up for key in keys]]


def sample_users(tables: Tables, most: int, seed: int) -> Tables:
    """Keep the interactions of a seeded sample of users; the catalogue stays whole.

    Rows without a user stay too, to be counted as rejects.

    Raises:
        InputError: when no user would be left.
    """
    if most < 1:
        raise InputError(f"{most} users are none", where="data.max_users", remedy="Give 1 or more.")
    users = np.sort(tables.interactions["user_id"].dropna().unique().astype(str))
    if most >= len(users):
        return tables
    kept = np.random.default_rng(seed).choice(users, size=most, replace=False)
    of_user = tables.interactions["user_id"]
    return replace(
        tables,
        interactions=tables.interactions[among(of_user, kept) | of_user.isna()],
        users=tables.users[among(tables.users["user_id"], kept)],
        notes=[*tables.notes, f"a sample of {most:,} of {len(users):,} users"],
    )
