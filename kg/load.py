"""Tables into the graph: constraints first, then nodes, then relationships, in streamed batches.

A node ``(:CrossAisleGraph {name, state, fingerprint, schema_version, schema, labels, window_ends})`` says what the
graph holds. It is written before the first change (``state = 'loading'``) and once more at the end (``'complete'``),
so a load that was killed anywhere is seen by the next one, which clears the graph and begins anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import pandas as pd

from console import track
from data.dataset import Dataset
from errors import InputError
from kg.config import CoPurchaseConfig
from kg.rows import co_purchase_table, edge_table, known_ends, node_table, records
from kg.schema import PRODUCT, SCHEMA_VERSION, STATE, EdgeKind, NodeKind, Schema, quote, schema_of
from kg.store import GraphStore

CLEAR_BATCH = 10_000


@dataclass
class LoadReport:
    """What a load did.

    Attributes:
        fingerprint: of the data, the windows, the configuration and the schema's version.
        skipped: the graph was already there, nothing was written.
        nodes: number written, by label.
        relationships: number written, by ``Source-TYPE-Target``.
        unmatched: rows of the relations table left out because the catalogue lacks an end, likewise.
        cleared: nodes of an earlier graph removed first.
        seconds: wall time.
    """

    fingerprint: str
    skipped: bool = False
    nodes: dict[str, int] = field(default_factory=dict)
    relationships: dict[str, int] = field(default_factory=dict)
    unmatched: dict[str, int] = field(default_factory=dict)
    cleared: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Nodes and relationships written."""
        return sum(self.nodes.values()) + sum(self.relationships.values())

    @property
    def rows_per_second(self) -> float:
        """Nodes and relationships written per second, counting included."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class GraphState:
    """What the store says of the graph it holds; see the module's text for the fields."""

    state: str
    fingerprint: str
    schema_version: int
    schema: str
    labels: list[str]
    window_ends: list[int]


def load_graph(
    store: GraphStore, dataset: Dataset, window_ends: Iterable[int], config: CoPurchaseConfig | None = None
) -> LoadReport:
    """Bring a data set's catalogue, relations and co-purchases into the store, unless they are there already.

    Args:
        store: an open store.
        dataset: the shop's data.
        window_ends: cut-offs; each gets its own ``BOUGHT_WITH``, counted before it.
        config: what is counted.

    Raises:
        InputError: the database holds a graph that is not ours, or a name cannot be used in a graph.
    """
    began, config, ends = time.perf_counter(), config or CoPurchaseConfig(), sorted(set(window_ends))
    schema = schema_of(dataset)
    report = LoadReport(graph_fingerprint(dataset, ends, config))
    found = graph_state(store)
    if found and found.state == "complete" and found.fingerprint == report.fingerprint:
        report.skipped = True
    else:
        _begin(store, schema, report.fingerprint, ends, found)
        report.cleared = _clear(store, schema, found)
        _write(store, dataset, schema, ends, config, report)
        store.write(f"MATCH (s:{quote(STATE)} {{name: 'graph'}}) SET s.state = 'complete'")
    report.seconds = time.perf_counter() - began
    return report


def graph_fingerprint(dataset: Dataset, window_ends: Sequence[int], config: CoPurchaseConfig) -> str:
    """Sha256, in hex, over all that decides what the graph holds."""
    settings = {key: value for key, value in asdict(config).items() if key != "block_entries"}
    parts = [dataset.fingerprint, list(window_ends), settings, SCHEMA_VERSION]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def graph_state(store: GraphStore) -> GraphState | None:
    """What the store holds; None when it is empty.

    Raises:
        InputError: it holds nodes that are not ours.
    """
    rows = store.read(f"MATCH (s:{quote(STATE)} {{name: 'graph'}}) RETURN properties(s) AS state")
    if rows:
        state = dict(rows[0]["state"])
        state.pop("name")
        return GraphState(**state)
    foreign = store.read("MATCH (n) RETURN labels(n) AS labels LIMIT 1")
    if foreign:
        raise InputError(
            f"the database {store.config.database!r} holds a graph that CrossAisle did not load, "
            f"with nodes such as :{':'.join(foreign[0]['labels'])}",
            where=store.config.uri,
            remedy="Name an empty database (NEO4J_DATABASE) or folder (home); this one is left as it is.",
        )
    return None


