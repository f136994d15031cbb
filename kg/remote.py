"""The graph served out of the store piece by piece, for graphs whose edges and features are beyond memory.

`StoredGraph` answers who points at some nodes, as the neighbour sampler of ``encoders.sampler`` asks it.
`StoredFeatures` and `StoredEdges` are the same under PyG's ``FeatureStore`` and ``GraphStore`` interfaces, for its
loaders. All of them only read, and see the graph as it was known at one cut-off: ``BOUGHT_WITH`` of that very window,
relations known before it. In memory are the ids, 4 bytes per node and relation for the degrees that were asked for,
some hubs' edges, and what the caller holds.

Every query names nodes by their key, for a batch of them at a time, so that the constraint's index serves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import FeatureStore, TensorAttr
from torch_geometric.data import GraphStore as EdgeStore
from torch_geometric.data.graph_store import EdgeAttr, EdgeLayout
from torch_geometric.index import index2ptr

from errors import InputError
from kg.schema import EdgeKind, Schema, quote
from kg.state import GraphState, graph_state
from kg.store import GraphStore

EdgeType = tuple[str, str, str]
Links = tuple[Tensor, Tensor, Tensor]
DEGREE = "degree"
READ_ONLY = "Change the tables and load the graph again, or write embeddings back after training."


@dataclass(frozen=True)
class _Relation:
    """A relation of the schema in one direction, as Cypher from a target to what points at it."""

    schema: Schema
    kind: EdgeKind
    back: bool
    alive: str = ""

    @property
    def edge_type(self) -> EdgeType:
        source, relation, target = self.kind.triple
        return (target, f"rev_{relation}", source) if self.back else (source, relation, target)

    @property
    def values(self) -> list[str]:
        """What a weight is made of, in the order of ``weights``."""
        return {"structure": [], "relation": ["count(r)"], "co_purchase": ["r.confidence", "r.lift"]}[self.kind.role]

    def match(self) -> str:
        """Cypher that expands the targets ``row.id`` to their sources: ``row``, ``id``, ``v0``, … for each edge.

        The hint keeps the planner from starting at the other end where that has few nodes (two brands, say).
        """
        source, _, target = self.edge_type
        key = quote(self.schema.node(target).key)
        arrow = ("-", "->") if self.back else ("<-", "-")
        known = {
            "structure": "",
            "relation": "(r.known_from IS NULL OR r.known_from < $end)",
            "co_purchase": "r.window_end = $end",
        }[self.kind.role]
        seen = " AND ".join(filter(None, [self.alive, known]))
        values = "".join(f", {value} AS v{i}" for i, value in enumerate(self.values))
        return (
            f"UNWIND $rows AS row MATCH (t:{quote(target)} {{{key}: row.id}})"
            f"{arrow[0]}[r:{quote(self.kind.type)}]{arrow[1]}(s:{quote(source)}) "
            f"USING INDEX SEEK t:{quote(target)}({key}) {f'WHERE {seen} ' if seen else ''}"
            f"WITH row, s.{quote(self.schema.node(source).key)} AS id{values} "
        )

    def degrees(self) -> str:
        """Cypher for the number of sources of each target that has any."""
        return f"{self.match()}RETURN row.at AS at, count(id) AS n"

    def all(self) -> str:
        """Cypher for all sources of each target."""
        lists = "".join(f", collect(v{i}) AS c{i}" for i in range(len(self.values)))
        return f"{self.match()}RETURN row.at AS at, collect(id) AS ids{lists}"

    def chosen(self) -> str:
        """Cypher for the sources of each target whose places, in the order of their ids, are in ``row.places``."""
        lists = "".join(f", collect(v{i}) AS c{i}" for i in range(len(self.values)))
        taken = "".join(f", [p IN row.places | c{i}[p]] AS c{i}" for i in range(len(self.values)))
        return (
            f"{self.match()}ORDER BY id WITH row, collect(id) AS ids{lists} "
            f"RETURN row.at AS at, [p IN row.places | ids[p]] AS ids{taken}"
        )

    def weights(self, columns: list[list[float]], n: int) -> Tensor:
        """Weight of each edge, as the model trains with: of co-purchases confidence · log(1 + lift), else 1."""
        parts = [torch.tensor(column, dtype=torch.float32) for column in columns]
        if self.kind.role == "co_purchase":
            return parts[0] * parts[1].log1p()
        return parts[0] if parts else torch.ones(n)


class StoredGraph:
    """The graph of one cut-off in the store, asked for a few nodes at a time.

    Positions are those of ``kg.readback``: a label's ids, sorted. Between two nodes several facts of one relation
    count as one edge of that weight. The order of a node's edges is that of their sources, so that a sampler's seed
    gives the same sample from the store as from memory.

    Args:
        store: an open store with a completely loaded graph; not written to meanwhile.
        window_end: a cut-off that it was loaded for.
        batch_size: nodes named in one query.
        hub: edges from which on a node is a hub, such as a brand of half the shop: a sample's few edges of it would
            make the server walk all of them in every batch, so they are read once and kept.
        kept_edges: edges of hubs kept at most, 12 bytes each.

    Attributes:
        ids: each label's ids, sorted; position i is node i.
        num_nodes: number of nodes by label.
        edge_types: (source, relation, target) of all relationships, and of their reverses as ``rev_``.

    Raises:
        InputError: there is no complete graph, or it was not loaded for that cut-off.
    """

    def __init__(
        self, store: GraphStore, window_end: int, batch_size: int = 2_000, hub: int = 500, kept_edges: int = 5_000_000
    ) -> None:
        self.store, self.window_end, self.batch_size = store, window_end, batch_size
        self._hub, self._room, self._hubs = hub, kept_edges, dict[tuple[EdgeType, int], tuple[Tensor, Tensor]]()
        state = _complete(store, window_end)
        self.schema = Schema.from_json(state.schema)
        self.ids = {kind.label: self._read_ids(kind.label, state.alive("n")) for kind in self.schema.nodes}
        self.num_nodes = {label: len(ids) for label, ids in self.ids.items()}
        ways = [(kind, back) for kind in self.schema.edges for back in (False, True)]
        relations = [_Relation(self.schema, kind, back, state.alive("r")) for kind, back in ways]
        self._relations = {relation.edge_type: relation for relation in relations}
        self.edge_types: list[EdgeType] = list(self._relations)
        self._degrees: dict[EdgeType, npt.NDArray[np.int32]] = {}

    def degree(self, edge_type: EdgeType, targets: Tensor) -> Tensor:
        """Number of incoming edges of some targets, shape (n,), int64; asked once per node and kept."""
        if edge_type not in self._degrees:
            self._degrees[edge_type] = np.full(self.num_nodes[edge_type[2]], -1, dtype=np.int32)
        known, at = self._degrees[edge_type], targets.numpy()
        missing = at[known[at] < 0]
        for batch in self._batches(missing):
            _, rows = self._ask(self._relations[edge_type].degrees(), self._rows(edge_type[2], batch, batch))
            known[batch] = 0
            for place, n in rows:
                known[place] = n
        return torch.from_numpy(known[at].astype(np.int64))

    def links(self, edge_type: EdgeType, targets: Tensor, rows: Tensor, places: Tensor) -> Links:
        """Some incoming edges of some targets.

        Args:
            edge_type: one of ``edge_types``.
            targets: positions of the targets, distinct, shape (n,).
            rows: for each edge asked for its target, as a position in ``targets``, ascending, shape (m,).
            places: and which of that target's edges it is, from 0 in the order of the sources' ids, shape (m,).

        Returns:
            rows (m,), positions of the sources (m,), both int64, and weights (m,), float32, in any order.
        """
        counts = torch.bincount(rows, minlength=len(targets))
        degrees = self.degree(edge_type, targets)
        whole = torch.nonzero((counts == degrees) & (counts > 0)).flatten()
        some = torch.nonzero((counts < degrees) & (counts > 0)).flatten().tolist()
        wanted = dict(enumerate(places.split(counts.tolist())))
        hubs = [row for row in some if self._keeps(edge_type, int(targets[row]), int(degrees[row]))]
        others = sorted(set(some) - set(hubs))
        parts = [
            *self._links(edge_type, targets, whole, None),
            *self._links(edge_type, targets, torch.tensor(others), [wanted[row].tolist() for row in others]),
            *(self._of_hub(edge_type, int(targets[row]), row, wanted[row]) for row in hubs),
        ]
        return _joined(parts)

    def edges(self, edge_type: EdgeType) -> Links:
        """All edges of a relation, sorted by target and source: targets, sources (m,), int64, and weights (m,)."""
        everyone = torch.arange(self.num_nodes[edge_type[2]])
        targets, sources, weights = _joined(list(self._links(edge_type, everyone, everyone, None)))
        order = torch.from_numpy(np.lexsort((sources.numpy(), targets.numpy())))
        return targets[order], sources[order], weights[order]

    def properties(self, label: str, name: str, positions: npt.NDArray[np.int64]) -> list[Any]:
        """A property of some nodes, in their order; None where a node lacks it."""
        found: list[Any] = [None] * len(positions)
        key = quote(self.schema.node(label).key)
        query = (
            f"UNWIND $rows AS row MATCH (n:{quote(label)} {{{key}: row.id}}) RETURN row.at AS at, n.{quote(name)} AS v"
        )
        for batch in self._batches(np.arange(len(positions))):
            _, rows = self._ask(query, self._rows(label, positions[batch], batch))
            for at, value in rows:
                found[at] = value
        return found

    def _links(
        self, edge_type: EdgeType, targets: Tensor, rows: Tensor, places: Sequence[list[int]] | None
    ) -> Iterator[Links]:
        """Edges into the targets at some rows: all of them, or those at the given places."""
        relation = self._relations[edge_type]
        query = relation.all() if places is None else relation.chosen()
        for batch in self._batches(np.arange(len(rows))):
            at = rows[torch.from_numpy(batch)].numpy()
            asked = self._rows(edge_type[2], targets.numpy()[at], at)
            if places is not None:
                asked = [row | {"places": places[i]} for row, i in zip(asked, batch, strict=True)]
            yield self._positions(relation, self._ask(query, asked)[1])

    def _keeps(self, edge_type: EdgeType, target: int, degree: int) -> bool:
        """Whether a node's edges are in memory, after reading them if it is a hub and there is room."""
        if (edge_type, target) in self._hubs:
            return True
        if degree < self._hub or degree > self._room:
            return False
        ((_, sources, weights),) = self._links(edge_type, torch.tensor([target]), torch.tensor([0]), None)
        order = sources.argsort()
        self._hubs[edge_type, target] = sources[order].int(), weights[order]
        self._room -= degree
        return True

    def _of_hub(self, edge_type: EdgeType, target: int, row: int, places: Tensor) -> Links:
        sources, weights = self._hubs[edge_type, target]
        return torch.full_like(places, row), sources[places].long(), weights[places]

    def _positions(self, relation: _Relation, rows: list[list[Any]]) -> Links:
        sizes = torch.tensor([len(row[1]) for row in rows], dtype=torch.int64)
        targets = torch.repeat_interleave(torch.tensor([row[0] for row in rows], dtype=torch.int64), sizes)
        ids = np.array(_flat(rows, 1), dtype=str)
        sources = torch.from_numpy(np.searchsorted(self.ids[relation.edge_type[0]], ids).astype(np.int64))
        columns = [_flat(rows, 2 + i) for i in range(len(relation.values))]
        return targets, sources, relation.weights(columns, len(sources))

    def _rows(self, label: str, positions: npt.NDArray[np.int64], at: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        ids = self.ids[label][positions].tolist()
        return [{"id": id_, "at": place} for id_, place in zip(ids, at.tolist(), strict=True)]

    def _ask(self, query: str, rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
        return self.store.read_rows(query, rows=rows, end=self.window_end)

    def _batches(self, positions: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        for start in range(0, len(positions), self.batch_size):
            yield positions[start : start + self.batch_size]

    def _read_ids(self, label: str, alive: str) -> npt.NDArray[np.str_]:
        key = quote(self.schema.node(label).key)
        where = f"WHERE {alive} " if alive else ""
        rows = self.store.read(f"MATCH (n:{quote(label)}) {where}RETURN collect(n.{key}) AS ids")
        return np.sort(np.array(rows[0]["ids"], dtype=str))


def _complete(store: GraphStore, window_end: int) -> GraphState:
    state = graph_state(store)
    if state is None or not state.complete:
        what, remedy = "the store holds no completely loaded graph", "Load it first, with `crossaisle kg load`."
        raise InputError(what, where=store.config.uri, remedy=remedy)
    if window_end not in state.window_ends:
        what = f"the graph has no co-purchases for cut-off {window_end}; it has {state.window_ends}"
        raise InputError(what, where=store.config.uri, remedy="Load the graph again with that cut-off.")
    return state


def _flat(rows: list[list[Any]], column: int) -> list[Any]:
    return list(chain.from_iterable(row[column] for row in rows))


def _joined(parts: list[Links]) -> Links:
    nothing = torch.empty(0, dtype=torch.int64)
    rows, sources = (torch.cat([nothing, *(part[i] for part in parts)]) for i in (0, 1))
    return rows, sources, torch.cat([torch.empty(0), *(part[2] for part in parts)])


class StoredFeatures(FeatureStore):
    """Nodes' features out of the store, by PyG's interface; read only.

    A group is a label. Its attributes are ``degree`` (log(1 + incoming edges), shape (n, 1)) and each property that
    holds numbers or lists of numbers of one length, such as ``embedding_text`` after a write-back, shape (n, width).

    Args:
        graph: the graph of a cut-off.
    """

    def __init__(self, graph: StoredGraph) -> None:
        super().__init__()
        self._graph = graph
        self._widths = {label: {DEGREE: 1} | _numeric(graph, label) for label in graph.num_nodes}

    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """Every label's attributes."""
        return [TensorAttr(label, name) for label, names in self._widths.items() for name in names]

    def _get_tensor(self, attr: TensorAttr) -> Tensor:
        label, name = str(attr.group_name), str(attr.attr_name)
        if name not in self._widths.get(label, {}):
            raise KeyError(f"no feature {name!r} of {label!r}; there are {self._widths.get(label, {})}")
        positions = _as_positions(attr.index, self._graph.num_nodes[label])
        return self._degrees(label, positions) if name == DEGREE else self._values(label, name, positions)

    def _degrees(self, label: str, positions: Tensor) -> Tensor:
        into = [edge_type for edge_type in self._graph.edge_types if edge_type[2] == label]
        total = torch.zeros(len(positions))
        for edge_type in into:
            total += self._graph.degree(edge_type, positions)
        return total.log1p()[:, None]

    def _values(self, label: str, name: str, positions: Tensor) -> Tensor:
        width = self._widths[label][name]
        found = self._graph.properties(label, name, positions.numpy())
        rows = [value if isinstance(value, list) else [value] for value in found]
        for row, position in zip(rows, positions.tolist(), strict=True):
            if len(row) != width or None in row:
                where = f"({label} {str(self._graph.ids[label][position])!r}).{name}"
                raise InputError(f"not {width} numbers", where=where, remedy="Write the property on every node.")
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), width)

    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...] | None:
        width = self._widths.get(str(attr.group_name), {}).get(str(attr.attr_name))
        return (
            None if width is None else (len(_as_positions(attr.index, self._graph.num_nodes[attr.group_name])), width)
        )

    def _put_tensor(self, tensor: Tensor, attr: TensorAttr) -> bool:
        raise InputError("features in the graph are read only", where=str(attr.group_name), remedy=READ_ONLY)

    def _remove_tensor(self, attr: TensorAttr) -> bool:
        raise InputError("features in the graph are read only", where=str(attr.group_name), remedy=READ_ONLY)


