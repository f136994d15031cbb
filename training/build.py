"""From a configuration to the parts of a run: graph, texts, cut-offs, model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from console import track
from data.dataset import Dataset
from encoders.text import TextEncoder
from encoders.text_bank import TextBank
from encoders.text_cache import FrozenCache
from evidence.config import EvidenceConfig
from fusion.config import ModelConfig
from fusion.model import CrossAisle, ModelShape, Step
from kg.load import LoadReport, load_graph
from kg.readback import GraphData, read_graphs
from kg.schema import level_labels
from kg.store import GraphStore
from training.config import TrainConfig
from training.cutoffs import Chain, CutOff, Examples, rerank_names
from training.graphs import ModelGraph, model_graph
from training.module import TextPlan

PRODUCT = "Product"


def evidence_config(config: TrainConfig) -> EvidenceConfig:
    """The evidence's configuration with the protocol's horizon."""
    return replace(config.evidence, horizon=config.protocol.horizon)


def load_and_read(config: TrainConfig, dataset: Dataset) -> tuple[LoadReport, dict[int, GraphData]]:
    """Bring the graph into the store, unless it is there, and read it back as known at each cut-off."""
    cutoffs = config.protocol.cutoffs
    with GraphStore.open(config.store) as store:
        report = load_graph(store, dataset, cutoffs, config.copurchase)
        return report, read_graphs(store, cutoffs)


def model_graphs(graphs: dict[int, GraphData], config: TrainConfig | None = None) -> dict[int, ModelGraph]:
    """Prepare each cut-off's graph for the model; without a configuration just as it is."""
    config = config or TrainConfig()
    return {cutoff: model_graph(graph, config.model.graph, config.seed) for cutoff, graph in graphs.items()}


def text_plan(dataset: Dataset, config: TrainConfig | None = None) -> tuple[TextPlan, list[str]]:
    """Where each label's texts are, and all texts: taxonomy levels from the top, then products.

    With ``text.shuffled`` each label's texts are permuted among its nodes; without a configuration they are not.
    """
    labels = level_labels(dataset)
    spans: dict[str, tuple[int, int]] = {}
    texts: list[str] = []
    for name, level in dataset.catalogue.levels.items():
        spans[labels[name]] = (len(texts), len(texts) + len(level))
        texts += level.texts
    spans[PRODUCT] = (len(texts), len(texts) + len(dataset.catalogue.product_texts))
    texts += dataset.catalogue.product_texts
    if config is not None and config.text.shuffled:
        texts = _shuffled(texts, spans, config.seed)
    return TextPlan(spans, PRODUCT), texts


def _shuffled(texts: list[str], spans: dict[str, tuple[int, int]], seed: int) -> list[str]:
    """The texts permuted within each span."""
    rng, out = np.random.default_rng(seed), list(texts)
    for first, last in spans.values():
        out[first:last] = [texts[first + place] for place in rng.permutation(last - first)]
    return out


def text_bank(config: TrainConfig, texts: list[str]) -> TextBank:
    """Encode every distinct text once; encodings are kept between runs."""
    folder = Path(config.text_cache) if config.text_cache else None
    return TextBank(TextEncoder(config.text), texts, FrozenCache(folder))


def cutoff(config: TrainConfig, dataset: Dataset, chain: Chain, time: int, graph: ModelGraph) -> CutOff:
    """Everything that is known at a cut-off."""
    return CutOff(dataset, chain, time, graph, evidence_config(config), config.within, config.candidates)


