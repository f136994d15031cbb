"""A user in a vector: attention over what they bought. There is no user ID embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encoders.config import HistoryConfig


class HistoryEncoder(nn.Module):
    """Attention pools over the bought categories' vectors, joined with the user's basket figures.

    For pool p: a_j ∝ exp(q_p · tanh(W [v_j ; f_j])) over the bought categories j with features f_j (count,
    recency, …), u_p = Σ_j a_j v_j (additive attention, Bahdanau et al., ICLR 2015); the user's vector is an MLP
    of [u_1 ; … ; u_P ; figures].

    Args:
        dim: width of the vectors.
        purchase_features: number of features of a bought category.
        user_features: number of figures of a user.
        config: pools and dropout.
    """

    def __init__(self, dim: int, purchase_features: int, user_features: int, config: HistoryConfig) -> None:
        super().__init__()
        self.config = config
        self.key = nn.Linear(dim + purchase_features, dim)
        self.query = nn.Linear(dim, config.pools, bias=False)
        self.out = nn.Sequential(
            nn.Linear(config.pools * dim + user_features, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(
        self, items: Tensor, bought: Tensor, features: Tensor, mask: Tensor, figures: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of users.

        Args:
            items: vectors of all categories, shape (categories, dim).
            bought: categories each user bought, padded, shape (b, length), int64.
            features: features of each purchase, shape (b, length, purchase_features).
            mask: True where there is a purchase, shape (b, length).
            figures: per-user figures, shape (b, user_features).

        Returns:
            Users of shape (b, dim), and attention of shape (b, length, pools) that sums to 1 over the length
            (all 0 for a user without history).
        """
        if self.training and self.config.dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.config.dropout)
        values = items[bought]
        logits = self.query(torch.tanh(self.key(torch.cat([values, features], dim=-1))))
        logits = logits.masked_fill(~mask[..., None], torch.finfo(logits.dtype).min)
        attention = torch.softmax(logits, dim=1) * mask[..., None]
        pools = torch.einsum("blp,bld->bpd", attention, values).flatten(1)
        return self.out(torch.cat([pools, figures], dim=-1)), attention
