"""benchmarks/retrieval.py, indexes.py and rows.py on next to nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import indexes, new_products, retrieval, rows
from evaluation.ranking import Rankings
from export.levels import item_levels


def test_agreement(run, whole, finished, tmp_path, monkeypatch):
    """Its first row is what the run reported; ranking next to everything again loses nothing."""
    monkeypatch.setattr(retrieval, "RETRIEVED", 100)
    monkeypatch.setattr(retrieval, "TOP", 20)
    level = item_levels(run)[-1]
    found = retrieval.agreement(run, level, retrieval.Vectors.of(whole, level.label), tmp_path)
    rows = {row[1]: row for row in found}
    assert list(rows) == ["crossaisle", "two-stage", "dot product", "popularity", "random"]
    reported = json.loads((finished.folder / "metrics.json").read_text())["test"]["product"]["crossaisle"]
    assert rows["crossaisle"][2] == "1.0000"
    assert float(rows["crossaisle"][5]) == pytest.approx(reported["ndcg@20"], abs=1e-3)
    assert abs(float(rows["two-stage"][-1].rstrip("%"))) < 1
    assert float(rows["dot product"][2]) > float(rows["popularity"][2]) > float(rows["random"][2])


def test_overlap():
    def ranking(items):
        return Rankings(np.arange(2), np.array(items, dtype=np.int32), np.zeros((2, 4), dtype=np.float32), 9)

    full = ranking([[1, 2, 3, 4], [5, 6, -1, -1]])
    assert retrieval.overlap(full, full) == 1
    assert retrieval.overlap(full, ranking([[4, 3, 7, 8], [6, -1, -1, -1]])) == 0.5


@pytest.fixture
def products(whole, monkeypatch):
    monkeypatch.setattr(indexes, "QUERIES", 9)
    return indexes.grown(indexes.Catalogue.of(whole), 500)


def test_filters_are_kept(products):
    every = np.ones(products.unseen.shape[1], dtype=bool)
    index = indexes.indexes(products)["flat"]
    index.build()
    found, _ = index.search([products.allowed(user, every) for user in range(9)])
    for user, items in enumerate(found):
        scores = products.items @ products.users[user]
        scores[~products.unseen[user, products.category]] = -np.inf
        known = items[items >= 0]
        np.testing.assert_allclose(scores[known], np.sort(scores)[::-1][: len(known)], rtol=1e-4)


def test_distance_orders_as_the_product_does(products):
    items, users = products.by_distance()
    for user, plain in zip(users, products.users, strict=True):
        distance = np.square(items - user).sum(axis=1)
        np.testing.assert_allclose(np.ptp(distance / 2 + products.items @ plain), 0, atol=1e-2)


def test_costs(products, monkeypatch):
    found = indexes.indexes(products)
    monkeypatch.setattr(indexes, "indexes", lambda of: {name: found[name] for name in ("flat", "HNSW")})
    rows = list(indexes.costs(products))
    assert [row[0] for row in rows] == ["flat", "HNSW"]
    assert rows[0][3::2] == ["1.000", "1.000", "1.000"]
    assert float(rows[1][3]) > 0.9


@pytest.mark.parametrize("case", [("parquet", "int8"), ("safetensors", "float32")])
def test_rows(case, tmp_path):
    storage, dtype, written, read, *_ = rows.measured(case, 50, 3, str(tmp_path))
    assert (storage, dtype) == case
    assert min(float(figure.replace(",", "")) for figure in (written, read)) > 0
    assert len(list(tmp_path.iterdir())) == 1


def test_new_products(run):
    """Each step is timed on all products, and their shares are those of the whole."""
    found, alone, distinct = new_products.steps(run, 50, 10)
    assert [one.products for one in found] == [50] * 5
    assert alone.products == 10
    assert 1 <= distinct <= 50
    rows = {row[0]: row for row in new_products.rows(found, alone)}
    whole = float(rows["all"][1].replace(",", ""))
    assert all(whole <= float(rows[one.step][1].replace(",", "")) for one in found)
    assert sum(float(row[2].rstrip("%")) for row in list(rows.values())[:5]) == pytest.approx(100, abs=0.5)
