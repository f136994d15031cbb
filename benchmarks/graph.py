"""How fast the graph is loaded, brought in step and read back, beside the floor that the driver sets.

    python benchmarks/graph.py                     the default data set in an embedded store of its own
    python benchmarks/graph.py --start_neo4j       and in a Neo4j that is started for it, as for the tests (Java, Maven)
    NEO4J_URI=bolt://… python benchmarks/graph.py  and in that Neo4j too, whose database must be empty
    python benchmarks/graph.py --config smoke      another preset or file; any further flag is one of train.py's

- load: ``kg.load`` (makes the rows, counts co-purchases, sends), into an empty store;
- update: ``kg.sync`` after one product in a hundred (``--share``) changed, a third of them with another text, a third
  new, a third gone; the tables are there already, as for the load;
- read one: ``kg.readback`` for the last cut-off (queries, then the PyG graph);
- read all: the same for all cut-offs, as a run of train.py asks;
- read again: as "read one", when the server has met its queries.

Floor: the very same statements and parameters, made already, sent in a bare loop of the driver in the same order to
an empty store that has just been started or, where it is a Neo4j of your own, cleared. Nothing is made of what comes
back. "Server" and "Python" are the processor seconds that our code took of each, where the server is on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import psutil
from neo4j import GraphDatabase, Query
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset
from data.load import load
from errors import InputError
from files import check_folder
from kg.config import StoreConfig
from kg.load import LoadReport, graph_state, load_graph
from kg.readback import GraphData, read_graphs
from kg.schema import BOUGHT_WITH
from kg.store import GraphStore, Rows
from kg.sync import SyncReport, sync_graph
from train import build_parser, explained, parse

if TYPE_CHECKING:
    from training.config import TrainConfig

T = TypeVar("T")
WORKS = ("load", "update", "read one", "read all", "read again")
SERVER = Path(__file__).parents[1] / "tests" / "kg" / "neo4j_server.py"


@dataclass(frozen=True)
class Call:
    """A statement that a store was sent."""

    work: str
    query: str
    params: dict[str, Any]
    reading: bool


@dataclass(frozen=True)
class Place:
    """A store to measure in: its configuration, and the process of a server that was started for it."""

    config: StoreConfig
    pid: int | None = None


Opening = Callable[[], contextlib.AbstractContextManager[Place]]


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
        server_cpu: processor seconds of the server, None where it was not started here.
        python_cpu: processor seconds of this process.
    """

    store: str
    work: str
    rows: int
    seconds: float
    floor_seconds: float
    of_load: float
    server_cpu: float | None
    python_cpu: float

    @property
    def cells(self) -> list[str]:
        """One for each of ``HEADINGS``."""
        figures = [f"{self.rows:,}", f"{self.seconds:.2f}", f"{self.rows / self.seconds:,.0f}"]
        floor = [f"{self.floor_seconds:.2f}", f"{self.seconds / self.floor_seconds:.1f} ×"]
        cpu = ["–" if self.server_cpu is None else f"{self.server_cpu:.2f}", f"{self.python_cpu:.2f}"]
        return [self.store, self.work, *figures, *floor, f"{self.of_load:.1%}", *cpu]


HEADINGS = ("rows", "seconds", "rows/s", "floor (s)", "time / floor", "of the load", "server (s)", "Python (s)")


@dataclass(frozen=True)
class Took:
    """Seconds of a piece of work: of the clock, and of the processor in the server and here."""

    seconds: float
    server: float | None
    python: float


