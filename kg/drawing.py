"""What a picture of a network shows: places, colours, sizes, widths and words, the same for every format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from errors import InputError
from kg.graphfile import weight_of
from kg.output import short

MOST_NODES = 2_000
MOST_EDGE_LABELS = 30
# Okabe and Ito's colours, which colour-blind people tell apart, then darker ones.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f3c8d", "#80ba5a", "#a5aa99")
EDGE_COLOURS = ("#8c8c8c", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d")
UNKNOWN = "#bbbbbb"
NODE_SIZES = (18.0, 46.0)
EDGE_WIDTHS = (1.0, 7.0)
SPACING = 110.0

Point = tuple[float, float]


@dataclass(frozen=True)
class DrawnNode:
    """A node as it is drawn: ``kind`` is its label, ``rows`` what is told of it, ``size`` its diameter in points."""

    id: str
    name: str
    kind: str
    colour: str
    size: float
    at: Point
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class DrawnEdge:
    """A relationship as it is drawn; ``width`` in points, ``turn`` tells parallel ones apart (0, 1, …)."""

    id: str
    source: str
    target: str
    name: str
    kind: str
    colour: str
    width: float
    turn: int
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class Drawing:
    """All that a picture shows; y grows downwards."""

    title: str
    nodes: list[DrawnNode]
    edges: list[DrawnEdge]

    @property
    def labels_edges(self) -> bool:
        """Whether there is room for the names of relationships."""
        return len(self.edges) <= MOST_EDGE_LABELS

    def legend(self) -> list[tuple[str, str, str, int]]:
        """(``node`` or ``edge``, kind, colour, how many) of each colour."""
        found: list[tuple[str, str, str, int]] = []
        for group, items in (("node", self.nodes), ("edge", self.edges)):
            counts = Counter((item.kind, item.colour) for item in items)
            found += [(group, kind, colour, count) for (kind, colour), count in sorted(counts.items())]
        return found


def design(graph: nx.MultiDiGraph, title: str = "", weight: str = "", seed: int = 0) -> Drawing:
    """Decide how a network is drawn.

    Args:
        graph: as ``kg.explore`` makes it.
        title: above the picture.
        weight: property that the width of relationships shows; default the first that one has of ``probability``,
            ``lift``, ``confidence``, ``weight``. Widths are relative within a type.
        seed: equal seeds give equal places.

    Raises:
        InputError: there is nothing to draw, or more than anybody could read.
    """
    if not graph:
        remedy = "Return nodes, relationships or paths, such as `MATCH path = (a)-[r]->(b) RETURN path`."
        raise InputError("the answer holds no nodes to draw", where="--graph", remedy=remedy)
    if len(graph) > MOST_NODES:
        remedy = "Ask for less (LIMIT), or write it for Gephi: .graphml or .gexf."
        raise InputError(f"{len(graph):,} nodes are too many for a picture", where="--graph", remedy=remedy)
    return Drawing(title, _nodes(graph, places(graph, weight, seed)), _edges(graph, weight))


def places(graph: nx.MultiDiGraph, weight: str = "", seed: int = 0) -> dict[str, Point]:
    """A place for each node: each connected part by itself (Fruchterman and Reingold 1991), the parts in rows."""
    simple = nx.Graph()
    simple.add_nodes_from(graph)
    for source, target, properties in graph.edges(data="properties"):
        if source != target:
            strength = math.log1p(max(0.0, weight_of(properties or {}, weight) or 1.0))
            simple.add_edge(
                source, target, weight=strength + simple.get_edge_data(source, target, {"weight": 0})["weight"]
            )
    parts = sorted(nx.connected_components(simple), key=lambda part: (-len(part), min(part)))
    found: dict[str, Point] = {}
    width = SPACING * math.sqrt(len(graph)) * 1.6
    x = y = row = 0.0
    for part in parts:
        size = SPACING * math.sqrt(len(part))
        if x and x + size > width:
            x, y, row = 0.0, y + row + SPACING, 0.0
        ordered = simple.subgraph(sorted(part))
        found |= {node: (x + px, y + py) for node, (px, py) in _part(ordered, size, seed).items()}
        x, row = x + size + SPACING, max(row, size)
    return found


def _part(part: nx.Graph, size: float, seed: int) -> dict[str, Point]:
    """Places of a connected part in a square of the given side."""
    if len(part) == 1:
        return dict.fromkeys(part, (size / 2, size / 2))
    graph = nx.Graph()
    graph.add_nodes_from(sorted(part))
    graph.add_weighted_edges_from(sorted((*sorted(edge), data["weight"]) for *edge, data in part.edges(data=True)))
    start = nx.kamada_kawai_layout(graph, weight=None) if len(graph) <= 150 else None
    spread = 1.6 / math.sqrt(len(graph))
    rounds = 60 if len(graph) <= 150 else 120
    found = nx.spring_layout(graph, k=spread, pos=start, weight="weight", seed=seed, iterations=rounds)
    return {node: (size / 2 * (1 + float(x)), size / 2 * (1 + float(y))) for node, (x, y) in found.items()}


def _nodes(graph: nx.MultiDiGraph, at: Mapping[str, Point]) -> list[DrawnNode]:
    colour = _palette((_kind(data) for _, data in graph.nodes(data=True)), COLOURS)
    most = max(math.sqrt(degree) for _, degree in graph.degree()) or 1.0
    least, span = NODE_SIZES[0], NODE_SIZES[1] - NODE_SIZES[0]
    return [
        DrawnNode(
            id=node,
            name=str(data.get("name") or ""),
            kind=_kind(data),
            colour=colour[_kind(data)],
            size=round(least + span * math.sqrt(graph.degree(node)) / most, 1),
            at=(round(at[node][0], 1), round(at[node][1], 1)),
            rows=_rows(data.get("properties") or {}),
        )
        for node, data in graph.nodes(data=True)
    ]


def _edges(graph: nx.MultiDiGraph, weight: str) -> list[DrawnEdge]:
    edges = list(graph.edges(keys=True, data=True))
    colour = _palette((data["type"] for *_, data in edges), EDGE_COLOURS)
    width = _widths(edges, weight)
    turns: Counter[frozenset[str]] = Counter()
    drawn = []
    for source, target, key, data in edges:
        pair = frozenset((source, target))
        kind, properties = data["type"], data.get("properties") or {}
        drawn.append(
            DrawnEdge(
                key,
                source,
                target,
                data.get("name", kind),
                kind,
                colour[kind],
                width[key],
                turns[pair],
                _rows(properties),
            )
        )
        turns[pair] += 1
    return drawn


def _widths(edges: list[tuple[str, str, str, dict[str, Any]]], weight: str) -> dict[str, float]:
    """Width of each edge, between the least and the largest of its type."""
    strengths = {key: weight_of(data.get("properties") or {}, weight) for *_, key, data in edges}
    by_type: dict[str, list[float]] = {}
    for *_, key, data in edges:
        if (strength := strengths[key]) is not None:
            by_type.setdefault(data["type"], []).append(strength)
    return {key: _between(strengths[key], by_type.get(data["type"], [])) for *_, key, data in edges}


def _between(value: float | None, values: list[float]) -> float:
    least, most = EDGE_WIDTHS
    if value is None or max(values) <= min(values):
        return 1.5
    return round(least + (most - least) * (value - min(values)) / (max(values) - min(values)), 2)


def _palette(kinds: Iterable[str], colours: tuple[str, ...]) -> dict[str, str]:
    names = sorted(set(kinds) - {""})
    return {"": UNKNOWN} | {name: colours[i % len(colours)] for i, name in enumerate(names)}


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("labels") or "")


def _rows(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _told(value)) for name, value in properties.items() if value is not None]


def _told(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value)} values"
    return value if isinstance(value, str) else short(value)
