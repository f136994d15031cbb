"""The heads below the interest level: the choice of a child within its parent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.standard import Standardise


class WithinHead(nn.Module):
    """A conditional logit (McFadden, 1974) over siblings, with a learnt match of user and child.

    t_ui = w · i + MLP(i) + a · e_ui + (W u) · v_i / √d, log p(i | parent, u) = t_ui − log Σ_siblings exp t_uj, with
    per-child evidence i, per-pair evidence e, user vector u and child vector v.

    Args:
        item_features: width of the per-child evidence.
        pair_features: number of kinds of per-pair evidence.
        dim: width d of the vectors.
        hidden: width of the small MLP over the per-child evidence.
        pair_evidence: False leaves e out.
    """

    def __init__(
        self, item_features: int, pair_features: int, dim: int, hidden: int = 16, pair_evidence: bool = True
    ) -> None:
        super().__init__()
        self.item_scale, self.pair_scale = Standardise(item_features), Standardise(pair_features, pair_evidence)
        self.linear = nn.Linear(item_features, 1, bias=False)
        self.deep = nn.Sequential(nn.Linear(item_features, hidden), nn.GELU(), nn.Linear(hidden, 1))
        self.pair = nn.Linear(pair_features, 1, bias=False)
        self.user = nn.Linear(dim, dim, bias=False)
        for module in (self.linear, self.pair, self.deep[2]):
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.user.weight)

    def of_item(self, items: Tensor) -> Tensor:
        """The part that is the same for all users: per-child evidence of shape (n, item_features) → (n,)."""
        scaled = self.item_scale(items)
        out: Tensor = (self.linear(scaled) + self.deep(scaled)).squeeze(-1)
        return out

    def of_pair(self, pairs: Tensor) -> Tensor:
        """The part of the per-pair evidence: shape (…, pair_features) → (…)."""
        out: Tensor = self.pair(self.pair_scale(pairs)).squeeze(-1)
        return out

    def of_user(self, users: Tensor) -> Tensor:
        """The user's side of the match: shape (b, dim) → (b, dim); its dot product with a child's vector counts."""
        out: Tensor = self.user(users) / users.shape[-1] ** 0.5
        return out


def choice_loss(scores: Tensor, segment: Tensor, n_segments: int, chosen: Tensor) -> Tensor:
    """Mean over the chosen of −log softmax within their segment.

    Args:
        scores: of all listed children, shape (m,).
        segment: which choice each belongs to, shape (m,).
        n_segments: number of choices.
        chosen: True where bought, shape (m,).

    Returns:
        A scalar; 0 when nothing is listed.
    """
    if not len(scores):
        return scores.sum()
    log_p = scores - segment_logsumexp(scores, segment, n_segments)[segment]
    return -log_p[chosen].sum() / chosen.sum().clamp_min(1)


def segment_logsumexp(scores: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """log Σ exp within segments: shapes (m,), (m,) → (n_segments,)."""
    top = torch.full((n_segments,), -torch.inf, dtype=scores.dtype, device=scores.device)
    top = top.scatter_reduce(0, segment, scores.detach(), "amax", include_self=True)
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    total = torch.zeros_like(top).index_add(0, segment, (scores - top[segment]).exp())
    return total.log() + top
