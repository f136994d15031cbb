"""What a query answers: columns and rows, with nodes, relationships and paths as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class GraphNode:
    """A node as it was when it was read.

    Attributes:
        id: the store's element id; tells nodes apart within one answer, and means nothing later.
        labels: its labels, sorted.
        properties: its properties as Python values (temporal ones as ``datetime`` types).
    """

    id: str
    labels: tuple[str, ...]
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class GraphEdge:
    """A relationship as it was when it was read.

    Attributes:
        id: the store's element id; tells relationships apart within one answer.
        type: its type.
        source: element id of the node it starts from.
        target: element id of the node it ends in.
        properties: its properties as Python values.
    """

    id: str
    type: str
    source: str
    target: str
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class GraphPath:
    """A path: ``len(nodes) == len(edges) + 1``, in the order in which it was walked.

    An edge points as in the graph, which may be against the walk.

    Attributes:
        nodes: the nodes passed, the first and the last included.
        edges: the relationships between them.
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


@dataclass(frozen=True)
class Answer:
    """The answer to one query.

    Attributes:
        columns: names of the columns, in the query's order.
        rows: one tuple per row, as long as ``columns``. Values are Python's (None, bool, int, float, str, bytes,
            ``datetime`` types, lists and dictionaries of these) or ``GraphNode``, ``GraphEdge``, ``GraphPath``.
        truncated: whether rows beyond the limit were left out.
        seconds: time from sending the query to the last row kept.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool = False
    seconds: float = 0.0

    def frame(self) -> pd.DataFrame:
        """The rows as a table with ``columns``; values are kept as they are (object columns where mixed)."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.columns))