class ExampleStore:
    """Training examples by cut-off, made when first asked for and kept for the phases of one run.

    Args:
        config: the run's.
        dataset: the shop's data.
        chain: levels from the interest level down.
        graphs: by cut-off.
        validation: the validation cut-off, which the final fit may learn from too, where it is made already.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        chain: Chain,
        graphs: dict[int, ModelGraph],
        validation: CutOff | None = None,
    ) -> None:
        self.config, self.dataset, self.chain, self.graphs = config, dataset, chain, graphs
        self._known = {} if validation is None else {validation.time: validation}
        self._made: dict[int, tuple[Examples, list[Tensor]]] = {}

    def get(self, times: Iterable[int]) -> tuple[list[Examples], list[list[Tensor]]]:
        """Examples and per-child evidence of some cut-offs."""
        for time in track([time for time in times if time not in self._made], "training examples"):
            self._made[time] = self._make(time)
        made = [self._made[time] for time in times]
        return [examples for examples, _ in made], [items for _, items in made]

    def kept(self, times: Iterable[int]) -> list[CutOff]:
        """Those of the cut-offs whose candidates the re-ranking learns from, in order of time."""
        examples, _ = self.get(latest(self.config, times))
        return [one.cutoff for one in examples]

    def keep_for_reranking(self, times: Iterable[int]) -> None:
        """Let go of all that only the interest level learns from: other cut-offs, and the kept per-pair evidence."""
        self._made = {time: self._made[time] for time in latest(self.config, times) if time in self._made}
        self._known.clear()
        for examples, _ in self._made.values():
            examples.forget_pairs()

    def _make(self, time: int) -> tuple[Examples, list[Tensor]]:
        one = self._known.get(time) or cutoff(self.config, self.dataset, self.chain, time, self.graphs[time])
        items = [torch.from_numpy(step.items) for step in one.steps]
        rng = np.random.default_rng([self.config.seed, time])
        room = self.config.examples.cache_mb * 2**20 - sum(kept.pair_bytes for kept, _ in self._made.values())
        keep = time in rerank_cutoffs(self.config)
        return Examples(one, self.config.protocol.horizon, self.config.examples, room, rng, keep), items


def rerank_cutoffs(config: TrainConfig) -> set[int]:
    """Cut-offs whose candidates the re-ranking learns from: the latest for choosing, the latest for the final fit."""
    if not reranks(config.model):
        return set()
    return {*latest(config, config.protocol.train_cutoffs), *latest(config, config.protocol.refit_cutoffs)}


def latest(config: TrainConfig, times: Iterable[int]) -> list[int]:
    """The latest of some cut-offs, as many as the re-ranking learns from."""
    return sorted(times)[-config.examples.rerank_cutoffs :]


def reranks(config: ModelConfig) -> bool:
    """Whether candidates are ranked again."""
    return config.rerank.candidates > 0 and config.pair_evidence


def shape_of(dataset: Dataset, bank: TextBank, last: CutOff, config: ModelConfig) -> ModelShape:
    """The sizes that the data fixes, from the latest cut-off (whose graph has every relation).

    Args:
        dataset: the shop's data.
        bank: of its texts.
        last: the latest cut-off.
        config: the model's; whether candidates below the interest level are ranked again, and with texts.
    """
    labels = level_labels(dataset)
    contracted, interest = last.graph.contracted, last.interest
    steps = [
        Step(
            PRODUCT if level is None else labels[level.name],
            len(evidence.item_names),
            len(evidence.pair_names),
            len(rerank_names(last, number, "text" in config.modalities)) if reranks(config) else 0,
        )
        for number, (level, evidence) in enumerate(zip(last.chain.levels, last.steps, strict=True))
    ]
    interest_label = labels[dataset.catalogue.interest_level]
    return ModelShape(
        node_types=sorted(contracted.num_nodes),
        edge_types=sorted(contracted.matrices),
        interest=interest_label,
        n_interest=len(dataset.catalogue.interest),
        leaf=PRODUCT,
        leaf_edges=sorted(last.graph.neighbours),
        text_labels=list(labels.values()),
        text_dim=bank.dim,
        pair_features=len(interest.pair_names),
        item_features=len(interest.item_names),
        user_features=len(interest.user_names),
        purchase_features=len(interest.purchase_names),
        steps=steps,
        nodes={label: len(last.graph.ids[label]) for label in (interest_label, *(step.label for step in steps))},
    )


def fit_scales(model: CrossAisle, examples: list[Examples], items: list[list[Tensor]], seed: int) -> None:
    """Take the scale of every input from training examples."""
    rng = np.random.default_rng(seed)
    model.pair_scale.fit([one.unseen_pairs(400, rng) for one in examples])
    model.item_scale.fit([one.cutoff.items for one in examples])
    model.user_scale.fit([torch.from_numpy(one.figures) for one in examples])
    for number, step in enumerate(model.shape.steps):
        head = model.get_submodule(f"within.within_{step.label}")
        head.item_scale.fit([part[number] for part in items])  # type: ignore[union-attr,operator]
        listed = [torch.from_numpy(one.choices[number].pairs) for one in examples if len(one.choices[number].user)]
        if listed:
            head.pair_scale.fit(listed)  # type: ignore[union-attr,operator]
