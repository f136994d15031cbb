"""No leak: with another future after the test cut-off, no edge, no feature and no score moves."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from data.splits import targets
from evaluation.scorer import Problem
from training.run import levels_of
from training.scorer import CrossAisleScorer

LEVELS = ("category", "type", "product")


def scores(run, dataset, cutoff, level):
    problem = Problem(dataset, levels_of(dataset)[level], cutoff.time)
    users = np.arange(dataset.log.n_users)
    return CrossAisleScorer(run.trained.module, cutoff).fit(problem).score(problem.history, users)


def same(one, other, name=""):
    """Equal bit by bit, through dictionaries, dataclasses and sparse tensors."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(value, other[key], f"{name}.{key}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one.to_dense(), other.to_dense()), name
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=name)


def test_the_future_is_another_one(run, other_future):
    dataset, _, cutoff = other_future
    before, after = (targets(d, d.catalogue.interest, cutoff.time, 6).hits for d in (run.dataset, dataset))
    assert (before != after).nnz > 20
    assert run.dataset.fingerprint != dataset.fingerprint


def test_no_edge_moves(run, other_future):
    _, raw, _ = other_future
    assert raw.keys() == run.raw.keys() == {12, 16, 22, 24, 31}
    for time, graph in run.raw.items():
        assert graph.data.edge_types == raw[time].data.edge_types
        same(graph.ids, raw[time].ids)
        for edge_type in graph.data.edge_types:
            same(dict(graph.data[edge_type].items()), dict(raw[time].data[edge_type].items()), str(edge_type))


def test_edges_move_with_time(run):
    """What the test above compares does depend on what was bought."""
    found = [run.raw[time].data["Category", "BOUGHT_WITH", "Category"] for time in (12, 31)]
    assert len(found[0].edge_index[0]) > 0
    assert not torch.equal(found[0].edge_index, found[1].edge_index)


def test_no_feature_moves(run, other_future):
    _, _, cutoff = other_future
    same(run.cutoff.graph.contracted.matrices, cutoff.graph.contracted.matrices)
    same(run.cutoff.graph.contracted.degrees, cutoff.graph.contracted.degrees)
    users = np.arange(60)
    one, other = (c.evidence(c.history.of_users(users), users) for c in (run.cutoff, cutoff))
    for field in fields(one):
        same(getattr(one, field.name), getattr(other, field.name), field.name)
    for before, after in zip(run.cutoff.steps, cutoff.steps, strict=True):
        same(before.items, after.items)
        for a, b in zip(before.pairs(run.cutoff.history), after.pairs(cutoff.history), strict=True):
            same(a, b)


@pytest.mark.parametrize("level", LEVELS)
def test_no_score_moves(run, other_future, level):
    dataset, _, cutoff = other_future
    before = scores(run, run.dataset, run.cutoff, level)
    np.testing.assert_array_equal(before, scores(run, dataset, cutoff, level))
    assert np.isfinite(before).any()
    assert len(np.unique(before[0])) > 5
