"""How sure a difference between two models is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CELLS_PER_CHUNK = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval.

    Attributes:
        mean: of all users.
        low: 2.5th percentile of the resampled means.
        high: 97.5th percentile of the resampled means.
    """

    mean: float
    low: float
    high: float


def bootstrap(values: npt.NDArray[np.float64], resamples: int = 10_000, seed: int = 0) -> list[Interval]:
    """Percentile intervals of column means, by resampling users with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Given differences between two
    models per user, it is the paired bootstrap. All columns share the resamples, so many differences cost
    little more than one; memory stays under about 50 MB for up to two million users.

    Args:
        values: one row per user, one column per quantity, shape (users, m), finite; (users,) counts as m = 1.
        resamples: number of resamples.
        seed: same seed, same intervals.

    Returns:
        One interval per column.

    Raises:
        ValueError: no users, or a value that is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if not len(table) or not np.isfinite(table).all():
        raise ValueError(f"bootstrap needs finite values of at least one user, got shape {table.shape}")
    means = _resampled_means(table, resamples, np.random.default_rng(seed))
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    columns = zip(table.mean(axis=0), low, high, strict=True)
    return [Interval(float(mean), float(down), float(up)) for mean, down, up in columns]


def _resampled_means(
    table: npt.NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    n = len(table)
    means = np.empty((resamples, table.shape[1]))
    chunk = max(1, CELLS_PER_CHUNK // n)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means[start : start + size] = counts @ table / n
    return means
