"""Tables into the graph: constraints first, then nodes, then relationships, in streamed batches.

While the store writes one batch, a thread makes the next ones (and counts co-purchases). The state node
(``kg.state``) says that a load is under way, so one that was killed anywhere is seen by the next, which clears the
graph and begins anew. ``kg.sync`` writes only what changed.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, groupby
from operator import itemgetter

import pandas as pd

from console import track
from data.dataset import Dataset
from errors import InputError
from kg.batches import Batch, ahead, create_edges, create_nodes, edge_batches, grouping_end, node_batches
from kg.config import CoPurchaseConfig
from kg.digest import digests
from kg.rows import co_purchase_table, counted_from, known_rows, node_table
from kg.schema import PRODUCT, RUN, SCHEMA_VERSION, EdgeKind, Schema, quote, schema_of
from kg.snapshot import Draft, snapshot_path
from kg.state import STATE_KIND, GraphState, constrain, graph_state, refuse_others, write_state
from kg.store import GraphStore

__all__ = ["GraphState", "LoadReport", "graph_fingerprint", "graph_state", "load_graph"]
CLEAR_BATCH = 10_000
Piece = tuple[str, str, Batch]


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


def load_graph(
    store: GraphStore,
    dataset: Dataset,
    window_ends: Iterable[int],
    config: CoPurchaseConfig | None = None,
    *,
    replace_other: bool = False,
) -> LoadReport:
    """Bring a data set's catalogue, relations and co-purchases into the store, unless they are there already.

    Args:
        store: an open store.
        dataset: the shop's data.
        window_ends: cut-offs; each gets its own ``BOUGHT_WITH``, counted before it.
        config: what is counted.
        replace_other: clear the graph of another shop, or of a newer CrossAisle.

    Raises:
        InputError: the database holds a graph that is not ours, or another shop's; or a name cannot be used in a
            graph.
    """
    began, config, ends = time.perf_counter(), config or CoPurchaseConfig(), sorted(set(window_ends))
    schema = schema_of(dataset)
    report = LoadReport(graph_fingerprint(dataset, ends, config))
    found = graph_state(store)
    if found and found.complete and found.fingerprint == report.fingerprint:
        report.skipped = True
    else:
        if not replace_other:
            refuse_others(store, found, dataset.tables.name)
        state = new_state(dataset, schema, ends, config, found)
        constrain(store, STATE_KIND)
        write_state(store, state)
        report.cleared = _clear(store, [*state.labels, RUN]) if found else 0
        _write(store, dataset, schema, state, config, report)
        write_state(store, replace(state, state="complete"))
    report.seconds = time.perf_counter() - began
    return report


def graph_fingerprint(dataset: Dataset, window_ends: Sequence[int], config: CoPurchaseConfig) -> str:
    """Sha256, in hex, over all that decides what the graph holds."""
    settings = {key: value for key, value in asdict(config).items() if key != "block_entries"}
    parts = [dataset.fingerprint, list(window_ends), settings, SCHEMA_VERSION]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def new_state(
    dataset: Dataset, schema: Schema, window_ends: list[int], config: CoPurchaseConfig, found: GraphState | None
) -> GraphState:
    """The state of a load that begins, of a new revision."""
    labels = {kind.label for kind in schema.nodes} | set(found.labels if found else ())
    return GraphState(
        "loading",
        graph_fingerprint(dataset, window_ends, config),
        SCHEMA_VERSION,
        schema.to_json(),
        sorted(labels),
        window_ends,
        shop=dataset.tables.name,
        revision=uuid.uuid4().hex,
        counted=json.dumps(counted_from(dataset, schema, window_ends, config)),
    )


def _clear(store: GraphStore, labels: Iterable[str]) -> int:
    """Remove all nodes of some labels, products first, with their relationships."""
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
    state: GraphState,
    config: CoPurchaseConfig,
    report: LoadReport,
) -> None:
    for node in schema.nodes:
        constrain(store, node)
    report.nodes = {kind.name: 0 for kind in schema.nodes}
    report.relationships = {kind.name: 0 for kind in schema.edges}
    size = store.config.batch_size
    with Draft(snapshot_path(store.config), state.revision) as draft:
        nodes = _nodes(dataset, schema, size, draft)
        edges = _edges(dataset, schema, state.window_ends, config, size, draft, report)
        pieces = groupby(ahead(chain(nodes, edges)), key=itemgetter(0))
        for name, group in track(pieces, "Loading", total=len(schema.nodes) + len(schema.edges)):
            written = sum(send(store, name, query, batch) for _, query, batch in group)
            (report.nodes if name in report.nodes else report.relationships)[name] += written
        draft.keep()


def _nodes(dataset: Dataset, schema: Schema, size: int, draft: Draft) -> Iterator[Piece]:
    for kind in schema.nodes:
        frame = node_table(dataset, kind)
        draft.add(kind.name, digests(frame, [kind.key])[0])
        for batch in node_batches(frame, size):
            yield kind.name, create_nodes(kind), batch


def _edges(
    dataset: Dataset,
    schema: Schema,
    window_ends: list[int],
    config: CoPurchaseConfig,
    size: int,
    draft: Draft,
    report: LoadReport,
) -> Iterator[Piece]:
    for kind in schema.edges:
        if kind.role == "co_purchase":
            for end in window_ends:
                yield from edge_pieces(schema, kind, co_purchase_table(dataset, kind, end, config), size)
        else:
            frame, left_out = known_rows(dataset, schema, kind)
            if left_out:
                report.unmatched[kind.name] = left_out
            draft.add(kind.name, digests(frame, ["source", "target"])[0])
            yield from edge_pieces(schema, kind, frame, size)


def edge_pieces(schema: Schema, kind: EdgeKind, frame: pd.DataFrame, size: int) -> Iterator[Piece]:
    """The batches that create some relationships, each with its name and query."""
    by = grouping_end(frame)
    for batch in edge_batches(frame, by, size):
        yield kind.name, create_edges(schema, kind, by, batch.shared), batch


def send(store: GraphStore, name: str, query: str, batch: Batch) -> int:
    """Write one batch.

    Returns:
        how many nodes or relationships.

    Raises:
        InputError: the store did not take all of them, since an end is not there.
    """
    written = int(store.write(query, rows=batch.rows, **batch.shared)[0]["written"])
    if written != batch.size:
        raise InputError(
            f"the store took {written} of {batch.size} rows of {name}",
            where=store.config.uri,
            remedy="Something else changes this graph, or the tables name nodes they do not hold; run this again.",
        )
    return written
