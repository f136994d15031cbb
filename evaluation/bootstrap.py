"""How sure a difference between two models is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    return _intervals(table.mean(axis=0), _resampled_means(table, resamples, np.random.default_rng(seed)))


def bootstrap_windows(values: npt.NDArray[np.float64], resamples: int = 10_000, seed: int = 0) -> list[Interval]:
    """Percentile intervals of means over several windows, by resampling users with all their windows.

    A user of two windows is one user: what is measured of them twice is not independent, so users are drawn, and each
    brings along every window in which they are measured (Davison and Hinkley, "Bootstrap Methods and their
    Application", 1997, section 3.8). Of each resample the windows' means are taken, and of these the mean, so that
    windows count alike whatever their number of users; a window of which nobody was drawn is left out of it. With one
    window this is `bootstrap`.

    Args:
        values: NaN where a user is not measured in a window, shape (users, windows, m).
        resamples: number of resamples.
        seed: same seed, same intervals.

    Returns:
        One interval for each of the m quantities.

    Raises:
        ValueError: a window without users, a user without windows, or a user measured in a part of the quantities.
    """
    users, windows, m = values.shape
    number = np.isfinite(values).sum(axis=2)
    there = number == m
    if not values.size or not (there.sum(axis=0).all() and there.sum(axis=1).all()):
        raise ValueError(f"each window needs a user, and each user a window; got shape {values.shape}")
    if not (there | (number == 0)).all():
        raise ValueError("a user has a value for some quantities of a window and not for others")
    sums = np.where(there[:, :, None], values, 0).reshape(users, windows * m)
    table = np.concatenate([sums, there], axis=1)
    means = _resampled_means(table, resamples, np.random.default_rng(seed))
    return _intervals(_over_windows(table.mean(axis=0)[None], windows)[0], _over_windows(means, windows))


@dataclass(frozen=True)
class Crossed:
    """Pairs of a user and an item that a mean over users is made of.

    Attributes:
        user: numbers of the users, shape (n,).
        item: numbers of the items, shape (n,).
        weight: each pair's share of its user, those of a user sum to 1, shape (n,).
    """

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]


def crossed(
    pairs: Crossed,
    values: npt.NDArray[np.float64],
    over: Literal["user", "item", "both"],
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Interval]:
    """Percentile intervals of a mean over users, by resampling users, items, or both.

    Where items are few, which of them happened to be drawn matters as much as which users. With v and w the numbers of
    times that a user and an item are drawn, a resample is Σ v_u w_i x_ui / Σ v_u w_i ω_ui: for ``both`` the pigeonhole
    bootstrap (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007), which errs on the wide side; with
    w = 1 the plain bootstrap by user.

    Args:
        pairs: who, what, and the weights ω.
        values: x, what each pair adds to its user's figure, one column per quantity, shape (n, m).
        over: what is resampled; the other axis counts as it is.
        resamples: number of resamples.
        seed: same seed, same intervals.

    Returns:
        One interval per column.

    Raises:
        ValueError: no pairs.
    """
    if not len(values):
        raise ValueError("bootstrap needs at least one pair")
    rng = np.random.default_rng(seed)
    table = np.concatenate([values, pairs.weight[:, None]], axis=1).astype(np.float64)
    chunk = max(1, CELLS_PER_CHUNK // len(table))
    parts = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        times = np.ones((size, len(table)), dtype=np.float32)
        for name, codes in (("user", pairs.user), ("item", pairs.item)):
            if over in (name, "both"):
                times *= _drawn(codes, size, rng)
        parts.append(times @ table)
    sums = np.concatenate(parts)
    whole = table.sum(axis=0)
    return _intervals(whole[:-1] / whole[-1], sums[:, :-1] / np.maximum(sums[:, -1:], 1e-12))


def _drawn(codes: npt.NDArray[np.int64], size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """How often each pair's user (or item) is drawn, shape (size, pairs)."""
    there, place = np.unique(codes, return_inverse=True)
    n = len(there)
    drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
    counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
    return counts[:, place].astype(np.float32)


def _over_windows(means: npt.NDArray[np.float64], windows: int) -> npt.NDArray[np.float64]:
    """From each resample's sums and counts by window to the mean over windows, shape (resamples, m)."""
    sums, counts = means[:, :-windows], means[:, -windows:]
    by_window = sums.reshape(len(means), windows, -1)
    drawn = np.where(counts > 0, counts, 1)[:, :, None]
    return np.asarray((by_window / drawn).sum(axis=1) / (counts > 0).sum(axis=1, keepdims=True))


def _intervals(mean: npt.NDArray[np.float64], resampled: npt.NDArray[np.float64]) -> list[Interval]:
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    columns = zip(mean, low, high, strict=True)
    return [Interval(float(middle), float(down), float(up)) for middle, down, up in columns]


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
