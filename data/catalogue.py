"""The catalogue in integers: products, the taxonomy's levels, and who belongs to what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.lookup import positions
from data.tables import Tables


@dataclass(frozen=True)
class Level:
    """One level of the taxonomy.

    Attributes:
        name: the level's name.
        ids: node ids, shape (n,), sorted.
        names: names for people, shape (n,).
        texts: what a language model reads of each node, shape (n,).
        of_product: 1 where a product sits in or below a node, CSR of shape (products, n), float32.
    """

    name: str
    ids: npt.NDArray[np.str_]
    names: list[str]
    texts: list[str]
    of_product: sp.csr_array

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def primary(self) -> npt.NDArray[np.int64]:
        """First node of each product, shape (products,); −1 where a product has none at this level."""
        first = np.full(self.of_product.shape[0], -1, dtype=np.int64)
        filled = np.diff(self.of_product.indptr) > 0
        first[filled] = self.of_product.indices[self.of_product.indptr[:-1][filled]]
        return first

    @cached_property
    def index(self) -> pd.Index:
        """Node ids as a pandas index, for looking positions up."""
        return pd.Index(self.ids)


@dataclass(frozen=True)
class Catalogue:
    """Products and taxonomy in integers.

    Attributes:
        product_ids: shape (products,), sorted.
        product_texts: each product's own text, may be empty.
        levels: by name, top first.
        interest_level: name of the level that recommendations are made at.
        attributes: for each attribute its values' ids and each product's position in them (−1: none).
    """

    product_ids: npt.NDArray[np.str_]
    product_texts: list[str]
    levels: dict[str, Level]
    interest_level: str
    attributes: dict[str, tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]]

    @property
    def interest(self) -> Level:
        """The interest level."""
        return self.levels[self.interest_level]

    @property
    def below(self) -> Level | None:
        """The level under the interest level, or None when products sit right under it."""
        names = list(self.levels)
        at = names.index(self.interest_level)
        return self.levels[names[at + 1]] if at + 1 < len(names) else None

    @property
    def above(self) -> Level | None:
        """The level over the interest level, or None at the top."""
        names = list(self.levels)
        at = names.index(self.interest_level)
        return self.levels[names[at - 1]] if at > 0 else None

    @cached_property
    def product_index(self) -> pd.Index:
        """Product ids as a pandas index."""
        return pd.Index(self.product_ids)

    def links(self, lower: Level, upper: Level) -> sp.csr_array:
        """Which node of the lower level shares products with which of the upper, in number of products.

        Returns:
            CSR of shape (len(lower), len(upper)), float32.
        """
        return sp.csr_array(lower.of_product.T @ upper.of_product)

    def first_above(self, lower: Level | None, upper: Level) -> npt.NDArray[np.int64]:
        """The upper level's node that each node of the lower one (None: each product) shares most products with.

        Returns:
            Shape (len(lower),); −1 for one that shares none.
        """
        if lower is None:
            return upper.primary
        links = self.links(lower, upper)
        first = np.full(len(lower), -1, dtype=np.int64)
        for node in np.flatnonzero(np.diff(links.indptr)):
            part = slice(links.indptr[node], links.indptr[node + 1])
            first[node] = links.indices[part][np.argmax(links.data[part])]
        return first


def encode_catalogue(tables: Tables) -> Catalogue:
    """Turn the tables' catalogue into integers; ids are sorted, so equal tables give equal integers."""
    product_ids = np.sort(tables.products["product_id"].to_numpy(dtype=str))
    products = tables.products.set_index("product_id").loc[product_ids]
    levels = {name: _encode_level(tables, name, product_ids) for name in tables.levels}
    attributes = {}
    for column in tables.attributes:
        codes, values = pd.factorize(products[column], sort=True)
        attributes[column] = (values.to_numpy(dtype=str), codes.astype(np.int64))
    return Catalogue(product_ids, products["text"].fillna("").tolist(), levels, tables.interest_level, attributes)


def _encode_level(tables: Tables, name: str, product_ids: npt.NDArray[np.str_]) -> Level:
    nodes = tables.taxonomy[tables.taxonomy["level"] == name].drop_duplicates("node_id").sort_values("node_id")
    ids = nodes["node_id"].to_numpy(dtype=str)
    pairs = ancestors(tables.taxonomy, tables.memberships, name)
    rows, columns = positions(pairs["product_id"], product_ids), positions(pairs["node_id"], ids)
    ones = np.ones(len(rows), dtype=np.float32)
    of_product = sp.csr_array((ones, (rows, columns)), shape=(len(product_ids), len(ids)))
    of_product.sum_duplicates()
    of_product.data[:] = 1
    return Level(name, ids, nodes["name"].tolist(), nodes["text"].tolist(), of_product)


def ancestors(taxonomy: pd.DataFrame, memberships: pd.DataFrame, level: str) -> pd.DataFrame:
    """(product_id, node_id) for every product and every node of the level that it sits in or below, once."""
    parents = taxonomy.dropna(subset=["parent_id"])
    current = memberships[["product_id", "level", "node_id"]]
    found = [current[current["level"] == level]]
    while len(current):
        up = current.merge(parents[["level", "node_id", "parent_level", "parent_id"]], on=["level", "node_id"])
        current = up[["product_id", "parent_level", "parent_id"]].drop_duplicates()
        current.columns = pd.Index(["product_id", "level", "node_id"])
        found.append(current[current["level"] == level])
    return pd.concat(found)[["product_id", "node_id"]].drop_duplicates()
