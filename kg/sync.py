"""An update: only what changed in the tables since the last load is written to the graph.

The tables' fingerprints (``kg.digest``) are compared with those of what the store holds: from the snapshot beside it
where that is of this very graph, else read out of the store. Co-purchases are counted again only for cut-offs whose
purchases or memberships changed. The state node says ``updating`` while changes are under way: an update that was
killed is finished by the next one, which then compares with the store itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pandas as pd
from rich.table import Table

from console import console, say, track
from data.dataset import Dataset
from kg.batches import grouping_end
from kg.changes import ENDS, Change, Vanished, bring_in_step, compare, nothing
from kg.config import CoPurchaseConfig
from kg.digest import Digests, digests
from kg.load import LoadReport, graph_fingerprint, load_graph, new_state
from kg.rows import co_purchase_table, known_rows, node_table, window_name
from kg.schema import SCHEMA_VERSION, EdgeKind, NodeKind, Schema, schema_of
from kg.snapshot import Draft, read_snapshot, snapshot_path
from kg.state import GraphState, graph_state, refuse_others, write_state
from kg.store import GraphStore
from kg.stored import stored_edges, stored_nodes


@dataclass
class Counts:
    """Nodes, or pairs of nodes with a relationship (parallel ones count once), that differ."""

    added: int = 0
    changed: int = 0
    vanished: int = 0


@dataclass
class SyncReport:
    """What an update did, or would do.

    Attributes:
        fingerprint: of the graph as it is then.
        dry_run: nothing was written.
        full: why the whole graph was loaded anew; empty when it was not. Then everything counts as added.
        compared: with what the tables were compared; empty when there was no need.
        changes: by label, and by ``Source-TYPE-Target``.
        unmatched: rows of the relations table left out because the catalogue lacks an end.
        seconds: wall time.
    """

    fingerprint: str
    dry_run: bool
    full: str = ""
    compared: str = ""
    changes: dict[str, Counts] = field(default_factory=dict)
    unmatched: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Number of differences."""
        return sum(one.added + one.changed + one.vanished for one in self.changes.values())

    def note(self, change: Change) -> None:
        """Add the differences of one kind."""
        counts = self.changes.setdefault(change.kind.name, Counts())
        counts.added += change.counts[0]
        counts.changed += change.counts[1]
        counts.vanished += change.counts[2]


def sync_graph(
    store: GraphStore,
    dataset: Dataset,
    window_ends: Iterable[int],
    config: CoPurchaseConfig | None = None,
    *,
    vanished: Vanished = "remove",
    dry_run: bool = False,
    recheck: bool = False,
) -> SyncReport:
    """Bring the graph in step with the tables; the result is that of a load, but for what is kept by ``vanished``.

    A store that is empty, was half loaded, or whose labels and relationships are not those of the tables any more,
    is loaded as a whole.

    Args:
        store: an open store.
        dataset: the shop's data as it is now.
        window_ends: cut-offs that get ``BOUGHT_WITH``; those of others are removed.
        config: what is counted.
        vanished: ``remove`` nodes and relationships that the tables lack, or ``end`` them: they stay with today's
            date as property ``ended``, are not read back for training, and come alive when they reappear.
            Co-purchases are figures and always replaced.
        dry_run: write nothing, only say what would change.
        recheck: read the whole graph for the comparison, also where the store seems to hold what we left there.

    Raises:
        InputError: the database holds a graph that is not ours, or another shop's; or a name cannot be used in a
            graph.
    """
    began, config, ends = time.perf_counter(), config or CoPurchaseConfig(), sorted(set(window_ends))
    schema, found = schema_of(dataset), graph_state(store)
    refuse_others(store, found, dataset.tables.name)
    report = SyncReport(graph_fingerprint(dataset, ends, config), dry_run, full=_why_all(found, schema))
    if report.full or found is None:
        _load_all(store, dataset, schema, ends, config, report)
    elif recheck or not found.complete or found.fingerprint != report.fingerprint:
        _Update(store, dataset, schema, ends, config, found, report).run(vanished, recheck)
    report.seconds = time.perf_counter() - began
    return report


def show(report: SyncReport) -> None:
    """Print an update's report as a table, on stderr."""
    table = Table("", title="Would change" if report.dry_run else "Changed", title_justify="left")
    for heading in ("added", "changed", "vanished"):
        table.add_column(heading, justify="right")
    for name, one in report.changes.items():
        if one != Counts():
            table.add_row(name, f"{one.added:,}", f"{one.changed:,}", f"{one.vanished:,}")
    if not report.total and not report.full:
        say("sync", f"in step with the data, {report.seconds:.1f} s")
        return
    if report.full:
        say("sync", f"full load: {report.full}")
    if report.total:
        console.print(table)
    left_out = sum(report.unmatched.values())
    if left_out:
        say("", f"{left_out:,} relations left out: an end is not in the catalogue")
    done = "would be written" if report.dry_run else "written"
    against = "" if report.full else f"found against {report.compared}, "
    say("sync", f"{report.total:,} differences {against}{done}, {report.seconds:.1f} s")


def _why_all(found: GraphState | None, schema: Schema) -> str:
    """Why the graph must be loaded as a whole; empty when an update will do."""
    if found is None:
        return "the store is empty"
    if found.state == "loading":
        return "an earlier load was not finished"
    if found.schema_version != SCHEMA_VERSION:
        return "it was written by another version of CrossAisle"
    old = Schema.from_json(found.schema)
    if (set(old.nodes), set(old.edges)) != (set(schema.nodes), set(schema.edges)):
        return "labels or relationships are not those of the data any more"
    return ""


