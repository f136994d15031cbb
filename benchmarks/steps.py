"""What each step of a run costs, and how fast graph load, read-back and evaluation are beside a floor.

    python benchmarks/steps.py                   runs the main job (default preset) in a temporary folder
    python benchmarks/steps.py --config smoke    another preset or file; any further flag goes to train.py
    python benchmarks/steps.py --run runs/NAME   reads a finished run, and trains nothing

First table: wall time and peak memory of each step, as the run itself measured them (child processes included).

Second table: rows per second, measured here on the run's data in an embedded store of its own (a Neo4j that
``NEO4J_URI`` names is never touched), each beside the least that the same work can cost:

- graph load: ``kg.load`` (makes the rows, counts co-purchases, sends); floor: the very same batches, made already,
  sent to an empty store by a bare driver loop;
- read-back: ``kg.readback`` for all cut-offs (queries, then PyG graphs); floor: the same queries by the bare driver,
  nothing made of their rows;
- evaluation, by level: ``evaluation.ranking`` and ``evaluation.evaluate`` on given scores of all test users; floor:
  numpy's top k of the same scores, without masks, fixed ties and metrics. A row is one score of a user and an item.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from neo4j import GraphDatabase
from neo4j import Query as Cypher
from rich.console import Console
from rich.table import Table

from data.dataset import Dataset
from data.load import load
from data.log import Log
from data.splits import targets
from errors import InputError
from evaluation.evaluate import evaluate
from evaluation.ranking import rank
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from files import check_folder
from kg.config import StoreConfig
from kg.store import GraphStore, Rows
from train import build_parser, explained, parse

if TYPE_CHECKING:
    from training.config import TrainConfig

TOP = 100
Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Rate:
    """Speed of a piece of work beside its floor.

    Attributes:
        work: what was done.
        rows: rows handled.
        seconds: by our code.
        floor_seconds: by the floor, on the same rows.
    """

    work: str
    rows: int
    seconds: float
    floor_seconds: float

    @property
    def cells(self) -> list[str]:
        """Rows, seconds, rows per second, the floor's rows per second, and how many times the floor's time."""
        own, floor = self.rows / self.seconds, self.rows / self.floor_seconds
        times = f"{self.seconds / self.floor_seconds:.1f} ×"
        return [self.work, f"{self.rows:,}", f"{self.seconds:.2f}", f"{own:,.0f}", f"{floor:,.0f}", times]


class Recorder(GraphStore):
    """A store that keeps what it was asked, so that the same can be asked again without our code around it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self.written: list[Call] = []
        self.asked: list[Call] = []

    def write(self, query: str, /, **params: object) -> list[dict[str, Any]]:
        """Write, and note it."""
        self.written.append((query, params))
        return super().write(query, **params)

    def schema_command(self, query: str, /) -> None:
        """Change the schema, and note it."""
        self.written.append((query, {}))
        super().schema_command(query)

    def read_rows(self, query: str, /, **params: object) -> Rows:
        """Read, and note it."""
        self.asked.append((query, params))
        return super().read_rows(query, **params)


class Given(Scorer):
    """Scores drawn in advance: 64 rows of them serve all users in turn, so that scoring costs a copy."""

    name = "given"

    def __init__(self, items: int) -> None:
        self.scores = np.random.default_rng(0).random((64, items), dtype=np.float32)

    def fit(self, problem: Problem) -> Self:
        """Nothing to learn."""
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The users' scores, shape (b, items)."""
        return self.scores[rows % len(self.scores)]


def settings_of(run: Path) -> TrainConfig:
    """The resolved configuration of a run."""
    from training.config import TrainConfig

    parser = build_parser()
    made = parser.instantiate(parse(["--config", str(run / "config.yaml")], parser))
    return TrainConfig(**{name: made[name] for name in TrainConfig.__dataclass_fields__})


def steps_of(run: Path) -> list[dict[str, Any]]:
    """The steps that a finished run measured.

    Raises:
        InputError: this is no finished run.
    """
    file = run / "environment.json"
    if not file.is_file():
        raise InputError("no finished run here", where=str(run), remedy="Give the folder of one as --run.")
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["steps"]
    return found


def train(config: str, flags: list[str], folder: Path) -> Path:
    """Run the main job with a store and a cache of its own, so that nothing is there already."""
    places = {"--out": "run", "--store.home": "graph", "--text_cache": "text"}
    own = [f"{flag}={folder / name}" for flag, name in places.items()]
    script = Path(__file__).parents[1] / "train.py"
    command = [sys.executable, str(script), f"--config={config}", "--store.uri=embedded", *flags, *own]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise InputError(f"train.py ended with exit code {done.returncode}", remedy="Its message stands above.")
    return folder / "run"


