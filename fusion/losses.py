"""The losses."""

from __future__ import annotations

import torch
from torch import Tensor


def unseen_softmax(scores: Tensor, unseen: Tensor, targets: Tensor, power: float = 0.5) -> Tensor:
    """Softmax cross-entropy over each user's unseen categories, mean over the batch.

    L = mean_u n_u^(−power) Σ_{c ∈ T_u} −log softmax_{unseen}(s_u)_c, with n_u = |T_u|: a user with many targets
    counts more than one with few, but less than in proportion.

    Args:
        scores: shape (b, categories).
        unseen: True for candidates, shape (b, categories).
        targets: True (or weight) for targets, shape (b, categories), within the unseen ones.
        power: 0 counts targets equally, 1 counts users equally.

    Returns:
        A scalar; 0 when no user has a target.
    """
    log_p = torch.log_softmax(scores.masked_fill(~unseen, torch.finfo(scores.dtype).min), dim=1)
    n = targets.sum(dim=1)
    per_user = -(log_p * targets).sum(dim=1) / n.clamp_min(1).pow(power)
    return per_user.sum() / (n > 0).sum().clamp_min(1)
