"""Rows on their way into the store: light parameters, made one batch ahead of the one that is being written.

Values travel as lists in a fixed order, not as maps that repeat every name; relationships travel grouped by the end
that has fewer distinct nodes, so that this end is looked up once per group and batch, not once per relationship; and a
property that all of them share, such as the window of co-purchases, travels once per batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from kg.schema import EdgeKind, NodeKind, Schema, quote

T = TypeVar("T")
End = Literal["source", "target"]
# Few, so that an update meets the statements that a load has made the server plan already.
OFTEN_SHARED = ("weight", "window_start", "window_end")


@dataclass(frozen=True)
class Batch:
    """What one transaction writes.

    Attributes:
        rows: the parameter ``$rows``.
        size: nodes or relationships in it.
        shared: further parameters: properties that all of them have.
    """

    rows: list[Any]
    size: int
    shared: dict[str, Any] = field(default_factory=dict)


def node_batches(frame: pd.DataFrame, size: int) -> Iterator[Batch]:
    """Nodes, ``size`` at a time: a row is the values of the columns, in order."""
    for start in range(0, len(frame), size):
        part = frame.iloc[start : start + size]
        yield Batch(list(zip(*(plain(part[name]) for name in part), strict=True)), len(part))


def edge_batches(frame: pd.DataFrame, by: End, size: int) -> Iterator[Batch]:
    """Relationships, ``size`` at a time: a row is ``(id of the grouping end, members)``.

    A member is the id of the other end, or a tuple of it and the properties that are not shared where there are any.

    Args:
        frame: ``source``, ``target`` and the properties.
        by: the end to group by.
        size: relationships in a batch; a large group is cut.
    """
    same = shared(frame)
    ordered = frame.drop(columns=list(same)).sort_values(by, kind="stable")
    other = [name for name in ordered if name != by]
    for start in range(0, len(ordered), size):
        part = ordered.iloc[start : start + size]
        keys, columns = plain(part[by]), [plain(part[name]) for name in other]
        members = list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
        ends = part[by].to_numpy(dtype=object)
        cuts = [0, *(np.flatnonzero(ends[1:] != ends[:-1]) + 1).tolist(), len(part)]
        rows = [(keys[i], members[i:j]) for i, j in pairwise(cuts)]
        yield Batch(rows, len(part), same)


def shared(frame: pd.DataFrame) -> dict[str, Any]:
    """The properties of ``OFTEN_SHARED`` that have one value in all rows, with that value."""
    names = [name for name in OFTEN_SHARED if name in frame and frame[name].nunique(dropna=False) == 1]
    return {name: plain(frame[name].iloc[:1])[0] for name in names}


def grouping_end(frame: pd.DataFrame) -> End:
    """The end with fewer distinct nodes."""
    return "source" if frame["source"].nunique() <= frame["target"].nunique() else "target"


def plain(column: pd.Series) -> list[Any]:
    """A column as plain Python values, missing ones as None."""
    missing = column.isna()
    if not missing.any():
        return column.tolist()
    return column.astype(object).where(~missing, None).tolist()


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Yield the items, made in a thread of its own up to ``depth`` ahead of the consumer."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]


def create_nodes(kind: NodeKind) -> str:
    """Cypher that creates the nodes of a batch of ``node_batches``."""
    values = ", ".join(f"{quote(name)}: row[{i}]" for i, name in enumerate((kind.key, *kind.properties)))
    return f"UNWIND $rows AS row CREATE (n:{quote(kind.label)} {{{values}}}) RETURN count(*) AS written"


def create_edges(schema: Schema, kind: EdgeKind, by: End, same: Collection[str] = ()) -> str:
    """Cypher that creates the relationships of a batch of ``edge_batches``.

    Args:
        schema: the graph's.
        kind: what is created.
        by: the end that the batch is grouped by.
        same: names of the shared properties.
    """
    own = [name for name in kind.properties if name not in same]
    places = {name: f"member[{i}]" for i, name in enumerate(own, start=1)}
    values = ", ".join(f"{quote(name)}: {places.get(name, f'${name}')}" for name in kind.properties)
    member = "member[0]" if own else "member"
    source, target = ("row[0]", member) if by == "source" else (member, "row[0]")
    ends = {
        "source": f"MATCH (a:{quote(kind.source)} {{{quote(schema.node(kind.source).key)}: {source}}}) ",
        "target": f"MATCH (b:{quote(kind.target)} {{{quote(schema.node(kind.target).key)}: {target}}}) ",
    }
    other = ends["target" if by == "source" else "source"]
    return (
        f"UNWIND $rows AS row {ends[by]}UNWIND row[1] AS member {other}"
        f"CREATE (a)-[r:{quote(kind.type)}{f' {{{values}}}' if values else ''}]->(b) RETURN count(*) AS written"
    )