def _load_all(
    store: GraphStore, dataset: Dataset, schema: Schema, ends: list[int], config: CoPurchaseConfig, report: SyncReport
) -> None:
    if report.dry_run:
        empty = GraphState("loading", "", SCHEMA_VERSION, "", [], [])
        _Update(store, dataset, schema, ends, config, empty, report).look(
            {kind.name: nothing() for kind in schema.kinds}
        )
        return
    loaded: LoadReport = load_graph(store, dataset, ends, config)
    report.changes = {name: Counts(added=n) for name, n in (loaded.nodes | loaded.relationships).items()}
    report.unmatched = loaded.unmatched


class _Update:
    """One update of a graph that is there.

    Args:
        store: an open store.
        dataset: the data as it is now.
        schema: its schema, which is the graph's.
        window_ends: cut-offs wanted.
        config: what is counted.
        found: the graph's state.
        report: filled on the way.
    """

    def __init__(
        self,
        store: GraphStore,
        dataset: Dataset,
        schema: Schema,
        window_ends: list[int],
        config: CoPurchaseConfig,
        found: GraphState,
        report: SyncReport,
    ) -> None:
        self.store, self.dataset, self.schema, self.config = store, dataset, schema, config
        self.window_ends, self.found, self.report = window_ends, found, report
        self.state = new_state(dataset, schema, window_ends, config, found)

    def run(self, vanished: Vanished, recheck: bool) -> None:
        """Compare, and write unless it is a dry run."""
        path = snapshot_path(self.store.config)
        trusted = self.found.complete and not recheck
        old = read_snapshot(path, self.found.revision) if trusted else None
        self.report.compared = "the store" if old is None else "the snapshot of the last write"
        if self.report.dry_run:
            self.look(old, recheck)
            return
        with Draft(path, self.state.revision) as draft:
            changes = self.look(old, recheck, draft)
            self._write(changes, vanished, recheck)
            draft.keep()
        write_state(self.store, replace(self.state, state="complete", marked=self._marked(changes, vanished)))

    def look(self, old: dict[str, Digests] | None, recheck: bool = False, draft: Draft | None = None) -> list[Change]:
        """All differences, nodes first; fingerprints of the tables go into the draft."""
        kinds = [kind for kind in self.schema.kinds if isinstance(kind, NodeKind) or kind.role != "co_purchase"]
        changes = []
        for kind in track(kinds, "Comparing"):
            frame = self._rows(kind)
            known = None if old is None else old.get(kind.name)
            change, new = compare(kind, frame, self._stored(kind, frame) if known is None else known)
            if draft is not None:
                draft.add(kind.name, new)
            changes.append(change)
        changes += self._windows(recheck)
        for change in changes:
            self.report.note(change)
        return [change for change in changes if any(change.counts)]

    def _rows(self, kind: NodeKind | EdgeKind) -> pd.DataFrame:
        if isinstance(kind, NodeKind):
            return node_table(self.dataset, kind)
        frame, left_out = known_rows(self.dataset, self.schema, kind)
        if left_out:
            self.report.unmatched[kind.name] = left_out
        return frame

    def _stored(self, kind: NodeKind | EdgeKind, frame: pd.DataFrame) -> Digests:
        if isinstance(kind, NodeKind):
            return digests(stored_nodes(self.store, kind, self.found), [kind.key])[0]
        return digests(stored_edges(self.store, self.schema, kind, self.found, grouping_end(frame)), ENDS)[0]

    def _windows(self, recheck: bool) -> Iterator[Change]:
        """Co-purchases that differ, of those cut-offs alone whose counts may have."""
        known = {} if recheck else self.found.windows
        wanted = self.state.windows
        jobs = [
            (kind, end)
            for kind in self.schema.edges
            if kind.role == "co_purchase"
            for end in sorted({*self.found.window_ends, *self.window_ends})
            if end not in self.window_ends or known.get(window_name(kind, end)) != wanted[window_name(kind, end)]
        ]
        for kind, end in track(jobs, "Counting"):
            yield self._window(kind, end)

    def _window(self, kind: EdgeKind, end: int) -> Change:
        there, wanted = end in self.found.window_ends, end in self.window_ends
        columns = [*ENDS, *kind.properties]
        none = pd.DataFrame(columns=columns)
        frame = co_purchase_table(self.dataset, kind, end, self.config)[columns] if wanted else none
        stored = stored_edges(self.store, self.schema, kind, self.found, "source", end) if there else none
        return compare(kind, frame, digests(stored, ENDS)[0], end)[0]

    def _write(self, changes: list[Change], vanished: Vanished, recheck: bool) -> None:
        if not changes:
            return
        known = {} if recheck else self.found.windows
        kept = {name: text for name, text in self.state.windows.items() if known.get(name) == text}
        ends = sorted({*self.found.window_ends, *self.window_ends})
        marked = self._marked(changes, vanished)
        under_way = replace(self.state, state="updating", counted=json.dumps(kept), window_ends=ends, marked=marked)
        write_state(self.store, under_way)
        steps = bring_in_step(self.store, self.schema, changes, vanished, marked=self.found.marked)
        for _ in track(steps, "Writing", total=2 * len(changes)):
            pass

    def _marked(self, changes: list[Change], vanished: Vanished) -> bool:
        ending = vanished == "end" and any(change.counts[2] for change in changes if not change.derived)
        return self.found.marked or ending
