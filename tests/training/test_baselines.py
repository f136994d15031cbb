from __future__ import annotations

from typing import get_args

import pytest

import train
from data.config import DataConfig, SyntheticConfig
from data.load import load
from data.splits import ProtocolConfig
from evaluation.baselines import default_grids
from evaluation.extra import extra_grids
from evaluation.scorer import Problem
from evidence.config import EvidenceConfig
from training import baselines
from training.config import BaselineConfig, BaselineName

EXTRA = ["store_popularity", "user_knn", "user_cf", "bpr"]
LEVELS = ["category", "type", "product"]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A shop of sixty users, and the baselines that a run leaves out unless they are named."""
    sizes = SyntheticConfig(products=96, users=60, departments=4, categories=24, types_per_category=2)
    data = DataConfig(source="synthetic", synthetic=sizes)
    protocol = ProtocolConfig(test_cutoff=31, validation_cutoff=24, horizon=6)
    folder = tmp_path_factory.mktemp("baselines")
    return baselines.Job(data, protocol, EvidenceConfig(), BaselineConfig(["popularity", *EXTRA]), folder, 0)


def test_every_name_is_a_baseline(job):
    dataset = load(job.data)
    problem = Problem(dataset, dataset.catalogue.interest, 31)
    assert {*default_grids(problem), *extra_grids(problem), "lightgbm"} == set(get_args(BaselineName))


def test_named_baselines_are_run_at_every_level(job):
    baselines.run(job, load(job.data))
    for level in LEVELS:
        found = baselines.collect(job.folder / level, [*EXTRA, "popularity"])
        assert list(found) == [*EXTRA, "popularity"]
        for name in EXTRA:
            rankings, facts = found[name]
            assert (rankings.items[:, 0] >= 0).all()
            assert facts["settings"] in [trial["config"] for trial in facts["trials"]]
        assert not (job.folder / level / "ease.npz").exists()


def test_a_flag_adds_baselines_to_the_default():
    default = train.parse([], train.build_parser()).baselines.names
    assert not set(EXTRA) & set(default)
    one = train.parse(["--baselines.names+=user_knn"], train.build_parser())
    assert one.baselines.names == [*default, "user_knn"]
    several = train.parse([f"--baselines.names+=[{', '.join(EXTRA)}]"], train.build_parser())
    assert several.baselines.names == [*default, *EXTRA]
