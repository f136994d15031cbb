"""The texts of many nodes: values from a cache, gradient through a sample of them.

The values that a loss sees always come from the cache, for all alike: with fresh vectors for some
candidates and old ones for the rest, a loss wins by telling fresh from old. The gradient passes the cache
straight through, for a sample of the texts: ``cache + (fresh - fresh.detach()) / p``.

Sources:
    GradCache, Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
    (arXiv 2101.06983): the loss on vectors computed without gradient, the encoder's gradient afterwards.
    GNNAutoScale, Fey et al. 2021 (arXiv 2106.05609): historical embeddings in place of fresh ones.
    Stochastic backpropagation, Cheng et al. 2022, "Stochastic Backpropagation: A Memory Efficient Strategy
    for Training Video Models" (arXiv 2203.16755): gradient through a random part of the forward pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from encoders.text import TextEncoder
from encoders.text_cache import FrozenCache, KnownVectors

_NONE = torch.zeros(0, dtype=torch.long)


class TextBank(nn.Module):
    """Vectors of the nodes' texts, each distinct text encoded once.

    One training step: ``draw`` (which texts send gradient), ``embed`` (as often as needed), one backward
    pass, the optimiser's step, ``after_step``. Without ``draw``, or without gradient, ``embed`` gives the
    cached values. The cost of a step is bounded by ``config.sample`` and by what is asked for; only the
    periodic refresh grows with the number of distinct texts.

    The bank owns the encoder (``bank.encoder``): do not register it elsewhere too.

    Args:
        encoder: the text encoder, untuned; its ``config`` gives ``sample``, ``refresh_every``, ``unbiased``.
        texts: one text per node; duplicates are encoded once, a blank text is zeros.
        cache: encodings kept between runs; default none.
        progress: show a bar while encoding.

    Attributes:
        dim: size of a vector.
        texts: the distinct texts.
        inverse: (n,) which distinct text each node has.
        cache: (distinct, dim) current vectors; saved with the model, so that a resumed run goes on exactly.
    """

    cache: Tensor
    frozen: Tensor
    inverse: Tensor
    steps: Tensor

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Sequence[str],
        cache: FrozenCache | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__()
        self.encoder, self.dim, self.progress = encoder, encoder.dim, progress
        number: dict[str, int] = {}
        inverse = [number.setdefault(text.strip(), len(number)) for text in texts]
        self.texts = list(number)
        self._tokens = encoder.tokenize(self.texts)
        self._below = encoder.activations(self._tokens)
        self._disk = cache or FrozenCache(None)
        vectors = self._first()
        self.register_buffer("inverse", torch.tensor(inverse, dtype=torch.long), persistent=False)
        self.register_buffer("cache", vectors)
        self.register_buffer("frozen", vectors.clone() if encoder.tunable else vectors, persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._slot = torch.full((len(self.texts),), -1)
        self._drawn, self._scale = _NONE, 1.0
        self._fresh: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inverse)

    def forward(self, positions: Tensor | None = None) -> Tensor:
        """The same as :meth:`embed`; all nodes by default."""
        return self.vectors() if positions is None else self.embed(positions)

    def embed(self, positions: Tensor) -> Tensor:
        """Vectors of some nodes: cached values, gradient for those drawn.

        Args:
            positions: (b,) node numbers.

        Returns:
            (b, dim).
        """
        return self._at(self.inverse[positions.to(self.inverse.device)])

    def vectors(self) -> Tensor:
        """(n, dim) vectors of all nodes, as :meth:`embed`; the cost grows with the nodes."""
        return self._at(self.inverse)

    def distinct(self) -> Tensor:
        """(distinct, dim) vectors of the distinct texts, as :meth:`embed`; ``inverse`` leads to them."""
        return self._at(torch.arange(len(self.texts), device=self.cache.device))

    def draw(self, candidates: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Choose the texts that send gradient until the next draw, and encode them afresh.

        Every distinct, non-blank text among the candidates has the same chance p = sample / candidates.
        With ``unbiased`` its gradient is scaled by 1 / p: over the draws the mean is the gradient through
        all candidates. Without, it is not scaled: the direction is the same on average, and one step's
        gradient norm does not grow with the number of candidates.

        Args:
            candidates: (c,) node numbers of the step's loss; default all.
            generator: of random numbers, on the CPU.

        Returns:
            (at most sample,) the chosen distinct texts; none where nothing is tuned or gradient is off.
        """
        self.clear()
        if not (self.encoder.tunable and torch.is_grad_enabled()):
            return self._drawn
        rows = self._rows(candidates)
        rows = rows[self._tokens.lengths[rows] > 0]
        chosen = rows[torch.randperm(len(rows), generator=generator)[: self.encoder.config.sample]]
        if len(chosen):
            self._drawn = chosen
            self._slot[chosen] = torch.arange(len(chosen))
            self._scale = len(rows) / len(chosen) if self.encoder.config.unbiased else 1.0
            self._fresh = self.encoder(self._tokens, chosen, self._below)
        return chosen

    def drift(self) -> Tensor:
        """How far the drawn texts have moved from the untuned model: mean squared distance, with gradient.

        Added to a loss with a small weight, it keeps the tuned model near the frozen one. 0 without a draw.
        """
        if self._fresh is None:
            return self.cache.new_zeros(())
        return (self._fresh - self.frozen[self._drawn.to(self.frozen.device)]).square().sum(1).mean()

    def clear(self) -> None:
        """Forget the draw: ``embed`` gives cached values without gradient, and the graph is freed."""
        self._slot[self._drawn] = -1
        self._drawn, self._fresh, self._scale = _NONE, None, 1.0

    @torch.no_grad()
    def refresh(self, positions: Tensor | None = None) -> None:
        """Encode anew into the cache, without gradient.

        Args:
            positions: (b,) node numbers; default all. Refresh all candidates of a loss or none.
        """
        rows = self._rows(positions)
        self.cache[rows.to(self.cache.device)] = self._encode(rows, progress=False).to(self.cache)

    def after_step(self, positions: Tensor | None = None) -> bool:
        """Count an optimiser step; every ``refresh_every`` steps, refresh. Returns whether it did.

        Args:
            positions: (b,) what to refresh: all candidates of the loss; default all nodes.
        """
        self.clear()
        self.steps += 1
        every = self.encoder.config.refresh_every
        due = bool(self.encoder.tunable and every and int(self.steps) % every == 0)
        if due:
            self.refresh(positions)
        return due

    def keep(self, cache: FrozenCache) -> None:
        """Write the current vectors to disk, for a bank that is made later with the same encoder and texts."""
        cache.put(self.encoder.fingerprint(), self._keys(), self.cache)

    def known(self) -> KnownVectors:
        """The current vectors, for a bank with further texts that is made with the same encoder as it is now."""
        return KnownVectors(dict(zip(self._keys(), self.cache, strict=True)))

    def reset(self) -> None:
        """Put the vectors of the untuned model back (the weights stay as they are)."""
        self.clear()
        self.cache.copy_(self.frozen)

    def _at(self, rows: Tensor) -> Tensor:
        values = self.cache[rows]
        if self._fresh is None or not torch.is_grad_enabled():
            return values
        slots = self._slot[rows.cpu()]
        hit = (slots >= 0).nonzero().squeeze(1)
        straight = (self._fresh - self._fresh.detach()) * self._scale
        return values.index_add(0, hit.to(values.device), straight[slots[hit].to(values.device)])

    def _rows(self, positions: Tensor | None) -> Tensor:
        if positions is None:
            return torch.arange(len(self.texts))
        return self.inverse[positions.to(self.inverse.device)].unique().cpu()

    def _encode(self, rows: Tensor, progress: bool) -> Tensor:
        return self.encoder.encode(self._tokens, progress, rows, self._below)

    @torch.no_grad()
    def _first(self) -> Tensor:
        """Vectors of all distinct texts, from disk where they are known."""
        if self._disk.folder is None:
            return self._encode(torch.arange(len(self.texts)), self.progress)
        model, keys = self.encoder.fingerprint(), self._keys()
        known = self._disk.get(model, keys)
        missing = torch.tensor([i for i, key in enumerate(keys) if key not in known], dtype=torch.long)
        vectors = torch.zeros(len(keys), self.dim, device=self.encoder.device)
        for i, key in enumerate(keys):
            if key in known:
                vectors[i] = known[key]
        vectors[missing.to(vectors.device)] = self._encode(missing, self.progress)
        self._disk.put(model, [keys[i] for i in missing.tolist()], vectors[missing.to(vectors.device)])
        return vectors

    def _keys(self) -> list[bytes]:
        values, starts = self._tokens.values.numpy(), self._tokens.starts.tolist()
        spans = pairwise(starts)
        return [hashlib.sha256(values[a:b].tobytes()).digest() for a, b in spans]
