"""One number for a whole graph: equal graphs give equal checksums, whatever the order they were written in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import pandas as pd

from data.dataset import Dataset
from kg.batches import plain
from kg.config import CoPurchaseConfig
from kg.rows import co_purchase_table, known_rows, node_table
from kg.schema import EdgeKind, Schema, quote, schema_of
from kg.store import GraphStore


def graph_checksum(store: GraphStore, schema: Schema) -> str:
    """Sha256, in hex, over the sorted nodes, relationships and properties of a schema's graph.

    Everything is read into memory: meant for tests and for comparing moderate graphs.
    """
    lines = [
        _line(kind.label, row["properties"])
        for kind in schema.nodes
        for row in store.read(f"MATCH (n:{quote(kind.label)}) RETURN properties(n) AS properties")
    ]
    for kind in schema.edges:
        source, target = quote(schema.node(kind.source).key), quote(schema.node(kind.target).key)
        rows = store.read(
            f"MATCH (a:{quote(kind.source)})-[r:{quote(kind.type)}]->(b:{quote(kind.target)}) "
            f"RETURN a.{source} AS source, b.{target} AS target, properties(r) AS properties"
        )
        lines += [_line(*kind.triple, row["source"], row["target"], row["properties"]) for row in rows]
    return _sum(lines)


def tables_checksum(dataset: Dataset, window_ends: Iterable[int], config: CoPurchaseConfig) -> str:
    """The checksum of the graph that these tables ask for, made without a store."""
    schema, ends = schema_of(dataset), list(window_ends)
    lines = [_line(kind.label, row) for kind in schema.nodes for row in _properties(node_table(dataset, kind))]
    for kind in schema.edges:
        for frame in _edge_tables(dataset, schema, kind, ends, config):
            rows = _properties(frame)
            lines += [_line(*kind.triple, row.pop("source"), row.pop("target"), row) for row in rows]
    return _sum(lines)


def _edge_tables(
    dataset: Dataset, schema: Schema, kind: EdgeKind, window_ends: list[int], config: CoPurchaseConfig
) -> Iterator[pd.DataFrame]:
    if kind.role != "co_purchase":
        yield known_rows(dataset, schema, kind)[0]
        return
    for end in window_ends:
        yield co_purchase_table(dataset, kind, end, config)


def _properties(frame: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Rows as dictionaries, without what is missing: a null is no property in a graph."""
    names = [str(name) for name in frame]
    for values in zip(*(plain(frame[name]) for name in names), strict=True):
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _line(*values: object) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _sum(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
