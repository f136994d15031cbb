"""What retrieval by dot product loses against the full model, and what an index costs.

    python benchmarks/retrieval.py runs/NAME
    python benchmarks/retrieval.py runs/NAME --levels product --synthetic 1000000

First table, by level, on the users with a target after the run's test cut-off. The tower is fitted on scores alone, as
`crossaisle export` does it; purchases after the cut-off are only counted here.

- overlap@100: share of the full model's 100 best unseen items among the ranking's 100 best;
- recall@100, recall@500: share of the true targets among the best;
- NDCG@20: of the ranking itself; "two-stage" takes the tower's 500 best and ranks them by the full score;
- loss: of NDCG@20 against the full model's ranking.

Second table, at the lowest level: FAISS indexes (``pip install faiss-cpu``) over the items' vectors, with the bias as
last coordinate. Recall is against exact search under the same filter, 100 neighbours each. Queries without a filter
are asked together; a filter is one for each user, inside the search (``IDSelectorBitmap``): *unseen* leaves out what
sits in a category bought from, *allowed* further keeps a tenth of the categories only. Memory is the size of the saved
index. ``--synthetic N`` adds a row for N items: real ones drawn with replacement, with a little noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from data.log import Log
from data.splits import targets, unseen_categories
from evaluation.baselines import Popularity
from evaluation.evaluate import evaluate
from evaluation.ranking import Rankings, rank
from evaluation.scorer import FloatArray, IntArray, Problem, Scorer
from export.faiss_format import faiss
from export.levels import ItemLevel, fit_towers, item_levels
from export.tower import Tower, TowerConfig
from kg.config import StoreConfig
from training.loaded import LoadedRun, load_run

RETRIEVED, TOP, NEIGHBOURS = 500, 100, 100
NOISE = 0.1
QUERIES = 1000


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


class Retrieval(Scorer):
    """The tower's scores; with ``reranked``, the full model's for the best by the tower, −inf for the rest."""

    def __init__(self, run: LoadedRun, level: ItemLevel, tower: Tower, reranked: bool) -> None:
        self.name = "two-stage" if reranked else "tower"
        self._run, self._level, self._tower, self._reranked = run, level, tower, reranked

    def fit(self, problem: Problem) -> Self:
        """The tower is fitted already."""
        return self

    def score(self, history: Log, rows: IntArray) -> FloatArray:
        """The scores, shape (b, items)."""
        full = self._level.scores(self._run, history, rows)
        own = np.where(np.isfinite(full), self._tower.score(self._tower.users(full)), -np.inf).astype(np.float32)
        if not self._reranked or own.shape[1] <= RETRIEVED:
            return full if self._reranked else own
        limit = np.partition(own, -RETRIEVED, axis=1)[:, -RETRIEVED, None]
        return np.where(own >= limit, full, -np.inf).astype(np.float32)


def agreement(run: LoadedRun, level: ItemLevel, tower: Tower) -> Iterator[list[str]]:
    """One row of the first table for each way to rank a level."""
    found = targets(run.dataset, level.problem.level, level.problem.cutoff, run.config.protocol.horizon)
    scorers = [run.scorer, Retrieval(run, level, tower, True), Retrieval(run, level, tower, False)]
    whole: Rankings | None = None
    base = 0.0
    for scorer in [*scorers, Popularity(), Random()]:
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


@dataclass(frozen=True)
class Catalogue:
    """What is searched.

    Attributes:
        vectors: of items, the bias last, padded to a multiple of 8, shape (items, width).
        category: of each item, −1 for none.
        queries: of users, padded with 1 in the place of the bias, shape (users, width).
        unseen: True for categories that each has not bought from, shape (users, categories).
    """

    vectors: FloatArray
    category: IntArray
    queries: FloatArray
    unseen: npt.NDArray[np.bool_]

    def allowed(self, user: int, categories: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """A bit for each item: is it in one of the categories, and in none that the user has bought from?"""
        open_to = np.append(self.unseen[user] & categories, False)
        return np.packbits(open_to[self.category], bitorder="little")


def catalogue_of(run: LoadedRun, level: ItemLevel, tower: Tower) -> Catalogue:
    """The items of a level, and a sample of its users."""
    cutoff = run.scorer.cutoff
    users = np.unique(cutoff.history.user).astype(np.int64)
    users = np.sort(np.random.default_rng(0).permutation(users)[:QUERIES])
    made = []
    for start in range(0, len(users), 64):
        some = users[start : start + 64]
        made.append(tower.users(level.scores(run, cutoff.history.of_users(some), some)))
    unseen = unseen_categories(cutoff.history.of_users(users), run.dataset.catalogue.interest)
    vectors = padded(np.column_stack([tower.vectors, tower.bias]))
    queries = padded(np.column_stack([np.concatenate(made), np.ones(len(users))]))
    return Catalogue(vectors, level.category, queries, unseen)


def padded(vectors: FloatArray) -> FloatArray:
    """Zeros added until the width is a multiple of 8."""
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 8))), dtype=np.float32)


def grown(real: Catalogue, items: int) -> Catalogue:
    """As many items: real ones drawn with replacement, with noise of a tenth of each coordinate's deviation."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(real.vectors), items)
    noise = rng.standard_normal((items, real.vectors.shape[1]), dtype=np.float32) * real.vectors.std(axis=0)
    return Catalogue(real.vectors[drawn] + NOISE * noise, real.category[drawn], real.queries, real.unseen)