class Recorder(GraphStore):
    """A store that keeps what it was asked, so that the same can be asked again without our code around it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self.work, self.calls, self.pid = "", list[Call](), self.server.pid if self.server else None

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

    def timed(self, work: str, step: Callable[[], T]) -> tuple[T, Took]:
        """Do a piece of work under its name: its result, and the seconds."""
        self.work, before, began = work, self._processor_times(), perf_counter()
        done = step()
        seconds, (server, python) = perf_counter() - began, self._processor_times()
        spent = None if server is None or before[0] is None else server - before[0]
        return done, Took(seconds, spent, python - before[1])

    def _processor_times(self) -> tuple[float | None, float]:
        return None if self.pid is None else _processor_time(self.pid), _processor_time(os.getpid())


def _processor_time(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


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


def measure(name: str, config: TrainConfig, store: Opening, floor: Opening, share: float) -> list[Rate]:
    """Load, update and read back in one store, then send the same statements to the other.

    Raises:
        InputError: the store is not empty.
    """
    dataset = load(config.data)
    with store() as place, Recorder.open(place.config) as ours:
        assert isinstance(ours, Recorder)
        ours.pid = place.pid or ours.pid
        if graph_state(ours) is not None:
            raise InputError("the database is not empty", where=place.config.uri, remedy="Give an empty one.")
        ours.calls.clear()
        took, rows = _ours(ours, config, dataset, next_night(dataset, share))
        calls = ours.calls
        if store is floor:
            _clear(ours)
    with floor() as place, GraphStore.open(place.config) as bare:
        floors = replay(bare, calls)
        if store is floor:
            _clear(bare)
    whole = took["load"].seconds
    return [
        Rate(name, work, rows[work], t.seconds, floors[work], t.seconds / whole, t.server, t.python)
        for work, t in took.items()
    ]


def _ours(
    store: Recorder, config: TrainConfig, dataset: Dataset, later: Dataset
) -> tuple[dict[str, Took], dict[str, int]]:
    ends = config.protocol.cutoffs
    loaded: LoadReport
    updated: SyncReport
    loaded, loading = store.timed("load", lambda: load_graph(store, dataset, ends, config.copurchase))
    updated, updating = store.timed("update", lambda: sync_graph(store, later, ends, config.copurchase))
    one, reading_one = store.timed("read one", lambda: read_graphs(store, ends[-1:]))
    every, reading = store.timed("read all", lambda: read_graphs(store, ends))
    again, reading_again = store.timed("read again", lambda: read_graphs(store, ends[-1:]))
    figures = dict(zip(WORKS, (loading, updating, reading_one, reading, reading_again), strict=True))
    return figures, dict(zip(WORKS, (loaded.rows, updated.total, *map(_rows, (one, every, again))), strict=True))


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
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    table = Table("store", "work", title="The graph, beside the floor that the driver sets")
    for heading in HEADINGS:
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
    parser.add_argument("--start_neo4j", action="store_true", help="start a Neo4j, as the tests do, and measure it too")
    parser.add_argument("--only", choices=("embedded", "neo4j"), help="leave the other store out")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    return parser


def stores(config: StoreConfig, folder: Path, only: str | None, start: bool) -> dict[str, tuple[Opening, Opening]]:
    """The stores to measure, each with the one for its floor.

    Raises:
        InputError: Neo4j is asked for, and nothing says where it is.
    """
    found: dict[str, tuple[Opening, Opening]] = {}
    if only != "neo4j":
        homes = [replace(config, uri="embedded", home=folder / name) for name in ("ours", "floor")]
        found["embedded"] = (_given(homes[0]), _given(homes[1]))
    neo4j = replace(config, home=folder / "neo4j").resolved()
    if only != "embedded" and start:
        found["Neo4j"] = (_started(config, folder / "neo4j"), _started(config, folder / "neo4j floor"))
    elif only != "embedded" and not neo4j.is_embedded:
        found["Neo4j"] = (_given(neo4j),) * 2
    if not found:
        raise InputError("there is no Neo4j to measure", remedy="Set NEO4J_URI and NEO4J_PASSWORD, or --start_neo4j.")
    return found


def _given(config: StoreConfig) -> Opening:
    return lambda: contextlib.nullcontext(Place(config))


def _started(config: StoreConfig, home: Path) -> Opening:
    """A Neo4j in a folder of its own, started with the tests' settings when it is opened."""

    @contextlib.contextmanager
    def opening() -> Iterator[Place]:
        spec = importlib.util.spec_from_file_location("neo4j_server", SERVER)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            server = module.Neo4jServer(home, heap="1g")
        except module.MissingToolError as error:
            raise InputError(f"no Neo4j can be started: {error}", remedy="Install it, or set NEO4J_URI.") from None
        login = {name: getattr(server.config, name) for name in ("uri", "username", "password", "home")}
        try:
            yield Place(replace(config, **login), server.pid)
        finally:
            server.stop()

    return opening


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given, flags = build_arguments().parse_known_args(arguments)
    return explained(lambda: _run(given, flags), "--help lists all options.")


def _run(given: argparse.Namespace, flags: list[str]) -> int:
    if given.json:
        check_folder(given.json.parent)
    config = settings(given.config, flags)
    with tempfile.TemporaryDirectory() as temporary:
        wanted = stores(config.store, Path(temporary), given.only, given.start_neo4j)
        rates = [rate for name, pair in wanted.items() for rate in measure(name, config, *pair, given.share)]
    show(rates)
    if given.json:
        given.json.write_text(json.dumps([asdict(rate) for rate in rates], indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
