"""A head for data with ratings: what a user will give an item, from what they gave others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Predict = Callable[[IntArray, IntArray], FloatArray]


class RatingHead(nn.Module):
    """r̂_ui = μ + b_u + b_i + u · v_i with the user made of what they rated.

    Item vectors v_i = q_i + G g_i add a vector of the item's own and those of its categories g_i; so do the biases. A
    user is no embedding but their history R(u): u = |R(u)|^-½ Σ_{j ∈ R(u)} (r_uj − μ − b_j) y_j (asymmetric factors:
    Paterek, KDD Cup 2007; Koren, KDD 2008), and b_u = Σ_{j ∈ R(u)} (r_uj − μ − b_j) / (|R(u)| + λ) with a learnt λ. A
    user who has rated nothing gets μ + b_i.

    Args:
        n_items: number of items.
        categories: 1 where an item sits in a category, shape (items, categories).
        dim: width of the vectors.
        seed: of the first weights.
    """

    categories: Tensor

    def __init__(self, n_items: int, categories: Tensor, dim: int = 16, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("categories", categories / categories.sum(dim=1, keepdim=True).clamp_min(1))
        n = categories.shape[1]
        self.mean = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.log_damping = nn.Parameter(torch.tensor(1.5))
        self.bias, self.category_bias = nn.Parameter(torch.zeros(n_items)), nn.Parameter(torch.zeros(n))
        self.own, self.of_category = (_normal((size, dim), generator) for size in (n_items, n))
        self.told, self.told_category = (_normal((size, dim), generator) for size in (n_items, n))

    def item_biases(self) -> Tensor:
        """b_i, shape (items,)."""
        return self.bias + self.categories @ self.category_bias

    def users(self, user: Tensor, item: Tensor, rating: Tensor, n_users: int) -> tuple[Tensor, Tensor]:
        """b_u, shape (users,), and u, shape (users, dim), from ratings that are known.

        Args:
            user: row of each rating's user, shape (n,).
            item: its item, shape (n,).
            rating: shape (n,).
            n_users: number of users.
        """
        left = rating - self.mean - self.item_biases()[item]
        number = torch.zeros(n_users).index_add(0, user, torch.ones_like(left))
        bias = torch.zeros(n_users).index_add(0, user, left) / (number + self.log_damping.exp())
        told = self.told + self.categories @ self.told_category
        summed = torch.zeros(n_users, told.shape[1]).index_add(0, user, left[:, None] * told[item])
        return bias, summed / number.clamp_min(1).sqrt()[:, None]

    def forward(self, bias: Tensor, users: Tensor, item: Tensor) -> Tensor:
        """Ratings, shape (b,).

        Args:
            bias: b_u of each asked pair's user, shape (b,).
            users: u, shape (b, dim).
            item: shape (b,).
        """
        vectors = self.own + self.categories @ self.of_category
        return self.mean + bias + self.item_biases()[item] + (users * vectors[item]).sum(dim=1)


def fit_ratings(
    head: RatingHead,
    user: IntArray,
    item: IntArray,
    rating: FloatArray,
    n_users: int,
    weight_decay: float,
    epochs: int,
    seed: int,
    folds: int = 20,
) -> list[Predict]:
    """Train by squared error: in each step a part of the ratings is told from the others, so that none tells itself.

    Args:
        head: to train.
        user: rows of the users, shape (n,).
        item: shape (n,).
        rating: shape (n,).
        n_users: number of users, those without a rating included.
        weight_decay: of AdamW.
        epochs: passes; in each the ratings are dealt into parts anew.
        seed: of the dealing.
        folds: parts.

    Returns:
        What tells ratings from all that were given, as it was after each epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    known = torch.from_numpy(user), torch.from_numpy(item), torch.from_numpy(rating).float()
    head.mean.data.fill_(float(rating.mean()))
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=weight_decay)
    found = []
    for _ in range(epochs):
        fold = torch.randint(folds, (len(rating),), generator=generator)
        for number in range(folds):
            asked, given = fold == number, fold != number
            bias, users = head.users(known[0][given], known[1][given], known[2][given], n_users)
            rows = known[0][asked]
            loss = (head(bias[rows], users[rows], known[1][asked]) - known[2][asked]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        found.append(_state(head, known, n_users))
    return found


@torch.no_grad()
def _state(head: RatingHead, known: tuple[Tensor, Tensor, Tensor], n_users: int) -> Predict:
    """What the head tells as it is now, with biases and vectors taken out of it."""
    bias, users = (part.double().numpy() for part in head.users(*known, n_users))
    vectors = (head.own + head.categories @ head.of_category).double().numpy()
    constant = (head.mean + head.item_biases()).double().numpy()
    return lambda user, item: bias[user] + constant[item] + (users[user] * vectors[item]).sum(axis=1)


def _normal(shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=generator) * 0.1)
