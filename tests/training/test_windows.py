"""No window sees its future: with another one from its test cut-off on, nothing that it is trained on moves."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.splits import ProtocolConfig, targets
from data.windows import windows
from evaluation.baselines import Ease, Popularity
from evaluation.scorer import Problem
from evidence.config import EvidenceConfig
from evidence.interest import InterestEvidence
from tests.futures import another_future
from training.run import levels_of
from training.windows import _keep_or_empty

PROTOCOL = ProtocolConfig(31, 22, [12, 16], [16, 24], 6, [26, 28, 31])
WINDOWS = PROTOCOL.test_cutoffs


@pytest.fixture(scope="module")
def dataset():
    sizes = SyntheticConfig(products=96, users=60, departments=4, categories=24, types_per_category=2)
    return load(DataConfig(source="synthetic", synthetic=sizes))


@pytest.fixture(scope="module", params=range(len(WINDOWS)), ids=lambda at: str(WINDOWS[at]))
def window(request, dataset):
    """A window's protocol, and the shop with another future after it."""
    protocol = windows(PROTOCOL, dataset.log)[request.param]
    return protocol, another_future(dataset, protocol.test_cutoff)


def found_targets(dataset, cutoff, horizon):
    return {name: targets(dataset, level, cutoff, horizon).hits for name, level in levels_of(dataset).items()}


def test_the_future_is_another_one(dataset, window):
    protocol, other = window
    one, changed = (found_targets(d, protocol.test_cutoff, protocol.horizon)["category"] for d in (dataset, other))
    assert (one != changed).nnz > 20


def test_all_that_is_trained_and_chosen_on_stays(dataset, window):
    protocol, other = window
    before = [time for time in protocol.cutoffs if time != protocol.test_cutoff]
    assert len(before) == len({*protocol.train_cutoffs, *protocol.refit_cutoffs, protocol.validation_cutoff})
    for time in before:
        one, changed = (found_targets(d, time, protocol.horizon) for d in (dataset, other))
        assert all((one[name] != changed[name]).nnz == 0 and one[name].nnz for name in one), time


def test_all_that_is_known_at_the_window_stays(dataset, window):
    protocol, other = window
    time, rows = protocol.test_cutoff, np.arange(dataset.log.n_users)
    one, changed = (d.log.before(time) for d in (dataset, other))
    for name in ("user", "product", "time", "quantity", "value"):
        np.testing.assert_array_equal(getattr(one, name), getattr(changed, name), err_msg=name)
    evidence = [
        InterestEvidence(d, d.catalogue.interest, d.catalogue.above, time, EvidenceConfig(horizon=protocol.horizon))
        for d in (dataset, other)
    ]
    np.testing.assert_array_equal(evidence[0].items, evidence[1].items)
    np.testing.assert_array_equal(evidence[0].pairs(one, rows), evidence[1].pairs(changed, rows))
    for make in (Popularity, Ease):
        scored = [make().fit(problem := Problem(d, None, time)).score(problem.history, rows) for d in (dataset, other)]
        np.testing.assert_array_equal(*scored)


def test_a_window_differs_from_the_protocol_in_its_cut_offs_alone(dataset):
    moved = {"test_cutoff", "validation_cutoff", "train_cutoffs", "refit_cutoffs", "test_cutoffs"}
    for one in windows(PROTOCOL, dataset.log):
        for field in fields(ProtocolConfig):
            assert field.name in moved or getattr(one, field.name) == getattr(PROTOCOL, field.name)


def test_baselines_of_other_settings_are_made_anew(tmp_path):
    for facts, kept in (({"seed": 3}, False), ({"seed": 3}, True), ({"seed": 4}, False)):
        _keep_or_empty(tmp_path / "31", facts)
        assert (tmp_path / "31" / "category").exists() == kept
        (tmp_path / "31" / "category").mkdir(exist_ok=True)
