"""Rows of the graph as the store has them, in the form of the tables they came from (``kg.rows``)."""

from __future__ import annotations

import pandas as pd

from kg.batches import End
from kg.schema import EdgeKind, NodeKind, Schema, quote
from kg.state import GraphState
from kg.store import GraphStore


def stored_nodes(store: GraphStore, kind: NodeKind, state: GraphState) -> pd.DataFrame:
    """Nodes of one label without an end date: the key and our properties, others left aside."""
    names = [kind.key, *kind.properties]
    values = ", ".join(f"n.{quote(name)} AS {quote(name)}" for name in names)
    where = f"WHERE {state.alive('n')} " if state.marked else ""
    return store.read_frame(f"MATCH (n:{quote(kind.label)}) {where}RETURN {values}")


def stored_edges(
    store: GraphStore, schema: Schema, kind: EdgeKind, state: GraphState, by: End, window_end: int | None = None
) -> pd.DataFrame:
    """Relationships of one kind without an end date: ``source``, ``target``, our properties.

    Args:
        store: an open store.
        schema: the graph's.
        kind: what to read.
        state: the graph's.
        by: the end to group by in the query, which makes it several times faster.
        window_end: cut-off, of co-purchases.
    """
    ends = {"source": f"a.{quote(schema.node(kind.source).key)}", "target": f"b.{quote(schema.node(kind.target).key)}"}
    other = "target" if by == "source" else "source"
    member = ", ".join([ends[other], *(f"r.{quote(name)}" for name in kind.properties)])
    conditions = [state.alive("r")] if state.marked else []
    conditions += ["r.window_end = $window_end"] if window_end is not None else []
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    _, rows = store.read_rows(
        f"MATCH (a:{quote(kind.source)})-[r:{quote(kind.type)}]->(b:{quote(kind.target)}) {where}"
        f"RETURN {ends[by]} AS id, collect([{member}]) AS members",
        window_end=window_end,
    )
    found = [(key, *member) for key, members in rows for member in members]
    return pd.DataFrame(found, columns=[by, other, *kind.properties])
