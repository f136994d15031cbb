"""What a run learnt, written back into the graph: vectors on the nodes, learnt interest between categories.

Nodes get ``embedding`` (fused), ``embedding_graph`` and ``embedding_text``, lists of floats, as far as the model has
them for their label, and ``embedding_run``. Categories get ``(:Category)-[:LEADS_TO {probability, lift, support,
run}]->(:Category)``. A node ``(:CrossAisleRun {name, state, cut_off, labels, suffix})`` says which runs the graph
holds; its state is ``writing`` until everything is there, so that a write-back that was killed is seen, and repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from console import track
from errors import InputError
from kg.schema import RUN, NodeKind, Schema, quote
from kg.store import GraphStore

LEADS_TO = "LEADS_TO"
PARTS = ("embedding", "embedding_graph", "embedding_text")
OF_RUN = "embedding_run"
BRIDGE_PROPERTIES = ("probability", "lift", "support")
NUMBERS_AT_A_TIME = 200_000
NODES_AT_A_TIME = 5_000
CLEAN_BATCH = 5_000

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Learnt:
    """What a run learnt.

    Attributes:
        run: the run's name.
        cut_off: period up to which the run's graph and histories go.
        ids: ids of each label's nodes, shape (nodes,).
        vectors: by label and part (of ``PARTS``), shape (nodes, width); a row of zeros is a node without such a vector.
        interest: label of the interest level.
        bridges: learnt interest: ``source``, ``target`` (ids of that label), ``probability``, ``lift``, ``support``.
    """

    run: str
    cut_off: int
    ids: Mapping[str, npt.NDArray[np.str_]]
    vectors: Mapping[str, Mapping[str, FloatArray]]
    interest: str
    bridges: pd.DataFrame


@dataclass
class WriteBackReport:
    """What was written.

    Attributes:
        nodes: nodes with vectors, by label.
        bridges: relationships of learnt interest.
        indexes: names of the vector indexes; none where the store has no such index.
        kept: earlier runs that are still in the graph.
    """

    nodes: dict[str, int] = field(default_factory=dict)
    bridges: int = 0
    indexes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def told(self) -> str:
        """The report in one line."""
        parts = [f"vectors of {sum(self.nodes.values()):,} nodes", f"{self.bridges:,} {LEADS_TO}"]
        parts += [f"{len(self.indexes)} vector indexes"] if self.indexes else []
        parts += [f"kept beside: {', '.join(self.kept)}"] if self.kept else []
        return ", ".join(parts)


def write_back(store: GraphStore, schema: Schema, learnt: Learnt, keep_old: bool = False) -> WriteBackReport:
    """Write what a run learnt into the loaded graph; doing it again changes nothing.

    Args:
        store: an open store with the run's graph.
        schema: the graph's.
        learnt: what is written.
        keep_old: keep what earlier runs wrote: their ``LEADS_TO`` stay, and their vectors move to properties that end
            in the run's name (``embedding_graph_2026_11_22``). Otherwise it is removed.

    Raises:
        InputError: the store's graph lacks a node that the run knows.
    """
    report = WriteBackReport()
    _begin(store, learnt)
    for old in _other_runs(store, learnt.run):
        (_set_aside if keep_old else _remove)(store, schema, learnt.interest, old)
        report.kept += [old["name"]] if keep_old else []
    for label in track(list(learnt.vectors), "Write back"):
        report.nodes[label] = _write_vectors(store, schema.node(label), learnt)
    report.bridges = _write_bridges(store, schema.node(learnt.interest), learnt)
    if store.server is None:
        report.indexes = [name for label in learnt.vectors if (name := _index(store, label, learnt))]
    store.write(f"MATCH (r:{quote(RUN)} {{name: $run}}) SET r.state = 'complete'", run=learnt.run)
    return report


def index_name(label: str) -> str:
    """Name of a label's vector index over its fused embeddings."""
    return f"crossaisle_{label.lower()}_embedding"


