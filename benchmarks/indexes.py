"""What FAISS indexes of exported vectors find and cost.

    python benchmarks/indexes.py exports/NAME
    python benchmarks/indexes.py exports/NAME --synthetic 1000000

Products' vectors with the bias as last coordinate, for 1,000 users of the export (``pip install faiss-cpu``). HNSW and
IVF-PQ search by distance, which a further coordinate makes the same order (Bachrach et al., RecSys 2014: √(max ‖x‖² −
‖x‖²) on the items' side, 0 on the users'). Recall is against exact search under the same filter, 100 neighbours each.
Queries without a filter are asked together; a filter is one for each user, inside the search (``IDSelectorBitmap``):
*unseen* leaves out what sits in a category bought from, *allowed* further keeps a tenth of the categories only. HNSW
and IVF-PQ look further where there is a filter (efSearch 3,200 for 200, a quarter of the lists for a twentieth). MiB
is the size of the saved index. ``--synthetic N`` measures N products instead: the exported ones drawn with
replacement, with a little noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from evaluation.scorer import FloatArray, IntArray
from export.faiss_format import faiss
from export.reader import Export
from train import explained

NEIGHBOURS, QUERIES = 100, 1000
NOISE = 0.1
TRAINED_ON = 60_000


@dataclass(frozen=True)
class Catalogue:
    """What is searched.

    Attributes:
        items: vectors of items, the bias last, shape (items, width).
        category: of each item, −1 for none.
        users: vectors of users, shape (users, width).
        unseen: True for categories that each has not bought from, shape (users, categories).
    """

    items: FloatArray
    category: IntArray
    users: FloatArray
    unseen: npt.NDArray[np.bool_]

    def allowed(self, user: int, categories: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """A bit for each item: is it in one of the categories, and in none that the user has bought from?"""
        open_to = np.append(self.unseen[user] & categories, False)
        return np.packbits(open_to[self.category], bitorder="little")

    @classmethod
    def of(cls, export: Export) -> Self:
        """Products and a sample of the users that an export holds."""
        items = np.column_stack([export.array("Product", "retrieval"), export.array("Product", "retrieval_bias")])
        vectors, seen = export.array("User", "retrieval_product"), export.array("User", "seen")
        users = np.sort(np.random.default_rng(0).permutation(len(vectors))[:QUERIES])
        asked = np.column_stack([vectors[users], np.ones(len(users))])
        unseen = np.unpackbits(seen[users].astype(np.uint8), axis=1) == 0
        category = export.array("Product", "category").astype(np.int64)
        return cls(items.astype(np.float32), category, asked.astype(np.float32), unseen)

    def by_distance(self) -> tuple[FloatArray, FloatArray]:
        """Items and users with the coordinate that makes nearest the same as largest product, and zeros to 8n."""
        squares = np.square(self.items).sum(axis=1)
        items = np.column_stack([self.items, np.sqrt(squares.max() - squares)])
        return padded(items), padded(np.pad(self.users, ((0, 0), (0, 1))))


def padded(vectors: FloatArray) -> FloatArray:
    """Zeros added until the width is a multiple of 8."""
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 8))), dtype=np.float32)


def grown(real: Catalogue, items: int) -> Catalogue:
    """As many items: real ones drawn with replacement, with noise of a tenth of each coordinate's deviation."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(real.items), items)
    noise = rng.standard_normal((items, real.items.shape[1]), dtype=np.float32) * real.items.std(axis=0)
    return Catalogue(real.items[drawn] + NOISE * noise, real.category[drawn], real.users, real.unseen)


