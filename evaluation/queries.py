"""What a search is worth: lists of products for queries, and which categories a query asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.metrics import precision_recall_fscore_support

from evaluation import metrics
from evaluation.ranking import rank_batch
from evaluation.scorer import FloatArray, IntArray

THRESHOLDS = np.linspace(0.02, 0.5, 25)


def query_figures(items: metrics.Lists, relevant: sp.csr_array, of_product: sp.csr_array) -> pd.DataFrame:
    """Figures of each query's list.

    Args:
        items: products, best first, shape (queries, at least 50 unless there are fewer); −1 is none.
        relevant: what answers each query, CSR of shape (queries, products).
        of_product: which product sits in which category, CSR of shape (products, categories).

    Returns:
        A row for each query: ``recall@10``, ``recall@50``, ``ndcg@10``; ``categories@10``, the number of categories
        of the first 10 (of a product in several the first); ``covered@10``, the share of the categories of what
        answers the query that a product among the first 10 sits in (NaN where the answers have none).
    """
    hits, n = metrics.hits(items, relevant), metrics.n_targets(relevant)
    wanted = (relevant @ of_product).toarray() > 0
    shown = np.zeros(wanted.shape, dtype=np.bool_)
    number = np.zeros(len(items))
    for query, row in enumerate(items[:, :10]):
        some = of_product[row[row >= 0]]
        shown[query, some.indices] = True
        filled = np.diff(some.indptr) > 0
        number[query] = len(np.unique(some.indices[some.indptr[:-1][filled]]))
    total = np.where(wanted.any(axis=1), wanted.sum(axis=1), np.nan)
    return pd.DataFrame(
        {
            "recall@10": metrics.recall(hits, n, 10),
            "recall@50": metrics.recall(hits, n, 50),
            "ndcg@10": metrics.ndcg(hits, n, 10),
            "categories@10": number,
            "covered@10": (wanted & shown).sum(axis=1) / total,
        }
    )


def first(scores: FloatArray, ties: IntArray, k: int = 50) -> metrics.Lists:
    """The k best products of each query, shape (queries, k), from scores of shape (queries, products)."""
    return rank_batch(scores, min(k, scores.shape[1]), ties)[0]


def category_shares(scores: FloatArray, of_product: sp.csr_array, temperature: float) -> FloatArray:
    """Share of each category in what a query finds: p(c) = Σ_{i ∈ c} softmax_i(score / τ), shape (queries, categories).

    A product in several categories counts in each, so that shares may sum to more than 1.

    Args:
        scores: cosines, shape (queries, products).
        of_product: CSR of shape (products, categories).
        temperature: τ.
    """
    return np.asarray(softmax(scores / temperature, axis=1) @ of_product, dtype=np.float32)


def best_threshold(shares: FloatArray, wanted: npt.NDArray[np.bool_]) -> float:
    """The least share at which a category is told of a query, with the largest F1 over all pairs (micro).

    Args:
        shares: from `category_shares`, of validation queries.
        wanted: whether an answer of the query sits in the category, of the same shape.
    """

    def f1(threshold: float) -> float:
        told = shares >= threshold
        return 2 * float((told & wanted).sum()) / max(int(told.sum() + wanted.sum()), 1)

    return float(max(THRESHOLDS, key=f1))


def category_report(
    shares: FloatArray, wanted: npt.NDArray[np.bool_], names: list[str], threshold: float
) -> pd.DataFrame:
    """Precision, recall and F1 of each category, and over all.

    Args:
        shares: from `category_shares`, of test queries.
        wanted: whether an answer of the query sits in the category, of the same shape.
        names: of the categories.
        threshold: from `best_threshold`.

    Returns:
        ``category``, ``precision``, ``recall``, ``f1``, ``queries`` (in which it is wanted): most wanted first, without
        those that are neither wanted nor told; then ``all (micro)`` over all pairs and ``all (macro)``, the mean over
        the categories that are wanted.
    """
    told = shares >= threshold
    kept = np.flatnonzero(told.any(axis=0) | wanted.any(axis=0))
    precision, recall, f1, queries = precision_recall_fscore_support(
        wanted[:, kept], told[:, kept], average=None, zero_division=0
    )
    by = pd.DataFrame({"category": [names[at] for at in kept], "precision": precision, "recall": recall, "f1": f1})
    by = by.assign(queries=queries).sort_values(["queries", "category"], ascending=[False, True], kind="stable")
    asked = by[by["queries"] > 0]
    micro = precision_recall_fscore_support(wanted.ravel(), told.ravel(), average="binary", zero_division=0)[:3]
    rows = [["all (micro)", *micro], ["all (macro)", *asked[["precision", "recall", "f1"]].mean()]]
    overall = pd.DataFrame(rows, columns=["category", "precision", "recall", "f1"]).assign(queries=len(wanted))
    return pd.concat([by, overall], ignore_index=True)