# -- runs ----------------------------------------------------------------------------------------------------


def _begin(store: GraphStore, learnt: Learnt) -> None:
    store.write(
        f"MERGE (r:{quote(RUN)} {{name: $run}}) "
        "SET r.state = 'writing', r.cut_off = $cut_off, r.labels = $labels, r.suffix = ''",
        run=learnt.run,
        cut_off=learnt.cut_off,
        labels=sorted(learnt.vectors),
    )


def _other_runs(store: GraphStore, run: str) -> list[dict[str, Any]]:
    query = f"MATCH (r:{quote(RUN)}) WHERE r.name <> $run RETURN properties(r) AS run ORDER BY r.name"
    return [dict(row["run"]) for row in store.read(query, run=run)]


def _suffix(run: str) -> str:
    return "_" + re.sub(r"\W", "_", run)[-30:]


def _set_aside(store: GraphStore, schema: Schema, interest: str, old: dict[str, Any]) -> None:
    """Move an earlier run's vectors to properties of their own."""
    suffix = _suffix(old["name"])
    moves = ", ".join(f"n.{quote(part + suffix)} = n.{quote(part)}" for part in PARTS)
    for label in _known(schema, old["labels"]):
        _repeat(
            store,
            f"MATCH (n:{quote(label)}) WHERE n.{OF_RUN} = $run WITH n LIMIT $size "
            f"SET {moves}, n.{OF_RUN} = null RETURN count(*) AS done",
            run=old["name"],
        )
    store.write(f"MATCH (r:{quote(RUN)} {{name: $run}}) SET r.suffix = $suffix", run=old["name"], suffix=suffix)


def _remove(store: GraphStore, schema: Schema, interest: str, old: dict[str, Any]) -> None:
    """Remove all that an earlier run wrote."""
    gone = ", ".join(f"n.{quote(part + old['suffix'])} = null" for part in PARTS)
    first = quote("embedding_graph" + old["suffix"])
    of_run = f"n.{OF_RUN} = $run" if not old["suffix"] else f"n.{first} IS NOT NULL"
    mark = f", n.{OF_RUN} = null" if not old["suffix"] else ""
    for label in _known(schema, old["labels"]):
        query = f"MATCH (n:{quote(label)}) WHERE {of_run} WITH n LIMIT $size SET {gone}{mark} RETURN count(*) AS done"
        _repeat(store, query, run=old["name"])
    _remove_bridges(store, interest, old["name"])
    store.write(f"MATCH (r:{quote(RUN)} {{name: $run}}) DELETE r", run=old["name"])


def _known(schema: Schema, labels: Iterable[str]) -> list[str]:
    known = {kind.label for kind in schema.nodes}
    return [label for label in labels if label in known]


def _repeat(store: GraphStore, query: str, **params: object) -> None:
    """Run a query that changes at most ``$size`` nodes until it finds no more."""
    while store.write(query, size=CLEAN_BATCH, **params)[0]["done"]:
        pass


# -- vectors -------------------------------------------------------------------------------------------------


def _write_vectors(store: GraphStore, kind: NodeKind, learnt: Learnt) -> int:
    ids = learnt.ids[kind.label]
    for part, vectors in learnt.vectors[kind.label].items():
        query = (
            f"UNWIND $rows AS row UNWIND row[0] AS id MATCH (n:{quote(kind.label)} {{{quote(kind.key)}: id}}) "
            f"SET n.{quote(part)} = row[1], n.{OF_RUN} = $run RETURN count(*) AS written"
        )
        batches = _batches(_shared(ids, vectors))
        written = sum(int(store.write(query, rows=rows, run=learnt.run)[0]["written"]) for rows in batches)
        if written != len(ids):
            raise InputError(
                f"the graph has {written} of the {len(ids)} {kind.label} nodes that the run knows",
                where=store.config.uri,
                remedy="Load the graph of the run's data first (crossaisle kg load with the run's config.yaml).",
            )
    return len(ids)


