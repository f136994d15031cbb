from __future__ import annotations

import pytest
import torch

from fusion.config import HeadConfig
from fusion.heads import InterestHead

USERS, CATEGORIES, PAIR, ITEM, FIGURES, DIM = 5, 7, 3, 2, 4, 6


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "pairs": (USERS, CATEGORIES, PAIR),
        "items": (CATEGORIES, ITEM),
        "figures": (USERS, FIGURES),
        "users": (USERS, DIM),
        "vectors": (CATEGORIES, DIM),
    }
    return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


def head(**settings):
    torch.manual_seed(0)
    return InterestHead(PAIR, ITEM, FIGURES, DIM, HeadConfig(hidden=(8, 4), **settings))


def total(parts):
    return torch.stack(list(parts.values())).sum(dim=0)


def some(inputs, rows):
    return {**inputs, **{name: inputs[name][rows] for name in ("pairs", "figures", "users")}}


def test_every_part_is_a_score_for_each_pair(inputs):
    parts = head().eval()(**inputs)
    assert len(parts) >= 2
    assert all(part.shape == (USERS, CATEGORIES) and part.isfinite().all() for part in parts.values())


def test_one_by_one_is_as_in_a_batch(inputs):
    model = head()
    model.train()(**inputs)  # moves the running figures, if there are any
    model.eval()
    whole = total(model(**inputs))
    for row in range(USERS):
        torch.testing.assert_close(total(model(**some(inputs, [row])))[0], whole[row])


def test_a_batch_of_one_can_be_trained(inputs):
    assert total(head().train()(**some(inputs, [0]))).isfinite().all()


@pytest.mark.parametrize("name", ["pairs", "items", "figures", "users", "vectors"])
def test_every_input_counts_and_has_a_gradient(inputs, name):
    model = head(dropout=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    inputs[name].requires_grad_()
    (total(model(**inputs)) * torch.randn(USERS, CATEGORIES)).sum().backward()
    assert inputs[name].grad.abs().sum() > 0
    assert not [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_the_linear_skip_is_linear(inputs):
    model = head().eval()
    with torch.no_grad():
        model.linear.weight.copy_(torch.randn_like(model.linear.weight))
    joined = torch.cat([inputs["pairs"], inputs["items"].expand(USERS, -1, -1)], dim=-1)
    torch.testing.assert_close(model(**inputs)["linear"], joined @ model.linear.weight[0])


def test_the_order_of_categories_does_not_matter(inputs):
    model, order = head().eval(), torch.randperm(CATEGORIES)
    shuffled = {**inputs, "pairs": inputs["pairs"][:, order], "items": inputs["items"][order]}
    shuffled["vectors"] = inputs["vectors"][order]
    torch.testing.assert_close(total(model(**shuffled)), total(model(**inputs))[:, order])
