"""Other ways than attention to join a node's modalities: side by side, or by gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.attention import ModalityAttention, ModalityFusion
from fusion.config import FusionConfig


class ModalityConcatenation(ModalityFusion):
    """A node's vector as a linear map of its modalities side by side.

    v = LayerNorm(W [m_1 V_1 x_1; …; m_M V_M x_M] + b), with m = 0 for a modality that a node lacks (early fusion, as in
    Baltrušaitis et al., "Multimodal Machine Learning: A Survey and Taxonomy", TPAMI 2019).

    Args:
        modalities: width of each modality's vectors, by name.
        dim: width of the result.
        config: dropout.
    """

    def __init__(self, modalities: dict[str, int], dim: int, config: FusionConfig) -> None:
        super().__init__(modalities, dim, config)
        self.together = nn.Linear(len(modalities) * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def join(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The mapped concatenation, shape (n, dim); nothing is weighed: even shares of those that count."""
        counted = mask.to(values.dtype)
        shown = (values * counted[..., None]).flatten(1)
        return self.norm(self.together(shown)), counted / counted.sum(dim=1, keepdim=True)


class ModalityGating(ModalityFusion):
    """A node's vector as a sum of its modalities' vectors, each feature let through by a gate.

    g_m = σ(U_m [m_1 V_1 x_1; …; m_M V_M x_M] + c_m), v = LayerNorm(Σ_m m_m g_m ⊙ V_m x_m), with m = 0 for a modality
    that a node lacks (Arevalo et al., "Gated Multimodal Units for Information Fusion", ICLR workshop 2017).

    Args:
        modalities: width of each modality's vectors, by name.
        dim: width of the result.
        config: dropout.
    """

    def __init__(self, modalities: dict[str, int], dim: int, config: FusionConfig) -> None:
        super().__init__(modalities, dim, config)
        self.gate = nn.Linear(len(modalities) * dim, len(modalities) * dim)
        self.norm = nn.LayerNorm(dim)

    def join(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The gated sum, shape (n, dim), and each modality's share of the gates' mean, shape (n, modalities)."""
        counted = mask.to(values.dtype)[..., None]
        gates = torch.sigmoid(self.gate((values * counted).flatten(1))).view_as(values) * counted
        open_by = gates.mean(dim=2)
        return self.norm((gates * values).sum(dim=1)), open_by / open_by.sum(dim=1, keepdim=True)


KINDS: dict[str, type[ModalityFusion]] = {
    "attention": ModalityAttention,
    "concatenation": ModalityConcatenation,
    "gating": ModalityGating,
}


def modality_fusion(modalities: dict[str, int], dim: int, config: FusionConfig) -> ModalityFusion:
    """The fusion that the settings name; arguments as of `ModalityFusion`."""
    return KINDS[config.kind](modalities, dim, config)
