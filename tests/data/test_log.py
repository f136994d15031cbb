"""Slices and counts of the log against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from data.log import Log

USERS, PRODUCTS, NODES = 12, 6, 3  # more users than those that are looked up one by one
row = st.tuples(st.integers(0, USERS - 1), st.integers(0, PRODUCTS - 1), st.integers(-3, 9))
pairs = st.sets(st.tuples(st.integers(0, PRODUCTS - 1), st.integers(0, NODES - 1)))


def make_log(rows) -> Log:
    frame = pd.DataFrame(rows, columns=["user", "product", "time"], dtype="int32")
    frame = frame.sort_values("time", kind="stable")
    n = np.arange(len(frame))
    return Log(
        frame["user"].to_numpy(),
        frame["product"].to_numpy(),
        frame["time"].to_numpy(),
        n.astype(np.float32),
        n.astype(np.float32) / 2,
        n.astype(np.int32),
        n.astype(np.int32) % 2,
        USERS,
    )


def as_frame(log: Log) -> pd.DataFrame:
    names = ("user", "product", "time", "quantity", "value", "basket", "store")
    return pd.DataFrame({name: getattr(log, name) for name in names})


def membership(of) -> sp.csr_array:
    dense = np.zeros((PRODUCTS, NODES), dtype=np.float32)
    for product, node in of:
        dense[product, node] = 1
    return sp.csr_array(dense)


@settings(max_examples=40, deadline=None)
@given(st.lists(row, max_size=30), st.integers(-5, 12), st.integers(-5, 12))
def test_between_and_before(rows, start, end):
    log = make_log(rows)
    frame = as_frame(log)
    expected = frame[(frame["time"] >= start) & (frame["time"] < end)]
    if start <= end:
        pd.testing.assert_frame_equal(as_frame(log.between(start, end)), expected.reset_index(drop=True))
    pd.testing.assert_frame_equal(as_frame(log.before(end)), frame[frame["time"] < end])
    assert np.shares_memory(log.user, log.before(end).user) or len(log.before(end)) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(row, max_size=30), st.permutations(range(USERS)), st.integers(0, USERS))
def test_of_users(rows, order, n):
    log, users = make_log(rows), np.array(order[:n], dtype=np.int64)
    part = log.of_users(users)
    assert part.n_users == n
    frame = as_frame(log)
    expected = frame[frame["user"].isin(users)].reset_index(drop=True)
    found = as_frame(part)
    assert users[found["user"]].tolist() == expected["user"].tolist()
    pd.testing.assert_frame_equal(found.drop(columns="user"), expected.drop(columns="user"))


@settings(max_examples=40, deadline=None)
@given(st.lists(row, max_size=30), pairs)
def test_counts(rows, of):
    log, of_product = make_log(rows), membership(of)
    for weights in (None, log.quantity):
        expected = np.zeros((USERS, NODES))
        weight = np.ones(len(log)) if weights is None else weights
        for user, product, w in zip(log.user, log.product, weight, strict=True):
            for node in range(NODES):
                expected[user, node] += w * ((product, node) in of)
        np.testing.assert_allclose(log.counts(of_product, weights).toarray(), expected)


def test_what_is_kept_for_few_users_stays_as_it_was(monkeypatch):
    """Counted once without weights; who changes an answer in place changes their own."""
    rows = [(user, product, user) for user in range(3) for product in range(PRODUCTS)]
    log, of_product = make_log(rows).of_users(np.array([2, 0])), membership({(0, 0), (1, 1), (5, 1)})
    first = log.counts(of_product)
    first.data[:] = -1
    made = []
    monkeypatch.setattr(Log, "_lines", lambda *_: made.append(1))
    np.testing.assert_array_equal(log.counts(of_product).toarray(), [[1, 2, 0], [1, 2, 0]])
    assert not made
    monkeypatch.undo()
    weights = np.full(len(log), 2, dtype=np.float32)
    np.testing.assert_array_equal(log.counts(of_product, weights).toarray(), [[2, 4, 0], [2, 4, 0]])
    other = membership({(0, 2)})
    np.testing.assert_array_equal(log.counts(other).toarray(), [[0, 0, 1], [0, 0, 1]])
