from __future__ import annotations

import pytest
import torch

from fusion.attention import ModalityAttention
from fusion.config import FusionConfig

WIDTHS = {"graph": 4, "text": 7, "collaborative": 4}
DIM, N = 5, 6


def fuse(**settings):
    torch.manual_seed(0)
    return ModalityAttention(WIDTHS, DIM, FusionConfig(**settings))


def vectors(n=N, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, width, generator=generator) for name, width in WIDTHS.items()}


def test_shapes_and_weights():
    out, weights = fuse().eval()(vectors())
    assert out.shape == (N, DIM)
    assert weights.shape == (N, 3)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))
    assert (weights > 0).all()


def test_the_formula():
    """v = LayerNorm(Σ a V x), a = softmax(q · tanh(W V x + b) / τ)."""
    model, x = fuse(temperature=2.0).eval(), vectors()
    values = torch.stack([model.value[name](x[name]) for name in WIDTHS])
    logits = (
        torch.stack([model.query(torch.tanh(model.key[name](v)))[:, 0] for name, v in zip(WIDTHS, values, strict=True)])
        / 2
    )
    expected = torch.softmax(logits, dim=0)
    out, weights = model(x)
    torch.testing.assert_close(weights, expected.T)
    torch.testing.assert_close(out, model.norm((expected[..., None] * values).sum(dim=0)))


def test_a_missing_modality_weighs_nothing():
    present = torch.ones(N, 3, dtype=torch.bool)
    present[0, 1] = present[1, 0] = present[1, 2] = False
    model, x = fuse().eval(), vectors()
    out, weights = model(x, present)
    assert (weights[~present] == 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))
    x["text"][0] = 100.0
    torch.testing.assert_close(model(x, present)[0], out)


def test_a_node_without_any_modality_is_still_finite():
    out, weights = fuse().eval()(vectors(), torch.zeros(N, 3, dtype=torch.bool))
    assert out.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_dropout_never_hides_all(share):
    model = fuse(modality_dropout=share).train()
    present = torch.ones(500, 3, dtype=torch.bool)
    present[:250, 0] = False
    torch.manual_seed(0)
    out, weights = model(vectors(500), present)
    assert out.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(500))
    assert (weights[~present] == 0).all()
    if share < 1:
        assert (weights[present] == 0).any()


def test_dropout_in_training_only():
    model = fuse(modality_dropout=0.5)
    assert (model.train()(vectors(100))[1] == 0).any()
    assert (model.eval()(vectors(100))[1] > 0).all()


def test_temperature_flattens():
    hot, cold = fuse(temperature=50.0).eval(), fuse(temperature=0.05).eval()
    assert hot(vectors())[1].max() < 0.36
    assert cold(vectors())[1].max() > 0.9


def test_gradient_reaches_every_weight_and_input():
    model, x = fuse(modality_dropout=0.0), vectors()
    x = {name: value.requires_grad_() for name, value in x.items()}
    out, _ = model(x)
    (out * torch.randn(N, DIM)).sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in x.values())
    assert not [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]


def test_one_modality_has_all_the_weight():
    model = ModalityAttention({"text": 7}, DIM, FusionConfig(modality_dropout=0.9)).train()
    _, weights = model({"text": torch.randn(N, 7)})
    assert (weights == 1).all()
