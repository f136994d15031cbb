"""All re-rankers keep one contract; each does what its paper says on a case that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from errors import InputError
from recommend.diversity import (
    RERANKERS,
    Calibrated,
    Candidates,
    DeterminantalPointProcess,
    GroupCap,
    MaximalMarginalRelevance,
    reranker,
)

AREAS = 3
# Inherited tests run in several classes, which Hypothesis takes for a mistake.
CASES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


@st.composite
def candidates(draw):
    n = draw(st.integers(1, 25))
    scores = draw(arrays(np.float32, n, elements=st.floats(-20, 0, width=32)))
    vectors = draw(arrays(np.float32, (n, 4), elements=st.floats(-2, 2, width=32)))
    groups, areas = (draw(arrays(np.int64, n, elements=st.integers(0, AREAS - 1))) for _ in range(2))
    bought = draw(arrays(np.int64, AREAS, elements=st.integers(0, 50)))
    return Candidates(np.sort(scores)[::-1], vectors, groups, areas, bought / max(bought.sum(), 1))


def pairs(groups=(0, 0, 1, 1), usual=(0.5, 0.5, 0.0)):
    """Two alike with the best scores, then two alike of another kind."""
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]], dtype=np.float32)
    scores = np.array([-1.0, -1.1, -1.3, -1.6], dtype=np.float32)
    return Candidates(scores, vectors, np.array(groups), np.array(groups), np.array(usual))


class Contract:
    """What any re-ranker keeps."""

    kind: type

    @CASES
    @given(candidates(), st.floats(0, 1), st.integers(1, 30))
    def test_a_list_never_repeats_and_is_as_long_as_can_be(self, given_, diversity, k):
        chosen = self.kind(diversity).rerank(given_, k)
        assert len(chosen) == min(k, len(given_.scores)) == len(set(chosen.tolist()))
        assert set(chosen.tolist()) <= set(range(len(given_.scores)))

    @CASES
    @given(candidates(), st.integers(1, 30))
    def test_zero_is_the_plain_order(self, given_, k):
        np.testing.assert_array_equal(self.kind(0.0).rerank(given_, k), np.arange(min(k, len(given_.scores))))

    def test_a_touch_of_diversity_changes_little(self):
        np.testing.assert_array_equal(self.kind(0.01).rerank(pairs(), 2), [0, 1])

    def test_much_of_it_takes_the_other_kind(self):
        assert set(self.kind(0.9).rerank(pairs(), 2).tolist()) & {0, 1}
        assert set(self.kind(0.9).rerank(pairs(), 2).tolist()) & {2, 3}

    def test_no_candidates_no_list(self):
        none = Candidates(np.empty(0, np.float32), np.empty((0, 2), np.float32), *[np.empty(0, int)] * 2, np.zeros(3))
        assert len(self.kind(0.5).rerank(none, 3)) == 0

    @pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
    def test_a_dial_has_two_ends(self, diversity):
        with pytest.raises(InputError, match="from 0 to 1"):
            self.kind(diversity)


class TestMaximalMarginalRelevance(Contract):
    kind = MaximalMarginalRelevance

    def test_by_hand(self):
        # Relevance is 1, 5/6, 1/2, 0. After the first: .5 · 5/6 − .5 · 1 < 0 < .5 · 1/2 − .5 · 0.
        np.testing.assert_array_equal(self.kind(0.5).rerank(pairs(), 3), [0, 2, 1])


class TestDeterminantalPointProcess(Contract):
    kind = DeterminantalPointProcess

    @pytest.mark.parametrize("diversity", [0.2, 0.5, 0.8])
    def test_the_greedy_choice_has_the_largest_determinant(self, diversity):
        rng = np.random.default_rng(1)
        vectors, scores = rng.normal(size=(9, 6)).astype(np.float32), np.sort(rng.normal(size=9))[::-1]
        some = Candidates(scores.astype(np.float32), vectors, *[np.zeros(9, int)] * 2, np.ones(1))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        weight = np.exp((1 - diversity) / (2 * diversity) * some.relevance)
        kernel = weight[:, None] * (unit @ unit.T) * weight
        chosen: list[int] = []
        for place in self.kind(diversity).rerank(some, 4):
            rest = [i for i in range(9) if i not in chosen]
            best = max(rest, key=lambda i: np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])]))
            assert place == best
            chosen.append(place)


class TestCalibrated(Contract):
    kind = Calibrated

    def test_one_more_of_an_area_brings_the_divergence_down_as_counted(self):
        some, diversity = pairs(usual=(0.3, 0.7, 0.0)), 0.6

        def value(chosen):
            shares = np.bincount(some.areas[chosen], minlength=AREAS) / len(chosen)
            smooth = 0.99 * shares + 0.01 * some.usual
            kl = sum(p * np.log(p / q) for p, q in zip(some.usual, smooth, strict=True) if p)
            return (1 - diversity) * some.relevance[chosen].sum() - diversity * kl

        chosen: list[int] = []
        for place in self.kind(diversity).rerank(some, 4):
            rest = [i for i in range(4) if i not in chosen]
            assert value([*chosen, place]) == pytest.approx(max(value([*chosen, i]) for i in rest))
            chosen.append(int(place))

    def test_without_a_history_there_is_nothing_to_calibrate_to(self):
        np.testing.assert_array_equal(self.kind(1.0).rerank(pairs(usual=(0, 0, 0)), 3), [0, 1, 2])


class TestGroupCap(Contract):
    kind = GroupCap

    def test_by_hand(self):
        # d = 1: one of each group, then a second of each that has one.
        np.testing.assert_array_equal(self.kind(1.0).rerank(pairs((0, 0, 0, 1)), 4), [0, 3, 1, 2])
        np.testing.assert_array_equal(self.kind(1.0).rerank(pairs((0, 0, 1, 1)), 3), [0, 2, 1])
        # k = 4, d = .5: two of each.
        np.testing.assert_array_equal(self.kind(0.5).rerank(pairs((0, 0, 0, 1)), 4), [0, 1, 3, 2])


def test_every_reranker_has_its_contract():
    tested = {kind.kind for kind in Contract.__subclasses__()}
    assert tested == set(RERANKERS.values())
    assert [reranker(name, 0.3).name for name in RERANKERS] == list(RERANKERS)
    with pytest.raises(InputError, match="mmr, dpp"):
        reranker("best", 0.3)


def test_a_cap_counts_what_has_no_group_as_one_group():
    groups = np.array([-1, -1, 0, -1, 0])
    none = np.zeros((5, 1), dtype=np.float32)
    some = Candidates(np.arange(5, 0, -1, dtype=np.float32), none, groups, groups, np.zeros(1))
    assert reranker("cap", 1.0).rerank(some, 4).tolist() == [0, 2, 1, 4]
