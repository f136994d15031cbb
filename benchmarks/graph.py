"""How fast the graph is loaded, brought in step and read back, beside the floor that the driver sets.

    python benchmarks/graph.py                     the default data set in an embedded store of its own
    NEO4J_URI=bolt://… python benchmarks/graph.py  and in that Neo4j too, whose database must be empty
    python benchmarks/graph.py --config smoke      another preset or file; any further flag is one of train.py's

- load: ``kg.load`` (makes the rows, counts co-purchases, sends), into an empty store;
- update: ``kg.sync`` after one product in a hundred (``--share``) changed, a third of them with another text, a third
  new, a third gone; the tables are there already, as for the load;
- read one: ``kg.readback`` for the last cut-off (queries, then the PyG graph);
- read all: the same for all cut-offs, as a run of train.py asks.

Floor: the very same statements and parameters, made already, sent in a bare loop of the driver in the same order to
an empty store that has just been started (embedded) or cleared (Neo4j). Nothing is made of what comes back.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from neo4j import GraphDatabase, Query
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset
from data.load import load
from errors import InputError
from kg.config import StoreConfig
from kg.load import LoadReport, graph_state, load_graph
from kg.readback import GraphData, read_graphs
from kg.schema import BOUGHT_WITH
from kg.store import GraphStore, Rows
from kg.sync import SyncReport, sync_graph
from train import build_parser, parse

if TYPE_CHECKING:
    from training.config import TrainConfig

T = TypeVar("T")
WORKS = ("load", "update", "read one", "read all")


@dataclass(frozen=True)
class Call:
    """A statement that a store was sent."""

    work: str
    query: str
    params: dict[str, Any]
    reading: bool


@dataclass(frozen=True)
class Rate:
    """Speed of a piece of work beside its floor.

    Attributes:
        store: ``embedded`` or ``Neo4j``.
        work: what was done.
        rows: nodes and relationships handled; differences, for an update.
        seconds: by our code.
        floor_seconds: by the bare loop.
        of_load: seconds as a share of the load's.
    """

    store: str
    work: str
    rows: int
    seconds: float
    floor_seconds: float
    of_load: float

    @property
    def cells(self) -> list[str]:
        """Store, work, rows, seconds, rows per second, the floor's seconds, times the floor, share of the load."""
        figures = [f"{self.rows:,}", f"{self.seconds:.2f}", f"{self.rows / self.seconds:,.0f}"]
        floor = [f"{self.floor_seconds:.2f}", f"{self.seconds / self.floor_seconds:.1f} ×"]
        return [self.store, self.work, *figures, *floor, f"{self.of_load:.1%}"]


