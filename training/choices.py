"""Training examples below the interest level: which child was chosen among its siblings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from data.log import Log
from evidence.within import WithinEvidence

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Choices:
    """Choices of users among siblings, listed child by child and grouped by user.

    Attributes:
        user: row of the user, sorted, shape (m,).
        child: position of the child, shape (m,).
        segment: which choice (user and parent) the row belongs to, shape (m,), non-decreasing.
        chosen: True where the child was bought, shape (m,).
        pairs: per-pair evidence, shape (m, kinds).
        offset: log(1 / inclusion probability) of a sampled child, added to its score so that the softmax over the
            sample estimates the one over all siblings (Bengio and Senécal, 2008), shape (m,).
    """

    user: IntArray
    child: IntArray
    segment: IntArray
    chosen: npt.NDArray[np.bool_]
    pairs: FloatArray
    offset: FloatArray

    def of_users(self, users: IntArray) -> Choices:
        """The choices of some users; ``user`` becomes the place in the given array, segments are renumbered."""
        starts, ends = np.searchsorted(self.user, users), np.searchsorted(self.user, users + 1)
        rows = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)] or [np.zeros(0, int)])
        rows = rows.astype(np.int64)
        place = np.repeat(np.arange(len(users)), ends - starts)
        _, segment = np.unique(self.segment[rows], return_inverse=True)
        parts = (self.chosen[rows], self.pairs[rows], self.offset[rows])
        return Choices(place, self.child[rows], segment.astype(np.int64), *parts)


def list_choices(
    evidence: WithinEvidence,
    history: Log,
    hits: sp.csr_array,
    users: IntArray,
    max_siblings: int,
    rng: np.random.Generator,
    cells: int = 6_000_000,
) -> Choices:
    """List the choices that users made in the horizon.

    Args:
        evidence: of the children, at the cut-off.
        history: the population before the cut-off.
        hits: children bought in the horizon from unseen categories, shape (users, children).
        users: rows to list, sorted.
        max_siblings: siblings not chosen that are listed per choice; more are sampled evenly.
        rng: source of the sample.
        cells: (user, child) pairs whose dense per-pair evidence is held at a time.
    """
    order = np.argsort(evidence.parent, kind="stable")
    bounds = np.searchsorted(evidence.parent[order], np.arange(evidence.parent.max(initial=-1) + 2))
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    n_segments = 0
    batch = max(1, cells // max(1, len(evidence.parent)))
    for start in range(0, len(users), batch):
        rows = users[start : start + batch]
        listed = _list_batch(evidence, hits[rows], order, bounds, max_siblings, rng)
        place, child, segment, chosen, offset = listed
        dense = evidence.pairs(history.of_users(rows))
        pairs = np.stack([array[place, child] for array in dense], axis=1) if dense else np.zeros((len(child), 0))
        parts.append((rows[place], child, segment + n_segments, chosen, pairs.astype(np.float32), offset))
        n_segments += int(segment.max(initial=-1)) + 1
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        pairs = np.zeros((0, len(evidence.pair_names)), dtype=np.float32)
        return Choices(empty, empty, empty, empty.astype(bool), pairs, empty.astype(np.float32))
    return Choices(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _list_batch(
    evidence: WithinEvidence,
    hits: sp.csr_array,
    order: IntArray,
    bounds: IntArray,
    max_siblings: int,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray, IntArray, npt.NDArray[np.bool_], FloatArray]:
    """Users' places, children, segments, chosen and offsets of a batch."""
    places, children, chosen, offsets, sizes = [], [], [], [], []
    for place in range(hits.shape[0]):
        bought = hits.indices[hits.indptr[place] : hits.indptr[place + 1]]
        parents = evidence.parent[bought]
        for parent in np.unique(parents[parents >= 0]):
            taken = bought[parents == parent]
            others = np.setdiff1d(order[bounds[parent] : bounds[parent + 1]], taken)
            offset = 0.0
            if len(others) > max_siblings:
                offset = float(np.log(len(others) / max_siblings))
                others = rng.choice(others, max_siblings, replace=False)
            n = len(taken) + len(others)
            places.append(np.full(n, place))
            children.append(np.concatenate([taken, others]))
            chosen.append(np.arange(n) < len(taken))
            offsets.append(np.where(np.arange(n) < len(taken), 0.0, offset))
            sizes.append(n)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    if not sizes:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty, empty.astype(bool), empty.astype(np.float32)
    return (
        np.concatenate(places).astype(np.int64),
        np.concatenate(children).astype(np.int64),
        segment.astype(np.int64),
        np.concatenate(chosen),
        np.concatenate(offsets).astype(np.float32),
    )
