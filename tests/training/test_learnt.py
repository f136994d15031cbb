"""What is written back: vectors that the scorer uses, and learnt interest as it is defined."""

from __future__ import annotations

import numpy as np
import pytest

from data.splits import unseen_categories
from evaluation.scorer import Problem
from kg.schema import Schema, schema_of
from training.learnt import bridges, learnt, node_vectors
from training.scorer import CrossAisleScorer


@pytest.fixture(scope="module")
def scorer(run):
    return CrossAisleScorer(run.trained.module, run.cutoff)


def test_every_node_has_its_vectors(run, scorer):
    found = learnt("a run", scorer)
    schema: Schema = schema_of(run.dataset)
    assert {kind.label for kind in schema.nodes} == set(found.vectors)
    for label, parts in found.vectors.items():
        assert len(found.ids[label]) == run.raw[run.cutoff.time].data[label].num_nodes
        assert all(len(part) == len(found.ids[label]) and np.isfinite(part).all() for part in parts.values())
    assert set(found.vectors["Product"]) == {"embedding", "embedding_graph", "embedding_text"}
    assert set(found.vectors["Department"]) == {"embedding_graph", "embedding_text"}


def test_product_vectors_are_those_that_score(run, scorer):
    problem = Problem(run.dataset, None, run.cutoff.time)
    encoded = scorer.fit(problem).encode()
    vectors = node_vectors(run.trained.module, run.cutoff)
    np.testing.assert_allclose(vectors["Product"]["embedding"], encoded.vectors[-1].numpy(), atol=1e-6)
    interest = run.trained.module.model.shape.interest
    np.testing.assert_allclose(vectors[interest]["embedding"], encoded.nodes.vectors[interest].numpy(), atol=1e-6)


def test_bridges_are_as_defined(run, scorer):
    """Counted anew, one pair and one user at a time."""
    found = bridges(scorer, min_support=5, top_k=4)
    level = run.dataset.catalogue.interest
    scorer.at_interest()
    history = run.cutoff.history
    rows = np.unique(history.user).astype(np.int64)
    log = history.of_users(rows)
    shares = np.exp(scorer.score(log, rows))
    unseen = unseen_categories(log, level)
    place = {node: i for i, node in enumerate(level.ids)}
    assert len(found)
    for row in found.itertuples():
        a, c = place[row.source], place[row.target]
        users = [u for u in range(len(rows)) if not unseen[u, a] and unseen[u, c]]
        everybody = [u for u in range(len(rows)) if unseen[u, c]]
        mean = np.mean([shares[u, c] for u in users])
        assert row.support == len(users) >= 5
        assert row.probability == pytest.approx(mean, rel=1e-5)
        assert row.lift == pytest.approx(mean / np.mean([shares[u, c] for u in everybody]), rel=1e-5)
        assert row.lift > 1
    assert found.groupby("source").size().max() <= 4
    assert (found["source"] != found["target"]).all()
