"""How long the interest level's scorer takes: eager, by torch.export, in ONNX Runtime.

    python benchmarks/latency.py runs/NAME
    python benchmarks/latency.py runs/NAME --threads 1 --batches 1 16 256

The same users' evidence goes through all three on the CPU (``pip install 'crossaisle[onnx]'``). Milliseconds for a
batch: median over calls, and the 95th percentile; the largest difference to the eager answers. *evidence* is what
counting the evidence of the batch takes before, which is the same for all three.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from export.program import ONNX, TORCH, InterestScorer, asked, inputs, need_onnx, parity, session, write_programs
from kg.config import StoreConfig
from train import explained
from training.loaded import LoadedRun, load_run

Answer = Callable[[dict[str, Tensor]], list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]


def ways(run: LoadedRun, folder: Path, threads: int) -> dict[str, Answer]:
    """Eager, exported and ONNX Runtime's answers, by name.

    Args:
        run: a loaded run.
        folder: for the programs.
        threads: of each.
    """
    write_programs(run, ["torch", "onnx"], folder)
    scorer, program = InterestScorer(run), torch.export.load(folder / TORCH).module()
    onnx = session(folder / ONNX, threads)

    def by_torch(of: Callable[..., tuple[Tensor, Tensor]]) -> Answer:
        def answer(given: dict[str, Tensor]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
            with torch.inference_mode():
                return [one.numpy() for one in of(*given.values())]

        return answer

    return {
        "eager": by_torch(scorer),
        "torch.export": by_torch(program),
        "ONNX Runtime": lambda given: asked(onnx, given),
    }


def milliseconds(work: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median and 95th percentile of some calls, after two that do not count."""
    taken = []
    for _ in range(calls + 2):
        started = perf_counter()
        work()
        taken.append(1000 * (perf_counter() - started))
    return float(np.median(taken[2:])), float(np.percentile(taken[2:], 95))


def rows(run: LoadedRun, batches: list[int], threads: int, calls: int) -> Iterator[list[str]]:
    """One row for each batch size and way."""
    history, scorer = run.scorer.cutoff.history, InterestScorer(run)
    known = np.unique(history.user).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        found = ways(run, Path(folder), threads)
        for size in batches:
            users = np.resize(known, size) if size > len(known) else known[:size]
            counting, _ = milliseconds(partial(inputs, run.scorer.cutoff, history.of_users(users), users), 5)
            given = inputs(run.scorer.cutoff, history.of_users(users), users)
            for name, answer in found.items():
                middle, slow = milliseconds(partial(answer, given), calls)
                off = parity(scorer, given, answer(given))
                cells = [f"{middle:.2f}", f"{slow:.2f}", f"{1000 * size / middle:,.0f}", f"{off:.0e}"]
                yield [str(size), name, *cells, f"{counting:.1f}"]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 16, 256], help="users at a time")
    parser.add_argument("--threads", type=int, default=1, help="of each")
    parser.add_argument("--calls", type=int, default=50, help="that are timed")
    parser.add_argument("--store", type=Path, default=None, help="home of an embedded store, if not the run's")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    need_onnx()
    torch.set_num_threads(given.threads)
    run = load_run(given.run, None if given.store is None else StoreConfig(home=given.store))
    heads = ["users", "by", "ms", "ms, 95%", "users/s", "off by", "evidence, ms"]
    table = Table(*heads, title=f"Interest level, {given.threads} threads")
    for row in rows(run, given.batches, given.threads, given.calls):
        table.add_row(*row)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