class Recorder(GraphStore):
    """A store that keeps what it was asked, so that the same can be asked again without our code around it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self.work, self.calls = "", list[Call]()

    def write(self, query: str, /, **params: object) -> list[dict[str, Any]]:
        """Write, and note it."""
        self.calls.append(Call(self.work, query, params, reading=False))
        return super().write(query, **params)

    def schema_command(self, query: str, /) -> None:
        """Change the schema, and note it."""
        self.calls.append(Call(self.work, query, {}, reading=False))
        super().schema_command(query)

    def read_rows(self, query: str, /, **params: object) -> Rows:
        """Read, and note it."""
        self.calls.append(Call(self.work, query, params, reading=True))
        return super().read_rows(query, **params)

    def timed(self, work: str, step: Callable[[], T]) -> tuple[T, float]:
        """Do a piece of work under its name: its result, and the seconds."""
        self.work, began = work, perf_counter()
        return step(), perf_counter() - began


def settings(config: str, flags: list[str]) -> TrainConfig:
    """The configuration that train.py would run with."""
    import training.job  # noqa: F401  (what the parser's classes need)
    from training.config import TrainConfig

    parser = build_parser()
    made = parser.instantiate(parse([f"--config={config}", *flags], parser))
    return TrainConfig(**{name: made[name] for name in TrainConfig.__dataclass_fields__})


def next_night(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """The shop with a share of its products changed: texts, new ones, and gone ones that nobody had bought."""
    tables, rng = dataset.tables, np.random.default_rng(seed)
    products = tables.products
    count = max(1, round(share * len(products) / 3))
    unsold = products.index[~products["product_id"].isin(tables.interactions["product_id"])]
    gone = rng.choice(unsold, min(count, len(unsold)), replace=False)
    chosen = rng.choice(products.index.difference(pd.Index(gone)), 2 * count, replace=False)
    other, copied = np.split(chosen, 2)
    left = products.assign(text=products["text"].mask(products.index.isin(other), "another text")).drop(gone)
    new = {name: f"new {name}" for name in products.loc[copied, "product_id"]}
    members = tables.memberships
    joining = members[members["product_id"].isin(new)]
    parts = [members[~members["product_id"].isin(products.loc[gone, "product_id"])], _renamed(joining, new)]
    products = pd.concat([left, _renamed(products.loc[copied], new)], ignore_index=True)
    return Dataset.from_tables(replace(tables, products=products, memberships=pd.concat(parts, ignore_index=True)))


def _renamed(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame.assign(product_id=frame["product_id"].map(names).astype(frame["product_id"].dtype))


def measure(name: str, config: TrainConfig, store: StoreConfig, floor: StoreConfig, share: float) -> list[Rate]:
    """Load, update and read back in one store, then send the same statements to the other.

    Raises:
        InputError: the store is not empty.
    """
    dataset = load(config.data)
    later = next_night(dataset, share)
    with Recorder.open(store) as ours:
        assert isinstance(ours, Recorder)
        if graph_state(ours) is not None:
            raise InputError("the database is not empty", where=store.uri, remedy="Give an empty one.")
        ours.calls.clear()
        seconds, rows = _ours(ours, config, dataset, later)
        calls = ours.calls
        if not ours.config.is_embedded:
            _clear(ours)
    with GraphStore.open(floor) as bare:
        floors = replay(bare, calls)
        if not bare.config.is_embedded:
            _clear(bare)
    return [
        Rate(name, work, rows[work], seconds[work], floors[work], seconds[work] / seconds["load"]) for work in WORKS
    ]


def _ours(
    store: Recorder, config: TrainConfig, dataset: Dataset, later: Dataset
) -> tuple[dict[str, float], dict[str, int]]:
    ends = config.protocol.cutoffs
    loaded: LoadReport
    updated: SyncReport
    loaded, loading = store.timed("load", lambda: load_graph(store, dataset, ends, config.copurchase))
    updated, updating = store.timed("update", lambda: sync_graph(store, later, ends, config.copurchase))
    one, reading_one = store.timed("read one", lambda: read_graphs(store, ends[-1:]))
    every, reading = store.timed("read all", lambda: read_graphs(store, ends))
    figures = dict(zip(WORKS, (loading, updating, reading_one, reading), strict=True))
    return figures, dict(zip(WORKS, (loaded.rows, updated.total, _rows(one), _rows(every)), strict=True))


def _rows(graphs: dict[int, GraphData]) -> int:
    """Nodes and relationships that were read: those that several cut-offs share count once."""
    *_, one = graphs.values()
    edges = one.data.edge_types
    shared = [kind for kind in edges if not kind[1].endswith(BOUGHT_WITH)]
    counted = sum(graph.data[kind].num_edges for graph in graphs.values() for kind in edges if kind not in shared)
    return (sum(one.data[kind].num_edges for kind in shared) + counted) // 2 + int(one.data.num_nodes)


def replay(store: GraphStore, calls: list[Call]) -> dict[str, float]:
    """Seconds that the bare driver takes for the same calls, by work."""
    server, config = store.server, store.config
    login = (config.username, config.password) if server is None else (server.username, server.password)
    seconds = dict.fromkeys(WORKS, 0.0)
    with (
        GraphDatabase.driver(config.uri if server is None else server.uri, auth=login) as driver,
        driver.session(database=config.database) as session,
    ):
        for call in calls:
            began = perf_counter()
            result = session.run(Query(call.query), call.params)
            if call.reading:
                result.values()
            else:
                result.consume()
            seconds[call.work] += perf_counter() - began
    return seconds


def _clear(store: GraphStore) -> None:
    while store.write("MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(*) AS gone")[0]["gone"]:
        pass


def show(rates: list[Rate]) -> None:
    """Print the table."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table("store", "work", title="The graph, beside the floor that the driver sets")
    for heading in ("rows", "seconds", "rows/s", "floor: seconds", "time / floor", "of the load"):
        table.add_column(heading, justify="right")
    for rate in rates:
        table.add_row(*rate.cells)
    console.print(table)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/graph.py", description=__doc__, formatter_class=form)
    parser.add_argument("--config", default="default", help="preset or file; default: default")
    parser.add_argument("--share", type=float, default=0.01, help="part of the products that an update changes")
    parser.add_argument("--only", choices=("embedded", "neo4j"), help="leave the other store out")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    return parser


def stores(config: StoreConfig, folder: Path, only: str | None) -> dict[str, tuple[StoreConfig, StoreConfig]]:
    """The stores to measure, each with the one for its floor.

    Raises:
        InputError: Neo4j is asked for, and nothing says where it is.
    """
    found = {}
    if only != "neo4j":
        homes = (replace(config, uri="embedded", home=folder / name) for name in ("ours", "floor"))
        found["embedded"] = (next(homes), next(homes))
    neo4j = replace(config, home=folder / "neo4j").resolved()
    if only != "embedded" and not neo4j.is_embedded:
        found["Neo4j"] = (neo4j, neo4j)
    if not found:
        raise InputError("there is no Neo4j to measure", remedy="Set NEO4J_URI and NEO4J_PASSWORD.")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given, flags = build_arguments().parse_known_args(arguments)
    try:
        config = settings(given.config, flags)
        with tempfile.TemporaryDirectory() as temporary:
            wanted = stores(config.store, Path(temporary), given.only)
            rates = [rate for name, pair in wanted.items() for rate in measure(name, config, *pair, given.share)]
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    show(rates)
    if given.json:
        given.json.write_text(json.dumps([asdict(rate) for rate in rates], indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
