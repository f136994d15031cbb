"""The head for items that nobody has bought."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.standard import Standardise


class ColdHead(nn.Module):
    """Scores items without a history, by their parent, their text and their place in the graph.

    t_ui = γ · log p(parent | u) + w · e_ui + MLP(e_ui) + b, log-probability that a new purchase of the user's falls on
    the item. Within a parent, evidence that counts purchases says of all unsold children the same; this head is
    trained on children that were made to look unsold (dropout of a known item's evidence: Volkovs, Yu and Poutanen,
    "DropoutNet", NeurIPS 2017; here of a whole catalogue's, as in Vartak et al., "A Meta-Learning Perspective on
    Cold-Start Recommendations for Items", NeurIPS 2017).

    Args:
        features: width of the evidence e.
        hidden: width of the MLP; 0: none.
        dropout: on the MLP's hidden layer.

    Attributes:
        sizes: features and hidden, with which another one is made.
    """

    def __init__(self, features: int, hidden: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.sizes = (features, hidden)
        self.scale = Standardise(features)
        self.weight = nn.Parameter(torch.ones(1))
        self.linear = nn.Linear(features, 1)
        self.deep = (
            nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 1))
            if hidden
            else None
        )
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if self.deep is not None:
            nn.init.zeros_(self.deep[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.deep[-1].bias)  # type: ignore[arg-type]

    def forward(self, parent: Tensor, evidence: Tensor) -> Tensor:
        """Log-probabilities.

        Args:
            parent: log p(parent | u), shape (b, m); −inf where nothing may be recommended.
            evidence: shape (b, m, features).

        Returns:
            Shape (b, m); −inf where it was.
        """
        scaled = self.scale(evidence)
        change = self.linear(scaled)
        if self.deep is not None:
            change = change + self.deep(scaled)
        known = parent.isfinite()
        scores = self.weight * parent.masked_fill(~known, 0) + change.squeeze(-1)
        return scores.masked_fill(~known, -torch.inf)
