"""What a picture of a network shows: places, colours, sizes, widths and words, the same for every format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from errors import InputError
from kg.graphfile import weight_of
from kg.output import short

MOST_NODES = 2_000
MOST_EDGE_LABELS = 30
EVEN_LAYOUT = 150
# Okabe and Ito's colours, which colour-blind people tell apart, then darker ones.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f3c8d", "#80ba5a", "#a5aa99")
EDGE_COLOURS = ("#8c8c8c", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d")
UNKNOWN = "#bbbbbb"
NODE_SIZES = (18.0, 46.0)
EDGE_WIDTHS = (1.0, 7.0)
SPACING = 130.0
LABEL_SPACING = 220.0
LEAST_GAP = 70.0
LONGEST_NAME = 26

Point = tuple[float, float]


@dataclass(frozen=True)
class DrawnNode:
    """A node as it is drawn.

    ``name`` is written beside it, ``title`` and ``rows`` are told of it, ``kind`` is its label, ``size`` its diameter.
    """

    id: str
    name: str
    title: str
    kind: str
    colour: str
    size: float
    at: Point
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class DrawnEdge:
    """A relationship as it is drawn.

    ``name`` is written beside it, ``kind`` is its type, ``width`` is in points, ``turn`` tells parallel ones apart.
    """

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
    """All that a picture shows, with a legend if ``explained``; y grows downwards."""

    title: str
    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    explained: bool = True

    @property
    def labels_edges(self) -> bool:
        """Whether there is room for words at relationships."""
        return len(self.edges) <= MOST_EDGE_LABELS

    def legend(self) -> list[tuple[str, str, str, int]]:
        """(``node`` or ``edge``, kind, colour, how many) of each colour; empty if not ``explained``."""
        found: list[tuple[str, str, str, int]] = []
        if not self.explained:
            return found
        for group, items in (("node", self.nodes), ("edge", self.edges)):
            counts = Counter((item.kind, item.colour) for item in items)
            found += [(group, kind, colour, count) for (kind, colour), count in sorted(counts.items())]
        return found


def design(graph: nx.MultiDiGraph, title: str = "", weight: str = "", seed: int = 0, explained: bool = True) -> Drawing:
    """Decide how a network is drawn.

    Args:
        graph: as ``kg.explore`` makes it.
        title: above the picture.
        weight: property that the width of relationships shows; default the first that one has of ``probability``,
            ``lift``, ``confidence``, ``weight``. Widths are relative within a type.
        seed: equal seeds give equal places.
        explained: whether there shall be a legend.

    Raises:
        InputError: there is nothing to draw, or more than anybody could read.
    """
    if not graph:
        remedy = "Return nodes, relationships or paths, such as `MATCH path = (a)-[r]->(b) RETURN path`."
        raise InputError("the answer holds no nodes to draw", where="--graph", remedy=remedy)
    if len(graph) > MOST_NODES:
        remedy = "Ask for less (LIMIT), or write it for Gephi: .graphml or .gexf."
        raise InputError(f"{len(graph):,} nodes are too many for a picture", where="--graph", remedy=remedy)
    return Drawing(title, _nodes(graph, places(graph, seed)), _edges(graph, weight), explained)


def places(graph: nx.MultiDiGraph, seed: int = 0) -> dict[str, Point]:
    """A place for each node: each connected part laid out by itself, the parts in rows, the largest first."""
    types = set(nx.get_edge_attributes(graph, "type").values())
    wordy = len(types) > 1 and graph.number_of_edges() <= MOST_EDGE_LABELS
    spacing = LABEL_SPACING if wordy else SPACING
    simple = nx.Graph((one, other) for one, other in graph.edges() if one != other)
    simple.add_nodes_from(graph)
    parts = sorted(nx.connected_components(simple), key=lambda part: (-len(part), min(part)))
    found: dict[str, Point] = {}
    width = spacing * (math.sqrt(len(graph)) + 1) * 1.3
    x = y = row = 0.0
    for part in parts:
        size = spacing * math.sqrt(len(part))
        if x and x + size > width:
            x, y, row = 0.0, y + row + SPACING * 0.7, 0.0
        inside = _part(nx.subgraph_view(simple, filter_node=part.__contains__), size, seed)
        found |= {node: (x + px, y + py) for node, (px, py) in inside.items()}
        x, row = x + max(px for px, _ in inside.values()) + spacing, max(row, *(py for _, py in inside.values()))
    return found


def _part(part: nx.Graph, size: float, seed: int) -> dict[str, Point]:
    """Places of a connected part, from the top left: by Kamada and Kawai (1989), or Fruchterman and Reingold (1991)."""
    if len(part) == 1:
        return dict.fromkeys(part, (0.0, 0.0))
    graph = nx.Graph()
    graph.add_nodes_from(sorted(part))
    graph.add_edges_from(sorted(tuple(sorted(edge)) for edge in part.edges()))
    if len(graph) <= EVEN_LAYOUT:
        found = nx.kamada_kawai_layout(graph, weight=None)
    else:
        found = nx.spring_layout(graph, k=2.5 / math.sqrt(len(graph)), seed=seed, iterations=100)
    at = np.array([found[node] for node in graph])
    at *= max(size / 2, LEAST_GAP / max(_gap(at), 1e-3))
    at -= at.min(axis=0)
    return {node: (float(x), float(y)) for node, (x, y) in zip(graph, at, strict=True)}


def _gap(at: npt.NDArray[np.float64]) -> float:
    """How near the nearest neighbours are, but for the nearest tenth."""
    distances = cdist(at, at)
    np.fill_diagonal(distances, np.inf)
    return float(np.quantile(distances.min(axis=1), 0.1))


def _nodes(graph: nx.MultiDiGraph, at: Mapping[str, Point]) -> list[DrawnNode]:
    colour = _palette((_kind(data) for _, data in graph.nodes(data=True)), COLOURS)
    most = max(math.sqrt(degree) for _, degree in graph.degree()) or 1.0
    least, span = NODE_SIZES[0], NODE_SIZES[1] - NODE_SIZES[0]
    return [
        DrawnNode(
            id=node,
            name=_shortened(str(data.get("name") or "")),
            title=str(data.get("name") or ""),
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
    one_type = len(colour) == 2
    drawn = []
    for source, target, key, data in edges:
        pair = frozenset((source, target))
        kind, properties = data["type"], data.get("properties") or {}
        drawn.append(
            DrawnEdge(
                key,
                source,
                target,
                data.get("name") or _words("" if one_type else kind, properties, weight),
                kind,
                colour[kind],
                width[key],
                turns[pair],
                _rows(properties),
            )
        )
        turns[pair] += 1
    return drawn


def _words(kind: str, properties: Mapping[str, Any], weight: str) -> str:
    """What is written at a relationship: its type where there are several, and its weight."""
    strength = weight_of(properties, weight)
    return " ".join(filter(None, (kind, "" if strength is None else short(strength))))


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


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _told(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value)} values"
    return value if isinstance(value, str) else short(value)
