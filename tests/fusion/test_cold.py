from __future__ import annotations

import pytest
import torch

from fusion.cold import ColdHead

PARENT = torch.log(torch.tensor([[0.1, 0.2, 0.05], [0.3, 0.1, 0.2]]))
EVIDENCE = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("hidden", [0, 5])
def test_as_it_begins_an_item_scores_like_its_parent(hidden):
    torch.testing.assert_close(ColdHead(4, hidden).eval()(PARENT, EVIDENCE), PARENT)


def test_by_hand():
    head = ColdHead(4, 0)
    with torch.no_grad():
        head.weight.fill_(0.5)
        head.linear.weight.copy_(torch.tensor([[0.0, 2.0, 0, 0]]))
        head.linear.bias.fill_(-1.0)
    torch.testing.assert_close(head(PARENT, EVIDENCE), 0.5 * PARENT + 2 * EVIDENCE[..., 1] - 1)


def test_what_may_not_be_recommended_stays_out_and_spoils_no_gradient():
    head, parent = ColdHead(4, 5), PARENT.clone()
    parent[:, 0] = -torch.inf
    found = head(parent, EVIDENCE)
    assert (found[:, 0] == -torch.inf).all()
    found[:, 1:].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())
