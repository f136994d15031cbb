"""Parts of the graph as ``networkx.MultiDiGraph``, with all properties, for pictures, analyses and files.

A node of the network is the store's element id; its attributes are ``labels`` (joined by ``:``), ``name`` and
``properties`` (a dictionary). An edge's key is the relationship's element id; its attributes are ``type`` and
``properties``. ``kg.analysis`` has what people ask of such networks, ``kg.graphfile`` writes them for Gephi.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import networkx as nx

from errors import InputError
from kg.answer import Answer, GraphEdge, GraphNode, GraphPath
from kg.library import NamedQuery, bind
from kg.output import name_of
from kg.placeholders import fill, interest_label
from kg.readonly import ReadOnly
from kg.schema import BOUGHT_WITH, Schema, quote
from kg.state import graph_state
from kg.store import GraphStore

ALL_ROWS = 1_000_000
# One by one: with `IN $ids` the embedded store looks at all nodes.
BY_ID = "UNWIND $ids AS id MATCH (n) WHERE elementId(n) = id"


class Reader(Protocol):
    """What answers queries: ``kg.readonly.ReadOnly``."""

    def run(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Answer one reading query."""
        ...


class Explorer:
    """The graph of a store, asked for subgraphs.

    Args:
        store: an open store with a loaded graph.
        time_limit: seconds for each query; default 30.
        row_limit: rows of an answer at most; default a million.

    Attributes:
        schema: the graph's schema.
        windows: the cut-offs whose co-purchases it holds, ascending.

    Raises:
        InputError: the store holds no graph, or one that is only partly written.
    """

    def __init__(self, store: GraphStore, time_limit: float = 30.0, row_limit: int = ALL_ROWS) -> None:
        state = graph_state(store)
        if state is None or not state.complete:
            what = "the store holds no graph" if state is None else f"the store's graph is not whole: {state.state}"
            raise InputError(what, where=store.config.uri, remedy="Load it: `crossaisle kg load`.")
        self.reader: Reader = ReadOnly(store, time_limit, row_limit)
        self.schema = Schema.from_json(state.schema)
        self.windows = sorted(state.window_ends)

    @property
    def latest(self) -> int | None:
        """The latest window; None when no co-purchases were counted."""
        return self.windows[-1] if self.windows else None

    def ask(self, query: str, params: Mapping[str, object] | None = None) -> Answer:
        """Answer a query, in which ``$$Category`` and the like stand for this graph's names (``kg.placeholders``)."""
        return self.reader.run(fill(query, self.schema), params)

    def answer(self, query: NamedQuery, given: Sequence[str] = ()) -> Answer:
        """Answer a query of the library or of a file.

        Args:
            query: what ``kg.library.load`` or ``kg.library.parse`` gives.
            given: values of its parameters, ``name=value`` each.

        Raises:
            InputError: a value is missing or wrong, or the query fails.
        """
        found = self.ask(query.cypher, bind(query, given, self.latest))
        if found.columns or not query.documented:
            return found
        return replace(found, columns=query.columns)  # the embedded store names no columns where there are no rows

    def subgraph(self, query: str, params: Mapping[str, object] | None = None) -> nx.MultiDiGraph:
        """All nodes and relationships of a query's answer.

        Relationships that the query returns without their ends get these from the store.
        """
        return complete(self.reader, graph_of(self.ask(query, params)))

    def co_purchases(self, window_end: int | None = None, label: str = "", min_support: int = 0) -> nx.MultiDiGraph:
        """The level's nodes and their ``BOUGHT_WITH``.

        Args:
            window_end: the cut-off; default the latest.
            label: of the level; default the interest level.
            min_support: fewest customers behind a relationship; default all that were counted.

        Raises:
            InputError: the graph has no co-purchases of that label or cut-off.
        """
        end, level = self._window(window_end), label or interest_label(self.schema)
        if not any(kind.role == "co_purchase" and kind.source == level for kind in self.schema.edges):
            remedy = "`crossaisle kg schema` shows what it has."
            raise InputError(f"this graph has no co-purchases of label {level!r}", where="label", remedy=remedy)
        nodes = self.ask(f"MATCH (n:{quote(level)}) RETURN n")
        query = (
            f"MATCH (a:{quote(level)})-[r:{BOUGHT_WITH}]->(b:{quote(level)}) "
            "WHERE r.window_end = $window_end AND r.support >= $min_support RETURN r"
        )
        edges = self.ask(query, {"window_end": end, "min_support": min_support})
        return _graph((row[0] for row in nodes.rows), (row[0] for row in edges.rows))

    def neighbourhood(self, key: str, label: str = "Product", limit: int = 200) -> nx.MultiDiGraph:
        """A node, what it is tied to, and the ties among these.

        Args:
            key: the node's id.
            label: its label; default ``Product``.
            limit: neighbours at most.

        Raises:
            InputError: there is no such label or node.
        """
        kind = next((kind for kind in self.schema.nodes if kind.label == label), None)
        if kind is None:
            known = ", ".join(kind.label for kind in self.schema.nodes)
            raise InputError(f"this graph has no label {label!r}", where="label", remedy=f"It has {known}.")
        start = f"MATCH (n:{quote(label)} {{{quote(kind.key)}: $key}})"
        found = self.ask(
            f"{start} OPTIONAL MATCH (n)-[r]-(m) RETURN n, r, m LIMIT $limit", {"key": key, "limit": limit}
        )
        if not found.rows:
            remedy = "Look for its id with `crossaisle kg query`."
            raise InputError(f"there is no {label} {key!r}", where="key", remedy=remedy)
        graph = graph_of(found)
        among = f"{BY_ID} MATCH (n)-[r]->(m) WHERE elementId(m) IN $ids RETURN r"
        ties = self.ask(among, {"ids": list(graph)})
        add(graph, (row[0] for row in ties.rows))
        return graph

    def departments(self) -> dict[str, str]:
        """The node of the level above that each category stands in, by names; the first where there are several."""
        rows = self.ask(
            "MATCH (c:$$Category)-[:$$TAXONOMY]->(d:$$Above) RETURN c.name AS c, min(d.name) AS d ORDER BY c"
        ).rows
        return {str(category): str(department) for category, department in rows}

    def _window(self, window_end: int | None) -> int:
        if window_end is None and self.latest is not None:
            return self.latest
        if window_end not in self.windows:
            what = f"this graph has no co-purchases for cut-off {window_end}"
            raise InputError(what, where="window_end", remedy=f"It has {self.windows}.")
        return int(window_end)