@dataclass
class Index:
    """An index under test.

    Attributes:
        index: empty at first.
        params: search parameters for a selector, or for none.
        items: what it holds.
        users: what it is asked.
    """

    index: Any
    params: Callable[[Any], Any]
    items: FloatArray
    users: FloatArray

    def build(self) -> float:
        """Train where it must be, and fill; seconds that it took."""
        started = perf_counter()
        if not self.index.is_trained:
            order = np.random.default_rng(0).permutation(len(self.items))
            self.index.train(self.items[order[:TRAINED_ON]])
        self.index.add(self.items)
        return perf_counter() - started

    def search(self, kept: list[Any]) -> tuple[IntArray, float]:
        """Neighbours of all queries, shape (queries, k), and queries per second; asked together without filters."""
        started = perf_counter()
        if kept:
            found = np.array([self._filtered(*one) for one in zip(self.users, kept, strict=True)])
        else:
            found = self.index.search(self.users, NEIGHBOURS, params=self.params(None))[1]
        return found, len(self.users) / (perf_counter() - started)

    def _filtered(self, query: FloatArray, bits: npt.NDArray[np.uint8]) -> IntArray:
        selector = faiss().IDSelectorBitmap(bits)  # the parameters keep a pointer: it must outlive the search
        found: IntArray = self.index.search(query[None], NEIGHBOURS, params=self.params(selector))[1][0]
        return found


def indexes(of: Catalogue) -> dict[str, Index]:
    """Empty indexes of each kind."""
    library = faiss()
    items, users = of.by_distance()
    width, lists = items.shape[1], int(4 * len(items) ** 0.5)
    hnsw = library.IndexHNSWFlat(width, 32)
    hnsw.hnsw.efConstruction = 80
    packed = library.index_factory(width, f"IVF{lists},PQ{width}x4fs,Refine(SQ8)")

    def wider(sel: Any) -> Any:  # noqa: ANN401
        return library.SearchParametersHNSW(sel=sel, efSearch=200 if sel is None else 3200)

    def lists_and_more(sel: Any) -> Any:  # noqa: ANN401
        probed = max(1, lists // (20 if sel is None else 4))
        inside = library.SearchParametersIVF(sel=sel, nprobe=probed)
        return library.IndexRefineSearchParameters(k_factor=20, base_index_params=inside)

    return {
        "flat": Index(
            library.IndexFlatIP(of.items.shape[1]),
            lambda sel: library.SearchParameters(sel=sel),
            of.items,
            np.ascontiguousarray(of.users),
        ),
        "HNSW": Index(hnsw, wider, items, users),
        "IVF-PQ": Index(packed, lists_and_more, items, users),
    }


def costs(of: Catalogue) -> Iterator[list[str]]:
    """One row of the second table for each index."""
    some = np.zeros(of.unseen.shape[1], dtype=bool)
    some[::10] = True
    filters: dict[str, list[Any]] = {
        "none": [],
        "unseen": [of.allowed(user, np.ones_like(some)) for user in range(len(of.users))],
        "allowed": [of.allowed(user, some) for user in range(len(of.users))],
    }
    exact: dict[str, IntArray] = {}
    for name, index in indexes(of).items():
        built = index.build()
        size = len(faiss().serialize_index(index.index)) / 2**20
        cells = [name, f"{built:.1f}", f"{size:,.0f}"]
        for kind, kept in filters.items():
            found, speed = index.search(kept)
            best = exact.setdefault(kind, found)
            cells += [f"{common(best, found):.3f}", f"{speed:,.0f}"]
        yield cells


def common(exact: IntArray, found: IntArray) -> float:
    """Mean share of the exact neighbours that were found."""
    shares = [np.isin(best[best >= 0], own).mean() for best, own in zip(exact, found, strict=True) if best[0] >= 0]
    return float(np.mean(shares))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or 2 when something given is wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="folder of an export with users")
    parser.add_argument("--synthetic", type=int, default=0, help="measure so many made-up products instead")
    given = parser.parse_args(arguments)
    return explained(lambda: _run(given), "--help lists all options.")


def _run(given: argparse.Namespace) -> int:
    shop = Catalogue.of(Export.open(given.export))
    shop = grown(shop, given.synthetic) if given.synthetic else shop
    head = ["index", "build, s", "MiB"]
    head += [cell for kind in ("no filter", "unseen", "allowed") for cell in (f"recall, {kind}", "queries/s")]
    table = Table(*head, title=f"Indexes of {len(shop.items):,} products")
    for row in costs(shop):
        table.add_row(*row)
    Console(width=130).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
