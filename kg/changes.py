"""What differs between the tables and the graph, one kind at a time, and how the graph is brought in step.

Every statement gives the same graph when it runs twice, and none needs more of the graph than the nodes it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from kg.batches import End, grouping_end, node_batches
from kg.digest import Digests, digests
from kg.load import edge_pieces, send
from kg.schema import EdgeKind, NodeKind, Schema, quote
from kg.state import ENDED
from kg.store import GraphStore

ENDS = ("source", "target")
Vanished = Literal["remove", "end"]


@dataclass(frozen=True)
class Change:
    """Differences of one kind, the tables against the graph.

    Attributes:
        kind: label or relationship.
        added: rows that the graph lacks.
        changed: rows whose key it has with other properties.
        vanished: keys that only the graph has.
        counts: number of keys in each of the three.
        by: the end of a relationship that has fewer distinct nodes, so that the other one has fewer relationships.
        window_end: cut-off, of co-purchases.
    """

    kind: NodeKind | EdgeKind
    added: pd.DataFrame
    changed: pd.DataFrame
    vanished: pd.DataFrame
    counts: tuple[int, int, int]
    by: End = "source"
    window_end: int | None = None

    @property
    def derived(self) -> bool:
        """Whether these are counted figures, which are replaced and never kept with an end date."""
        return isinstance(self.kind, EdgeKind) and self.kind.role == "co_purchase"


def keys_of(kind: NodeKind | EdgeKind) -> Sequence[str]:
    """Columns that identify a row of a kind."""
    return (kind.key,) if isinstance(kind, NodeKind) else ENDS


def nothing() -> Digests:
    """The fingerprints of no rows."""
    none = np.empty(0, dtype=np.uint64)
    return Digests(none, none, pa.array([], pa.large_string()), pa.array([], pa.large_string()))


def compare(
    kind: NodeKind | EdgeKind, frame: pd.DataFrame, old: Digests, window_end: int | None = None
) -> tuple[Change, Digests]:
    """Compare a kind's rows with what the graph holds.

    Returns:
        the differences, and the fingerprints of the rows.
    """
    keys = keys_of(kind)
    new, of_row = digests(frame, keys)
    place = old.at(new.key)
    fresh, other = place < 0, place >= 0
    other[other] = old.digest[place[other]] != new.digest[other]
    gone = np.isin(old.key, new.key, invert=True, assume_unique=True)
    columns = zip(keys, (old.first, old.second), strict=False)
    vanished = pd.DataFrame({key: column.filter(pa.array(gone)).to_pandas() for key, column in columns})
    added, changed = (frame[np.isin(of_row, new.key[which])] for which in (fresh, other))
    counts = int(fresh.sum()), int(other.sum()), int(gone.sum())
    by = grouping_end(frame) if isinstance(kind, EdgeKind) else "source"
    return Change(kind, added, changed, vanished, counts, by, window_end), new


def bring_in_step(
    store: GraphStore, schema: Schema, changes: Sequence[Change], vanished: Vanished, marked: bool
) -> Iterator[str]:
    """Write the differences: relationships leave before nodes, and nodes come before relationships.

    Args:
        store: an open store.
        schema: the graph's.
        changes: of all kinds.
        vanished: what to do with vanished nodes and relationships of the catalogue.
        marked: the graph may hold earlier ones with an end date, which come alive again.

    Yields:
        the name of each kind, once for each of the two ways.
    """
    nodes = {change.kind.label: change for change in changes if isinstance(change.kind, NodeKind)}
    leaving = {label: change.vanished.iloc[:, 0] for label, change in nodes.items()} if vanished == "remove" else {}
    for change in changes[::-1]:
        if isinstance(change.kind, EdgeKind):
            _remove_edges(store, schema, change.kind, change, vanished, marked, leaving)
        else:
            _remove_nodes(store, change.kind, change.vanished, vanished)
        yield change.kind.name
    for change in changes:
        if isinstance(change.kind, EdgeKind):
            _add_edges(store, schema, change.kind, change)
        else:
            _upsert_nodes(store, change.kind, change)
        yield change.kind.name


def _remove_edges(
    store: GraphStore,
    schema: Schema,
    kind: EdgeKind,
    change: Change,
    vanished: Vanished,
    marked: bool,
    leaving: Mapping[str, pd.Series],
) -> None:
    match = _match_edges(schema, kind, change.by)
    ends = vanished == "end" and not change.derived
    gone = _staying(change.vanished, kind, leaving)
    replaced = [change.changed, *([change.added] if marked else []), *([] if ends else [gone])]
    pairs = pd.concat([frame[list(ENDS)] for frame in replaced]).drop_duplicates()
    _each(store, f"{match}DELETE r RETURN count(*) AS written", pairs, window_end=change.window_end)
    if ends:
        marking = f"{match}SET r.{quote(ENDED)} = $date RETURN count(*) AS written"
        _each(store, marking, gone, date=date.today(), window_end=None)


def _staying(pairs: pd.DataFrame, kind: EdgeKind, leaving: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Pairs neither of whose nodes leaves: a node takes its relationships along."""
    for end, label in zip(ENDS, (kind.source, kind.target), strict=True):
        if label in leaving:
            pairs = pairs[~pairs[end].isin(leaving[label])]
    return pairs


