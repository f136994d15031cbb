"""The made-up shop: regenerable in chunks, written as streamed, and its truth can be recovered."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.sources import synthetic
from data.splits import targets
from errors import InputError

SMALL = SyntheticConfig(users=150, products=300, chunk=64)


def test_any_chunk_can_be_made_again():
    chunks = list(synthetic.interaction_chunks(SMALL))
    assert len(chunks) == 3
    again = synthetic.interaction_chunk(SMALL, synthetic.planted(SMALL), 1)
    pd.testing.assert_frame_equal(chunks[1], again)
    assert set(chunks[0]["user_id"]) & set(again["user_id"]) == set()


def test_sizes_are_those_asked_for():
    dataset = load(DataConfig(source="synthetic", synthetic=SMALL))
    assert (len(dataset.user_ids), len(dataset.catalogue.product_ids)) == (150, 300)
    assert {name: len(level) for name, level in dataset.catalogue.levels.items()} == {
        "department": 6,
        "category": 48,
        "type": 240,
    }
    assert len(dataset.log) == pytest.approx(150 * 20 * 4, rel=0.1)
    assert dataset.log.time.max() == 39


def test_seeds_make_a_difference():
    one, two = (next(synthetic.interaction_chunks(replace(SMALL, seed=seed))) for seed in (0, 1))
    assert not one.equals(two)


def test_complements_are_a_cycle_without_fixed_points():
    truth = synthetic.planted(SMALL)
    pairs = truth.complements
    assert all(a != b for a, b in pairs)
    assert sorted(b for _, b in pairs) == list(range(SMALL.categories))


def test_what_is_written_is_what_is_read(tmp_path):
    mapping = synthetic.write(SMALL, tmp_path / "shop")
    assert sorted(path.name for path in mapping.parent.iterdir()) == [
        "interactions.parquet",
        "mapping.yaml",
        "planted.json",
        "products.parquet",
    ]
    direct = load(DataConfig(source="synthetic", synthetic=SMALL))
    read = load(DataConfig(source="tabular", mapping=mapping))
    pd.testing.assert_frame_equal(read.tables.interactions, direct.tables.interactions)
    pd.testing.assert_frame_equal(read.tables.taxonomy, direct.tables.taxonomy)
    pd.testing.assert_frame_equal(read.tables.products, direct.tables.products)
    told = json.loads((mapping.parent / "planted.json").read_text())
    assert told["complement"] == synthetic.planted(SMALL).complement.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"users": 0},
        {"products": 10},
        {"departments": 60},
        {"start_categories": 47},
        {"seed": -1},
        {"periods": 0},
    ],
)
def test_impossible_sizes_are_refused(change):
    with pytest.raises(InputError, match=r"data\.synthetic"):
        list(synthetic.interaction_chunks(replace(SMALL, **change)))


def hits_at_10(scores, found) -> float:
    """Share of the targets among each user's ten best unseen categories."""
    scores = np.where(found.unseen, scores, -np.inf)[found.users]
    best = np.argsort(-scores, axis=1)[:, :10]
    hits = found.hits.toarray()[found.users]
    return float((np.take_along_axis(hits, best, axis=1).sum(axis=1) / hits.sum(axis=1)).mean())


def test_co_occurrence_recovers_what_popularity_cannot():
    dataset = load(DataConfig(source="synthetic"))
    interest = dataset.catalogue.interest
    history = (dataset.log.before(30).counts(interest.of_product) > 0).astype(np.float64).toarray()
    found = targets(dataset, interest, 30, 8)
    inverse = np.linalg.inv(history.T @ history + 20 * np.eye(len(interest)))
    ease = inverse / -np.diag(inverse)
    np.fill_diagonal(ease, 0)
    truth = synthetic.planted(SyntheticConfig())
    planted = np.eye(48)[truth.complement]
    number = [int(name.split()[-1]) for name in interest.names]
    by_truth = history @ planted[np.ix_(number, number)]
    popular = hits_at_10(np.tile(history.sum(axis=0), (len(history), 1)), found)
    assert hits_at_10(history @ ease, found) > popular + 0.08
    assert hits_at_10(by_truth + 1e-6 * history.sum(axis=0), found) > popular + 0.15
