"""The graph out of the store, as PyG ``HeteroData``: what the model trains on.

Everything that depends on time is read for a stated cut-off: ``BOUGHT_WITH`` of that very window, and relations known
before it. Edges are read grouped by one end (a list of partners per node), and all groups in one row: several times
faster than row by row. A relationship of which nothing is asked stays unnamed: the embedded store then loads it not.
Two kinds are read at a time, so that the server walks one while the driver unpacks the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from errors import InputError
from kg.schema import EdgeKind, NodeKind, Schema, quote
from kg.state import GraphState, graph_state
from kg.store import GraphStore

ALWAYS = -(2**62)
READERS = 2
ATTRIBUTES = {"structure": (), "relation": ("weight",), "co_purchase": ("support", "confidence", "lift")}


@dataclass(frozen=True)
class GraphData:
    """The graph as it was known at one cut-off. Tensors are shared between cut-offs: never change one in place.

    Attributes:
        data: node types by label with ``num_nodes``; for each relationship ``(source, TYPE, target)`` an
            ``edge_index`` of shape (2, edges), int64, sorted, and its reverse ``(target, rev_TYPE, source)``;
            ``edge_attr`` of shape (edges, 3), float32, on ``BOUGHT_WITH`` (support, confidence, lift), and of shape
            (edges, 1) on relations (weight, 1 where the table has none). Every relationship of the schema is
            there, also without edges.
        ids: each label's ids, sorted; position i of the array is node i of the data. For products these are
            ``catalogue.product_ids``, for levels ``level.ids``.
        window_end: the cut-off.
    """

    data: HeteroData
    ids: dict[str, npt.NDArray[np.str_]]
    window_end: int

    def positions(self, label: str, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Positions of some nodes in the data: the way back from ``ids``.

        Args:
            label: their label.
            ids: any of the label's ids, in any order.

        Returns:
            shape (number of ids given,).

        Raises:
            KeyError: the graph has no such label, or the label no such id.
        """
        wanted, known = np.array(list(ids), dtype=str), self.ids[label]
        place = np.searchsorted(known, wanted)
        missing = [one for one, at in zip(wanted, place, strict=True) if at == len(known) or known[at] != one]
        if missing:
            raise KeyError(f"no {label} {missing[0]!r} in the graph of cut-off {self.window_end}")
        return place.astype(np.int64)


@dataclass(frozen=True)
class _Edges:
    """Edges of one kind over all cut-offs: positions of the ends, attributes, and the period of each."""

    index: npt.NDArray[np.int64]
    attributes: npt.NDArray[np.float32]
    period: npt.NDArray[np.int64] | None

    def at(self, kind: EdgeKind, window_end: int) -> _Edges:
        """Those that the given cut-off may see."""
        if self.period is None:
            return self
        seen = self.period == window_end if kind.role == "co_purchase" else self.period < window_end
        return _Edges(self.index[:, seen], self.attributes[seen], None)


def read_graph(store: GraphStore, window_end: int) -> GraphData:
    """Read the graph as it was known at one cut-off; see ``read_graphs``."""
    return read_graphs(store, [window_end])[window_end]


def read_graphs(store: GraphStore, window_ends: Iterable[int]) -> dict[int, GraphData]:
    """Read the graph as it was known at several cut-offs; what does not depend on them is read once.

    Args:
        store: an open store with a completely loaded graph.
        window_ends: cut-offs that the graph was loaded for.

    Returns:
        for each cut-off its graph.

    Raises:
        InputError: there is no complete graph, or it was not loaded for such a cut-off.
    """
    ends = sorted(set(window_ends))
    state = _complete_state(store, ends)
    schema = Schema.from_json(state.schema)
    with ThreadPoolExecutor(READERS, "reader") as pool:
        found = pool.map(partial(_read_ids, store, state), schema.nodes)
        ids = {kind.label: of_label for kind, of_label in zip(schema.nodes, found, strict=True)}
        places: dict[str, pd.Index] = {label: pd.Index(of_label, dtype=object) for label, of_label in ids.items()}
        read = pool.map(partial(_read_edges, store, state, schema, places, ends), schema.edges)
        edges = dict(zip(schema.edges, read, strict=True))
    return {end: GraphData(_hetero(ids, edges, end), ids, end) for end in ends}


def _complete_state(store: GraphStore, window_ends: list[int]) -> GraphState:
    state = graph_state(store)
    if state is None or state.state != "complete":
        raise InputError(
            "the store holds no completely loaded graph",
            where=store.config.uri,
            remedy="Load it first: kg.load.load_graph, or the train command.",
        )
    missing = sorted(set(window_ends) - set(state.window_ends))
    if missing:
        raise InputError(
            f"the graph has no co-purchases for cut-off {missing[0]}; it has {state.window_ends}",
            where=store.config.uri,
            remedy="Load the graph again with that cut-off.",
        )
    return state


