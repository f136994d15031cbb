"""Shops and cut-offs with which there is nothing to learn or to choose are refused in words, or told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from data.config import DataConfig, SyntheticConfig
from data.dataset import Dataset
from data.load import load
from data.splits import ProtocolConfig
from errors import InputError
from evidence.config import CandidateConfig, EvidenceConfig, WithinConfig
from training.config import ExamplesConfig, TrainConfig
from training.cutoffs import Chain, CutOff, Examples
from training.run import Job, Judge, check_levels
from training.scorer import _Siblings, log_softmax

SIZES = SyntheticConfig(products=60, users=40, departments=2, categories=8, types_per_category=2, start_categories=3)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return load(DataConfig(source="synthetic", synthetic=SIZES))


def squeezed(shop, level, keep) -> Dataset:
    """The shop with the products of some of a level's nodes only."""
    tables, nodes = shop.tables, shop.catalogue.levels[level]
    ids = set(shop.catalogue.product_ids[np.asarray(nodes.of_product[:, keep].sum(axis=1)).ravel() > 0])
    frames = {name: getattr(tables, name) for name in ("products", "memberships", "interactions")}
    kept = {name: frame[frame["product_id"].isin(ids)] for name, frame in frames.items()}
    return Dataset.from_tables(replace(tables, **kept))


def test_an_interest_level_of_one_node_is_refused(shop):
    with pytest.raises(InputError, match="the category level has 1 node with products: every ranking of it is right"):
        check_levels(squeezed(shop, "category", [3]))


def test_two_nodes_are_enough(shop):
    assert check_levels(shop) == []
    assert check_levels(squeezed(shop, "category", [3, 4])) == []


def test_a_lower_level_of_one_node_is_told(shop):
    small = squeezed(shop, "category", [3, 4])
    kept = small.tables.memberships["node_id"] == small.tables.memberships["node_id"].iloc[0]
    parents = small.tables.taxonomy.set_index("node_id")["parent_id"]
    own = small.tables.memberships
    up = own.assign(
        level=own["level"].where(kept, "category"), node_id=own["node_id"].where(kept, own["node_id"].map(parents))
    )
    mixed = Dataset.from_tables(replace(small.tables, memberships=up))
    assert check_levels(mixed) == ["the type level has 1 node with products: every ranking of it is right"]


def test_a_short_test_window_is_told_as_the_data_are_read(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("training.run.say", lambda *words: said.append(words))
    protocol = ProtocolConfig(
        train_cutoffs=[12], validation_cutoff=24, refit_cutoffs=[], test_cutoff=SIZES.periods - 3, horizon=6
    )
    data = DataConfig(source="synthetic", synthetic=SIZES)
    Job(TrainConfig(data=data, protocol=protocol), tmp_path).read_data()
    ends, wanted = SIZES.periods - 1, SIZES.periods + 2
    told = f"the data ends with period {ends}, the test targets' horizon with {wanted}: some targets may be missing"
    assert ("", told) in said


def test_a_validation_without_targets_is_refused(shop):
    idle = SimpleNamespace(time=SIZES.periods, remember=lambda: None)
    with pytest.raises(InputError, match=f"nobody buys from a new category in the 6 periods from {SIZES.periods}"):
        Judge(shop, idle, 6)


def test_a_training_cutoff_without_targets_is_refused(shop):
    late = SIZES.periods
    cutoff = CutOff(shop, Chain.of(shop), late, None, EvidenceConfig(horizon=6), WithinConfig(), CandidateConfig())
    with pytest.raises(InputError, match=f"nobody buys .* from training cut-off {late}\n  Leave this cut-off out"):
        Examples(cutoff, 6, ExamplesConfig(), 0, np.random.default_rng(0))


def test_nothing_unseen_is_nothing_to_recommend():
    scores = log_softmax(np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([[False, False], [True, True]]))
    assert np.isneginf(scores[0]).all()
    np.testing.assert_allclose(np.exp(scores[1]), [0.5, 0.5])


def test_an_only_child_takes_all_of_its_parents_share():
    shares = _Siblings(np.array([0, 1, 1])).log_share(np.array([[5.0, -1.0, -1.0]], dtype=np.float32))
    np.testing.assert_allclose(shares, [[0, np.log(0.5), np.log(0.5)]], atol=1e-6)
