from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fusion.rerank import RerankHead, rerank_loss

LOG_P = torch.log(torch.tensor([[0.1, 0.2, 0.05, 0.01], [0.3, 0.1, 0.2, 0.05]]))
EVIDENCE = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
BOUGHT = torch.tensor([[False, True, False, True], [False, False, False, True]])


def changed(seed=1):
    torch.manual_seed(seed)
    head = RerankHead(3, 5)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def test_as_it_begins_it_changes_nothing():
    torch.testing.assert_close(RerankHead(3)(LOG_P, EVIDENCE), LOG_P)


@given(
    hnp.arrays("float32", (2, 4), elements=st.floats(-20, 0, width=32)),
    hnp.arrays("float32", (2, 4, 3), elements=st.floats(-100, 100, width=32)),
)
def test_the_candidates_keep_their_mass(log_p, evidence):
    log_p = torch.from_numpy(log_p)
    found = changed()(log_p, torch.from_numpy(evidence))
    torch.testing.assert_close(found.logsumexp(1), log_p.logsumexp(1), atol=1e-4, rtol=1e-4)


def test_by_hand():
    head = RerankHead(3)
    with torch.no_grad():
        head.weight.fill_(0)
        head.linear.weight.copy_(torch.tensor([[2.0, 0, 0]]))
    shares = torch.softmax(2 * EVIDENCE[..., 0], dim=1)
    expected = (LOG_P.exp().sum(1, keepdim=True) * shares).log()
    torch.testing.assert_close(head(LOG_P, EVIDENCE), expected)


def test_what_may_not_be_recommended_stays_out_and_spoils_no_gradient():
    head, log_p = changed(), LOG_P.clone()
    log_p[:, 0] = -torch.inf
    found = head(log_p, EVIDENCE)
    assert torch.isneginf(found[:, 0]).all()
    assert found[:, 1:].isfinite().all()
    rerank_loss(found, BOUGHT | torch.isneginf(found)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_loss_by_hand():
    shares = LOG_P.exp() / LOG_P.exp().sum(1, keepdim=True)
    expected = (-(shares[0, 1].log() + shares[0, 3].log()) / 2**0.5 - shares[1, 3].log()) / 2
    assert rerank_loss(LOG_P, BOUGHT).item() == pytest.approx(expected.item(), abs=1e-6)


def test_it_learns_which_evidence_tells():
    generator = torch.Generator().manual_seed(3)
    evidence = torch.randn(200, 10, 3, generator=generator)
    best = evidence[..., 1].argmax(1)
    bought = torch.nn.functional.one_hot(best, 10).bool()
    log_p = torch.full((200, 10), 0.1).log()
    head = RerankHead(3, 4)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        rerank_loss(head(log_p, evidence), bought).backward()
        optimiser.step()
    assert (head(log_p, evidence).argmax(1) == best).float().mean() > 0.95