def _match_edges(schema: Schema, kind: EdgeKind, by: End) -> str:
    """Cypher that finds the relationships of pairs, from the end that has fewer."""
    source, target = schema.node(kind.source), schema.node(kind.target)
    typed = f"[r:{quote(kind.type)}]"
    return (
        f"UNWIND $rows AS row MATCH (a:{quote(source.label)} {{{quote(source.key)}: row[0]}}) "
        f"USING INDEX SEEK a:{quote(source.label)}({quote(source.key)}) "
        f"MATCH (b:{quote(target.label)} {{{quote(target.key)}: row[1]}}) "
        f"USING INDEX SEEK b:{quote(target.label)}({quote(target.key)}) WITH a, b "
        f"MATCH {f'(b)<-{typed}-(a)' if by == 'source' else f'(a)-{typed}->(b)'} "
        f"{'WHERE r.window_end = $window_end ' if kind.role == 'co_purchase' else ''}"
    )


def _remove_nodes(store: GraphStore, kind: NodeKind, gone: pd.DataFrame, vanished: Vanished) -> None:
    match = f"UNWIND $rows AS row MATCH (n:{quote(kind.label)} {{{quote(kind.key)}: row[0]}}) "
    if vanished == "end":
        _each(store, f"{match}SET n.{quote(ENDED)} = $date RETURN count(*) AS written", gone, date=date.today())
    else:
        _each(store, f"{match}DETACH DELETE n RETURN count(*) AS written", gone)


def _upsert_nodes(store: GraphStore, kind: NodeKind, change: Change) -> None:
    settings = [f"n.{quote(name)} = row[{i}]" for i, name in enumerate(kind.properties, start=1)]
    query = (
        f"UNWIND $rows AS row MERGE (n:{quote(kind.label)} {{{quote(kind.key)}: row[0]}}) "
        f"SET {', '.join([*settings, f'n.{quote(ENDED)} = null'])} RETURN count(*) AS written"
    )
    for frame in (change.changed, change.added):
        _each(store, query, frame)


def _add_edges(store: GraphStore, schema: Schema, kind: EdgeKind, change: Change) -> None:
    rows = pd.concat([change.changed, change.added])
    for name, query, batch in edge_pieces(schema, kind, rows, store.config.batch_size):
        send(store, name, query, batch)


def _each(store: GraphStore, query: str, frame: pd.DataFrame, **constants: object) -> None:
    for batch in node_batches(frame, store.config.batch_size):
        store.write(query, rows=batch.rows, **constants)
