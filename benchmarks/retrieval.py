"""What retrieval by exported dot product loses against the full model.

    python benchmarks/retrieval.py runs/NAME
    python benchmarks/retrieval.py runs/NAME --export exports/NAME --levels product

The export is one of the run with all users; without ``--export`` one is made in a temporary folder. By level, on the
users with a target after the run's test cut-off; purchases after it are only counted here:

- overlap@100: share of the full model's 100 best unseen items among the ranking's 100 best;
- recall@100, recall@500: share of the true targets among the best;
- NDCG@20: of the ranking itself; "two-stage" takes the 500 best by dot product and ranks them by the full score;
- loss: of NDCG@20 against the full model's ranking.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from rich.console import Console
from rich.table import Table

from data.log import Log
from data.splits import targets
from evaluation.baselines import Popularity
from evaluation.evaluate import evaluate
from evaluation.ranking import Rankings, rank
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from export.commands import export
from export.levels import ItemLevel, item_levels
from export.reader import Export
from export.sources import retrieval_column
from kg.config import StoreConfig
from train import explained
from training.loaded import LoadedRun, load_run

RETRIEVED, TOP = 500, 100


class Random(Scorer):
    """A number drawn for each user and item."""

    name = "random"

    def fit(self, problem: Problem) -> Self:
        """Nothing to learn but the number of items."""
        self._items, self._rng = len(problem), np.random.default_rng(0)
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The numbers, shape (b, items)."""
        return self._rng.random((len(rows), self._items), dtype=np.float32)


class Kept(Scorer):
    """The full model's scores, kept in a file for those who ask again.

    Args:
        run: the model.
        level: what is scored.
        file: of users × items numbers.
    """

    name = "crossaisle"

    def __init__(self, run: LoadedRun, level: ItemLevel, file: Path) -> None:
        self._run, self._level = run, level
        users = len(run.dataset.user_ids)
        self._scores = np.memmap(file, np.float32, "w+", shape=(users, len(level.problem)))
        self._there = np.zeros(users, dtype=bool)

    def fit(self, problem: Problem) -> Self:
        """The model is trained already."""
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The scores, shape (b, items)."""
        if not self._there[rows].all():
            self._scores[rows] = self._level.scores(self._run, history, rows)
            self._there[rows] = True
        return np.asarray(self._scores[rows])


class Retrieval(Scorer):
    """Exported vectors' scores; with the full model, its scores for the best by them, −inf for the rest."""

    def __init__(self, vectors: Vectors, full: Scorer | None) -> None:
        self.name = "dot product" if full is None else "two-stage"
        self._vectors, self._full = vectors, full

    def fit(self, problem: Problem) -> Self:
        """Nothing is left to learn, but what is masked where the best are counted."""
        self._problem = problem
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The scores, shape (b, items)."""
        own = self._vectors.users[rows] @ self._vectors.items.T
        if self._full is None:
            return own
        full = self._full.score(history, rows)
        own[~np.isfinite(full)] = -np.inf
        if own.shape[1] <= RETRIEVED:
            return full
        limit = np.partition(own, -RETRIEVED, axis=1)[:, -RETRIEVED, None]
        return np.where(own >= limit, full, -np.inf).astype(np.float32)


@dataclass(frozen=True)
class Vectors:
    """A level's exported vectors, the items' bias as last coordinate, 1 on the users' side."""

    items: FloatArray
    users: FloatArray

    @classmethod
    def of(cls, export: Export, label: str) -> Self:
        """Those of a label."""
        items, bias = export.array(label, "retrieval"), export.array(label, "retrieval_bias")
        users = export.array("User", retrieval_column(label))
        stacked = (np.column_stack([items, bias]), np.column_stack([users, np.ones(len(users))]))
        return cls(*(np.asarray(side, dtype=np.float32) for side in stacked))


def agreement(run: LoadedRun, level: ItemLevel, vectors: Vectors, folder: Path) -> Iterator[list[str]]:
    """One row of the first table for each way to rank a level."""
    found = targets(run.dataset, level.problem.level, level.problem.cutoff, run.config.protocol.horizon)
    full = Kept(run, level, folder / level.label)
    whole: Rankings | None = None
    base = 0.0
    for scorer in (full, Retrieval(vectors, full), Retrieval(vectors, None), Popularity(), Random()):
        ranked = rank(scorer.fit(level.problem), level.problem, found, RETRIEVED)
        summary = evaluate(ranked, found, ks=(20, TOP, RETRIEVED)).summary
        ndcg = summary["ndcg@20"] or 0.0
        whole, base = whole or ranked, base or ndcg
        figures = [overlap(whole, ranked), summary[f"recall@{TOP}"], summary[f"recall@{RETRIEVED}"], ndcg]
        loss = f"{1 - ndcg / base:+.2%}"
        yield [level.problem.name, scorer.name, *(f"{figure:.4f}" for figure in figures), loss]


def overlap(full: Rankings, other: Rankings) -> float:
    """Mean share of the first ``TOP`` items that two rankings have in common; shorter lists count by their length."""
    shares = []
    for best, own in zip(full.items[:, :TOP], other.items[:, :TOP], strict=True):
        known = best[best >= 0]
        shares.append(np.isin(known, own).mean() if len(known) else 1.0)
    return float(np.mean(shares))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--export", type=Path, default=None, help="its export; default: a new one, kept nowhere")
    parser.add_argument("--levels", nargs="*", default=[], help="levels to measure; default: all")
    parser.add_argument("--store", type=Path, default=None, help="home of an embedded store, if not the run's")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    store = None if given.store is None else StoreConfig(home=given.store)
    with tempfile.TemporaryDirectory() as folder:
        if given.export is None:
            export(given.run, Path(folder) / "export", store=store)
        found = Export.open(given.export or Path(folder) / "export")
        show(load_run(given.run, store), found, given.levels, Path(folder))
    return 0


def show(run: LoadedRun, found: Export, names: list[str], folder: Path) -> None:
    """Measure and print the table."""
    head = ["level", "ranked by", "overlap@100", "recall@100", "recall@500", "NDCG@20", "loss"]
    table = Table(*head, title="Retrieval against the full model")
    for level in item_levels(run):
        if not names or level.problem.name in names:
            for row in agreement(run, level, Vectors.of(found, level.label), folder):
                table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
