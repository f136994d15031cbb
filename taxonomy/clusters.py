"""Two levels of clusters over vectors of texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def two_levels(
    vectors: Array, weights: IntArray, groups: int, categories: int, smallest: int, seed: int
) -> tuple[IntArray, IntArray]:
    """Cluster vectors into categories, and the categories' centres into groups, by k-means on the unit sphere.

    Args:
        vectors: of length 1, shape (n, dim).
        weights: number of products with each vector, shape (n,): for the sizes alone, a vector counts once in the
            clustering.
        groups: at most.
        categories: at most.
        smallest: categories with fewer products are given up.
        seed: of the starts.

    Returns:
        Each vector's category, 0 … c − 1, shape (n,), and each category's group, 0 … g − 1, shape (c,). Both are
        numbered by size, the largest first.
    """
    category = _kmeans(vectors, categories, seed)
    category = _without_small(vectors, category, weights, smallest)
    category = _by_size(category, weights)
    centres = _unit(np.stack([vectors[category == k].mean(axis=0) for k in range(int(category.max()) + 1)]))
    sizes = np.bincount(category, weights=weights).astype(np.int64)
    return category, _by_size(_kmeans(centres, groups, seed), sizes)


def _kmeans(vectors: Array, k: int, seed: int) -> IntArray:
    k = min(k, len(np.unique(vectors, axis=0)))
    return np.asarray(KMeans(k, n_init=4, random_state=seed).fit_predict(vectors), dtype=np.int64)


def _without_small(vectors: Array, cluster: IntArray, weights: IntArray, smallest: int) -> IntArray:
    """Move what sits in too small clusters to the nearest centre of those left; the largest is left in any case."""
    sizes = np.bincount(cluster, weights=weights)
    left = np.flatnonzero(sizes >= smallest)
    left = left if len(left) else np.array([sizes.argmax()])
    centres = _unit(np.stack([vectors[cluster == k].mean(axis=0) for k in left]))
    homeless = ~np.isin(cluster, left)
    out = cluster.copy()
    out[homeless] = left[np.argmax(vectors[homeless] @ centres.T, axis=1)]
    return out


def _by_size(cluster: IntArray, weights: IntArray) -> IntArray:
    """Number the clusters from the largest on."""
    names, inverse = np.unique(cluster, return_inverse=True)
    sizes = np.bincount(inverse, weights=weights)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    return rank[inverse]


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
