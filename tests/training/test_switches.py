"""What the settings leave out or shuffle has no say, and the rest still has."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusion.config import FusionConfig, RerankConfig
from fusion.model import CrossAisle
from tests.training.test_gradient import fresh_module, of_part, step
from training import build
from training.config import TrainConfig
from training.cutoffs import Chain
from training.graphs import shuffled
from training.module import InterestModule
from training.phases import PhaseResult
from training.run import Job, attention_by_label, levels_of
from training.saved import load_model, save_model
from training.scorer import CrossAisleScorer

LEVELS = ["category", "type", "product"]


@pytest.fixture(scope="module")
def cutoff(run):
    """The test cut-off with a graph of its own, to be changed."""

    def make(raw=None, graph=None):
        config = replace(run.config, model=replace(run.config.model, graph=graph or run.config.model.graph))
        moment = run.config.protocol.test_cutoff
        graphs = build.model_graphs({moment: copy.deepcopy(raw or run.raw[moment])}, config)
        return build.cutoff(config, run.dataset, Chain.of(run.dataset), moment, graphs[moment])

    return make


def model_at(run, cutoff, **model):
    """A model whose every weight says something."""
    config = replace(run.config.model, **model)
    network = CrossAisle(build.shape_of(run.dataset, run.bank, cutoff, config), config)
    generator = torch.Generator().manual_seed(5)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 0.3, generator=generator)
    return InterestModule(network, run.bank, run.plan, [], run.config.optimiser, False, None).eval()


def scores(run, module, cutoff):
    """Scores of three users at every level."""
    rows = np.array([2, 5, 9])
    scorer = CrossAisleScorer(module, cutoff)
    found = {}
    for number, level in enumerate(levels_of(run.dataset)):
        scorer.step = number - 1
        found[level] = scorer.score(cutoff.history.of_users(rows), rows)
    return found


def same(one, other):
    """Levels at which two scores are the same."""
    return [level for level in LEVELS if np.allclose(one[level], other[level], atol=1e-5)]


@pytest.fixture
def other_texts(run):
    """Puts other vectors in the place of the texts', until the test ends."""
    kept = run.bank.cache
    yield lambda: setattr(run.bank, "cache", torch.randn_like(kept))
    run.bank.cache = kept


TEXTLESS = [["graph"], ["graph", "collaborative"], ["id"]]


@pytest.mark.parametrize("modalities", [*TEXTLESS, ["graph", "text"], ["text"]], ids=",".join)
def test_texts_count_where_they_are_a_modality(run, cutoff, other_texts, modalities):
    here = cutoff()
    module = model_at(run, here, modalities=modalities)
    before = scores(run, module, here)
    other_texts()
    assert same(before, scores(run, module, here)) == (LEVELS if modalities in TEXTLESS else [])


@pytest.mark.parametrize("modalities", [["text"], ["id"], ["graph", "text"]], ids=",".join)
def test_the_graph_counts_where_it_is_a_modality(run, cutoff, modalities):
    here = cutoff()
    module = model_at(run, here, modalities=modalities)
    before = scores(run, module, here)
    there = cutoff(graph=replace(run.config.model.graph, shuffled=True))
    assert same(before, scores(run, module, there)) == ([] if "graph" in modalities else LEVELS)


@pytest.mark.parametrize("counted", [True, False])
def test_co_purchases_count_where_they_are_asked_for(run, cutoff, counted):
    settings = replace(run.config.model.graph, co_purchases=counted)
    here = cutoff(graph=settings)
    assert any("BOUGHT_WITH" in edge[1] for edge in here.graph.contracted.matrices) == counted
    module = model_at(run, here)
    raw = copy.deepcopy(run.raw[run.config.protocol.test_cutoff])
    for edge in raw.data.edge_types:
        if "BOUGHT_WITH" in edge[1]:
            raw.data[edge].edge_index = raw.data[edge].edge_index.roll(1, dims=1)
            raw.data[edge].edge_attr = raw.data[edge].edge_attr.flip(0)
            raw.data[edge].edge_index[1] = raw.data[edge].edge_index[1].flip(0)
    assert same(scores(run, module, here), scores(run, module, cutoff(raw, settings))) == ([] if counted else LEVELS)


@pytest.mark.parametrize("shown", [True, False])
def test_pair_evidence_counts_where_it_is_asked_for(run, cutoff, monkeypatch, shown):
    here = cutoff()
    examples, items = run.examples()
    module = model_at(run, here, pair_evidence=shown)
    build.fit_scales(module.model, examples, items, 0)
    before = scores(run, module, here)
    rng = np.random.default_rng(0)
    for evidence in (here.interest, *here.steps):
        given = evidence.pairs

        def other(*asked, given=given):
            made = given(*asked)
            if isinstance(made, list):
                return [rng.normal(size=part.shape).astype(np.float32) for part in made]
            return rng.normal(size=made.shape).astype(np.float32)

        monkeypatch.setattr(evidence, "pairs", other)
    assert same(before, scores(run, module, here)) == ([] if shown else LEVELS)


