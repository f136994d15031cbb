from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evaluation.beyond import gini, novelty, serendipity, tail_share

LISTS = np.array([[0, 1, 2], [2, 3, -1], [-1, -1, -1]], dtype=np.int32)
BUYERS = np.array([8, 4, 1, 0], dtype=np.float32)


def test_novelty_in_bits():
    found = novelty(LISTS, BUYERS, 8, 3)
    np.testing.assert_allclose(found[:2], [(0 + 1 + 3) / 3, 3])
    assert np.isnan(found[2])
    np.testing.assert_allclose(novelty(LISTS, BUYERS, 8, 1)[:2], [0, 3])


def test_serendipity_is_what_was_bought_and_not_expected():
    bought = np.array([[True, True, False], [True, False, False], [False] * 3])
    expected = np.array([[0, 9, 9], [9, 9, 9], [0, 1, 2]], dtype=np.int32)
    found = serendipity(bought, LISTS, expected, 3)
    np.testing.assert_allclose(found[:2], [1 / 3, 1 / 2])
    assert np.isnan(found[2])
    np.testing.assert_allclose(serendipity(bought, LISTS, LISTS, 3)[:2], [0, 0])


def test_gini_of_even_and_single_shows():
    even = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert gini(even, 12, 4) == pytest.approx(0)
    assert gini(np.zeros((5, 1), dtype=np.int32), 10, 1) == pytest.approx(0.9)
    assert np.isnan(gini(LISTS[2:], 4, 3))


@given(arrays(np.int32, (6, 3), elements=st.integers(-1, 7)))
def test_gini_is_half_the_relative_mean_difference(items):
    times = np.bincount(items[items >= 0], minlength=8)
    if times.sum():
        wanted = np.abs(times[:, None] - times).mean() / (2 * times.mean())
        assert gini(items, 8, 3) == pytest.approx(wanted)


def test_tail_share():
    # The head is items 0 and 1: 8 of 13 are not yet 80%, 12 of 13 are.
    assert tail_share(LISTS, BUYERS, 3) == pytest.approx(3 / 5)
    assert tail_share(LISTS, BUYERS, 1) == pytest.approx(1 / 2)
    assert np.isnan(tail_share(LISTS[2:], BUYERS, 3))
