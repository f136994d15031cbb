"""What every table must fulfil; rows that do not are taken out, counted and told with their reason.

Decisions: a return (quantity or value below zero) is no sign of interest and is taken out; a line with
quantity 0 is one that passed the till (given away, voided price, weighed) and stays as an interaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from data.catalogue import ancestors
from data.lookup import among
from data.rejects import Rejects, count_rejects
from data.tables import Tables
from errors import InputError

INT32 = 2**31 - 1
LABEL = r"^[A-Z][A-Za-z0-9]*$"
RELATION = r"^[A-Z][A-Z0-9_]*$"


def _id(**options: bool | str) -> pa.Column:
    return pa.Column(str, pa.Check(lambda ids: ids.str.strip() != "", error="empty"), **options)


def _matching(pattern: str, what: str) -> pa.Column:
    return pa.Column(str, pa.Check.str_matches(pattern, error=f"not a {what}"))


def _amount(negative: str) -> pa.Column:
    checks = [
        pa.Check(lambda amounts: amounts >= 0, error=negative),
        pa.Check(np.isfinite, error="not a finite number"),
    ]
    return pa.Column(float, checks, coerce=True)


PRODUCTS = pa.DataFrameSchema(
    {
        "product_id": _id(unique=True, report_duplicates="exclude_first"),
        "text": pa.Column(str),
    }
)
TAXONOMY = pa.DataFrameSchema(
    {
        "level": _id(),
        "node_id": _id(),
        "name": pa.Column(str),
        "text": pa.Column(str),
        "parent_level": pa.Column(str, nullable=True),
        "parent_id": pa.Column(str, nullable=True),
    }
)
MEMBERSHIPS = pa.DataFrameSchema({"product_id": _id(), "level": _id(), "node_id": _id()})
INTERACTIONS = pa.DataFrameSchema(
    {
        "user_id": _id(),
        "product_id": _id(),
        "time": pa.Column("int64", pa.Check.in_range(-INT32, INT32, error="outside the range of periods")),
        "quantity": _amount("a return: quantity below 0"),
        "value": _amount("a refund: value below 0"),
        "basket_id": _id(),
        "store_id": pa.Column(str, nullable=True),
    }
)
USERS = pa.DataFrameSchema({"user_id": _id(unique=True, report_duplicates="exclude_first")})
RELATIONS = pa.DataFrameSchema(
    {
        "source_label": _matching(LABEL, "node label in CamelCase"),
        "source_id": _id(),
        "relation": _matching(RELATION, "relationship name in UPPER_SNAKE_CASE"),
        "target_label": _matching(LABEL, "node label in CamelCase"),
        "target_id": _id(),
        "weight": pa.Column(float, pa.Check(np.isfinite, error="not a finite number"), coerce=True),
        "time": pa.Column("Int64", nullable=True, coerce=True),
    }
)
REASONS = {"not_nullable": "empty", "field_uniqueness": "duplicate: the first row with it is kept"}


def validate(tables: Tables) -> Tables:
    """Take out rows that are wrong in themselves or point to something unknown.

    Args:
        tables: as a source read them; each frame's index is the number of the row in the source.

    Returns:
        Tables that fulfil the schemas and each other, interactions sorted by time, every user of the
        interactions in ``users``; what was taken out stands in ``rejects``.

    Raises:
        InputError: when the taxonomy has a cycle or a table has no valid row.
    """
    rejects = Rejects(tables.rejects)
    products = conform(tables.products, PRODUCTS, "products", rejects)
    taxonomy = _valid_taxonomy(tables, rejects)
    memberships = _valid_memberships(tables, products, taxonomy, rejects)
    products = _placed(products, taxonomy, memberships, tables.interest_level, rejects)
    memberships = memberships[among(memberships["product_id"], products["product_id"])]
    interactions = _valid_interactions(tables, products, rejects)
    users = _valid_users(tables.users, interactions, rejects)
    valid = replace(
        tables,
        products=products.reset_index(drop=True),
        taxonomy=taxonomy.reset_index(drop=True),
        memberships=memberships.drop_duplicates().reset_index(drop=True),
        interactions=interactions.sort_values("time", kind="stable").reset_index(drop=True),
        users=users.reset_index(drop=True),
        relations=_valid_relations(tables.relations, products, rejects).reset_index(drop=True),
        rejects=rejects.frame(),
    )
    _refuse_empty(valid)
    return valid


def conform(frame: pd.DataFrame, schema: pa.DataFrameSchema, table: str, rejects: Rejects) -> pd.DataFrame:
    """The rows that fulfil the schema; each other row is noted once, with its first failure.

    Args:
        frame: rows with their number as index.
        schema: one of those above.
        table: what the rejects call it.
        rejects: collects the others.

    Raises:
        InputError: a column is missing or of another kind altogether.
    """
    try:
        return schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
    whole = cases[cases["index"].isna()]
    if len(whole):
        case = whole.iloc[0]
        raise InputError(f"{case['check']}: {case['failure_case']}", where=f"{table}, column {case['column']}")
    cases = cases.drop_duplicates("index").sort_values("index")
    rows = pd.Index(cases["index"].astype(np.int64))
    reasons = cases["column"] + " is " + cases["check"].map(lambda check: REASONS.get(check, check))
    rejects.add(table, rows, cases["column"].to_numpy(), cases["failure_case"].to_numpy(), reasons.to_numpy())
    return schema.validate(frame.drop(index=rows))


def _valid_taxonomy(tables: Tables, rejects: Rejects) -> pd.DataFrame:
    taxonomy = conform(tables.taxonomy, TAXONOMY, "taxonomy", rejects)
    refuse_cycle(
        zip(
            _node_keys(taxonomy, "level", "node_id"),
            _node_keys(taxonomy, "parent_level", "parent_id"),
            strict=True,
        )
    )
    depth = {name: i for i, name in enumerate(tables.levels)}
    taxonomy = rejects.drop(taxonomy, ~taxonomy["level"].isin(depth), "taxonomy", "level", "unknown level")
    has_parent = taxonomy["parent_id"].notna()
    above = taxonomy["parent_level"].map(depth) < taxonomy["level"].map(depth)
    reason = "the parent's level is not above the node's"
    taxonomy = rejects.drop(taxonomy, has_parent & ~above, "taxonomy", "parent_id", reason)
    return _with_known_parents(taxonomy, rejects)


def _with_known_parents(taxonomy: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    """Take out rows whose parent is unknown, again until nothing hangs in the air."""
    while True:
        known = pd.Index(_node_keys(taxonomy, "level", "node_id"))
        parents = pd.Index(_node_keys(taxonomy, "parent_level", "parent_id"))
        bad = taxonomy["parent_id"].notna().to_numpy() & ~parents.isin(known)
        if not bad.any():
            return taxonomy
        taxonomy = rejects.drop(taxonomy, bad, "taxonomy", "parent_id", "the parent is not in the taxonomy")


def _node_keys(frame: pd.DataFrame, level: str, node: str) -> list[tuple[str, str]]:
    return list(zip(frame[level], frame[node], strict=True))


def _joined(frame: pd.DataFrame) -> pd.Series:
    """Level and node as one text; the separator is one that no text holds."""
    return frame["level"] + "\x1f" + frame["node_id"]


def refuse_cycle(edges: Iterable[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    """Refuse a taxonomy in which a node is above itself.

    Args:
        edges: ((level, node), (parent level, parent)); parents that are null are passed over.

    Raises:
        InputError: naming the nodes of a cycle.
    """
    sorter: TopologicalSorter[tuple[str, str]] = TopologicalSorter()
    for node, parent in edges:
        if isinstance(parent[1], str):
            sorter.add(node, parent)
    try:
        sorter.prepare()
    except CycleError as error:
        path = " -> ".join(repr(node) for _, node in error.args[1])
        remedy = "Take one of these parent links out: no category may be above itself."
        raise InputError(f"a cycle: {path}", where="taxonomy", remedy=remedy) from None


def _valid_memberships(
    tables: Tables, products: pd.DataFrame, taxonomy: pd.DataFrame, rejects: Rejects
) -> pd.DataFrame:
    frame = conform(tables.memberships, MEMBERSHIPS, "memberships", rejects)
    lost = ~among(frame["product_id"], products["product_id"])
    frame = rejects.drop(frame, lost, "memberships", "product_id", "the product is not in the products")
    unknown = ~among(_joined(frame), _joined(taxonomy))
    return rejects.drop(frame, unknown, "memberships", "node_id", "the node is not in the taxonomy")


def _placed(
    products: pd.DataFrame, taxonomy: pd.DataFrame, memberships: pd.DataFrame, level: str, rejects: Rejects
) -> pd.DataFrame:
    """The products that sit in or below a node of the interest level."""
    placed = ancestors(taxonomy, memberships, level)["product_id"]
    reason = f"in no node of the interest level {level!r}"
    return rejects.drop(products, ~among(products["product_id"], placed), "products", "product_id", reason)


def _valid_interactions(tables: Tables, products: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    frame = conform(tables.interactions, INTERACTIONS, "interactions", rejects)
    unknown = ~among(frame["product_id"], products["product_id"])
    reasons = _why_unknown(frame.loc[unknown, "product_id"], rejects)
    return rejects.drop(frame, unknown, "interactions", "product_id", reasons)


def _why_unknown(ids: pd.Series, rejects: Rejects) -> npt.NDArray[np.object_]:
    """For each id of a product that is not there: was it rejected, and why?"""
    found = rejects.frame()
    found = found[(found["table"] == "products") & (found["column"] == "product_id")].drop_duplicates("value")
    known = dict(zip(found["value"], "the product was rejected: " + found["reason"], strict=True))
    return np.array([known.get(i, "the product is not in the products") for i in ids], dtype=object)


def _valid_users(users: pd.DataFrame, interactions: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    """The valid users, and those that only the interactions name."""
    users = conform(users, USERS, "users", rejects)
    named = pd.Series(interactions["user_id"].unique(), name="user_id", dtype="str")
    missing = named[~among(named, users["user_id"])].sort_values()
    return pd.concat([users, missing.to_frame()], ignore_index=True) if len(missing) else users


def _valid_relations(relations: pd.DataFrame, products: pd.DataFrame, rejects: Rejects) -> pd.DataFrame:
    frame = conform(relations, RELATIONS, "relations", rejects)
    for side in ("source", "target"):
        of_product = frame[f"{side}_label"] == "Product"
        lost = of_product & ~among(frame[f"{side}_id"], products["product_id"])
        frame = rejects.drop(frame, lost, "relations", f"{side}_id", "the product is unknown or was rejected")
    return frame


def _refuse_empty(tables: Tables) -> None:
    for name in ("products", "taxonomy", "memberships", "interactions"):
        if len(getattr(tables, name)) == 0:
            counts = count_rejects(tables).head(5)
            told = "; ".join(f"{row.rows} rows of {row.table}: {row.reason}" for row in counts.itertuples())
            remedy = f"What was taken out: {told}." if told else "Give it rows."
            raise InputError("no valid row", where=name, remedy=remedy)