def graph_rates(config: TrainConfig, dataset: Dataset, folder: Path) -> list[Rate]:
    """Load and read-back of the run's graph, in an embedded store under the folder."""
    from kg.load import load_graph
    from kg.readback import read_graphs

    cutoffs = config.protocol.cutoffs
    with Recorder.open(_store(config, folder / "ours")) as store:
        assert isinstance(store, Recorder)
        began = perf_counter()
        report = load_graph(store, dataset, cutoffs, config.copurchase)
        loading = perf_counter() - began
        store.asked.clear()
        began = perf_counter()
        read_graphs(store, cutoffs)
        reading = perf_counter() - began
        reading_floor = replay(store, store.asked, reading=True)
        written = store.written
    with GraphStore.open(_store(config, folder / "floor")) as empty:
        loading_floor = replay(empty, written, reading=False)
    return [Rate("graph load", report.rows, loading, loading_floor),
            Rate("read-back", report.rows, reading, reading_floor)]  # fmt: skip


def _store(config: TrainConfig, home: Path) -> StoreConfig:
    return replace(config.store, uri="embedded", home=home)


def replay(store: GraphStore, calls: list[Call], *, reading: bool) -> float:
    """Seconds that the bare driver takes for the same calls on an embedded store."""
    server = store.server
    assert server is not None
    with (
        GraphDatabase.driver(server.uri, auth=(server.username, server.password)) as driver,
        driver.session(database=store.config.database) as session,
    ):
        began = perf_counter()
        for query, params in calls:
            result = session.run(Cypher(query), params)
            if reading:
                result.values()
            else:
                result.consume()
        return perf_counter() - began


def evaluation_rates(config: TrainConfig, dataset: Dataset) -> list[Rate]:
    """Ranking and measuring all test users, by level."""
    from training.run import levels_of

    cutoff, horizon = config.protocol.test_cutoff, config.protocol.horizon
    return [_evaluation(Problem(dataset, level, cutoff), horizon) for level in levels_of(dataset).values()]


def _evaluation(problem: Problem, horizon: int) -> Rate:
    scorer, found = Given(len(problem)), targets(problem.dataset, problem.level, problem.cutoff, horizon)
    rows = len(found.users) * len(problem)
    seconds = _seconds(lambda: evaluate(rank(scorer, problem, found, TOP), found))
    floor = _seconds(lambda: numpy_top(scorer, found.users, TOP))
    return Rate(f"evaluation, {problem.name}", rows, seconds, floor)


def numpy_top(scorer: Given, users: IntArray, k: int, cells: int = 4_000_000) -> IntArray:
    """The k best items of each user, best first, by argpartition and a sort, shape (users, k)."""
    items = scorer.scores.shape[1]
    k, size = min(k, items), max(1, min(1024, cells // items))
    found = []
    for start in range(0, len(users), size):
        scores = scorer.scores[users[start : start + size] % len(scorer.scores)]
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def show(steps: list[dict[str, Any]], rates: list[Rate]) -> None:
    """Print both tables."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table("step", title="Each step of the run")
    for heading in ("seconds", "peak memory (GiB)"):
        table.add_column(heading, justify="right")
    for step in steps:
        table.add_row(step["name"], f"{step['seconds']:.1f}", f"{step['peak_mb'] / 1024:.2f}")
    whole, peak = sum(step["seconds"] for step in steps), max((step["peak_mb"] for step in steps), default=0)
    table.add_section()
    table.add_row("all", f"{whole:.1f}", f"{peak / 1024:.2f}")
    console.print(table)
    table = Table("work", title="Rows per second, beside a floor")
    for heading in ("rows", "seconds", "rows/s", "floor: rows/s", "time / floor"):
        table.add_column(heading, justify="right")
    for rate in rates:
        table.add_row(*rate.cells)
    console.print(table)


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/steps.py", description=__doc__, formatter_class=form)
    parser.add_argument("--run", type=Path, help="a finished run to read, in place of a new one")
    parser.add_argument("--config", default="default", help="preset or file of the new run; default: default")
    parser.add_argument("--json", type=Path, help="file for the same figures as JSON")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = build_arguments()
    given, flags = parser.parse_known_args(arguments)
    if given.run and flags:
        parser.error(f"{flags[0]} is of no use with --run: nothing is trained")
    return explained(lambda: _run(given, flags), "--help lists all options.")


def _run(given: argparse.Namespace, flags: list[str]) -> int:
    if given.json:
        check_folder(given.json.parent)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = given.run or train(given.config, flags, folder)
        steps, config = steps_of(run), settings_of(run)
        dataset = load(config.data)
        rates = graph_rates(config, dataset, folder) + evaluation_rates(config, dataset)
    show(steps, rates)
    if given.json:
        figures = {"steps": steps, "rates": [asdict(rate) for rate in rates]}
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
