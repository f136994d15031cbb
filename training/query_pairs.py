"""Pairs of a query and a product that answers it: read, checked, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.histories import read_frame
from data.lookup import positions
from data.rejects import Rejects
from data.sources.files import as_text
from errors import InputError

IntArray = npt.NDArray[np.int64]
PARTS = ("train", "validation", "test")
CATEGORY_SEPARATOR = "|"


@dataclass(frozen=True)
class Shelf:
    """Products that are searched.

    Attributes:
        ids: shape (products,).
        texts: what the language model reads of each product.
        categories: names, sorted; none where the products have none.
        of_product: which product sits in which category, CSR of shape (products, categories), float32.
    """

    ids: npt.NDArray[np.str_]
    texts: list[str]
    categories: list[str]
    of_product: sp.csr_array

    @classmethod
    def of(cls, ids: Sequence[str], texts: Sequence[str], categories: Sequence[Sequence[str]]) -> Shelf:
        """Number the categories.

        Args:
            ids: of the products.
            texts: one for each product.
            categories: names of those of each product.
        """
        names = sorted({name for some in categories for name in some})
        number = {name: at for at, name in enumerate(names)}
        pairs = [(row, number[name]) for row, some in enumerate(categories) for name in dict.fromkeys(some)]
        return cls(np.array(ids, dtype=str), list(texts), names, _ones(pairs, (len(ids), len(names))))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Queries:
    """Texts that people search by, and the products that answer them.

    Attributes:
        texts: of the queries.
        relevant: 1 where a product answers a query, CSR of shape (queries, products), float32.
    """

    texts: list[str]
    relevant: sp.csr_array

    def some(self, rows: IntArray) -> Queries:
        """A part of them."""
        return Queries([self.texts[row] for row in rows], sp.csr_array(self.relevant[rows]))

    def words(self) -> IntArray:
        """Number of each query's words, whatever their case and spaces, shape (queries,)."""
        words = pd.Series([" ".join(text.casefold().split()) for text in self.texts])
        return pd.factorize(words)[0].astype(np.int64)

    def merged(self) -> Queries:
        """Queries of the same words (whatever their case and spaces) as one, with the products of all of them.

        Training on both apart would take what answers one for wrong in the other.
        """
        codes = self.words()
        first = np.unique(codes, return_index=True)[1]
        rows = sp.csr_array((np.ones(len(codes), np.float32), (codes, np.arange(len(codes)))))
        relevant = sp.csr_array(rows @ self.relevant)
        relevant.data[:] = 1
        return Queries([self.texts[row] for row in first], relevant)

    def __len__(self) -> int:
        return len(self.texts)


def split(
    queries: Queries, shares: tuple[float, float] = (0.2, 0.2), seed: int = 0, together: IntArray | None = None
) -> dict[str, Queries]:
    """Train, validation and test, drawn by query.

    Args:
        queries: all of them.
        shares: of validation and test.
        seed: of the draw.
        together: number of a group for each query, shape (queries,); whole groups are drawn. None: each on its own.

    Raises:
        InputError: too few queries for a part to have one.
    """
    groups = np.arange(len(queries)) if together is None else np.unique(together, return_inverse=True)[1]
    number = int(groups.max(initial=-1)) + 1
    order = np.random.default_rng(seed).permutation(number)
    validation, test = (round(share * number) for share in shares)
    drawn = np.split(order, [number - validation - test, number - test])
    parts = [np.flatnonzero(np.isin(groups, some)) for some in drawn]
    if min(map(len, parts)) == 0:
        remedy = "Give more of them."
        raise InputError(f"{len(queries)} queries are too few to split", where="pairs", remedy=remedy)
    return {name: queries.some(rows) for name, rows in zip(PARTS, parts, strict=True)}


def read_shelf(path: Path) -> Shelf:
    """Products from a CSV or Parquet file: ``product_id``, ``text`` and, if known, ``category`` (several: ``a|b``).

    Raises:
        InputError: the file or a column is missing, or a product is there twice.
    """
    frame = read_frame(path, ["product_id", "text"], ["category"], "products")
    ids = as_text(frame["product_id"])
    if ids.duplicated().any():
        lost = ids[ids.duplicated()].iloc[0]
        raise InputError(f"product {lost!r} is there twice", where=str(path), remedy="Give one row for each product.")
    names = as_text(frame["category"]).fillna("") if "category" in frame else pd.Series("", frame.index)
    categories = [[name.strip() for name in some.split(CATEGORY_SEPARATOR) if name.strip()] for some in names]
    return Shelf.of(ids.tolist(), as_text(frame["text"]).fillna("").tolist(), categories)


def read_queries(path: Path, shelf: Shelf, rejects: Rejects) -> Queries:
    """Pairs from a CSV or Parquet file: ``query``, ``product_id`` and, if there is one, ``query_id``.

    Without ``query_id`` a query is its text. Rows with an empty query or a product that the shelf lacks are noted.

    Args:
        path: of the file.
        shelf: the products.
        rejects: notes the rows that cannot be used.

    Raises:
        InputError: the file or a column is missing, or no row can be used.
    """
    frame = read_frame(path, ["query", "product_id"], ["query_id"], "pairs")
    frame["query"] = as_text(frame["query"]).fillna("").str.strip()
    if "query_id" in frame:
        frame = rejects.drop(frame, as_text(frame["query_id"]).isna(), "pairs", "query_id", "query_id is empty")
    frame = rejects.drop(frame, frame["query"] == "", "pairs", "query", "the query is empty")
    product = positions(as_text(frame["product_id"]), shelf.ids)
    frame = rejects.drop(frame, product < 0, "pairs", "product_id", "the products' file lacks the product")
    if not len(frame):
        remedy = "Give rows with a query and a product of the products' file."
        raise InputError("no row can be used", where=str(path), remedy=remedy)
    codes, _ = pd.factorize(as_text(frame["query_id"] if "query_id" in frame else frame["query"]))
    first = np.unique(codes, return_index=True)[1]
    texts = frame["query"].iloc[first].tolist()
    pairs = set(zip(codes.tolist(), product[product >= 0].tolist(), strict=True))
    return Queries(texts, _ones(sorted(pairs), (len(texts), len(shelf))))


def _ones(pairs: list[tuple[int, int]], shape: tuple[int, int]) -> sp.csr_array:
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return sp.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
