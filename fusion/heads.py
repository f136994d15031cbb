"""The interest heads: what scores a user against a node of a level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class HeadConfig:
    """The interest head.

    Attributes:
        hidden: widths of the MLP over pair, item and user evidence.
        dropout: dropout inside the MLP.
    """

    hidden: tuple[int, int] = (64, 32)
    dropout: float = 0.2


class InterestHead(nn.Module):
    """Score of each (user, category) pair at the interest level.

    s_uc = w · [e_uc ; i_c] + MLP([e_uc ; i_c ; f_u]) + u · v_c / √d + b · v_c: a linear skip and a small MLP over the
    evidence (wide and deep, Cheng et al., DLRS 2016), plus the dot product of the learnt vectors.

    Args:
        pair_features: width of e, the per-pair evidence.
        item_features: width of i, the per-category evidence.
        user_features: width of f, the per-user evidence.
        dim: width d of the vectors.
        config: MLP.
    """

    def __init__(
        self, pair_features: int, item_features: int, user_features: int, dim: int, config: HeadConfig
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(pair_features + item_features, 1, bias=False)
        self.bias = nn.Linear(dim, 1, bias=False)
        first, second = config.hidden
        self.of_pair = nn.Linear(pair_features, first)
        self.of_item = nn.Linear(item_features, first, bias=False)
        self.of_user = nn.Linear(user_features, first, bias=False)
        self.deep = nn.Sequential(
            nn.GELU(), nn.Dropout(config.dropout), nn.Linear(first, second), nn.GELU(), nn.Linear(second, 1)
        )
        nn.init.zeros_(self.linear.weight)

    def forward(
        self, pairs: Tensor, items: Tensor, figures: Tensor, users: Tensor, vectors: Tensor
    ) -> dict[str, Tensor]:
        """Score a batch of users against all categories.

        Args:
            pairs: standardised per-pair evidence, shape (b, categories, pair_features).
            items: standardised per-category evidence, shape (categories, item_features).
            figures: standardised per-user evidence, shape (b, user_features).
            users: user vectors, shape (b, dim).
            vectors: category vectors, shape (categories, dim).

        Returns:
            Parts ``linear``, ``deep``, ``match`` and ``bias`` of the score, each of shape (b, categories); the score
            is their sum.
        """
        split = pairs.shape[-1]
        weight = self.linear.weight[0]
        linear = pairs @ weight[:split] + items @ weight[split:]
        hidden = self.of_pair(pairs) + self.of_item(items)[None] + self.of_user(figures)[:, None]
        match = users @ vectors.T / vectors.shape[-1] ** 0.5
        bias = self.bias(vectors).squeeze(-1).expand_as(match)
        return {"linear": linear, "deep": self.deep(hidden).squeeze(-1), "match": match, "bias": bias}
