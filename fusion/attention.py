"""Attention over the modalities of a node: graph, text, collaborative."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.config import FusionConfig


class ModalityAttention(nn.Module):
    """A node's vector as an attention-weighted sum of its modalities' vectors.

    a_m ∝ exp(q · tanh(W_m x_m + b_m) / τ), v = LayerNorm(Σ_m a_m V_m x_m) (additive attention over views, as in
    Wu et al., "Neural News Recommendation with Attentive Multi-View Learning", IJCAI 2019).

    Args:
        modalities: width of each modality's vectors, by name.
        dim: width of the result.
        config: dropout and temperature.
    """

    def __init__(self, modalities: dict[str, int], dim: int, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.names = list(modalities)
        self.value = nn.ModuleDict({name: nn.Linear(width, dim) for name, width in modalities.items()})
        self.key = nn.ModuleDict({name: nn.Linear(dim, dim) for name in modalities})
        self.query = nn.Linear(dim, 1, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, vectors: dict[str, Tensor], present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Join the modalities.

        Args:
            vectors: by modality, each of shape (n, width).
            present: False where a node lacks a modality, shape (n, modalities); default all True.

        Returns:
            Vectors of shape (n, dim), and weights of shape (n, modalities) that sum to 1.
        """
        values = torch.stack([self.value[name](vectors[name]) for name in self.names], dim=1)
        keys = torch.stack([self.key[name](values[:, i]) for i, name in enumerate(self.names)], dim=1)
        logits = self.query(torch.tanh(keys)).squeeze(-1) / self.config.temperature
        mask = self._mask(logits, present)
        weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=1)
        return self.norm((weights[..., None] * values).sum(dim=1)), weights

    def _mask(self, logits: Tensor, present: Tensor | None) -> Tensor:
        """Which modalities count: the present ones, less those dropped; never none."""
        mask = torch.ones_like(logits, dtype=torch.bool) if present is None else present
        if self.training and self.config.modality_dropout:
            kept = mask & (torch.rand_like(logits) >= self.config.modality_dropout)
            mask = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
        return torch.where(mask.any(dim=1, keepdim=True), mask, torch.ones_like(mask))
