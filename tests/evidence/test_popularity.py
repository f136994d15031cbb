from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from data.log import Log
from evidence.popularity import adopters, buyers, first_times

ROWS = [(0, 0, 1), (0, 0, 2), (1, 0, 2), (1, 2, 3), (0, 1, 4), (2, 2, 5)]
OF_PRODUCT = sp.csr_array(np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32))


def log() -> Log:
    user, product, time = (np.array(column, dtype=np.int32) for column in zip(*ROWS, strict=True))
    ones = np.ones(len(user), dtype=np.float32)
    return Log(user, product, time, ones, ones, np.arange(len(user), dtype=np.int32), product, 3)


def test_buyers_are_distinct_users():
    assert buyers(log(), OF_PRODUCT, 10).tolist() == [2, 3]


def test_buyers_of_a_window():
    assert buyers(log(), OF_PRODUCT, 5, window=3).tolist() == [2, 2]
    assert buyers(log(), OF_PRODUCT, 5, window=1).tolist() == [1, 1]


def test_buyers_do_not_see_the_future():
    assert buyers(log(), OF_PRODUCT, 2).tolist() == [1, 0]


def test_first_times():
    expected = {(0, 0): 1, (1, 0): 2, (0, 1): 4, (1, 1): 3, (2, 1): 5}
    found = first_times(log(), OF_PRODUCT)
    pairs = zip(found.row.tolist(), found.col.tolist(), strict=True)
    assert dict(zip(pairs, (found.data - 1).tolist(), strict=True)) == expected


def test_adopters_buy_for_the_first_time():
    first = first_times(log(), OF_PRODUCT)
    assert adopters(first, cutoff=5, window=2).tolist() == [0, 2]
    assert adopters(first, cutoff=5, window=10).tolist() == [2, 2]
    assert adopters(first, cutoff=6, window=1).tolist() == [0, 1]