def graph_of(answer: Answer) -> nx.MultiDiGraph:
    """All nodes, relationships and paths of an answer, also those inside lists and maps.

    A relationship whose end is not in the answer gets an end without labels and properties.
    """
    graph = nx.MultiDiGraph()
    add(graph, (value for row in answer.rows for value in row))
    return graph


def add(graph: nx.MultiDiGraph, values: Iterable[Any]) -> None:
    """Put nodes, relationships and paths into a network, in place."""
    for value in values:
        if isinstance(value, GraphNode):
            attributes = {"labels": ":".join(value.labels), "name": name_of(value)}
            graph.add_node(value.id, **attributes, properties=dict(value.properties))
        elif isinstance(value, GraphEdge):
            graph.add_edge(value.source, value.target, value.id, type=value.type, properties=dict(value.properties))
        elif isinstance(value, GraphPath):
            add(graph, (*value.nodes, *value.edges))
        elif isinstance(value, Mapping):
            add(graph, value.values())
        elif isinstance(value, (list, tuple)):
            add(graph, value)


def complete(reader: Reader, graph: nx.MultiDiGraph) -> nx.MultiDiGraph:
    """Fetch the nodes that are only known as ends of relationships; returns the same network."""
    unknown = [node for node, labels in graph.nodes(data="labels") if labels is None]
    if unknown:
        found = reader.run(f"{BY_ID} RETURN n", {"ids": unknown})
        add(graph, (row[0] for row in found.rows))
    return graph


def named(graph: nx.MultiDiGraph, name: str) -> str:
    """The network's node of that name or key.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [
        node
        for node, data in graph.nodes(data=True)
        if name == data.get("name") or name in (data.get("properties") or {}).values()
    ]
    if len(found) != 1:
        what = f"{len(found) or 'no'} node{'' if len(found) == 1 else 's'} of this network called {name!r}"
        raise InputError(what, where="name", remedy="Give the id or the name of one.")
    return str(found[0])


def _graph(nodes: Iterable[GraphNode], edges: Iterable[GraphEdge]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    add(graph, nodes)
    add(graph, edges)
    return graph