class StoredEdges(EdgeStore):
    """Edges out of the store, by PyG's interface, in any layout; read only.

    PyG's interface gives out a relation as a whole, so this needs memory for the relations that are asked for; a
    sampler that asks `StoredGraph` does not.

    Args:
        graph: the graph of a cut-off.
    """

    def __init__(self, graph: StoredGraph) -> None:
        super().__init__()
        self._graph = graph

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """Every relation and its reverse, by target (CSC), with its size."""
        sizes = self._graph.num_nodes
        return [EdgeAttr(t, EdgeLayout.CSC, size=(sizes[t[0]], sizes[t[2]])) for t in self._graph.edge_types]

    def _get_edge_index(self, edge_attr: EdgeAttr) -> tuple[Tensor, Tensor] | None:
        edge_type = tuple(edge_attr.edge_type)
        if edge_type not in self._graph.edge_types:
            return None
        target, source, _ = self._graph.edges(edge_type)
        if edge_attr.layout == EdgeLayout.CSC:
            return source, index2ptr(target, self._graph.num_nodes[edge_type[2]])
        if edge_attr.layout == EdgeLayout.COO and edge_attr.is_sorted:
            return source, target
        order = source.sort(stable=True).indices
        source, target = source[order], target[order]
        if edge_attr.layout == EdgeLayout.CSR:
            source = index2ptr(source, self._graph.num_nodes[edge_type[0]])
        return source, target

    def _put_edge_index(self, edge_index: tuple[Tensor, Tensor], edge_attr: EdgeAttr) -> bool:
        raise InputError("edges in the graph are read only", where=str(edge_attr.edge_type), remedy=READ_ONLY)

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        raise InputError("edges in the graph are read only", where=str(edge_attr.edge_type), remedy=READ_ONLY)


def _numeric(graph: StoredGraph, label: str) -> dict[str, int]:
    """Width of each property of a label that holds numbers, as its first node tells."""
    rows = graph.store.read(f"MATCH (n:{quote(label)}) RETURN properties(n) AS found LIMIT 1")
    found: dict[str, Any] = rows[0]["found"] if rows else {}
    lists = {name: value if isinstance(value, list) else [value] for name, value in found.items()}
    return {name: len(value) for name, value in sorted(lists.items()) if value and all(map(_is_number, value))}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_positions(index: object, n: int) -> Tensor:
    """What PyG may index with, as positions: nothing, a number, a slice, an array or a tensor."""
    if index is None:
        return torch.arange(n)
    if isinstance(index, slice):
        return torch.arange(n)[index]
    positions = torch.as_tensor(index).reshape(-1)
    return positions.nonzero().flatten() if positions.dtype == torch.bool else positions.long()
