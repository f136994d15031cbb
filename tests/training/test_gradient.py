"""One gradient: a single backward pass reaches graph encoder, language model, fusion, history and heads."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch

from fusion.model import CrossAisle
from training import build
from training.datamodule import CutOffData
from training.module import InterestModule

PARTS = {
    "graph encoder": "model.graph.",
    "fusion attention": "model.fusion.",
    "history encoder": "model.history.",
    "interest head": "model.head.",
    "head of types": "model.within.within_Type.",
    "head of products": "model.within.within_Product.",
    "language model": "bank.encoder.",
}
INTEREST_ONLY = ("graph encoder", "fusion attention", "history encoder", "interest head", "language model")


def fresh_module(run, **model):
    """An untrained model with the real language model, and a batch of users."""
    torch.manual_seed(0)
    examples, items = run.examples()
    plan, texts = build.text_plan(run.dataset)
    bank = build.text_bank(run.config, texts)
    shape = build.shape_of(run.dataset, bank, run.cutoff, run.config.model)
    network = CrossAisle(shape, replace(run.config.model, dropout=0.0, **model))
    build.fit_scales(network, examples, items, 0)
    module = InterestModule(network, bank, plan, [examples[0].cutoff], run.config.optimiser, True, None)
    return module.train(), CutOffData(examples, items, 32, 0).batches(0)[0]


def step(module, batch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no trainer to log to
        loss = module.training_step(batch, 0)
    loss.backward()
    return loss


def of_part(module, part):
    found = {name: p for name, p in module.named_parameters() if name.startswith(PARTS[part])}
    return {name: p for name, p in found.items() if p.requires_grad}


@pytest.fixture(scope="module")
def stepped(run):
    """A module after one backward pass and one step of the optimiser, with its weights before."""
    module, batch = fresh_module(run)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    optimiser = torch.optim.AdamW(module.parameter_groups(), weight_decay=0.0)
    loss = step(module, batch)
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}
    optimiser.step()
    return module, before, gradients, loss


@pytest.mark.parametrize("part", PARTS)
def test_one_backward_pass_reaches(stepped, part):
    module, _, gradients, loss = stepped
    assert loss.isfinite()
    reached = [name for name in of_part(module, part) if gradients[name] is not None and gradients[name].any()]
    assert reached, part
    assert all(gradients[name].isfinite().all() for name in reached)


@pytest.mark.parametrize("part", PARTS)
def test_one_step_moves(stepped, part):
    module, before, gradients, _ = stepped
    for name, parameter in of_part(module, part).items():
        moved = not torch.equal(parameter.detach(), before[name])
        assert moved == (gradients[name] is not None and bool(gradients[name].any())), name
    assert any(not torch.equal(p.detach(), before[name]) for name, p in of_part(module, part).items())


def test_each_adapter_is_reached(stepped):
    """At the start B = 0, so that A has no gradient yet and B has (Hu et al., 2021)."""
    _, _, gradients, _ = stepped
    adapters = {name: grad for name, grad in gradients.items() if "lora_B" in name}
    assert len(adapters) >= 4
    assert all(grad is not None and grad.any() for grad in adapters.values())


def test_the_attention_itself_is_reached(stepped):
    module, _, gradients, _ = stepped
    label = module.model.shape.interest
    for kind in ("query", "key", "value"):
        names = [n for n in gradients if n.startswith(f"model.fusion.fuse_{label}.{kind}")]
        assert any(gradients[n] is not None and gradients[n].any() for n in names), kind


def test_the_language_model_below_the_adapters_stays_frozen(stepped):
    module, before, gradients, _ = stepped
    base = [n for n, p in module.named_parameters() if n.startswith("bank.encoder.") and not p.requires_grad]
    assert len(base) > 50
    assert all(gradients[name] is None for name in base)
    assert all(torch.equal(dict(module.named_parameters())[name], before[name]) for name in base)


def test_the_interest_loss_alone_reaches_all_encoders(run):
    """Without the losses below the interest level and without the pull towards the frozen language model."""
    module, batch = fresh_module(run, within_weight=0.0)
    module.config = replace(module.config, text_drift=0.0)
    step(module, batch)
    for part in INTEREST_ONLY:
        grads = [p.grad for p in of_part(module, part).values() if p.grad is not None]
        assert any(grad.any() for grad in grads), part
    for part in ("head of types", "head of products"):
        assert not any(p.grad is not None and p.grad.any() for p in of_part(module, part).values()), part


def test_a_frozen_language_model_gets_no_gradient(run):
    module, batch = fresh_module(run)
    module.tune_text = False
    step(module, batch)
    assert not any(p.grad is not None and p.grad.any() for p in of_part(module, "language model").values())
    assert any(p.grad is not None and p.grad.any() for p in of_part(module, "graph encoder").values())


def test_steps_bring_the_loss_down(run):
    module, batch = fresh_module(run)
    optimiser = torch.optim.AdamW(module.parameter_groups(), weight_decay=0.0)
    losses = []
    for number in range(8):
        optimiser.zero_grad()
        losses.append(step(module, batch).item())
        optimiser.step()
        module.on_train_batch_end(None, batch, number)
    assert losses[-1] < losses[0]


def test_training_leaves_the_given_evidence_alone(run):
    module, batch = fresh_module(run)
    before = copy.deepcopy(batch.evidence)
    step(module, batch)
    assert torch.equal(batch.evidence.pairs, before.pairs)
    assert torch.equal(batch.evidence.items, before.items)