def indexes(items: int, width: int) -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Empty indexes with what makes their search parameters of a filter."""
    library = faiss()
    lists = int(4 * items**0.5)
    inner = library.METRIC_INNER_PRODUCT
    hnsw = library.IndexHNSWFlat(width, 32, inner)
    hnsw.hnsw.efConstruction = 100
    packed = library.index_factory(width, f"IVF{lists},PQ{width // 2}x8", inner)
    return {
        "flat": (library.IndexFlatIP(width), lambda sel: library.SearchParameters(sel=sel)),
        "HNSW": (hnsw, lambda sel: library.SearchParametersHNSW(sel=sel, efSearch=400)),
        "IVF-PQ": (packed, lambda sel: library.SearchParametersIVF(sel=sel, nprobe=max(1, lists // 10))),
    }


def searched(index: Any, params: Callable[[Any], Any], of: Catalogue, kept: list[Any]) -> tuple[IntArray, float]:  # noqa: ANN401
    """Neighbours of all queries, shape (queries, k), and queries per second; asked together without filters."""
    started = perf_counter()
    if kept:
        rows = [_filtered(index, params, *one) for one in zip(of.queries, kept, strict=True)]
        found = np.array(rows)
    else:
        found = index.search(of.queries, NEIGHBOURS, params=params(None))[1]
    return found, len(of.queries) / (perf_counter() - started)


def _filtered(index: Any, params: Callable[[Any], Any], query: FloatArray, bits: npt.NDArray[np.uint8]) -> IntArray:  # noqa: ANN401
    selector = faiss().IDSelectorBitmap(bits)  # the parameters keep a pointer: it must outlive the search
    found: IntArray = index.search(query[None], NEIGHBOURS, params=params(selector))[1][0]
    return found


def build(index: Any, vectors: FloatArray) -> float:  # noqa: ANN401
    """Train an index where it must be, on 50 vectors for each list, and fill it; seconds that it took."""
    started = perf_counter()
    if not index.is_trained:
        order = np.random.default_rng(0).permutation(len(vectors))
        index.train(vectors[order[: 200 * int(len(vectors) ** 0.5)]])
    index.add(vectors)
    return perf_counter() - started


def costs(of: Catalogue) -> Iterator[list[str]]:
    """One row of the second table for each index."""
    some = np.zeros(of.unseen.shape[1], dtype=bool)
    some[::10] = True
    filters: dict[str, list[Any]] = {
        "none": [],
        "unseen": [of.allowed(user, np.ones_like(some)) for user in range(len(of.queries))],
        "allowed": [of.allowed(user, some) for user in range(len(of.queries))],
    }
    exact: dict[str, IntArray] = {}
    for name, (index, params) in indexes(*of.vectors.shape).items():
        built = build(index, of.vectors)
        size = len(faiss().serialize_index(index)) / 2**20
        cells = [f"{len(of.vectors):,}", name, f"{built:.1f}", f"{size:,.0f}"]
        for kind, kept in filters.items():
            found, speed = searched(index, params, of, kept)
            best = exact.setdefault(kind, found)
            cells += [f"{common(best, found):.3f}", f"{speed:,.0f}"]
        yield cells


def common(exact: IntArray, found: IntArray) -> float:
    """Mean share of the exact neighbours that were found."""
    shares = [np.isin(best[best >= 0], own).mean() for best, own in zip(exact, found, strict=True) if best[0] >= 0]
    return float(np.mean(shares))


def table(title: str, head: list[str], rows: Iterator[list[str]]) -> Table:
    """A table for the terminal."""
    made = Table(*head, title=title)
    for row in rows:
        made.add_row(*row)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--levels", nargs="*", default=[], help="levels to measure; default: all")
    parser.add_argument("--synthetic", type=int, default=0, help="measure indexes of so many items as well")
    parser.add_argument("--store", type=Path, default=None, help="home of an embedded store, if not the run's")
    given = parser.parse_args()
    run = load_run(given.run, None if given.store is None else StoreConfig(home=given.store))
    levels = [level for level in item_levels(run) if not given.levels or level.problem.name in given.levels]
    towers, _ = fit_towers(run, levels, TowerConfig())
    terminal = Console(width=140)
    rows = (row for level in levels for row in agreement(run, level, towers[level.label]))
    head = ["level", "ranked by", "overlap@100", "recall@100", "recall@500", "NDCG@20", "loss"]
    terminal.print(table("Retrieval against the full model", head, rows))
    real = catalogue_of(run, levels[-1], towers[levels[-1].label])
    head = ["items", "index", "build, s", "MiB"]
    head += [cell for kind in ("no filter", "unseen", "allowed") for cell in (f"recall, {kind}", "queries/s")]
    shops = [real] + ([grown(real, given.synthetic)] if given.synthetic else [])
    terminal.print(table("Indexes", head, (row for shop in shops for row in costs(shop))))


if __name__ == "__main__":
    main()
