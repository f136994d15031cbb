"""Re-ranking: a user's best candidates, with evidence that is dear to have for all items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.standard import Standardise


class RerankHead(nn.Module):
    """Shares the probability of a user's candidates C out anew.

    t_ui = γ · log p_ui + w · e_ui + MLP(e_ui), log p'_ui = log Σ_C p_uj + t_ui − log Σ_C exp t_uj: what is no candidate
    keeps its probability, and all of them still sum to 1. As it begins (γ = 1, w = 0, MLP = 0) nothing is changed.

    Args:
        features: width of the evidence e.
        hidden: width of the MLP.

    Attributes:
        kept: False when validation found no use in it: it is then not asked.
    """

    kept: Tensor

    def __init__(self, features: int, hidden: int = 32) -> None:
        super().__init__()
        self.scale = Standardise(features)
        self.weight = nn.Parameter(torch.ones(1))
        self.linear = nn.Linear(features, 1, bias=False)
        self.deep = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, 1))
        self.register_buffer("kept", torch.tensor(True))
        for module in (self.linear, self.deep[2]):
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.deep[2].bias)  # type: ignore[arg-type]

    def forward(self, log_p: Tensor, evidence: Tensor) -> Tensor:
        """New log-probabilities.

        Args:
            log_p: of the candidates, shape (b, n); −inf where a user has fewer.
            evidence: shape (b, n, features).

        Returns:
            Shape (b, n); −inf where it was.
        """
        scaled = self.scale(evidence)
        change = (self.linear(scaled) + self.deep(scaled)).squeeze(-1)
        known = log_p.isfinite()
        scores = self.weight * log_p.masked_fill(~known, 0) + change
        scores = scores.masked_fill(~known, -torch.inf)
        mass = log_p.logsumexp(dim=1, keepdim=True)
        return (mass + scores.log_softmax(dim=1)).masked_fill(~known, -torch.inf)


def rerank_loss(log_p: Tensor, bought: Tensor) -> Tensor:
    """Mean over users of −Σ log q_ui / n^½ over a user's n bought candidates, q the candidates' shares.

    Args:
        log_p: from `RerankHead`, shape (b, n).
        bought: True where bought, at least one that may be recommended in each row, shape (b, n).
    """
    bought = bought & log_p.isfinite()
    shares = log_p.log_softmax(dim=1).masked_fill(~bought, 0)
    return -(shares.sum(dim=1) / bought.sum(dim=1).sqrt()).mean()
