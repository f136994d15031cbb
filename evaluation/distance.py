"""How far a target lies from what its user bought before, in steps up the taxonomy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from data.catalogue import Catalogue
from data.lookup import positions
from data.splits import Targets
from evaluation.scorer import IntArray, Problem

NO_STEPS = -1


def distances(problem: Problem, targets: Targets) -> sp.csr_array:
    """Steps up from each target to the nearest node over it under which the user bought before the cut-off.

    1: a sibling was bought (same parent), 2: something under a grandparent but no sibling, and so on. The target
    itself does not count, since it is unseen. With several parents the nearest way counts. `NO_STEPS`: nothing
    under any node over the target was bought (another department, or nothing at all).

    What is held is as large as the history by node and the targets by node over them, never users × items.

    Args:
        problem: the level and cut-off.
        targets: of the same level and cut-off.

    Returns:
        CSR of shape (users, items), int64, an entry for every target and no other.
    """
    hits = sp.csr_array(targets.hits > 0)
    user, item = np.repeat(np.arange(hits.shape[0]), np.diff(hits.indptr)), hits.indices
    bought = _bought(problem, targets.users)
    steps = np.full(hits.nnz, NO_STEPS, dtype=np.int64)
    for step, above in enumerate(nodes_above(problem), 1):
        rest = np.flatnonzero(steps == NO_STEPS)
        steps[rest[_meets(user[rest], above[item[rest]], bought)]] = step
    return sp.csr_array((steps, hits.indices, hits.indptr), shape=hits.shape)


def nodes_above(problem: Problem) -> Iterator[sp.csr_array]:
    """The taxonomy's nodes one step above each item, then two, and so on until there are none.

    Yields:
        CSR of shape (items, nodes of all levels, top first), 1 where a way of so many steps leads there.
    """
    catalogue, taxonomy = problem.dataset.catalogue, problem.dataset.tables.taxonomy
    links = taxonomy.dropna(subset=["parent_id"])
    lower = _places(catalogue, links["level"], links["node_id"])
    upper = _places(catalogue, links["parent_level"], links["parent_id"])
    n = sum(map(len, catalogue.levels.values()))
    parents = _binary(lower, upper, (n, n))
    above = _of_products(problem) if problem.level is None else parents[_span(catalogue, problem.level.name)]
    for _ in catalogue.levels:
        if not above.nnz:
            return
        yield above
        above = sp.csr_array(above @ parents)
        above.data[:] = 1


def _of_products(problem: Problem) -> sp.csr_array:
    """The nodes that each product sits in, not those above them, CSR of shape (products, nodes)."""
    catalogue, held = problem.dataset.catalogue, problem.dataset.tables.memberships
    product = positions(held["product_id"], catalogue.product_ids)
    node = _places(catalogue, held["level"], held["node_id"])
    return _binary(product, node, (len(problem), sum(map(len, catalogue.levels.values()))))


def _bought(problem: Problem, users: IntArray) -> sp.csr_array:
    """Purchases of some users under each node, CSR of shape (all users, nodes); the others' rows are empty."""
    history, levels = problem.history, problem.dataset.catalogue.levels.values()
    wanted = np.zeros(history.n_users, dtype=np.float32)
    wanted[users] = 1
    under = sp.csr_array(sp.hstack([level.of_product for level in levels], format="csr"))
    bought = history.counts(under, wanted[history.user])
    bought.eliminate_zeros()
    return bought


def _meets(users: IntArray, above: sp.csr_array, bought: sp.csr_array) -> npt.NDArray[np.bool_]:
    """For each target, did its user buy under one of the nodes?

    Args:
        users: of the targets, shape (n,).
        above: nodes over the targets, CSR of shape (n, nodes).
        bought: CSR of shape (all users, nodes).

    Returns:
        Shape (n,).
    """
    n_nodes = bought.shape[1]
    target = np.repeat(np.arange(len(users)), np.diff(above.indptr))
    known = sp.coo_array(bought)
    asked = users[target].astype(np.int64) * n_nodes + above.indices
    met = np.isin(asked, known.row.astype(np.int64) * n_nodes + known.col)
    return np.bincount(target[met], minlength=len(users)) > 0


def _places(catalogue: Catalogue, levels: pd.Series, ids: pd.Series) -> IntArray:
    """Positions of nodes among those of all levels, shape (n,)."""
    found = np.full(len(ids), -1, dtype=np.int64)
    for name, level in catalogue.levels.items():
        here = (levels == name).to_numpy()
        found[here] = _span(catalogue, name).start + positions(ids[here], level.ids)
    return found


def _span(catalogue: Catalogue, name: str) -> slice:
    """Where a level's nodes stand among those of all levels."""
    names = list(catalogue.levels)
    start = sum(len(catalogue.levels[above]) for above in names[: names.index(name)])
    return slice(start, start + len(catalogue.levels[name]))


def _binary(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> sp.csr_array:
    """1 where a pair is named, however often, CSR of the shape."""
    found = sp.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    found.data[:] = 1
    return found
