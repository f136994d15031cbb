from __future__ import annotations

import math

import pytest
import torch

from fusion.losses import in_batch_softmax, unseen_softmax

SCORES = torch.tensor([[1.0, 2.0, 0.5, 9.0], [0.0, 0.0, 3.0, 1.0], [5.0, 1.0, 1.0, 1.0]])
UNSEEN = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]]).bool()
TARGETS = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def by_hand(power):
    first = math.log(math.e**1 + math.e**2 + math.e**0.5)
    second = math.log(1 + 1 + math.e**3 + math.e)
    return ((first - 1 + first - 2) / 2**power + (second - 1)) / 2


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [torch.bool, torch.float32])
def test_by_hand(power, kind):
    found = unseen_softmax(SCORES, UNSEEN, TARGETS.to(kind), power)
    assert found.item() == pytest.approx(by_hand(power), rel=1e-5)


def test_the_default_is_between_users_and_targets():
    assert unseen_softmax(SCORES, UNSEEN, TARGETS).item() == pytest.approx(by_hand(0.5), rel=1e-5)


def test_what_was_bought_before_neither_counts_nor_learns():
    scores = SCORES.clone().requires_grad_()
    unseen_softmax(scores, UNSEEN, TARGETS).backward()
    assert (scores.grad[~UNSEEN] == 0).all()
    assert (scores.grad[0][UNSEEN[0]] != 0).all()
    louder = SCORES.clone()
    louder[~UNSEEN] = 1e6
    assert unseen_softmax(louder, UNSEEN, TARGETS) == unseen_softmax(SCORES, UNSEEN, TARGETS)


def test_nobody_has_a_target():
    scores = SCORES.clone().requires_grad_()
    loss = unseen_softmax(scores, UNSEEN, torch.zeros_like(TARGETS))
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()


def test_a_user_who_has_everything():
    unseen = UNSEEN.clone()
    unseen[2] = False
    loss = unseen_softmax(SCORES, unseen, TARGETS)
    assert loss.item() == pytest.approx(by_hand(0.5), rel=1e-5)


def test_in_batch_negatives_by_hand():
    queries, documents = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    own = torch.tensor([[1, 1, 0], [0, 0, 1]]).bool()
    e = math.exp
    first = (-math.log(e(2) / (e(2) + e(0))) - math.log(e(1.2) / (e(1.2) + e(0)))) / 2
    second = -math.log(e(2) / (e(2) + e(0) + e(1.6)))
    found = in_batch_softmax(queries, documents, own, temperature=0.5)
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_query_without_negatives_or_documents_costs_nothing():
    queries, documents = torch.eye(2), torch.eye(2)
    assert in_batch_softmax(queries, documents, torch.ones(2, 2).bool()).item() == 0
    assert in_batch_softmax(queries, documents, torch.zeros(2, 2).bool()).item() == 0
