"""Figures of queries, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from evaluation import queries

OF_PRODUCT = sp.csr_array(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32))
RELEVANT = sp.csr_array(np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=np.float32))


def test_figures_of_lists_by_hand():
    items = np.array([[3, 0, 4, -1], [1, 0, 2, 4]], dtype=np.int32)
    found = queries.query_figures(items, RELEVANT, OF_PRODUCT)
    ideal = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found["recall@10"], [0.5, 0])
    np.testing.assert_allclose(found["ndcg@10"], [1 / np.log2(3) / ideal, 0])
    np.testing.assert_allclose(found["categories@10"], [2, 2])
    np.testing.assert_allclose(found["covered@10"], [0.5, 0])


def test_shares_of_categories_count_a_product_in_each_of_its_own():
    scores = np.log(np.array([[0.1, 0.2, 0.3, 0.3, 0.1]], dtype=np.float32))
    np.testing.assert_allclose(queries.category_shares(scores, OF_PRODUCT, 1.0), [[0.3, 0.5, 0.3]], rtol=1e-5)


def test_the_threshold_tells_wanted_from_unwanted():
    shares = np.array([[0.9, 0.15, 0.01], [0.2, 0.05, 0.7]], dtype=np.float32)
    wanted = np.array([[1, 0, 0], [1, 0, 1]], dtype=bool)
    least = queries.best_threshold(shares, wanted)
    assert 0.15 < least <= 0.2
    report = queries.category_report(shares, wanted, ["a", "b", "c"], least).set_index("category")
    assert list(report.index) == ["a", "c", "all (micro)", "all (macro)"]
    assert (report[["precision", "recall", "f1"]] == 1).all(axis=None)
    assert report.loc["a", "queries"] == 2


def test_precision_and_recall_of_categories_by_hand():
    shares = np.array([[0.9, 0.4], [0.1, 0.9], [0.1, 0.9]], dtype=np.float32)
    wanted = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
    report = queries.category_report(shares, wanted, ["a", "b"], 0.3).set_index("category")
    assert report.loc["a", ["precision", "recall"]].tolist() == [1, 0.5]
    assert report.loc["b", ["precision", "recall"]].tolist() == pytest.approx([2 / 3, 1])
    assert report.loc["all (micro)", ["precision", "recall"]].tolist() == [0.75, 0.75]
    assert report.loc["all (macro)", "recall"] == 0.75
