"""Standardised inputs: the scale of each feature is part of the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """x ← clip((x − mean) / std, ±6), feature by feature; a constant feature becomes 0.

    Args:
        width: number of features (the last axis).
        shown: False makes every feature 0, whatever is fitted: what reads them is told nothing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, shown: bool = True) -> None:
        super().__init__()
        self.shown = shown
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width) if shown else torch.zeros(width))

    def fit(self, samples: list[Tensor]) -> None:
        """Take mean and standard deviation from training inputs.

        Args:
            samples: tensors of shape (n, width); each counts equally, whatever its n.
        """
        mean = torch.stack([sample.double().mean(dim=0) for sample in samples]).mean(dim=0)
        square = torch.stack([(sample.double() - mean).square().mean(dim=0) for sample in samples]).mean(dim=0)
        std = square.sqrt()
        self.mean.copy_(mean)
        varies = (std > 1e-6) & self.shown
        self.scale.copy_(torch.where(varies, 1 / std.clamp_min(1e-6), torch.zeros_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        """Standardise features of shape (…, width)."""
        return ((x - self.mean) * self.scale).clamp(-6, 6)