def _begin(
    store: GraphStore, schema: Schema, fingerprint: str, window_ends: list[int], found: GraphState | None
) -> None:
    """Say that a load is under way, before anything changes."""
    _constrain(store, NodeKind(STATE, "name"))
    labels = {kind.label for kind in schema.nodes} | set(found.labels if found else ())
    state = GraphState("loading", fingerprint, SCHEMA_VERSION, schema.to_json(), sorted(labels), window_ends)
    values = asdict(state)
    settings = ", ".join(f"s.{quote(name)} = $state.{quote(name)}" for name in values)
    store.write(f"MERGE (s:{quote(STATE)} {{name: 'graph'}}) SET {settings}", state=values)


def _constrain(store: GraphStore, kind: NodeKind) -> None:
    name = quote(f"crossaisle_{kind.label.lower()}")
    store.schema_command(
        f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{quote(kind.label)}) REQUIRE n.{quote(kind.key)} IS UNIQUE"
    )


def _clear(store: GraphStore, schema: Schema, found: GraphState | None) -> int:
    """Remove the nodes of an earlier graph, products first, with their relationships."""
    if found is None:
        return 0
    labels = {kind.label for kind in schema.nodes} | set(found.labels)
    return sum(_clear_label(store, label) for label in sorted(labels, key=lambda label: (label != PRODUCT, label)))


def _clear_label(store: GraphStore, label: str) -> int:
    query = f"MATCH (n:{quote(label)}) WITH n LIMIT $size DETACH DELETE n RETURN count(*) AS gone"
    total = 0
    while gone := int(store.write(query, size=CLEAR_BATCH)[0]["gone"]):
        total += gone
    return total


def _write(
    store: GraphStore,
    dataset: Dataset,
    schema: Schema,
    window_ends: list[int],
    config: CoPurchaseConfig,
    report: LoadReport,
) -> None:
    for node in schema.nodes:
        _constrain(store, node)
    for node in track(schema.nodes, "Nodes"):
        report.nodes[node.label] = _send(store, _create_nodes(node), node_table(dataset, node), node.label)
    jobs = [(kind, end) for kind in schema.edges for end in (window_ends if kind.role == "co_purchase" else [None])]
    for kind, end in track(jobs, "Relationships"):
        for name, frame in _edge_rows(dataset, schema, kind, end, config, report):
            written = _send(store, _create_edges(kind, schema), frame, name)
            report.relationships[name] = report.relationships.get(name, 0) + written


def _edge_rows(
    dataset: Dataset,
    schema: Schema,
    kind: EdgeKind,
    window_end: int | None,
    config: CoPurchaseConfig,
    report: LoadReport,
) -> Iterator[tuple[str, pd.DataFrame]]:
    name = "-".join(kind.triple)
    if window_end is not None:
        yield name, co_purchase_table(dataset, kind, window_end, config)
        return
    frame = edge_table(dataset, kind)
    if kind.role == "relation":
        known = known_ends(dataset, schema, kind, frame)
        if not known.all():
            report.unmatched[name] = int((~known).sum())
        frame = frame[known]
    yield name, frame


def _send(store: GraphStore, query: str, frame: pd.DataFrame, name: str) -> int:
    written = store.write_batches(query, records(frame))
    if written != len(frame):
        raise InputError(
            f"the store took {written} of {len(frame)} rows of {name}",
            where=store.config.uri,
            remedy="Something else changes this graph, or the tables name nodes they do not hold; load again.",
        )
    return written


def _create_nodes(kind: NodeKind) -> str:
    names = (kind.key, *kind.properties)
    values = ", ".join(f"{quote(name)}: row.{quote(name)}" for name in names)
    return f"UNWIND $rows AS row CREATE (n:{quote(kind.label)} {{{values}}}) RETURN count(*) AS written"


def _create_edges(kind: EdgeKind, schema: Schema) -> str:
    source, target = schema.node(kind.source), schema.node(kind.target)
    values = ", ".join(f"{quote(name)}: row.{quote(name)}" for name in kind.properties)
    return (
        "UNWIND $rows AS row "
        f"MATCH (a:{quote(source.label)} {{{quote(source.key)}: row.source}}) "
        f"MATCH (b:{quote(target.label)} {{{quote(target.key)}: row.target}}) "
        f"CREATE (a)-[r:{quote(kind.type)}{f' {{{values}}}' if values else ''}]->(b) RETURN count(*) AS written"
    )
