"""One tiny training with the real language model and the real embedded graph store, for all tests of the folder."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest

from data.config import DataConfig, SyntheticConfig
from data.dataset import Dataset
from data.splits import ProtocolConfig
from encoders.text_config import TextConfig
from fusion.config import ModelConfig, RerankConfig
from kg.config import CoPurchaseConfig, StoreConfig
from tests.futures import another_future
from training import build
from training.config import OptimiserConfig, TrainConfig
from training.cutoffs import Chain
from training.run import Job

TEST_CUTOFF = 31


def settings(folder):
    """Sixty users, 24 categories in 4 departments, three types in each."""
    sizes = SyntheticConfig(products=144, users=60, departments=4, categories=24, types_per_category=3)
    sizes = replace(sizes, start_categories=4, later_categories=4, baskets_per_user=15)
    return TrainConfig(
        data=DataConfig(source="synthetic", synthetic=sizes),
        store=StoreConfig(uri="embedded", home=folder / "graph", heap="256m"),
        copurchase=CoPurchaseConfig(min_support=2, top_k=4, below_top_k=3),
        protocol=ProtocolConfig(
            train_cutoffs=[12, 16],
            validation_cutoff=22,
            refit_cutoffs=[16, 24],
            test_cutoff=TEST_CUTOFF,
            horizon=6,
        ),
        text=TextConfig(strategy="lora", sample=8, max_tokens=16, precision="fp32"),
        model=ModelConfig(dim=12, modalities=["graph", "text", "collaborative"], rerank=RerankConfig(20, 8)),
        optimiser=OptimiserConfig(epochs=2, batch_size=16, text_epochs=1, accelerator="cpu"),
        text_cache=str(folder / "text"),
    )


@dataclass
class Run:
    """A finished training and all its parts."""

    config: TrainConfig
    dataset: Dataset
    job: Job
    raw: dict[int, Any]
    graphs: dict[int, Any]
    plan: Any
    bank: Any
    trained: Any
    cutoff: Any

    def examples(self, time=16):
        """Examples and per-child evidence at a training cut-off, made afresh."""
        store = build.ExampleStore(self.config, self.dataset, Chain.of(self.dataset), self.graphs)
        return store.get([time])


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    config = settings(folder)
    (folder / "run").mkdir()
    job = Job(config, folder / "run")
    dataset = job.read_data()
    _, raw = build.load_and_read(config, dataset)
    graphs = build.model_graphs(copy.deepcopy(raw))
    plan, bank = job.encode_texts(dataset)
    trained, cutoff = job.train(dataset, graphs, plan, bank)
    return Run(config, dataset, job, raw, graphs, plan, bank, trained, cutoff)


@pytest.fixture(scope="session")
def other_future(run):
    """The same shop with another future after the test cut-off, its graph loaded and read back."""
    dataset = another_future(run.dataset, TEST_CUTOFF)
    report, raw = build.load_and_read(run.config, dataset)
    assert not report.skipped
    graphs = build.model_graphs(copy.deepcopy(raw))
    cutoff = build.cutoff(run.config, dataset, Chain.of(dataset), TEST_CUTOFF, graphs[TEST_CUTOFF])
    return dataset, raw, cutoff
