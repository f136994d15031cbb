"""An export in the tools of others, as docs/export.md shows it."""

from __future__ import annotations

import duckdb
import lancedb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def product(whole):
    return str(whole.folder / "Product.parquet")


@pytest.fixture(scope="module")
def nearest(whole):
    """Cosines of the five products that are nearest to the first one."""
    vectors = whole.array("Product").astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.sort(unit[1:] @ unit[0])[::-1][:5]


def test_pandas(whole, product):
    frame = pd.read_parquet(product)
    np.testing.assert_array_equal(np.stack(frame["embedding"]), whole.array("Product"))
    assert frame["id"].tolist() == whole.ids("Product").tolist()


def test_polars(whole, product):
    frame = pl.read_parquet(product)
    assert frame.schema["embedding"] == pl.Array(pl.Float32, 8)
    np.testing.assert_array_equal(frame["embedding"].to_numpy(), whole.array("Product"))


def test_nearest_neighbours_in_duckdb(product, nearest):
    found = duckdb.sql(
        f"""
        SELECT other.id, array_cosine_similarity(other.embedding::FLOAT[8], this.embedding::FLOAT[8]) AS cosine
        FROM '{product}' AS other, (SELECT * FROM '{product}' ORDER BY id LIMIT 1) AS this
        WHERE other.id <> this.id ORDER BY cosine DESC LIMIT 5
        """
    ).fetchall()
    np.testing.assert_allclose([cosine for _, cosine in found], nearest, atol=1e-5)


def test_recommendations_in_duckdb(whole, product):
    """A user's best products by the retrieval tower, their known categories left out."""
    users, seen = whole.folder / "User.parquet", whole.array("User", "seen")
    row = int(np.argmax(np.unpackbits(seen, axis=1).sum(axis=1)))
    known = np.flatnonzero(np.unpackbits(seen[row])).tolist()
    found = duckdb.sql(
        f"""
        SELECT p.id, list_dot_product(u.retrieval_product::FLOAT[], p.retrieval::FLOAT[]) + p.retrieval_bias AS score
        FROM '{product}' AS p, '{users}' AS u
        WHERE u.id = '{whole.ids("User")[row]}' AND p.category NOT IN ({",".join(map(str, known))})
        ORDER BY score DESC LIMIT 10
        """
    ).fetchall()
    scores = whole.array("Product", "retrieval") @ whole.array("User", "retrieval_product")[row]
    scores += whole.array("Product", "retrieval_bias")
    scores[np.isin(whole.array("Product", "category"), known)] = -np.inf
    np.testing.assert_allclose([score for _, score in found], np.sort(scores)[::-1][:10], rtol=1e-4)


def test_nearest_neighbours_in_lancedb(whole, product, nearest, tmp_path):
    table = lancedb.connect(tmp_path / "lance").create_table("product", pq.read_table(product))
    first = whole.array("Product")[0]
    query = table.search(first, vector_column_name="embedding").distance_type("cosine")
    found = query.where(f"id <> '{whole.ids('Product')[0]}'", prefilter=True).limit(5).to_arrow()
    np.testing.assert_allclose(1 - found["_distance"].to_numpy(), nearest, atol=1e-5)


def test_recommendations_in_lancedb(whole, product, tmp_path):
    """By the retrieval tower: the bias as last coordinate, the user's known categories left out inside the search."""
    table = pq.read_table(product, columns=["id", "category"])
    items = np.column_stack([whole.array("Product", "retrieval"), whole.array("Product", "retrieval_bias")])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(items.ravel(), pa.float32()), items.shape[1])
    made = lancedb.connect(tmp_path / "lance").create_table("product", table.append_column("vector", vectors))
    row = int(np.argmax(np.unpackbits(whole.array("User", "seen"), axis=1).sum(axis=1)))
    known = np.flatnonzero(np.unpackbits(whole.array("User", "seen")[row])).tolist()
    user = np.append(whole.array("User", "retrieval_product")[row], 1)
    query = (
        made.search(user).distance_type("dot").where(f"category NOT IN ({','.join(map(str, known))})", prefilter=True)
    )
    found = query.limit(10).to_arrow()
    scores = items @ user
    scores[np.isin(whole.array("Product", "category"), known)] = -np.inf
    np.testing.assert_allclose(1 - found["_distance"].to_numpy(), np.sort(scores)[::-1][:10], rtol=1e-4, atol=1e-4)
