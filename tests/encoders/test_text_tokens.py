"""Ragged rows, batches by a budget of tokens, pooling."""

import pytest
import torch

from encoders.text_tokens import Ragged, batches, pool

HIDDEN = torch.arange(24.0).view(2, 4, 3)
RIGHT = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).bool()


def test_pad_fills_up_on_the_right():
    values, mask = Ragged.of([[5, 6], [], [7, 8, 9]]).pad(torch.tensor([2, 1, 0]), fill=-1)
    assert values.tolist() == [[7, 8, 9], [-1, -1, -1], [5, 6, -1]]
    assert mask.sum(1).tolist() == [3, 0, 2]


def test_pad_of_nothing_has_one_column():
    values, mask = Ragged.of([[], []]).pad(torch.tensor([0, 1]))
    assert values.tolist() == [[0], [0]]
    assert not mask.any()


def test_lengths():
    assert Ragged.of([[5, 6], [], [7]]).lengths.tolist() == [2, 0, 1]


@pytest.mark.parametrize("budget", [1, 50, 700, 100_000])
def test_batches_hold_every_row_once_within_the_budget(budget):
    lengths = torch.randint(0, 60, (500,), generator=torch.Generator().manual_seed(0))
    parts = batches(lengths, budget)
    assert sorted(torch.cat(parts).tolist()) == list(range(500))
    assert all(len(part) == 1 or len(part) * lengths[part].max() <= budget for part in parts)
    assert [p.tolist() for p in parts] == [p.tolist() for p in batches(lengths, budget)]


def test_batches_waste_little():
    lengths = torch.randint(5, 60, (2000,), generator=torch.Generator().manual_seed(0))
    padded = sum(len(part) * int(lengths[part].max()) for part in batches(lengths, 2048))
    assert padded / lengths.sum() < 1.05


def test_batches_of_nothing():
    assert batches(torch.zeros(0, dtype=torch.long), 10) == []


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [HIDDEN[0, :3].mean(0), HIDDEN[1, 0]]),
        ("cls", HIDDEN[:, 0]),
        ("last", [HIDDEN[0, 2], HIDDEN[1, 0]]),
    ],
)
def test_pool_by_hand(how, expected):
    assert torch.equal(pool(HIDDEN, RIGHT, how), torch.stack(list(expected)))


@pytest.mark.parametrize("how", ["mean", "cls", "last"])
def test_pool_is_the_same_with_padding_on_the_left(how):
    left = torch.stack([HIDDEN[0].roll(1, 0), HIDDEN[1].roll(3, 0)])
    mask = torch.stack([RIGHT[0].roll(1), RIGHT[1].roll(3)])
    assert torch.equal(pool(left, mask, how), pool(HIDDEN, RIGHT, how))
