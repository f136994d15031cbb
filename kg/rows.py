"""From the tables to the rows of the graph: one table per label and per relationship, made one at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.catalogue import Level
from data.dataset import Dataset
from kg.config import CoPurchaseConfig
from kg.copurchase import count, fingerprints, window_start
from kg.schema import (
    PRODUCT,
    EdgeKind,
    NodeKind,
    Schema,
    label_of,
    level_labels,
    membership_of,
    relationship_of,
)


def node_table(dataset: Dataset, kind: NodeKind) -> pd.DataFrame:
    """Nodes of one label: a column for the key and one for each property, sorted by key.

    Raises:
        KeyError: the data set has no such label.
    """
    tables = dataset.tables
    if kind.label == PRODUCT:
        return tables.products[["product_id", "text"]].sort_values("product_id", ignore_index=True)
    level = _level_of(dataset, kind.label)
    if level is not None:
        return pd.DataFrame({"node_id": level.ids.astype(object), "name": level.names, "text": level.texts})
    ids = np.unique(np.concatenate([_attribute_ids(dataset, kind.label), _relation_ids(dataset, kind.label)]))
    return pd.DataFrame({"node_id": ids.astype(object), "name": ids.astype(object)})


def edge_table(dataset: Dataset, kind: EdgeKind) -> pd.DataFrame:
    """Relationships of one kind, other than co-purchases: ``source``, ``target`` and the kind's properties."""
    if kind.role == "relation":
        return _relation_rows(dataset, kind)
    if kind.source == PRODUCT and kind.type.startswith("HAS_"):
        return _attribute_rows(dataset, kind)
    return _taxonomy_rows(dataset, kind)


def co_purchase_table(dataset: Dataset, kind: EdgeKind, window_end: int, config: CoPurchaseConfig) -> pd.DataFrame:
    """Co-purchases of one level before one cut-off, as rows of the graph."""
    level, top_k = _counted_level(dataset, kind, config)
    found = count(dataset, level, window_end, config, top_k)
    return found.assign(window_start=window_start(dataset, window_end, config), window_end=window_end)


def counted_from(
    dataset: Dataset, schema: Schema, window_ends: Iterable[int], config: CoPurchaseConfig
) -> dict[str, str]:
    """For each level and cut-off (``Label|cut-off``) a fingerprint of what its co-purchases are counted from."""
    found: dict[str, str] = {}
    ends = list(window_ends)
    for kind in (kind for kind in schema.edges if kind.role == "co_purchase"):
        level, top_k = _counted_level(dataset, kind, config)
        made = fingerprints(dataset, level, ends, config, top_k)
        found |= {window_name(kind, end): text for end, text in made.items()}
    return found


def window_name(kind: EdgeKind, window_end: int) -> str:
    """Name of one level's co-purchases before one cut-off."""
    return f"{kind.source}|{window_end}"


def _counted_level(dataset: Dataset, kind: EdgeKind, config: CoPurchaseConfig) -> tuple[Level, int]:
    """The level whose co-purchases a kind holds, and how many neighbours are kept."""
    level = _level_of(dataset, kind.source)
    assert level is not None  # a kind of co-purchases joins nodes of one level
    return level, config.top_k if level.name == dataset.catalogue.interest_level else config.below_top_k


def known_rows(dataset: Dataset, schema: Schema, kind: EdgeKind) -> tuple[pd.DataFrame, int]:
    """``edge_table`` without the rows that name an end which the catalogue lacks, and the number of those."""
    rows = edge_table(dataset, kind)
    if kind.role != "relation":
        return rows, 0
    known = np.ones(len(rows), dtype=bool)
    for column, label in (("source", kind.source), ("target", kind.target)):
        ids = _catalogue_ids(dataset, label)
        if ids is not None:
            # Arrow's own: pandas' isin on strings takes fifty times as long.
            found = pc.is_in(pa.array(rows[column]), value_set=pa.array(ids, pa.large_string()))
            known &= found.to_numpy(zero_copy_only=False)
    return rows[known], int((~known).sum())


def _catalogue_ids(dataset: Dataset, label: str) -> npt.NDArray[np.str_] | None:
    """Ids of the products or of a level; None for other labels, whose ids the relations themselves bring along."""
    if label == PRODUCT:
        return dataset.catalogue.product_ids
    level = _level_of(dataset, label)
    return None if level is None else level.ids


def _level_of(dataset: Dataset, label: str) -> Level | None:
    """The level whose nodes have a label; None where it is that of no level."""
    name = next((name for name, of_level in level_labels(dataset).items() if of_level == label), None)
    return None if name is None else dataset.catalogue.levels[name]


def _attribute_columns(dataset: Dataset, label: str) -> list[str]:
    return [column for column, name in dataset.tables.attributes.items() if label_of(name) == label]


def _attribute_ids(dataset: Dataset, label: str) -> np.ndarray:
    columns = _attribute_columns(dataset, label)
    return np.concatenate([np.empty(0, "U1"), *(dataset.catalogue.attributes[column][0] for column in columns)])


def _relation_ids(dataset: Dataset, label: str) -> np.ndarray:
    """Ids that the relations table mentions under a label which is neither product nor level."""
    relations = dataset.tables.relations
    found = [np.empty(0, "U1")]
    for (source, _, target), rows in dataset.tables.relation_groups.items():
        for end, name in (("source", source), ("target", target)):
            if label_of(name) == label:
                found.append(relations[f"{end}_id"].iloc[rows].unique().astype(str))
    return np.concatenate(found)


def _attribute_rows(dataset: Dataset, kind: EdgeKind) -> pd.DataFrame:
    columns = _attribute_columns(dataset, kind.target)
    column = next(name for name in columns if f"HAS_{relationship_of(name)}" == kind.type)
    rows = dataset.tables.products[["product_id", column]].dropna()
    return rows.set_axis(["source", "target"], axis="columns")


def _taxonomy_rows(dataset: Dataset, kind: EdgeKind) -> pd.DataFrame:
    tables, labels = dataset.tables, level_labels(dataset)
    if kind.source == PRODUCT:
        rows, level, ends = tables.memberships, "level", ["product_id", "node_id"]
    else:
        own = next(name for name, label in labels.items() if label == kind.source)
        rows, level, ends = tables.taxonomy[tables.taxonomy["level"] == own], "parent_level", ["node_id", "parent_id"]
    upper = next(name for name in labels if membership_of(name) == kind.type and label_of(name) == kind.target)
    found = rows.loc[rows[level] == upper, ends].dropna().drop_duplicates()
    return found.set_axis(["source", "target"], axis="columns")


def _relation_rows(dataset: Dataset, kind: EdgeKind) -> pd.DataFrame:
    groups = dataset.tables.relation_groups
    named = [
        rows
        for (source, relation, target), rows in groups.items()
        if (label_of(source), relationship_of(relation), label_of(target)) == kind.triple
    ]
    places = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *named]))
    found = dataset.tables.relations.iloc[places][["source_id", "target_id", "weight", "time"]]
    return found.set_axis(["source", "target", "weight", "known_from"], axis="columns")