def test_vectors_of_their_own_are_the_nodes(run, cutoff):
    """Another vector of one product moves that product's score among its siblings and no category's."""
    here = cutoff()
    module = model_at(run, here, modalities=["id"], rerank=RerankConfig(candidates=0))
    before = scores(run, module, here)
    table = module.model.id["id_Product"].weight
    assert table.shape == (len(run.dataset.catalogue.product_ids), run.config.model.dim)
    with torch.no_grad():
        table[7] += 1
    after = scores(run, module, here)
    assert same(before, after) == ["category", "type"]
    moved = np.flatnonzero(~np.isclose(after["product"], before["product"], atol=1e-4).all(axis=0))
    parent = here.chain.parents[-1]
    assert 7 in moved
    assert set(parent[moved]) == {parent[7]}


def test_gradient_reaches_vectors_of_their_own(run):
    module, batch = fresh_module(run, modalities=["id"])
    module.tune_text = False
    step(module, batch)
    assert module.model.id["id_Category"].weight.grad.any(dim=1).all()
    assert not any(p.grad is not None and p.grad.any() for p in of_part(module, "graph encoder").values())


@pytest.mark.parametrize("kind", ["concatenation", "gating"])
def test_one_backward_pass_reaches_all_whatever_the_fusion(run, kind):
    module, batch = fresh_module(run, fusion=FusionConfig(kind=kind))
    assert step(module, batch).isfinite()
    for part in ("graph encoder", "fusion attention", "history encoder", "language model"):
        assert any(p.grad is not None and p.grad.any() for p in of_part(module, part).values()), part


@pytest.mark.parametrize("kind", ["concatenation", "gating"])
def test_such_a_model_is_saved_and_loaded(run, cutoff, tmp_path, kind):
    here = cutoff()
    module = model_at(run, here, fusion=FusionConfig(kind=kind), modalities=["text", "id"], pair_evidence=False)
    save_model(tmp_path, module.model, module.bank.encoder, {})
    model, _, _ = load_model(tmp_path)
    module_again = InterestModule(model, run.bank, run.plan, [], run.config.optimiser, False, None).eval()
    assert same(scores(run, module, here), scores(run, module_again, here)) == LEVELS


def test_concatenation_has_no_weights_to_tell(run, cutoff):
    here = cutoff()
    for kind, labels in (("concatenation", set()), ("gating", {"Category", "Type"})):
        trained = replace(run.trained, module=model_at(run, here, fusion=FusionConfig(kind=kind)))
        assert set(attention_by_label(trained, here)) == labels


def test_shuffled_texts_stay_with_their_label(run):
    plan, texts = build.text_plan(run.dataset)
    orders = []
    for seed in (0, 0, 1):
        config = TrainConfig(text=replace(run.config.text, shuffled=True), seed=seed)
        other, permuted = build.text_plan(run.dataset, config)
        assert other == plan
        for first, last in plan.spans.values():
            assert sorted(permuted[first:last]) == sorted(texts[first:last])
            assert last - first < 10 or permuted[first:last] != texts[first:last]
        orders.append(permuted)
    assert orders[0] == orders[1] != orders[2]
    assert build.text_plan(run.dataset, run.config)[1] == texts


def test_what_is_the_same_at_two_cutoffs_is_shuffled_alike(run):
    one, other = (shuffled(run.raw[time].data, 0) for time in (16, 24))
    edge = ("Product", "IN_TYPE", "Type")
    assert torch.equal(one[edge].edge_index, other[edge].edge_index)
    assert not torch.equal(one[edge].edge_index, run.raw[16].data[edge].edge_index)


def test_a_model_that_reads_no_text_tunes_none(run):
    class Once:
        def run(self, name, *_, **__):
            assert name == "choose"
            return PhaseResult(name, 1, [{"ndcg@20": 0.5}], 0.5)

    job = copy.copy(run.job)
    assert isinstance(job, Job)
    job.config = replace(run.config, model=replace(run.config.model, modalities=["graph"]))
    phases, text = job._choose(Once(), None, run.bank, run.plan, None)
    assert len(phases) == 1
    assert not text["kept"]


def test_no_baselines_no_process(run):
    job = copy.copy(run.job)
    job.config = replace(run.config, baselines=replace(run.config.baselines, names=[]))
    assert job.start_baselines(run.dataset) is None
