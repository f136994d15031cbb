"""How long lists take, once a run is loaded: for one user, for a history, for all users at once.

    python benchmarks/lists.py RUN

One user and one history: median over --times calls, the first not counted; all users: one call each. Beside wall time
stands the processor time of all threads, which other work on the machine does not lengthen as much, and the machine's
load average. ``peak`` is the process's largest resident memory so far.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from rich.console import Console
from rich.table import Table

from kg.config import StoreConfig
from recommend import Recommender
from train import explained


def timed(work: Callable[[int], object], times: int) -> tuple[float, float]:
    """Medians of wall and processor seconds of a call; the first one of several is not counted."""
    walls, processors = [], []
    for number in range(times + (times > 1)):
        wall, processor = perf_counter(), process_time()
        work(number)
        walls.append(perf_counter() - wall)
        processors.append(process_time() - processor)
    counted = slice(times > 1, None)
    return median(walls[counted]), median(processors[counted])


def cases(recommender: Recommender, times: int) -> dict[str, tuple[Callable[[int], object], int]]:
    """What is measured: a call and how often."""
    users = recommender.dataset.user_ids
    rows = recommender.dataset.tables.interactions
    typical = rows["user_id"].value_counts().sort_values().index[len(users) // 2]
    history = rows[(rows["user_id"] == typical) & (rows["time"] < recommender.run.scorer.cutoff.time)]
    return {
        "one user, categories": (lambda at: recommender.categories([users[at % len(users)]]), times),
        "one user, products": (lambda at: recommender.products([users[at % len(users)]]), times),
        f"one history of {len(history)} rows, products": (lambda _: recommender.products(histories=history), times),
        f"all {len(users):,} users, categories": (lambda _: recommender.categories(), 1),
        f"all {len(users):,} users, products": (lambda _: recommender.products(), 1),
    }


def build_arguments() -> argparse.ArgumentParser:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks/lists.py", description=__doc__, formatter_class=form)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--times", type=int, default=25, help="calls for one user; default 25")
    parser.add_argument("--store", type=Path, help="folder of the graph store; default: the run's")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = build_arguments().parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    store = StoreConfig(home=given.store) if given.store else None
    found: list[Recommender] = []
    wall, processor = timed(lambda _: found.append(Recommender.load(given.run, store)), 1)
    table = Table("what", "wall (s)", "processor (s)", "load", "peak (MiB)", title="20 best, all candidates scored")
    table.add_row(*row("load the run", wall, processor))
    for what, (work, times) in cases(found[0], given.times).items():
        table.add_row(*row(what, *timed(work, times)))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def row(what: str, wall: float, processor: float) -> list[str]:
    """Cells of one measurement, with what the machine is doing now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return [what, f"{wall:.3f}", f"{processor:.3f}", f"{os.getloadavg()[0]:.1f}", f"{peak:,.0f}"]


if __name__ == "__main__":
    sys.exit(main())
