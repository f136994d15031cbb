"""Told against found shares, on rankings whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from evaluation.calibration import Reliability, reliability
from evaluation.ranking import Rankings


def lists(items, probabilities, n_items) -> Rankings:
    items = np.array(items, dtype=np.int32)
    with np.errstate(divide="ignore"):
        scores = np.log(np.array(probabilities, dtype=np.float32))
    return Rankings(np.arange(len(items)), items, scores, n_items)


def test_shares_by_hand():
    rankings = lists([[0, 1, 2], [2, 0, -1]], [[0.5, 0.25, 0.25], [0.9, 0.1, 0]], 3)
    wanted = sp.csr_array(np.array([[1, 1, 0], [0, 0, 1]]))
    found = reliability([rankings], [wanted], bins=5)
    assert found.told == pytest.approx([0.1, 0.25, 0.25, 0.5, 0.9])
    assert found.found == pytest.approx([0, 0.5, 0, 0.5, 1])
    assert found.pairs == [1] * 5
    assert found.ece == pytest.approx((0.1 + 0.25 + 0.25 + 0 + 0.1) / 5)


def test_a_model_that_knows_the_truth_is_calibrated():
    """Targets are drawn from the very probabilities; a model that is twice as sure is found out."""
    rng, n, items = np.random.default_rng(0), 3000, 8
    share = rng.dirichlet(np.ones(items), n)
    drawn = np.array([rng.multinomial(1, p) for p in share])
    order = np.argsort(-share, axis=1)
    told = np.take_along_axis(share, order, 1)
    honest = reliability([lists(order, told, items)], [sp.csr_array(drawn)])
    assert honest.ece < 0.01
    sharper = told**2 / (told**2).sum(axis=1, keepdims=True)
    assert reliability([lists(order, sharper, items)], [sp.csr_array(drawn)]).ece > 0.05


def test_several_rankings_are_pooled():
    one = lists([[0, 1]], [[0.8, 0.2]], 2)
    wanted = [sp.csr_array(np.array([[1, 0]])), sp.csr_array(np.array([[0, 1]]))]
    found = reliability([one, one], wanted, bins=2)
    assert (found.told, found.found) == (pytest.approx([0.2, 0.8]), pytest.approx([0.5, 0.5]))


def test_bins_weigh_by_their_pairs():
    assert Reliability([0.1, 0.5], [0.2, 0.1], [3, 1]).ece == pytest.approx((3 * 0.1 + 0.4) / 4)
