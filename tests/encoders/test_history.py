from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.config import HistoryConfig
from encoders.history import HistoryEncoder

DIM, CATEGORIES, FEATURES, FIGURES, POOLS = 6, 9, 4, 3, 2


def encoder(**settings):
    torch.manual_seed(0)
    return HistoryEncoder(DIM, FEATURES, FIGURES, HistoryConfig(pools=POOLS, **settings))


@pytest.fixture
def batch():
    """Three users with four, two and no purchases."""
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    return {
        "items": torch.randn(CATEGORIES, DIM, generator=generator),
        "bought": torch.tensor([[0, 3, 5, 8], [2, 4, 0, 0], [0, 0, 0, 0]]),
        "features": torch.randn(3, 4, FEATURES, generator=generator),
        "mask": mask,
        "figures": torch.randn(3, FIGURES, generator=generator),
    }


def test_shapes(batch):
    users, attention = encoder().eval()(**batch)
    assert users.shape == (3, DIM)
    assert attention.shape == (3, 4, POOLS)


def test_attention_sums_to_one_over_what_was_bought(batch):
    _, attention = encoder().eval()(**batch)
    torch.testing.assert_close(attention.sum(dim=1), torch.tensor([[1.0] * POOLS, [1.0] * POOLS, [0.0] * POOLS]))
    assert (attention[~batch["mask"]] == 0).all()
    assert (attention[batch["mask"]] > 0).all()


def test_the_order_of_purchases_does_not_matter(batch):
    model, order = encoder().eval(), torch.tensor([2, 0, 3, 1])
    users, attention = model(**batch)
    other = {**batch, **{name: batch[name][:, order] for name in ("bought", "features", "mask")}}
    shuffled, moved = model(**other)
    torch.testing.assert_close(shuffled, users)
    torch.testing.assert_close(moved, attention[:, order])


def test_padding_does_not_matter(batch):
    model = encoder().eval()
    one = {name: batch[name][1:2] for name in ("bought", "features", "mask", "figures")}
    short = {**one, **{name: one[name][:, :2] for name in ("bought", "features", "mask")}}
    torch.testing.assert_close(model(batch["items"], **short)[0], model(batch["items"], **one)[0])
    garbage = {**one, "bought": torch.tensor([[2, 4, 7, 1]])}
    torch.testing.assert_close(model(batch["items"], **garbage)[0], model(batch["items"], **one)[0])


def test_a_user_without_history_is_their_figures(batch):
    model = encoder().eval()
    users, _ = model(**batch)
    assert users.isfinite().all()
    other, _ = model(**{**batch, "items": batch["items"] + 1})
    assert torch.equal(other[2], users[2])
    assert not torch.equal(other[0], users[0])


def test_one_by_one_is_as_in_a_batch(batch):
    model = encoder().eval()
    users, _ = model(**batch)
    for row in range(3):
        one = {name: batch[name][row : row + 1] for name in ("bought", "features", "mask", "figures")}
        torch.testing.assert_close(model(batch["items"], **one)[0][0], users[row])


def test_gradient_reaches_items_bought_and_every_weight(batch):
    model = encoder(dropout=0.0)
    items = batch["items"].requires_grad_()
    users, _ = model(**batch)
    (users * torch.randn(3, DIM)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    touched = set(np.flatnonzero(items.grad.abs().sum(dim=1)).tolist())
    assert touched == {0, 3, 5, 8, 2, 4}


def test_purchases_are_hidden_in_training_only(batch):
    model = encoder(dropout=0.5)
    full = batch["mask"].sum()
    hidden = [(model.train()(**batch)[1][..., 0] > 0).sum() for _ in range(20)]
    assert min(hidden) < full
    assert (model.eval()(**batch)[1][..., 0] > 0).sum() == full
    assert all(model.train()(**batch)[0].isfinite().all() for _ in range(20))


def test_the_weight_depends_on_when_and_how_much(batch):
    model = encoder().eval()
    louder = batch["features"].clone()
    louder[0, 2] += 3
    before, after = model(**batch)[1], model(**{**batch, "features": louder})[1]
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])
