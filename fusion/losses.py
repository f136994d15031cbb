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


def in_batch_softmax(queries: Tensor, documents: Tensor, own: Tensor, temperature: float = 0.05) -> Tensor:
    """InfoNCE with a batch's documents as negatives (multiple negatives ranking).

    L = mean_q mean_{p ∈ P_q} −log( e^{q·p/τ} / (e^{q·p/τ} + Σ_{d ∉ P_q} e^{q·d/τ}) ), with P_q the query's own
    documents in the batch: none of them is a negative of another. Van den Oord et al., "Representation learning with
    contrastive predictive coding", 2018; Henderson et al., "Efficient natural language response suggestion", 2017.

    Args:
        queries: vectors of length 1, shape (b, d).
        documents: vectors of length 1, shape (n, d).
        own: which documents answer which query, bool, shape (b, n); a query without one does not count.
        temperature: τ > 0.

    Returns:
        A scalar; 0 when no query has a document of its own.
    """
    scores = queries @ documents.T / temperature
    others = scores.masked_fill(own, float("-inf")).logsumexp(dim=1, keepdim=True)
    per_pair = torch.nn.functional.softplus(others.clamp_min(torch.finfo(scores.dtype).min) - scores)
    n = own.sum(dim=1)
    return ((per_pair * own).sum(dim=1) / n.clamp_min(1)).sum() / (n > 0).sum().clamp_min(1)
