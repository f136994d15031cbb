"""A node's vector from its modalities (graph, text, collaborative, id); the default is attention over them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fusion.config import FusionConfig


class ModalityFusion(nn.Module, ABC):
    """What all ways of joining modalities share: their projections V_m, and which of them count for a node.

    Args:
        modalities: width of each modality's vectors, by name.
        dim: width of the result.
        config: kind, dropout and temperature.
    """

    def __init__(self, modalities: dict[str, int], dim: int, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.names = list(modalities)
        self.value = nn.ModuleDict({name: nn.Linear(width, dim) for name, width in modalities.items()})

    def forward(self, vectors: dict[str, Tensor], present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Join the modalities.

        Args:
            vectors: by modality, each of shape (n, width).
            present: False where a node lacks a modality, shape (n, modalities); default all True.

        Returns:
            Vectors of shape (n, dim), and weights of shape (n, modalities) that sum to 1.
        """
        values = torch.stack([self.value[name](vectors[name]) for name in self.names], dim=1)
        return self.join(values, self._mask(values, present))

    @abstractmethod
    def join(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Join projected modalities.

        Args:
            values: V_m x_m, shape (n, modalities, dim).
            mask: which modalities count, at least one per node, shape (n, modalities).

        Returns:
            As of `forward`.
        """

    def _mask(self, values: Tensor, present: Tensor | None) -> Tensor:
        """Which modalities count: the present ones, less those dropped; never none; shape (n, modalities)."""
        like = values[..., 0]
        mask = torch.ones_like(like, dtype=torch.bool) if present is None else present
        if self.training and self.config.modality_dropout:
            kept = mask & (torch.rand_like(like) >= self.config.modality_dropout)
            mask = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
        return torch.where(mask.any(dim=1, keepdim=True), mask, torch.ones_like(mask))


class ModalityAttention(ModalityFusion):
    """A node's vector as an attention-weighted sum of its modalities' vectors.

    a_m ∝ exp(q · tanh(W_m x_m + b_m) / τ), v = LayerNorm(Σ_m a_m V_m x_m) (additive attention over views, as in
    Wu et al., "Neural News Recommendation with Attentive Multi-View Learning", IJCAI 2019).

    Args:
        modalities: width of each modality's vectors, by name.
        dim: width of the result.
        config: dropout and temperature.
    """

    def __init__(self, modalities: dict[str, int], dim: int, config: FusionConfig) -> None:
        super().__init__(modalities, dim, config)
        self.key = nn.ModuleDict({name: nn.Linear(dim, dim) for name in modalities})
        self.query = nn.Linear(dim, 1, bias=False)
        self.norm = nn.LayerNorm(dim)

    def join(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The attention-weighted sum, shape (n, dim), and its weights, shape (n, modalities)."""
        keys = torch.stack([self.key[name](values[:, i]) for i, name in enumerate(self.names)], dim=1)
        logits = self.query(torch.tanh(keys)).squeeze(-1) / self.config.temperature
        weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=1)
        return self.norm((weights[..., None] * values).sum(dim=1)), weights