def _shared(ids: npt.NDArray[np.str_], vectors: FloatArray) -> Iterator[tuple[list[str], list[float] | None]]:
    """Each distinct vector with the nodes that have it, at most so many at a time; None for a row of zeros.

    Products of one text share its vector, and those of one text, type and brand all of them: packing numbers for the
    wire is the dearest part of a write-back.
    """
    rows = np.ascontiguousarray(vectors)
    _, first, group = np.unique(
        rows.view(np.dtype((np.void, rows.strides[0]))).ravel(), return_index=True, return_inverse=True
    )
    order = np.argsort(group, kind="stable")
    bounds = np.r_[np.flatnonzero(np.diff(group[order], prepend=-1)), len(order)]
    for number, (start, end) in enumerate(pairwise(bounds.tolist())):
        vector = rows[first[number]]
        values = vector.tolist() if vector.any() else None
        for at in range(start, end, NODES_AT_A_TIME):
            yield ids[order[at : min(at + NODES_AT_A_TIME, end)]].tolist(), values


def _batches(
    rows: Iterable[tuple[list[str], list[float] | None]],
) -> Iterator[list[tuple[list[str], list[float] | None]]]:
    """Rows together, as many as hold about ``NUMBERS_AT_A_TIME`` numbers and at most ``NODES_AT_A_TIME`` nodes."""
    batch: list[tuple[list[str], list[float] | None]] = []
    numbers = nodes = 0
    for ids, vector in rows:
        if batch and (numbers > NUMBERS_AT_A_TIME or nodes + len(ids) > NODES_AT_A_TIME):
            yield batch
            batch, numbers, nodes = [], 0, 0
        batch.append((ids, vector))
        numbers += len(vector or ())
        nodes += len(ids)
    if batch:
        yield batch


def _index(store: GraphStore, label: str, learnt: Learnt) -> str:
    """A cosine index over a label's fused vectors, made anew if it is of another width; '' where there are none."""
    fused = learnt.vectors[label].get("embedding")
    if fused is None:
        return ""
    name = index_name(label)
    found = store.read("SHOW VECTOR INDEXES YIELD name, options WHERE name = $name RETURN options", name=name)
    if found and found[0]["options"]["indexConfig"]["vector.dimensions"] != fused.shape[1]:
        store.schema_command(f"DROP INDEX {quote(name)}")
    store.schema_command(
        f"CREATE VECTOR INDEX {quote(name)} IF NOT EXISTS FOR (n:{quote(label)}) ON (n.embedding) "
        f"OPTIONS {{indexConfig: {{`vector.dimensions`: {fused.shape[1]}, "
        "`vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}}"
    )
    store.read("CALL db.awaitIndex($name, 300)", name=name)
    return name


# -- learnt interest -----------------------------------------------------------------------------------------


def _write_bridges(store: GraphStore, kind: NodeKind, learnt: Learnt) -> int:
    _remove_bridges(store, kind.label, learnt.run)
    end = f"{quote(kind.label)} {{{quote(kind.key)}: row."
    values = ", ".join(f"{name}: row.{name}" for name in chain(BRIDGE_PROPERTIES, ["run"]))
    query = (
        f"UNWIND $rows AS row MATCH (a:{end}source}}) MATCH (b:{end}target}}) "
        f"CREATE (a)-[r:{LEADS_TO} {{{values}}}]->(b) RETURN count(*) AS written"
    )
    rows = learnt.bridges.assign(run=learnt.run).to_dict("records")
    return store.write_batches(query, [{str(name): value for name, value in row.items()} for row in rows])


def _remove_bridges(store: GraphStore, interest: str, run: str) -> None:
    label = quote(interest)
    query = f"MATCH (:{label})-[r:{LEADS_TO}]->(:{label}) WHERE r.run = $run WITH r LIMIT $size DELETE r"
    _repeat(store, f"{query} RETURN count(*) AS done", run=run)
