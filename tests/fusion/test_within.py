from __future__ import annotations

import pytest
import torch

from fusion.within import WithinHead, choice_loss, segment_logsumexp


@pytest.fixture
def choices():
    generator = torch.Generator().manual_seed(0)
    sizes = [3, 1, 5, 2]
    segment = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    scores = torch.randn(len(segment), generator=generator) * 4
    chosen = torch.zeros(len(segment), dtype=torch.bool)
    chosen[[0, 2, 3, 7, 9]] = True
    return scores, segment, chosen


def test_logsumexp_by_segment(choices):
    scores, segment, _ = choices
    expected = torch.stack([scores[segment == s].logsumexp(0) for s in range(4)])
    torch.testing.assert_close(segment_logsumexp(scores, segment, 4), expected)


def test_logsumexp_of_extreme_scores():
    scores, segment = torch.tensor([1e4, 1e4, -1e4, -1e4]), torch.tensor([0, 0, 1, 1])
    expected = torch.tensor([1e4, -1e4]) + torch.log(torch.tensor(2.0))
    torch.testing.assert_close(segment_logsumexp(scores, segment, 2), expected)


def test_logsumexp_gradcheck(choices):
    scores, segment, _ = choices
    assert torch.autograd.gradcheck(lambda s: segment_logsumexp(s, segment, 4), scores.double().requires_grad_())


def test_loss_is_the_log_softmax_within_segments(choices):
    scores, segment, chosen = choices
    log_p = torch.cat([scores[segment == s].log_softmax(0) for s in range(4)])
    torch.testing.assert_close(choice_loss(scores, segment, 4, chosen), -log_p[chosen].mean())


def test_gradient_is_that_of_the_log_softmax(choices):
    scores, segment, chosen = choices
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    choice_loss(ours, segment, 4, chosen).backward()
    (-torch.cat([theirs[segment == s].log_softmax(0) for s in range(4)])[chosen].mean()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_nothing_listed():
    scores = torch.zeros(0, requires_grad=True)
    loss = choice_loss(scores, torch.zeros(0, dtype=torch.long), 0, torch.zeros(0, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0


def test_a_new_head_has_no_opinion():
    """Before training each sibling is as likely as the next, whoever asks."""
    head = WithinHead(item_features=3, pair_features=2, dim=4)
    items, pairs, users = torch.randn(6, 3), torch.randn(5, 6, 2), torch.randn(5, 4)
    assert head.of_item(items).shape == (6,)
    assert head.of_item(items).unique().numel() == 1
    assert head.of_pair(pairs).shape == (5, 6)
    assert not head.of_pair(pairs).any()
    assert not head.of_user(users).any()


def test_a_head_learns_which_sibling_is_chosen():
    torch.manual_seed(0)
    head = WithinHead(item_features=1, pair_features=1, dim=2)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    items, pairs = torch.tensor([[2.0], [0.0], [-2.0]]), torch.zeros(3, 1)
    segment, chosen = torch.zeros(3, dtype=torch.long), torch.tensor([True, False, False])
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = choice_loss(head.of_item(items) + head.of_pair(pairs), segment, 1, chosen)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(torch.log(torch.tensor(3.0)).item(), rel=1e-5)
    assert losses[-1] < 0.1
