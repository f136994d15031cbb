"""The interest heads: what scores a user against a node of a level."""

from __future__ import annotations

from torch import Tensor, nn

from fusion.config import HeadConfig


class InterestHead(nn.Module):
    """Score of each (user, category) pair at the interest level.

    s_uc = w · [e_uc ; i_c] + MLP([e_uc ; i_c ; f_u]) + α BN(u) · (v_c − v̄) / √d: a linear skip and a small MLP over
    the evidence (wide and deep, Cheng et al., DLRS 2016), plus the match of the learnt vectors. The match is
    centred on both sides (batch-normalised users, vectors less their mean), so that it says who differs from
    whom, and leaves each category's level to the evidence, which knows the time: an uncentred match learnt the
    popularity of the training windows by heart (−.004 NDCG@20 on validation).

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
        first, second = config.hidden
        self.of_pair = nn.Linear(pair_features, first)
        self.of_item = nn.Linear(item_features, first, bias=False)
        self.of_user = nn.Linear(user_features, first, bias=False)
        self.deep = nn.Sequential(
            nn.GELU(), nn.Dropout(config.dropout), nn.Linear(first, second), nn.GELU(), nn.Linear(second, 1)
        )
        self.user_norm = nn.BatchNorm1d(dim, affine=False)
        self.user_dropout = nn.Dropout(config.dropout)
        self.match_scale = config.match_scale / dim**0.5
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
            Parts ``linear``, ``deep`` and ``match`` of the score, each of shape (b, categories); the score is their
            sum.
        """
        split = pairs.shape[-1]
        weight = self.linear.weight[0]
        linear = pairs @ weight[:split] + items @ weight[split:]
        hidden = self.of_pair(pairs) + self.of_item(items)[None] + self.of_user(figures)[:, None]
        centred = vectors - vectors.mean(dim=0)
        match = self.match_scale * (self.user_dropout(self._normalise(users)) @ centred.T)
        return {"linear": linear, "deep": self.deep(hidden).squeeze(-1), "match": match}

    def _normalise(self, users: Tensor) -> Tensor:
        """Batch normalisation; a batch of one user, which has no spread, is normalised by the running figures."""
        if self.training and len(users) < 2:
            norm = self.user_norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            return (users - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        out: Tensor = self.user_norm(users)
        return out