def _read_ids(store: GraphStore, state: GraphState, kind: NodeKind) -> npt.NDArray[np.str_]:
    where = f"WHERE {state.alive('n')} " if state.marked else ""
    rows = store.read(f"MATCH (n:{quote(kind.label)}) {where}RETURN collect(n.{quote(kind.key)}) AS ids")
    return np.sort(np.array(rows[0]["ids"], dtype=str))


def _read_edges(
    store: GraphStore,
    state: GraphState,
    schema: Schema,
    places: dict[str, pd.Index],
    ends: list[int],
    kind: EdgeKind,
) -> _Edges:
    by_source = len(places[kind.source]) <= len(places[kind.target])
    _, found = store.read_rows(_grouped_query(schema, kind, by_source, state), ends=ends, last=ends[-1], always=ALWAYS)
    rows = found[0][0]
    sizes = np.array([len(row[1]) for row in rows], dtype=np.int64)
    group, member = (kind.source, kind.target) if by_source else (kind.target, kind.source)
    of_group = np.repeat(places[group].get_indexer(pd.Index([row[0] for row in rows], dtype=object)), sizes)
    of_member = places[member].get_indexer(pd.Index(_flat(rows, 1), dtype=object))
    source, target = (of_group, of_member) if by_source else (of_member, of_group)
    names = ATTRIBUTES[kind.role]
    columns = [np.array(_flat(rows, 2 + i), dtype=np.float32) for i in range(len(names))]
    attributes = np.stack(columns, axis=1) if columns else np.empty((len(source), 0), dtype=np.float32)
    periods = _periods(kind, rows, sizes)
    order = np.lexsort((*attributes.T, target, source))
    index = np.stack([source, target])[:, order].astype(np.int64)
    return _Edges(index, attributes[order], None if periods is None else periods[order])


def _grouped_query(schema: Schema, kind: EdgeKind, by_source: bool, state: GraphState) -> str:
    """Cypher that gives one row per node of one end (and window): its id, then lists over its edges in one order."""
    group, member = ("a", "b") if by_source else ("b", "a")
    key = {"a": quote(schema.node(kind.source).key), "b": quote(schema.node(kind.target).key)}
    conditions = [state.alive("r")] if state.marked else []
    values, last = [f"{member}.{key[member]}"], ""
    if kind.role == "relation":
        conditions.append("(r.known_from IS NULL OR r.known_from < $last)")
        values += ["coalesce(r.weight, 1.0)", "coalesce(r.known_from, $always)"]
    elif kind.role == "co_purchase":
        conditions.append("r.window_end IN $ends")
        values += ["r.support", "r.confidence", "r.lift"]
        last = ", r.window_end AS period"
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    collected = ", ".join(f"collect({value}) AS c{i}" for i, value in enumerate(values))
    named = "r" if where or last else ""
    names = ", ".join(["id", *(f"c{i}" for i in range(len(values))), *(["period"] if last else [])])
    return (
        f"MATCH (a:{quote(kind.source)})-[{named}:{quote(kind.type)}]->(b:{quote(kind.target)}) {where}"
        f"WITH {group}.{key[group]} AS id, {collected}{last} RETURN collect([{names}]) AS groups"
    )


def _periods(kind: EdgeKind, rows: list[list[Any]], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """The period of each edge: of its group for co-purchases, its own for relations."""
    if kind.role == "structure":
        return None
    if kind.role == "co_purchase":
        return np.repeat(np.array([row[-1] for row in rows], dtype=np.int64), sizes)
    return np.array(_flat(rows, len(rows[0]) - 1 if rows else 0), dtype=np.int64)


def _flat(rows: list[list[Any]], column: int) -> list[Any]:
    return list(chain.from_iterable(row[column] for row in rows))


def _hetero(ids: dict[str, npt.NDArray[np.str_]], edges: dict[EdgeKind, _Edges], window_end: int) -> HeteroData:
    data = HeteroData()
    for label, of_label in ids.items():
        data[label].num_nodes = len(of_label)
    for kind, found in edges.items():
        seen = found.at(kind, window_end)
        index = torch.from_numpy(seen.index)
        data[kind.triple].edge_index = index
        back = (kind.target, f"rev_{kind.type}", kind.source)
        data[back].edge_index = index.flip(0)
        if ATTRIBUTES[kind.role]:
            data[kind.triple].edge_attr = data[back].edge_attr = torch.from_numpy(seen.attributes)
    return data
