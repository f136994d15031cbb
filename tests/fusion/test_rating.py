"""The rating head: a user is their ratings, and what is planted is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion.rating import RatingHead, fit_ratings

USERS, ITEMS, KINDS = 60, 30, 2


@pytest.fixture(scope="module")
def shop():
    """Users like one kind of item and not the other."""
    rng = np.random.default_rng(0)
    kind = np.arange(ITEMS) % KINDS
    likes = rng.choice([-1, 1], USERS)
    user, item = (array.ravel() for array in np.meshgrid(np.arange(USERS), np.arange(ITEMS), indexing="ij"))
    rating = 3 + likes[user] * np.where(kind[item] == 0, 1, -1) + rng.normal(0, 0.3, len(user))
    return user, item, rating, torch.eye(KINDS)[kind]


def test_it_tells_held_out_ratings_that_biases_cannot(shop):
    user, item, rating, kinds = shop
    held = np.random.default_rng(1).random(len(user)) < 0.2
    head = RatingHead(ITEMS, kinds, 4)
    predict = fit_ratings(head, user[~held], item[~held], rating[~held], USERS, 0.01, 6, 0)[-1]
    error = predict(user[held], item[held]) - rating[held]
    assert np.sqrt((error**2).mean()) < 0.6
    assert rating[held].std() > 0.9


def test_who_has_rated_nothing_gets_the_items_level(shop):
    _, item, _, kinds = shop
    head = RatingHead(ITEMS, kinds, 4)
    with torch.no_grad():
        head.bias.copy_(torch.arange(ITEMS) / 10)
        none = torch.empty(0, dtype=torch.int64)
        bias, users = head.users(none, none, torch.empty(0), 1)
        told = head(bias[[0] * ITEMS], users[[0] * ITEMS], torch.arange(ITEMS))
    np.testing.assert_allclose(told, head.item_biases().detach(), atol=1e-6)
    assert len(np.unique(item)) == ITEMS


def test_a_user_does_not_depend_on_others(shop):
    user, item, rating, kinds = (torch.as_tensor(part) for part in shop)
    head = RatingHead(ITEMS, kinds, 4)
    alone = user == 7
    bias, users = head.users(user, item, rating.float(), USERS)
    own_bias, own = head.users(user[alone], item[alone], rating[alone].float(), USERS)
    torch.testing.assert_close(bias[7], own_bias[7])
    torch.testing.assert_close(users[7], own[7])


def test_the_same_seed_gives_the_same_head(shop):
    user, item, rating, kinds = shop
    one, other = (
        fit_ratings(RatingHead(ITEMS, kinds, 4, seed=3), user, item, rating, USERS, 0.01, 1, 3)[-1] for _ in range(2)
    )
    np.testing.assert_array_equal(one(user, item), other(user, item))
