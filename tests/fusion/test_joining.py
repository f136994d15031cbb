from __future__ import annotations

import pytest
import torch

from fusion.attention import ModalityAttention
from fusion.config import FusionConfig
from fusion.joining import ModalityConcatenation, ModalityGating, modality_fusion

WIDTHS = {"graph": 4, "text": 7, "id": 4}
DIM, N = 5, 6
OTHERS = ["concatenation", "gating"]


def fuse(kind, **settings):
    torch.manual_seed(0)
    return modality_fusion(WIDTHS, DIM, FusionConfig(kind=kind, **settings))


def vectors(n=N):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(n, width, generator=generator) for name, width in WIDTHS.items()}


def projected(model, x):
    """V_m x_m side by side, shape (n, modalities · dim)."""
    return torch.cat([model.value[name](x[name]) for name in WIDTHS], dim=1)


@pytest.mark.parametrize(
    ("kind", "made"),
    [("attention", ModalityAttention), ("concatenation", ModalityConcatenation), ("gating", ModalityGating)],
)
def test_the_settings_name_the_kind(kind, made):
    assert type(fuse(kind)) is made


@pytest.mark.parametrize("kind", OTHERS)
def test_shapes_and_weights(kind):
    out, weights = fuse(kind).eval()(vectors())
    assert out.shape == (N, DIM)
    assert weights.shape == (N, 3)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))


def test_the_formula_of_concatenation():
    model, x = fuse("concatenation").eval(), vectors()
    torch.testing.assert_close(model(x)[0], model.norm(model.together(projected(model, x))))


def test_the_formula_of_gating():
    model, x = fuse("gating").eval(), vectors()
    values = projected(model, x)
    gated = torch.sigmoid(model.gate(values)) * values
    out, weights = model(x)
    torch.testing.assert_close(out, model.norm(sum(gated.split(DIM, dim=1))))
    means = torch.stack([part.mean(dim=1) for part in torch.sigmoid(model.gate(values)).split(DIM, dim=1)], dim=1)
    torch.testing.assert_close(weights, means / means.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("kind", OTHERS)
def test_a_missing_modality_says_nothing(kind):
    present = torch.ones(N, 3, dtype=torch.bool)
    present[0, 1] = False
    model, x = fuse(kind).eval(), vectors()
    out, weights = model(x, present)
    assert weights[0, 1] == 0
    x["text"][0] = 100.0
    torch.testing.assert_close(model(x, present)[0], out)
    assert not torch.allclose(model(x)[0], out)


@pytest.mark.parametrize("kind", OTHERS)
def test_dropout_never_hides_all(kind):
    out, weights = fuse(kind, modality_dropout=1.0).train()(vectors())
    assert out.isfinite().all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(N))


@pytest.mark.parametrize("kind", OTHERS)
def test_gradient_reaches_every_weight_and_modality(kind):
    model = fuse(kind, modality_dropout=0.0)
    x = {name: value.requires_grad_() for name, value in vectors().items()}
    (model(x)[0] * torch.randn(N, DIM)).sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in x.values())
    assert not [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]
