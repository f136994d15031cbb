"""One number for a whole graph: equal graphs give equal checksums, whatever the order they were written in."""

from __future__ import annotations

import hashlib
import json

from kg.schema import Schema, quote
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
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _line(*values: object) -> str:
    return json.dumps(values, sort_keys=True, default=str)
